"""The hierarchical paired estimate: strata and candidates borrow strength, so that single slices can be judged.

The model sees the counts of the paired tables only, so that its cost does not grow with the number of prompts. PyMC
states it, nutpie compiles it with Numba (once per number of candidates and strata) and samples it; PyTensor's C and
Python modes are never used for sampling.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toxaudit.errors import ToxauditError
from toxaudit.estimators.outcomes import PairedOutcomes, Posterior, missing, seed_of, tabulate, unscored
from toxaudit.records import Diagnostics
from toxaudit.registry import register

CELLS = ("n11", "n10", "n01", "n00")

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

    def estimate(self, outcomes: Sequence[PairedOutcomes]) -> list[Posterior]:
        """Posteriors of slice ``all`` and of each stratum, for each candidate; none where there is nothing to pool.

        Args:
            outcomes: every candidate of one suite and measure, on the same prompts and with the same base.
        """
        # One order of candidates, so that the order in which an audit names them can't change a draw.
        ordered = sorted(outcomes, key=lambda each: each.candidate)
        if any(not np.array_equal(each.base, ordered[0].base, equal_nan=True) for each in ordered):
            raise ValueError("the candidates of one fit share the base's outcomes")
        strata = _strata(ordered[0]) if ordered else {}
        if len(strata) < 2:
            return []
        base, candidate, divergences = self._sample(ordered, list(strata.values()))
        reported = _reported(strata)
        quantities = {
            (each.candidate, title): _quantities(base @ weight, candidate[:, :, number] @ weight)
            for number, each in enumerate(ordered)
            for title, (_, weight) in reported.items()
        }
        fit = _diagnose([chains for found in quantities.values() for chains in found.values()], divergences)
        return [
            _posterior(each, title, chosen, quantities[each.candidate, title], fit)
            for each in outcomes
            for title, (chosen, _) in reported.items()
        ]

    def _sample(
        self, outcomes: Sequence[PairedOutcomes], groups: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Sample the model of K candidates and S strata.

        Returns:
            The base's rates, shape (chains, draws, S); the candidates', shape (chains, draws, K, S); the number of
            divergent draws.
        """
        first = outcomes[0]
        # The base's own counts use every scored completion; a table, only the prompts scored in both arms.
        data: dict[str, NDArray[np.float64]] = {
            "base_has": np.array([(first.base[chosen] == 1).sum() for chosen in groups], dtype=float),
            "base_has_not": np.array([(first.base[chosen] == 0).sum() for chosen in groups], dtype=float),
        }
        tables = [[tabulate(each.base[chosen], each.other[chosen]) for chosen in groups] for each in outcomes]
        for cell in CELLS:
            data[cell] = np.array([[table[cell] for table in row] for row in tables], dtype=float)
        compiled, nutpie = _compiled(len(outcomes), len(groups))
        trace = nutpie.sample(
            compiled.with_data(**data),
            draws=self.draws,
            tune=self.tune,
            chains=self.chains,
            seed=seed_of(self.seed, "hier_paired", first.suite, first.measure),
            target_accept=self.target_accept,
            save_warmup=False,
            progress_bar=False,
        )
        divergences = int(trace.sample_stats["diverging"].values.sum())
        return trace.posterior["base"].values, trace.posterior["candidate"].values, divergences


def _strata(outcomes: PairedOutcomes) -> dict[str, NDArray[np.bool_]]:
    """Title of each stratum -> its prompts, shape (n,). Prompts without a stratum form one without a title."""
    name = outcomes.strata
    if name is None:
        return {}
    values = outcomes.slices[name]
    return {f"{name}={value}" if value else "": np.asarray(values == value) for value in np.unique(values)}


def _reported(strata: dict[str, NDArray[np.bool_]]) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Title of each posterior -> its prompts, shape (n,), and how it weighs the strata, shape (S,)."""
    shares = np.array([chosen.mean() for chosen in strata.values()])
    alone = np.eye(len(strata))
    found = {"all": (np.logical_or.reduce(list(strata.values())), shares)}
    return found | {title: (chosen, alone[s]) for s, (title, chosen) in enumerate(strata.items()) if title}


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


def _quantities(base: NDArray[np.float64], candidate: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The reported quantities, each of shape (chains, draws)."""
    return {"base": base, "candidate": candidate, "change": candidate - base}


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
    title: str,
    chosen: NDArray[np.bool_],
    quantities: dict[str, NDArray[np.float64]],
    fit: Diagnostics,
) -> Posterior:
    base, other = outcomes.base[chosen], outcomes.other[chosen]
    table = tabulate(base, other)
    where = f"suite '{outcomes.suite}'" if title == "all" else f"slice '{title}' of suite '{outcomes.suite}'"
    return Posterior(
        candidate=outcomes.candidate,
        suite=outcomes.suite,
        measure=outcomes.measure,
        slice=title,
        estimator="hier_paired",
        n=sum(table.values()),
        missing=missing(base, other),
        counts=table,
        draws={name: chains.ravel() for name, chains in quantities.items()},
        diagnostics=Diagnostics(fit.values, (*fit.failures, *unscored(base, other, where))),
    )
