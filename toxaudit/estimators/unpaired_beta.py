"""The unpaired estimate of studies that compare two models as if each had answered prompts of its own."""

import numpy as np

from toxaudit.errors import ToxauditError
from toxaudit.estimators.outcomes import Floats, PairedOutcomes, per_prompt
from toxaudit.estimators.posterior import Posterior, seed_of
from toxaudit.estimators.strata import divide
from toxaudit.estimators.totals import SMALLEST_STRATUM, total, unlearnt
from toxaudit.records import Diagnostics
from toxaudit.registry import register

UNPAIRED = "it takes the arms as independent, as unpaired studies do, and never decides"
"""The warning on each of its posteriors."""


@register("estimator", "unpaired_beta")
class UnpairedBeta:
    """Rates and their change in total from each arm's own counts, which replicates studies that ignore the pairing.

    An arm with y of n prompts that have the outcome has the posterior Beta(y + 1/2, n - y + 1/2), after Jeffreys
    (Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.8); the arms are independent of each other. The strata
    share one prior by their weights. A prompt's mean over several samples, or its mean score, counts as that fraction
    of an outcome. Templates that prompts share are ignored, as are the scorer's errors.

    Attributes:
        draws: posterior draws per posterior.
        seed: a posterior's draws follow from it and from the names of candidate, suite and measure.
    """

    draws: int = 4000
    seed: int = 0

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if self.draws < 1000:
            raise ToxauditError(f"unpaired_beta: draws is {self.draws}; probabilities near 0.95 need at least 1000.")

    def estimate(self, outcomes: PairedOutcomes) -> list[Posterior]:
        """One posterior of slice ``all`` for each candidate, which never decides."""
        return [self._candidate(outcomes, candidate) for candidate in outcomes.candidates]

    def _candidate(self, outcomes: PairedOutcomes, candidate: str) -> Posterior:
        random = np.random.default_rng(seed_of(self.seed, "unpaired_beta", outcomes.suite, outcomes.measure, candidate))
        arms = outcomes.base, outcomes.candidates[candidate]
        draws = np.stack([self._rate(outcomes, values, random) for values in arms])
        diagnostics = Diagnostics(failures=unlearnt(outcomes, candidate), warnings=(UNPAIRED,))
        return total(outcomes, candidate, "unpaired_beta", draws, diagnostics=diagnostics)

    def _rate(self, outcomes: PairedOutcomes, values: Floats, random: np.random.Generator) -> Floats:
        """Draws of one arm's rate, shape (draws,); the arm's outcomes have shape (n, m)."""
        mean = per_prompt(values)
        scored = ~np.isnan(mean)
        strata = divide(outcomes, outcomes.strata, scored, SMALLEST_STRATUM)
        counting = np.ones(len(mean)) if strata.counting is None else strata.counting
        has = np.bincount(strata.codes[scored], (counting * mean)[scored], strata.n)
        size = np.bincount(strata.codes[scored], counting[scored], strata.n)
        rate = np.zeros(self.draws)
        for y, n, weight in zip(has, size, strata.weights, strict=True):
            if weight > 0:
                rate += weight * random.beta(y + weight / 2, max(n - y, 0) + weight / 2, self.draws)
        return rate
