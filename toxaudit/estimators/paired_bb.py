"""The paired estimate of what doesn't fit a 2 x 2 table: mean scores, several samples, prompts of one template."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from toxaudit.errors import ToxauditError
from toxaudit.estimators.extremes import cases
from toxaudit.estimators.outcomes import Floats, PairedOutcomes, per_prompt
from toxaudit.estimators.posterior import Posterior, seed_of
from toxaudit.estimators.strata import Strata, design_effect, effective_clusters
from toxaudit.estimators.totals import Rates, corrected_total, few_clusters, strata_of_total, total, unlearnt, weighted
from toxaudit.facts import AGAINST, Calibration
from toxaudit.records import BEST_CASE, CORRECTED, OBSERVED, WORST_CASE, Diagnostics
from toxaudit.registry import register

CORNERS = np.array([(1.0, 0.0, 0.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, 1.0)])
"""Pseudo-observations: a number of prompts, the base's outcomes, the candidate's."""

WEIGHTS_AT_ONCE = 2_000_000
"""Random weights held in memory at once."""


@register("estimator", "paired_bb")
class PairedBB:
    """Mean outcomes and their change in total by the Bayesian bootstrap (Rubin 1981, Annals of Statistics 9(1)).

    Each prompt with its pair of mean outcomes (b, c) gets a random weight, Gamma(1); a draw of the rates is the
    weighted mean of b and of c. With templates (``outcomes.clusters``) it is the template that gets the weight, for all
    its prompts. The four extreme pairs (0, 0), (0, 1), (1, 0), (1, 1) are added with weights Gamma(d / 2m), shared
    over the strata by their weights, so that what was not seen stays possible; for one yes or no per prompt the
    posterior is then that of ``paired_exact``, Dirichlet(1/2) and all.

    Here m is the number of samples per prompt and d, from 1 to m, how many samples are worth one independent sample:
    their design effect within prompts (Kish 1965, Survey Sampling, section 5.4). In simulation (m = 4; 50, 300 and
    2,400 prompts; rates 0.9 % to 5 %, changes 0 to +5 pp; standard deviations between prompts 0, 2 and 6 on the logit
    scale) 95 % intervals of the change cover .94 to .99, but .92 with 50 prompts whose samples nearly always agree, at
    0.9 % and +3 pp. A weight of 1/2m gives .88 there, and .90 with 300 such prompts at 0.9 %; 1/2 whatever m is
    overstates 0.9 % of 50 prompts threefold.

    The weights of k templates are Gamma(a) / a, with a so that the bootstrap's variance, 1/(a k + 1) of that between
    templates, becomes the unbiased 1/(k - 1), widened as Student's t is wider than the normal. With 30 templates of 80
    prompts and a standard deviation between templates of 0.5 or 1 on the logit scale, intervals of the change cover
    .92 to .96 at rates of 0.9 % to 30 %; Gamma(1) gives .90 to .93, prompts taken as independent .68 to .94. At a
    standard deviation of 2, where a handful of templates has most of the outcomes, they cover .90 to .94 at rates from
    10 %, but .86 to .92 at 0.9 % and 3 % (Gamma(1) .84 to .90, independent prompts .54 to .75).

    Attributes:
        draws: posterior draws per posterior.
        seed: a posterior's draws follow from it and from the names of candidate, suite and measure.
        always: whether also to estimate what ``paired_exact`` takes.
    """

    draws: int = 4000
    seed: int = 0
    always: bool = False

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if self.draws < 1000:
            raise ToxauditError(f"paired_bb: draws is {self.draws}; probabilities near 0.95 need at least 1000.")

    def estimate(self, outcomes: PairedOutcomes) -> list[Posterior]:
        """Posteriors of slice ``all`` for each candidate, in every variant that applies.

        None for what ``paired_exact`` takes, unless ``always`` is set.
        """
        if outcomes.tabular and not self.always:
            return []
        return [posterior for candidate in outcomes.candidates for posterior in self._candidate(outcomes, candidate)]

    def _candidate(self, outcomes: PairedOutcomes, candidate: str) -> Iterator[Posterior]:
        observed = outcomes.base, outcomes.candidates[candidate]
        few = few_clusters(outcomes, *observed)
        for variant, base, other in cases(*observed):
            if outcomes.calibration and variant in (BEST_CASE, WORST_CASE):
                yield self._corrected(outcomes, candidate, outcomes.calibration, few, variant, (base, other))
                continue
            random, strata = self._random(outcomes, candidate, variant), strata_of_total(outcomes, base, other)
            draws = weighted(bootstrap(outcomes, base, other, strata, random, self.draws), strata.weights)
            failures = unlearnt(outcomes, candidate) if variant == OBSERVED else ()
            found = replace(few, failures=few.failures + failures)
            yield total(outcomes, candidate, "paired_bb", draws, variant, found, (base, other))
        if outcomes.calibration:
            yield self._corrected(outcomes, candidate, outcomes.calibration, few, CORRECTED, observed)

    def _corrected(
        self,
        outcomes: PairedOutcomes,
        candidate: str,
        calibration: Calibration,
        few: Diagnostics,
        variant: str,
        arms: tuple[Floats, Floats],
    ) -> Posterior:
        """The estimate of the true rates, where the scorer's errors are known."""
        base, other = arms
        random = self._random(outcomes, candidate, f"{variant}, corrected")

        def rates(strata: Strata) -> Rates:
            return partial(bootstrap, outcomes, base, other, strata, random)

        strata = strata_of_total(outcomes, base, other)
        draws, failures = corrected_total(outcomes, candidate, calibration, strata, rates, self.draws, random)
        found = replace(few, failures=few.failures + failures)
        return total(outcomes, candidate, "paired_bb", draws, variant, found, arms)

    def _random(self, outcomes: PairedOutcomes, candidate: str, variant: str) -> np.random.Generator:
        names = ("paired_bb", outcomes.suite, outcomes.measure, candidate, variant)
        return np.random.default_rng(seed_of(self.seed, *names))


def bootstrap(
    outcomes: PairedOutcomes, base: Floats, other: Floats, strata: Strata, random: np.random.Generator, draws: int
) -> Floats:
    """Draws of both arms' rates in each stratum, and of the change under the prior of a GO.

    Args:
        outcomes: the suite's, for its clusters.
        base: shape (n, m), the base's outcomes.
        other: the candidate's.
        strata: G of them.
        random: the source of random numbers.
        draws: how many.

    Returns:
        Shape (draws, 3, G): the base's rate, the candidate's, and the change under the prior of a GO.
    """
    b, c = per_prompt(base), per_prompt(other)
    scored = ~np.isnan(b) & ~np.isnan(c)
    prior = _agreement(base, other, strata) / (2 * base.shape[1]) * strata.weights
    against = 2 * AGAINST * prior * _worth(outcomes, base, other, strata)
    counting = np.ones(len(b)) if strata.counting is None else strata.counting
    b, c, codes, counting = b[scored], c[scored], strata.codes[scored], counting[scored]
    if outcomes.clusters is not None:
        _, cluster = np.unique(outcomes.clusters[scored], return_inverse=True)
        return _ratios(*_sums(b, c, counting, codes, cluster, strata.n), prior, against, random, draws)
    parts = []
    for stratum in range(strata.n):  # independent of each other, and so cheaper one by one
        here = codes == stratum
        kinds, count = np.unique(np.stack([counting, b, c], 1)[here], axis=0, return_counts=True)
        sums = (kinds[:, :1] * np.column_stack([np.ones(len(kinds)), kinds[:, 1:]]))[:, None, :]
        own = slice(stratum, stratum + 1)
        parts.append(_ratios(sums, count.astype(np.float64), prior[own], against[own], random, draws))
    return np.concatenate(parts, axis=2)


def _sums(
    b: Floats, c: Floats, counting: Floats, codes: NDArray[np.intp], cluster: NDArray[np.intp], strata: int
) -> tuple[Floats, Floats]:
    """Of each kind of cluster: prompts and outcomes by stratum, shape (U, G, 3), and the shape of its weight, (U,).

    Clusters that are equal in all of these are of one kind. The sums are divided by a weight's mean.
    """
    k = int(cluster.max(initial=-1)) + 1
    place = cluster * strata + codes
    columns = [np.bincount(place, values, k * strata) for values in (counting, counting * b, counting * c)]
    sums: Floats = np.stack(columns, axis=1, dtype=np.float64).reshape(k, strata * 3)
    kinds, count = np.unique(sums, axis=0, return_counts=True)
    # Where no cluster spans two strata, each stratum's mean costs a degree of freedom of its own.
    a = _cluster_shape(k, k * strata / max(int(np.count_nonzero(columns[0])), 1))
    return kinds.reshape(-1, strata, 3) / a, (count * a).astype(np.float64)


def _cluster_shape(clusters: int, means: float) -> float:
    """The shape a of a cluster's gamma weight.

    With k clusters around each of g means, a (k / g) + 1 = (k / g - 1) / (t / z)^2. The ratio of the quantiles of
    Student's t, of k - g degrees of freedom, and of the normal is expanded in these (Abramowitz & Stegun 1964, 26.7.5).

    Args:
        clusters: k in all.
        means: g.
    """
    free, z = max(clusters - means, 1.0), 1.959964
    wider = 1 + (z**2 + 1) / (4 * free) + (5 * z**4 + 16 * z**2 + 3) / (96 * free**2)
    return max((free / wider**2 - means) / max(clusters, 1), 0.1)


def _ratios(
    sums: Floats, shape: Floats, prior: Floats, against: Floats, random: np.random.Generator, draws: int
) -> Floats:
    """Draws of the weighted means, shape (draws, 3, G): base, candidate, the change with one more that is new.

    Args:
        sums: shape (U, G, 3), of each unit and stratum: prompts, the base's outcomes, the candidate's.
        shape: shape (U,), of the units' gamma weights; equal units are one of their joint shape.
        prior: shape (G,), of the weight of each pseudo-observation.
        against: shape (G,), of the weight of one more that is new, by which a GO is decided.
        random: the source of random numbers.
        draws: how many.
    """
    units, strata, _ = sums.shape
    once = bool((shape == 1).all())
    means = np.empty((draws, 3, strata))
    step = max(1, WEIGHTS_AT_ONCE // max(units, 1))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        # Of shape 1 a gamma is an exponential, drawn twice as fast.
        gamma = random.standard_exponential((rows, units)) if once else random.standard_gamma(shape, (rows, units))
        seen = gamma @ sums.reshape(units, strata * 3)
        unseen = random.standard_gamma(prior[:, None], (rows, strata, 4)) @ CORNERS
        whole = seen.reshape(rows, strata, 3) + unseen
        size = whole[:, :, 0]
        # With no prompt and hardly any prior a sum may round to 0: then one corner holds all, whichever.
        whole[size == 0] = CORNERS[random.integers(4, size=int((size == 0).sum()))]
        rates = means[start : start + rows]
        rates[:, :2] = (whole[:, :, 1:] / whole[:, :, :1]).transpose(0, 2, 1)
        extra = random.standard_gamma(against, (rows, strata))
        size, base, other = whole.transpose(2, 0, 1)
        rates[:, 2] = (other - base + extra) / (size + extra)
    return means


def _worth(outcomes: PairedOutcomes, base: Floats, other: Floats, strata: Strata) -> float:
    """How many prompts a pseudo-observation stands for: as many as say no more than one independent prompt.

    1 without templates; else their design effect, and all of a template's prompts where no outcome differs, since
    nothing tells then that its prompts differ.
    """
    if outcomes.clusters is None:
        return 1.0
    scored = ~np.isnan(base).all(1) & ~np.isnan(other).all(1)
    if all(len(np.unique(values[scored])) < 2 for values in (per_prompt(base), per_prompt(other))):
        return float(scored.sum()) / max(effective_clusters(outcomes.clusters[scored]), 1.0)
    return design_effect(replace(outcomes, base=base, candidates={"": other}), strata)


def _agreement(base: Floats, other: Floats, strata: Strata) -> float:
    """How many samples of a prompt are worth one independent sample, 1 to m.

    The variance between prompts over that of as many independent samples, the largest of both arms and their
    difference; 1 where no outcome differs from any other.
    """
    effects = [1.0]
    for values in (base, other, other - base) if base.shape[1] > 1 else ():
        scored = ~np.isnan(values)
        codes = np.broadcast_to(strata.codes[:, None], values.shape)[scored]
        mean = np.bincount(codes, values[scored], strata.n) / np.bincount(codes, minlength=strata.n).clip(1)
        off = np.where(scored, values - mean[strata.codes][:, None], 0.0)
        if (independent := float(np.sum(off**2))) > 0:
            effects.append(float(np.sum(off.sum(1) ** 2)) / independent)
    return min(max(effects), float(base.shape[1]))
