"""The hierarchical paired estimate: strata and candidates borrow strength, so that single slices can be judged.

The model sees the counts of the paired tables only, so that its cost does not grow with the number of prompts. PyMC
states it, nutpie compiles it with Numba (once per number of candidates and strata) and samples it; PyTensor's C and
Python modes are never used for sampling.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toxaudit.errors import ToxauditError
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
from toxaudit.estimators.scorer_error import correct, error_rates, misfit
from toxaudit.estimators.strata import Strata, design_effect, divide
from toxaudit.records import CORRECTED, Calibration, Diagnostics
from toxaudit.registry import register

MAX_RHAT = 1.01
MIN_ESS = 400.0
"""Bars of Vehtari et al. 2021 (Bayesian Analysis 16(2), section 4), per reported quantity."""

MAX_DIVERGENT = 0.005
"""Share of draws that may diverge.

A few divergences where a scale is near 0 are the price of a hierarchical prior. Were every one of this share's draws on
the wrong side of the margin, a reported probability would be wrong by 0.005: half the Monte Carlo error that the bar on
ESS admits at a probability of 0.95, sqrt(0.95 x 0.05 / 400) = 0.011.
"""


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
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seed: int = 0
    target_accept: float = 0.95

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if self.chains < 2:
            raise ToxauditError(f"hier_paired: chains is {self.chains}; R-hat compares chains and needs at least 2.")
        if min(self.draws, self.tune) < 100:
            raise ToxauditError(f"hier_paired: draws is {self.draws} and tune {self.tune}; each must be at least 100.")
        if not 0 < self.target_accept < 1:
            raise ToxauditError(f"hier_paired: target_accept is {self.target_accept}; it must lie between 0 and 1.")

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
        base, other, divergences = self._sample(outcomes, strata, candidates, name)
        parts = {f"{name}={value}": np.eye(strata.n)[s] for s, value in enumerate(strata.values) if value}
        parts = ({"all": strata.weights} if total else {}) | parts
        rates = {
            (candidate, title): {"base": base @ weight, "candidate": other[:, :, k] @ weight}
            for k, candidate in enumerate(candidates)
            for title, weight in parts.items()
        }
        fit = _diagnose([chains for each in rates.values() for chains in _quantities(each)], divergences)
        found: list[Posterior] = []
        for candidate in outcomes.candidates:
            for title, weight in parts.items():
                posterior = _posterior(outcomes, candidate, title, weight[strata.codes] > 0, rates[candidate, title], fit)
                found.append(posterior)
                if outcomes.calibration:
                    found += self._corrected(posterior, outcomes.calibration, name, title)
        return found

    def _corrected(self, posterior: Posterior, calibration: Calibration, name: str, title: str) -> list[Posterior]:
        """The posterior of the true rates, where the scorer's errors on that slice are known."""
        value = title.removeprefix(f"{name}=") if calibration.by == name else ""
        if value not in calibration.counts:
            return []
        names = ("hier_paired", posterior.suite, posterior.measure, posterior.candidate, title, CORRECTED)
        random = np.random.default_rng(seed_of(self.seed, *names))
        reported = np.stack([posterior.draws["base"], posterior.draws["candidate"]], axis=1)[:, :, None]
        kept = correct(reported, np.ones(1), *error_rates(calibration, [value], len(reported), random))
        failures = posterior.diagnostics.failures + tuple(misfit(len(kept) / len(reported)))
        draws = {"base": kept[:, 0], "candidate": kept[:, 1]} if len(kept) else posterior.draws
        diagnostics = replace(posterior.diagnostics, failures=failures)
        return [replace(posterior, draws=draws, variant=CORRECTED, diagnostics=diagnostics)]

    def _sample(
        self, outcomes: PairedOutcomes, strata: Strata, candidates: Sequence[str], name: str
    ) -> tuple[Floats, Floats, int]:
        """Sample the model of K candidates and S strata.

        Returns:
            The base's rates, shape (chains, draws, S); the candidates', shape (chains, draws, K, S); the number of
            divergent draws.
        """
        base = per_prompt(outcomes.base)
        tables = np.stack(
            [tabulate(base, per_prompt(outcomes.candidates[each]), strata.codes, strata.n) for each in candidates]
        )
        tables /= design_effect(outcomes, strata)
        # The base's own counts use every scored completion; a table, only the prompts scored in both arms.
        scored = ~np.isnan(base)
        has = np.bincount(strata.codes[scored], base[scored], strata.n)
        data = {"base_has": has, "base_has_not": np.bincount(strata.codes[scored], minlength=strata.n) - has}
        data |= {cell: tables[:, :, number] for number, cell in enumerate(CELLS)}
        compiled, nutpie = _compiled(len(candidates), strata.n)
        trace = nutpie.sample(
            compiled.with_data(**data),
            draws=self.draws,
            tune=self.tune,
            chains=self.chains,
            seed=seed_of(self.seed, "hier_paired", outcomes.suite, outcomes.measure, name),
            target_accept=self.target_accept,
            save_warmup=False,
            progress_bar=False,
        )
        divergences = int(trace.sample_stats["diverging"].values.sum())
        return trace.posterior["base"].values, trace.posterior["candidate"].values, divergences


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence two warnings of the libraries beneath, neither of which says anything of the result."""
    with warnings.catch_warnings():
        # ArviZ < 1 announces ArviZ 1 on import; all that is used of it here is the same in both.
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)
        # Without a C compiler PyTensor fuses fewer of its loops; the code is Numba's all the same, though slower.
        warnings.filterwarnings("ignore", "Loop fusion failed", UserWarning)
        yield


@lru_cache(maxsize=16)
def _compiled(candidates: int, strata: int) -> tuple[Any, Any]:
    """The compiled model of a shape, ready for ``with_data``, and nutpie itself."""
    with _quiet():
        try:
            import nutpie
        except ImportError as error:
            raise ToxauditError(
                f"The estimator hier_paired needs nutpie, which can't be imported ({error}): pip install nutpie, or "
                "select estimator=[paired_exact]."
            ) from error
        # Numba is asked for by name: with another backend or a fallback, sampling could be a hundred times slower.
        model = _model(candidates, strata)
        return nutpie.compile_pymc_model(model, backend="numba", var_names=["base", "candidate"]), nutpie


def _model(candidates: int, strata: int) -> Any:
    """The PyMC model of ``HierPaired``, with counts of 1 in place of the data.

    Rates enter as logits and conditional probabilities as logs, so that neither a rate near 0 or 1 nor a table with
    empty cells meets log(0).
    """
    import pymc as pm
    import pytensor.tensor as pt

    with pm.Model() as model:
        logit_base = pm.Normal("a", -3, 1.5) + pm.HalfNormal("sa", 1) * pm.Normal("z", shape=strata)
        shift = pm.Normal("m", 0, 0.7) + pm.HalfNormal("ts", 0.3) * pm.Normal("z_s", shape=(1, strata))
        log_psi = pm.Normal("mu", 2, 1.5)
        if candidates > 1:
            shift += pm.HalfNormal("tk", 0.7) * pm.Normal("z_k", shape=(candidates, 1))
            shift += pm.HalfNormal("tks", 0.3) * pm.Normal("z_ks", shape=(candidates, strata))
            log_psi += pm.HalfNormal("s", 0.5) * pm.Normal("z_psi", shape=(candidates, 1))
        logit_candidate = logit_base + shift
        pm.Deterministic("base", pm.math.sigmoid(logit_base))
        pm.Deterministic("candidate", pm.math.sigmoid(logit_candidate))

        has = pm.Data("base_has", np.ones(strata))
        has_not = pm.Data("base_has_not", np.ones(strata))
        # n1_s ~ Binomial(n_s, p_s), without the constant
        pm.Potential("margin", -(has * pt.softplus(-logit_base) + has_not * pt.softplus(logit_base)).sum())
        for cell, log_probability in log_conditionals(logit_base, logit_candidate, log_psi).items():
            count = pm.Data(cell, np.ones((candidates, strata)))
            pm.Potential(f"table_{cell}", (count * log_probability).sum())
    return model


def log_conditionals(logit_base: Any, logit_candidate: Any, log_psi: Any) -> dict[str, Any]:
    """Log probability of the candidate's outcome given the base's, per cell of Plackett's table, without log(2).

    Plackett's p11 solves psi p10 p01 = p11 p00. With kappa = psi - 1 and the root of that quadratic, its stable form
    is p11 = 2 psi p c / (1 + kappa (p + c) + root). Exchanging the meaning of 0 and 1 in one arm turns psi into 1/psi
    and leaves the root (times psi) as it is; so each cell has a form without a difference of two rates:

        P(1 | 1) = 2 psi c / (1 + kappa (p + c) + root)        P(0 | 1) = 2 (1 - c) / (1 + kappa (c - p) + root)
        P(1 | 0) = 2 c / (1 + kappa (p - c) + root)            P(0 | 0) = 2 psi (1 - c) / (1 + kappa (2 - p - c) + root)

    Args:
        logit_base: shape (S,), logit of p.
        logit_candidate: shape (K, S), logit of c.
        log_psi: shape (K, 1) or scalar, log of the odds ratio.

    Returns:
        Cell -> shape (K, S). The constant log(2) is left out, as a sampler does not need it.
    """
    import pytensor.tensor as pt

    p, c = pt.sigmoid(logit_base), pt.sigmoid(logit_candidate)
    log_c, log_not_c = -pt.softplus(-logit_candidate), -pt.softplus(logit_candidate)
    kappa = pt.expm1(log_psi)
    # = (1 + kappa (p + c))^2 - 4 psi kappa p c, written as a sum of terms that are positive for psi > 1
    root = pt.sqrt(1 + 2 * kappa * (p * (1 - c) + c * (1 - p)) + (kappa * (p - c)) ** 2)
    return {
        "n11": log_psi + log_c - pt.log(1 + kappa * (p + c) + root),
        "n10": log_not_c - pt.log(1 + kappa * (c - p) + root),
        "n01": log_c - pt.log(1 + kappa * (p - c) + root),
        "n00": log_psi + log_not_c - pt.log(1 + kappa * (2 - p - c) + root),
    }


def _quantities(rates: dict[str, Floats]) -> list[Floats]:
    """The reported quantities, each of shape (chains, draws)."""
    return [rates["base"], rates["candidate"], rates["candidate"] - rates["base"]]


def _diagnose(quantities: Sequence[NDArray[np.float64]], divergences: int) -> Diagnostics:
    """Whether one fit may be used, over all quantities it reports, each of shape (chains, draws).

    Method and tail probabilities are named, because ArviZ 0.x and 1.x are free to differ in their defaults.
    """
    with _quiet():
        import arviz as az
    rhat = float(np.max([az.rhat(chains, method="rank") for chains in quantities]))
    bulk = np.min([az.ess(chains, method="bulk") for chains in quantities])
    tail = np.min([az.ess(chains, method="tail", prob=(0.05, 0.95)) for chains in quantities])
    ess = float(np.minimum(bulk, tail))
    share = divergences / quantities[0].size
    failures = []
    # Written so that NaN fails.
    if not rhat <= MAX_RHAT:
        failures.append(f"the chains disagree: R-hat is {rhat:.3f}, above {MAX_RHAT}")
    if not ess >= MIN_ESS:
        failures.append(f"too few independent draws: the effective sample size is {ess:.0f}, below {MIN_ESS:.0f}")
    if share > MAX_DIVERGENT:
        failures.append(
            f"the sampler could not follow the posterior: {share:.1%} of draws diverged, above {MAX_DIVERGENT:.1%}"
        )
    values = {"max_rhat": rhat, "min_ess": ess, "divergences": float(divergences)}
    return Diagnostics(values, tuple(failures))


def _posterior(
    outcomes: PairedOutcomes,
    candidate: str,
    title: str,
    chosen: NDArray[np.bool_],
    rates: dict[str, Floats],
    fit: Diagnostics,
) -> Posterior:
    base, other = outcomes.base[chosen], outcomes.candidates[candidate][chosen]
    table = tabulate(per_prompt(base), per_prompt(other), np.zeros(len(base), dtype=np.intp), 1)
    where = f"suite '{outcomes.suite}'" if title == "all" else f"slice '{title}' of suite '{outcomes.suite}'"
    return Posterior(
        candidate=candidate,
        suite=outcomes.suite,
        measure=outcomes.measure,
        slice=title,
        estimator="hier_paired",
        n=round(table.sum()),
        missing=missing(base, other),
        counts=as_counts(table[0]),
        draws={arm: chains.ravel() for arm, chains in rates.items()},
        diagnostics=replace(fit, failures=(*fit.failures, *unscored(base, other, where))),
    )
