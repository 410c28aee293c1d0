"""The hierarchical paired estimate: a candidate's slices borrow strength, so that single ones can be judged.

Each candidate is fitted by itself, so that no other one moves its numbers. The model sees the counts of the paired
tables only, so that its cost does not grow with the number of prompts. ``hierarchical/model.py`` states it in PyMC;
what nutpie samples is ``hierarchical/density.py``, the same written out for Numba, which one compilation of some
seconds makes ready for any number of strata, without PyTensor or a C compiler.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np

from toxaudit.errors import ToxauditError
from toxaudit.estimators.chains import MIN_ESS, compiled, diagnose, drawn, nutpie, quiet
from toxaudit.estimators.hierarchical import model
from toxaudit.estimators.hierarchical.flip_check import flip_check
from toxaudit.estimators.outcomes import (
    CELLS,
    Floats,
    PairedOutcomes,
    as_counts,
    missing,
    per_prompt,
    tabulate,
    unscored,
)
from toxaudit.estimators.paired_exact import recombined
from toxaudit.estimators.posterior import Posterior, seed_of
from toxaudit.estimators.scorer_error import blind, correct, error_rates, misfit
from toxaudit.estimators.strata import Strata, design_effect, divide
from toxaudit.facts import Calibration
from toxaudit.records import ALONE, CORRECTED, Diagnostics
from toxaudit.registry import register

REPORTED = ("base", "candidate", "log_psi")

CHECK = 0.05
"""How improbable, over all looks at a fit, flips must be under the model for a warning."""


PRIOR = 0.5
"""Prior observations per cell of a slice's own table: Jeffreys'."""

LONGER = 8
"""By how much the chains of a fit are lengthened at most: of one that was made with more care and still failed."""

ALONE_DRAWS = 2000
"""Posterior draws of a slice's own table, which are shown: what decides of it is computed and not drawn."""


@register("estimator", "hier_paired")
class HierPaired:
    """Rates and their change per stratum and in total, partially pooled over strata.

    With strata s, logit p_s = b_s - d_s / 2 is the base's rate and logit c_s = b_s + d_s / 2 the candidate's. Both arms
    are alike about their middle b_s = a + sa z_s, so that a candidate that changed nothing is estimated at no change,
    whatever the shift's prior. The shift d_s = m + ts t_s is drawn towards no change where it is small; its tails are
    heavy, so that a large one is left where the data put it and moves neither the base's rate nor other slices. The
    arms' outcomes on one prompt are tied by an odds ratio psi: the table is Plackett's (1965, JASA 60, equation 1; Dale
    1986, Biometrics 42, for regression on its margins). Priors: a ~ N(-3, 1.5), sa ~ HN(1), m ~ Cauchy(0, 0.15),
    ts ~ HN(0.2), t_s ~ t(2), log psi ~ N(2, 1.5), HN the half-normal and t(2) Student's with two degrees of freedom.

    Candidates are not pooled. Where they shared the base's rate and the spread of their shifts, a candidate without any
    flip beside two very bad ones was estimated at -2.2 pp: one arm's harm read as another's improvement.

    The same slice is also given as variant ``alone``: its own table under a Dirichlet(1/2, 1/2, 1/2, 1/2) prior, which
    shares nothing. Its draws are what a card shows beside the pooled estimate. The gate, which looks at both, computes
    the probability of the slice's own table exactly (``decision/slices.py``).

    Attributes:
        draws: posterior draws per chain.
        tune: draws per chain to adapt the sampler, thrown away.
        chains: independent chains.
        seed: a fit's draws follow from it and from the names of suite, measure, candidate and slice. They are the same
            to the last digit only where the compiled code is: another machine, or code fresh from the compiler rather
            than from PyTensor's cache, rounds otherwise, and draws then differ by Monte Carlo error.
        target_accept: acceptance rate the step size is adapted to. A candidate's fit whose diagnostics fail is made
            again, with a tenth of the rejections, four times the tuning and as many more draws as were lacking; where
            they still fail, with eight times as many draws. Other candidates' fits are not concerned.
        density: ``numba``, or ``pymc`` for the same density as PyTensor makes it of the model in PyMC: it compiles for
            20 to 50 seconds for each number of strata, and serves to check the other.
    """

    draws: int = 1000
    tune: int = 500
    chains: int = 4
    seed: int = 0
    target_accept: float = 0.9
    density: str = "numba"

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if self.chains < 2:
            raise ToxauditError(f"hier_paired: chains is {self.chains}; R-hat compares chains and needs at least 2.")
        if min(self.draws, self.tune) < 100:
            raise ToxauditError(f"hier_paired: draws is {self.draws} and tune {self.tune}; each must be at least 100.")
        if not 0 < self.target_accept < 1:
            raise ToxauditError(f"hier_paired: target_accept is {self.target_accept}; it must lie between 0 and 1.")
        if self.density not in ("numba", "pymc"):
            raise ToxauditError(f"hier_paired: density is '{self.density}'; it must be numba or pymc.")

    def estimate(self, outcomes: PairedOutcomes) -> list[Posterior]:
        """Posteriors of each slice's values and, by the first slice, of the total; none where nothing can be pooled.

        The first slice is the one by which the suite was sampled, where there is one. Each slice of two values or more
        is fitted by itself.
        """
        names = sorted(outcomes.slices, key=lambda name: name != outcomes.strata)
        found: list[Posterior] = []
        for name in names:
            if len(outcomes.slices[name].values) > 1:
                found += self._by_slice(outcomes, name, total=not found)
        return found

    def _by_slice(self, outcomes: PairedOutcomes, name: str, total: bool) -> list[Posterior]:
        """The posteriors of each candidate's fit."""
        strata = divide(outcomes, name)
        parts = {f"{name}={value}": np.eye(strata.n)[s] for s, value in enumerate(strata.values) if value}
        parts = ({"all": strata.weights} if total else {}) | parts
        posteriors: list[Posterior] = []
        for candidate in outcomes.candidates:
            fit, rates, found = self._sound(outcomes, strata, candidate, name, parts)
            for title, weight in parts.items():
                table = fit.tables[weight > 0].sum(0)
                posteriors.append(_posterior(outcomes, candidate, name, title, table, rates[title], found, fit.effect))
                observed = posteriors[-1]
                if outcomes.calibration:
                    posteriors += self._corrected(observed, outcomes.calibration, name, title)
                if title != "all":
                    own = np.array([fit.data[cell] @ weight for cell in CELLS])
                    posteriors.append(self._alone(observed, own))
        return posteriors

    def _sound(
        self, outcomes: PairedOutcomes, strata: Strata, candidate: str, name: str, parts: dict[str, Floats]
    ) -> tuple["_Fit", dict[str, dict[str, Floats]], Diagnostics]:
        """A fit, its rates by part, and its diagnostics: made with more care, and longer, where these fail."""
        careful = replace(self, tune=4 * self.tune, target_accept=1 - (1 - self.target_accept) / 10)
        settings = self
        for least in (1, LONGER, None):  # by how much chains are lengthened next, at least
            fit = settings._fit(outcomes, strata, candidate, name)
            rates = {
                title: {"base": fit.base @ weight, "candidate": fit.candidate @ weight}
                for title, weight in parts.items()
            }
            quantities = [chains for each in rates.values() for chains in _quantities(each)]
            found = diagnose(quantities, fit.divergences)
            if found.passed or least is None:
                break
            settings = replace(careful, draws=max(least, _shortfall(found)) * self.draws)
        return fit, rates, fit.check(found, candidate)

    def _alone(self, posterior: Posterior, table: Floats) -> Posterior:
        """What a slice's own table says of it, shape (4,), which shares nothing with other slices."""
        names = ("hier_paired", posterior.suite, posterior.measure, posterior.candidate, posterior.slice, ALONE)
        random = np.random.default_rng(seed_of(self.seed, *names))
        base, other, _ = recombined(table[None], np.array([PRIOR]), np.ones(1), ALONE_DRAWS, random)
        failures = posterior.diagnostics.failures if not posterior.n else ()
        draws = {"base": base, "candidate": other}
        return replace(posterior, draws=draws, variant=ALONE, diagnostics=Diagnostics(failures=failures))

    def _corrected(self, posterior: Posterior, calibration: Calibration, name: str, title: str) -> list[Posterior]:
        """The posterior of the true rates, where the scorer's errors on that slice are known."""
        value = title.removeprefix(f"{name}=") if calibration.by == name else ""
        if value not in calibration.counts or (calibration.by and title == "all"):
            return []
        names = ("hier_paired", posterior.suite, posterior.measure, posterior.candidate, title, CORRECTED)
        random = np.random.default_rng(seed_of(self.seed, *names))
        reported = np.stack([posterior.draws["base"], posterior.draws["candidate"]], axis=1)[:, :, None]
        (kept,) = correct(reported, *error_rates(calibration, [value], len(reported), random))
        failures = posterior.diagnostics.failures + tuple(
            blind(calibration, [value]) or misfit(len(kept) / len(reported))
        )
        draws = {"base": kept[:, 0], "candidate": kept[:, 1]} if len(kept) else posterior.draws
        diagnostics = replace(posterior.diagnostics, failures=failures)
        return [replace(posterior, draws=draws, variant=CORRECTED, diagnostics=diagnostics)]

    def _fit(self, outcomes: PairedOutcomes, strata: Strata, candidate: str, name: str) -> "_Fit":
        """Sample the model of one candidate and S strata."""
        alone = replace(outcomes, candidates={candidate: outcomes.candidates[candidate]})
        base = per_prompt(outcomes.base)
        tables = tabulate(base, per_prompt(outcomes.candidates[candidate]), strata.codes, strata.n)
        # The base's own counts use every scored completion; a table, only the prompts scored in both arms.
        scored = ~np.isnan(base)
        arms = {"base_has": base[scored], "base_has_not": 1 - base[scored]}
        counts = {name: np.bincount(strata.codes[scored], each, strata.n).astype(float) for name, each in arms.items()}
        counts |= dict(zip(CELLS, tables.T, strict=True))
        effect = design_effect(alone, strata)
        data = {name: count / effect for name, count in counts.items()}
        seed = seed_of(self.seed, "hier_paired", outcomes.suite, outcomes.measure, candidate, name)
        trace = nutpie("hier_paired").sample(
            _model(self.density, data),
            draws=self.draws,
            tune=self.tune,
            chains=self.chains,
            seed=seed,
            target_accept=self.target_accept,
            save_warmup=False,
            progress_bar=False,
            return_raw_trace=True,
        )
        (base_rates, candidate_rates, log_psi), divergences = drawn(trace, REPORTED)
        return _Fit(base_rates, candidate_rates, log_psi, divergences, tables, data, effect, seed)


@dataclass(frozen=True)
class _Fit:
    """Draws of one fit: base and candidate of shape (chains, draws, S), log_psi of shape (chains, draws).

    ``tables``, of shape (S, 4), are those of the prompts; ``data`` is what of them the model was given: all over the
    design ``effect``.
    """

    base: Floats
    candidate: Floats
    log_psi: Floats
    divergences: int
    tables: Floats
    data: dict[str, Floats]
    effect: float
    seed: int

    def check(self, found: Diagnostics, candidate: str) -> Diagnostics:
        """The fit's diagnostics, with how well the model replicates the candidate's flips."""
        s = self.base.shape[-1]
        p = flip_check(
            self.base.reshape(-1, s), self.candidate.reshape(-1, s), self.log_psi.ravel(), self.data, self.seed
        ).worst
        poor = f"the hierarchical model replicates the flips of {candidate} poorly: predictive p = {p:.3f}"
        return replace(found, values=found.values | {"flip_p": p}, warnings=(poor,) if p < CHECK / (2 * s) else ())


def _model(density: str, data: dict[str, Floats]) -> Any:
    """What nutpie samples, with its data. The first one compiles."""
    if density == "pymc":
        return _compiled(len(data["n11"])).with_data(**data)
    with quiet():
        from toxaudit.estimators.hierarchical.density import model as by_hand
    return by_hand(data)


@lru_cache(maxsize=16)
def _compiled(strata: int) -> Any:
    return compiled("hier_paired", lambda: model.model(strata), REPORTED)


def _shortfall(found: Diagnostics) -> int:
    """By how much too few draws were made, rounded up and with half as many to spare; at most ``LONGER``."""
    ess = found.values["min_ess"]
    return LONGER if not ess > 0 else min(LONGER, ceil(1.5 * MIN_ESS / ess)) if ess < MIN_ESS else 1


def _quantities(rates: dict[str, Floats]) -> list[Floats]:
    """The reported quantities, each of shape (chains, draws)."""
    return [rates["base"], rates["candidate"], rates["candidate"] - rates["base"]]


def _posterior(
    outcomes: PairedOutcomes,
    candidate: str,
    name: str,
    title: str,
    table: Floats,
    rates: dict[str, Floats],
    fit: Diagnostics,
    effect: float,
) -> Posterior:
    base, other = outcomes.base, outcomes.candidates[candidate]
    where = f"suite '{outcomes.suite}'"
    if title != "all":
        chosen = outcomes.slices[name].codes == outcomes.slices[name].values.index(title.removeprefix(f"{name}="))
        base, other, where = base[chosen], other[chosen], f"slice '{title}' of {where}"
    nothing = unscored(base, other, where, outcomes.reference)
    return Posterior(
        candidate=candidate,
        suite=outcomes.suite,
        measure=outcomes.measure,
        slice=title,
        estimator="hier_paired",
        samples=outcomes.base.shape[1],
        n=round(table.sum()),
        missing=missing(base, other),
        counts=as_counts(table),
        design_effect=effect,
        draws={arm: chains.ravel() for arm, chains in rates.items()},
        diagnostics=fit if table.any() else replace(fit, failures=(*fit.failures, *nothing)),
    )
