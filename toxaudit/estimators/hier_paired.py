"""The hierarchical paired estimate: strata and candidates borrow strength, so that single slices can be judged.

The model sees the counts of the paired tables only, so that its cost does not grow with the number of prompts.
``hier_model`` states it in PyMC; what nutpie samples is ``hier_density``, the same written out for Numba, which one
compilation of some seconds makes ready for any number of candidates and strata, without PyTensor or a C compiler.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from toxaudit.errors import ToxauditError
from toxaudit.estimators.chains import compiled, diagnose, nutpie, quiet
from toxaudit.estimators.hierarchical import model
from toxaudit.estimators.hierarchical.flip_check import flip_check
from toxaudit.estimators.outcomes import (
    CELLS,
    Floats,
    PairedOutcomes,
    Posterior,
    as_counts,
    missing,
    per_prompt,
    seed_of,
    tabulate,
    unscored,
)
from toxaudit.estimators.scorer_error import blind, correct, error_rates, misfit
from toxaudit.estimators.strata import Strata, design_effect, divide
from toxaudit.facts import Calibration
from toxaudit.records import CORRECTED, Diagnostics
from toxaudit.registry import register

REPORTED = ("base", "candidate", "log_psi")

CHECK = 0.05
"""How improbable, over all looks at a fit, flips must be under the model for a warning."""


@register("estimator", "hier_paired")
class HierPaired:
    """Rates and their change per stratum and in total, partially pooled over strata and candidates.

    With strata s and candidates k: logit p_s = a + sa z_s is the base's rate, logit c_ks = logit p_s + d_ks the
    candidate's, d_ks = m + tk z_k + ts z_s + tks z_ks its shift, shrunk towards no change. The arms' outcomes on one
    prompt are tied by an odds ratio psi_k: the table is Plackett's (1965, JASA 60, equation 1; Dale 1986, Biometrics
    42, for regression on its margins). Priors: a ~ N(-3, 1.5), sa ~ HN(1), m ~ N(0, 0.7), tk ~ HN(0.7),
    ts, tks ~ HN(0.3), log psi_k ~ N(mu, s), mu ~ N(2, 1.5), s ~ HN(0.5), HN the half-normal. With one candidate there
    is nothing to pool over k, and tk, tks and s fall away.

    Attributes:
        draws: posterior draws per chain.
        tune: draws per chain to adapt the sampler, thrown away.
        chains: independent chains.
        seed: a fit's draws follow from it and from the names of suite and measure. They are the same to the last digit
            only where the compiled code is: another machine, or code fresh from the compiler rather than from
            PyTensor's cache, rounds otherwise, and draws then differ by Monte Carlo error.
        target_accept: acceptance rate the step size is adapted to.
        density: ``numba``, or ``pymc`` for the same density as PyTensor makes it of the model in PyMC: it compiles for
            20 to 50 seconds for each number of candidates and strata, and serves to check the other.
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seed: int = 0
    target_accept: float = 0.95
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
        """The posteriors of one fit."""
        strata = divide(outcomes, name)
        # One order of candidates, so that the order in which an audit names them can't change a draw.
        candidates = sorted(outcomes.candidates)
        fit = self._fit(outcomes, strata, candidates, name)
        parts = {f"{name}={value}": np.eye(strata.n)[s] for s, value in enumerate(strata.values) if value}
        parts = ({"all": strata.weights} if total else {}) | parts
        base = {title: fit.base @ weight for title, weight in parts.items()}
        rates = {
            (candidate, title): {"base": base[title], "candidate": fit.candidate[:, :, k] @ weight}
            for k, candidate in enumerate(candidates)
            for title, weight in parts.items()
        }
        found = diagnose([chains for each in rates.values() for chains in _quantities(each)], fit.divergences)
        checked = dict(zip(candidates, fit.check(found, candidates), strict=True))
        posteriors: list[Posterior] = []
        for candidate in outcomes.candidates:
            for title, weight in parts.items():
                table = fit.tables[candidates.index(candidate)][weight > 0].sum(0)
                posteriors.append(
                    _posterior(outcomes, candidate, name, title, table, rates[candidate, title], checked[candidate])
                )
                if outcomes.calibration:
                    posteriors += self._corrected(posteriors[-1], outcomes.calibration, name, title)
        return posteriors

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

    def _fit(self, outcomes: PairedOutcomes, strata: Strata, candidates: Sequence[str], name: str) -> "_Fit":
        """Sample the model of K candidates and S strata."""
        base = per_prompt(outcomes.base)
        tables = np.stack(
            [tabulate(base, per_prompt(outcomes.candidates[each]), strata.codes, strata.n) for each in candidates]
        )
        # The base's own counts use every scored completion; a table, only the prompts scored in both arms.
        scored = ~np.isnan(base)
        arms = {"base_has": base[scored], "base_has_not": 1 - base[scored]}
        counts = {name: np.bincount(strata.codes[scored], each, strata.n).astype(float) for name, each in arms.items()}
        counts |= {cell: tables[:, :, number] for number, cell in enumerate(CELLS)}
        effect = design_effect(outcomes, strata)
        data = {name: count / effect for name, count in counts.items()}
        seed = seed_of(self.seed, "hier_paired", outcomes.suite, outcomes.measure, name)
        trace = nutpie("hier_paired").sample(
            _model(self.density, data),
            draws=self.draws,
            tune=self.tune,
            chains=self.chains,
            seed=seed,
            target_accept=self.target_accept,
            save_warmup=False,
            progress_bar=False,
        )
        base_rates, candidate_rates, log_psi = (trace.posterior[each].values for each in REPORTED)
        divergences = int(trace.sample_stats["diverging"].values.sum())
        return _Fit(base_rates, candidate_rates, log_psi, divergences, tables, data, seed)


@dataclass(frozen=True)
class _Fit:
    """Draws of one fit: base of shape (chains, draws, S), candidate (.., K, S), log_psi (.., K or K, 1).

    ``tables``, of shape (K, S, 4), are those of the prompts; ``data`` is what of them the model was given.
    """

    base: Floats
    candidate: Floats
    log_psi: Floats
    divergences: int
    tables: Floats
    data: dict[str, Floats]
    seed: int

    def check(self, found: Diagnostics, candidates: Sequence[str]) -> list[Diagnostics]:
        """The fit's diagnostics for each candidate, with how well the model replicates its flips."""
        k, s = self.candidate.shape[2:]
        flat = self.base.reshape(-1, s), self.candidate.reshape(-1, k, s), self.log_psi.reshape(-1, k)
        worst = flip_check(*flat, self.data, self.seed).worst
        checked = []
        for name, p in zip(candidates, worst, strict=True):
            poor = f"the hierarchical model replicates the flips of {name} poorly: predictive p = {p:.3f}"
            warnings = (poor,) if p < CHECK / (2 * k * s) else ()
            checked.append(replace(found, values=found.values | {"flip_p": float(p)}, warnings=warnings))
        return checked


def _model(density: str, data: dict[str, Floats]) -> Any:
    """What nutpie samples, with its data. The first one compiles."""
    if density == "pymc":
        return _compiled(*data["n11"].shape).with_data(**data)
    with quiet():
        from toxaudit.estimators.hierarchical.density import model as by_hand
    return by_hand(data)


@lru_cache(maxsize=16)
def _compiled(candidates: int, strata: int) -> Any:
    return compiled("hier_paired", lambda: model.model(candidates, strata), REPORTED)


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
) -> Posterior:
    base, other = outcomes.base, outcomes.candidates[candidate]
    where = f"suite '{outcomes.suite}'"
    if title != "all":
        chosen = outcomes.slices[name].codes == outcomes.slices[name].values.index(title.removeprefix(f"{name}="))
        base, other, where = base[chosen], other[chosen], f"slice '{title}' of {where}"
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
        draws={arm: chains.ravel() for arm, chains in rates.items()},
        diagnostics=replace(fit, failures=(*fit.failures, *(() if table.any() else unscored(base, other, where)))),
    )
