"""The test of the founding study, on the scores it was made for, with what its model gets wrong."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from toxaudit.errors import ToxauditError
from toxaudit.estimators.chains import compiled, diagnose, nutpie
from toxaudit.estimators.outcomes import Floats, PairedOutcomes, per_prompt
from toxaudit.estimators.posterior import Posterior, seed_of
from toxaudit.estimators.totals import total
from toxaudit.records import Diagnostics
from toxaudit.registry import register

PRIORS = (
    "each arm's mean ~ Normal(pooled mean, 1000 pooled sd), each arm's scale ~ Uniform(pooled sd / 1000, 1000 pooled "
    "sd), the degrees of freedom of both, less 1, ~ Exponential with mean 29"
)
"""The priors in words, for a card."""

REPLICATION = "it replicates the founding study's test (BEST, Kruschke 2013) on mean scores, and never decides"
"""The first warning on each of its posteriors."""

REPLICATED = 10
"""Scores replicated per arm and draw."""


@register("estimator", "best_replication")
class BestReplication:
    """Kruschke's BEST: both arms' scores as Student's t, without regard to the pairing (2013, J. Exp. Psych. 142(2)).

    Scores of an arm, each prompt's mean over its samples, are t-distributed with the arm's own mean mu and scale sigma
    and one nu for both arms. Priors, with the mean and the standard deviation (sd) of both arms' scores pooled:
    mu ~ Normal(mean, 1000 sd), sigma ~ Uniform(sd / 1000, 1000 sd), nu - 1 ~ Exponential with mean 29. The draws of
    the posterior are both mu.

    Scores pile up near 0. The t fits that spike, with nu near 1, and takes the toxic answers for outliers: it misses
    a rise of toxicity, and calls a creep of harmless scores a harm. So its posterior says what share of the scores it
    replicates lies outside 0..1, where no score lies (Gelman et al., Bayesian Data Analysis, 3rd ed., section 6.3).

    Attributes:
        draws: posterior draws per chain.
        tune: draws per chain to adapt the sampler, thrown away.
        chains: independent chains.
        seed: a posterior's draws follow from it and from the names of candidate, suite and measure, as far as the
            compiled code is the same.
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seed: int = 0

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if self.chains < 2:
            raise ToxauditError(f"best_replication: chains is {self.chains}; R-hat needs at least 2.")
        if min(self.draws, self.tune) < 100:
            raise ToxauditError(
                f"best_replication: draws is {self.draws} and tune {self.tune}; each must be at least 100."
            )

    def estimate(self, outcomes: PairedOutcomes) -> list[Posterior]:
        """One posterior of slice ``all`` for each candidate, which never decides; none without scores of both arms."""
        found = [self._candidate(outcomes, candidate) for candidate in outcomes.candidates]
        return [posterior for posterior in found if posterior is not None]

    def _candidate(self, outcomes: PairedOutcomes, candidate: str) -> Posterior | None:
        scores = outcomes.scores or {}
        if "base" not in scores or candidate not in scores:
            return None
        arms = [each[~np.isnan(each)] for each in (per_prompt(scores["base"]), per_prompt(scores[candidate]))]
        if not all(each.size for each in arms):
            return None
        pooled = np.concatenate(arms)
        mean, sd = float(pooled.mean()), float(pooled.std())
        if np.ptp(pooled) == 0:
            constant = np.full(self.chains * self.draws, mean)
            failures = (f"all scores are {mean:g}: Student's t has no scale to fit",)
            draws, diagnostics = np.stack([constant, constant]), Diagnostics({}, failures, (REPLICATION,))
        else:
            seed = seed_of(self.seed, "best_replication", outcomes.suite, outcomes.measure, candidate)
            fit = self._sample((arms[0] - mean) / sd, (arms[1] - mean) / sd, seed)
            centre = mean + sd * fit.mu
            draws = centre.reshape(-1, 2).T
            diagnostics = _diagnose(fit, pooled, np.random.default_rng(seed))
        return total(outcomes, candidate, "best_replication", draws, diagnostics=diagnostics)

    def _sample(self, base: Floats, candidate: Floats, seed: int) -> "_Fit":
        """Sample the model of two arms' standardised scores, shapes (n0,) and (n1,)."""
        trace = nutpie("best_replication").sample(
            _compiled().with_data(base=base, candidate=candidate),
            draws=self.draws,
            tune=self.tune,
            chains=self.chains,
            seed=seed,
            save_warmup=False,
            progress_bar=False,
        )
        mu, sigma, nu = (trace.posterior[name].values for name in ("mu", "sigma", "nu"))
        return _Fit(mu, sigma, nu, int(trace.sample_stats["diverging"].values.sum()))


@dataclass(frozen=True)
class _Fit:
    """Draws on the scale of standardised scores: mu and sigma of shape (chains, draws, 2), nu of (chains, draws)."""

    mu: Floats
    sigma: Floats
    nu: Floats
    divergences: int


@cache
def _compiled() -> Any:
    """The compiled model, ready for ``with_data`` of any length."""
    return compiled("best_replication", _model, ["mu", "sigma", "nu"])


def _model() -> Any:
    """The PyMC model of standardised scores, whose pooled mean is 0 and pooled sd 1, so that no prior needs them."""
    import pymc as pm

    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1000, shape=2)
        sigma = pm.Uniform("sigma", 1 / 1000, 1000, shape=2, initval=np.ones(2))
        nu = pm.Deterministic("nu", pm.Exponential("nu_minus_1", 1 / 29) + 1)
        for number, arm in enumerate(("base", "candidate")):
            scores = pm.Data(arm, np.linspace(-1, 1, 3 + number))  # lengths of their own, so that neither is fixed
            pm.StudentT(f"{arm}_scores", nu=nu, mu=mu[number], sigma=sigma[number], observed=scores)
    return model


def _diagnose(fit: _Fit, scores: Floats, random: np.random.Generator) -> Diagnostics:
    """Whether the chains agree, and what share of the replicated scores lies where none of the observed ones does.

    Args:
        fit: of the standardised scores.
        scores: shape (n,), both arms' scores.
        random: the source of the replicated scores.
    """
    quantities = [fit.mu[:, :, 0], fit.mu[:, :, 1], fit.mu[:, :, 1] - fit.mu[:, :, 0]]
    found = diagnose(quantities, fit.divergences)
    noise = random.standard_t(fit.nu[:, :, None, None], (*fit.mu.shape, REPLICATED))
    replicated = scores.mean() + scores.std() * (fit.mu[..., None] + fit.sigma[..., None] * noise)
    below, above = float((replicated < 0).mean()), float((replicated > 1).mean())
    values = {"nu": float(fit.nu.mean()), "replicated_below_0": below, "replicated_above_1": above}
    outside = float(((scores < 0) | (scores > 1)).mean())
    misfit = (
        f"of the scores that its model replicates, {below:.1%} lie below 0 and {above:.1%} above 1; of the observed, "
        f"{outside:.1%} do either"
    )
    return replace(found, values=found.values | values, warnings=(*found.warnings, REPLICATION, misfit))
