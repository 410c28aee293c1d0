"""The exact paired estimate: a Dirichlet posterior over each stratum's 2 x 2 table, without sampling chains."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from toxaudit.errors import ToxauditError
from toxaudit.estimators.extremes import cases
from toxaudit.estimators.outcomes import Floats, Labelled, PairedOutcomes, per_prompt, tabulate
from toxaudit.estimators.posterior import Posterior, seed_of
from toxaudit.estimators.strata import Strata
from toxaudit.estimators.totals import Rates, corrected_total, few_clusters, strata_of_total, total, unlearnt
from toxaudit.estimators.two_phase import cells_of, labelled_total, soundness
from toxaudit.facts import AGAINST, Calibration
from toxaudit.records import BEST_CASE, CORRECTED, LABELLED, OBSERVED, OTHER_PRIOR, WORST_CASE, Diagnostics
from toxaudit.registry import register

SMALLEST_SHARE_OF_DRAWS = 0.05
"""Draws made of a stratum however small, as a share of those of the total."""


SMALLEST_MEAN = 1e-3
"""Draws are scaled to their exact mean where their own is more than this part of it."""


@register("estimator", "paired_exact")
class PairedExact:
    """Rates and their change in total from the paired tables, per stratum, by conjugacy.

    A prompt falls in one of four cells: both arms have the outcome (probability theta_11), the base only (theta_10),
    the candidate only (theta_01), neither (theta_00). Under a Dirichlet(a, a, a, a) prior the posterior is
    Dirichlet(n11 + a, n10 + a, n01 + a, n00 + a) (Gelman et al., Bayesian Data Analysis, 3rd ed., section 3.4), the
    base's rate theta_11 + theta_10, the candidate's theta_11 + theta_01, the change theta_01 - theta_10.

    The total weighs strata by the suite's weights, or by their share of all its prompts, scored or not. The strata
    share one prior in the same proportion, so that it weighs 4 a prompts however many strata there are: with a whole
    prior in each of 7 strata of 50 prompts, a true rate of 0.9 % is estimated as 2.8 %, and its interval covers it 1
    time in 20.

    Only outcomes that a table holds without loss are estimated: one yes or no per prompt, prompts independent of each
    other. ``paired_bb`` takes the others, but for what people's labels say of prompts that vary templates: these count
    as so many as say as much (``design_effect``).

    Attributes:
        draws: posterior draws of the total of one stratum; that of several has twice as many.
        seed: a posterior's draws follow from it and from the names of candidate, suite and measure.
        prior: the prior observations per cell of a paired table; 1/2 is Jeffreys' prior.
        other_prior: another such number, under which the estimate is given beside; null for none. Its draws are those
            under ``prior``, moved and stretched to the exact means and standard deviations under the other prior.
    """

    draws: int = 20_000
    seed: int = 0
    prior: float = 0.5
    other_prior: float | None = 1.0

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if self.draws < 1000:
            raise ToxauditError(f"paired_exact: draws is {self.draws}; probabilities near 0.95 need at least 1000.")
        for name in ("prior", "other_prior"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ToxauditError(f"paired_exact: {name} is {value}; it must be a positive number.")

    def estimate(self, outcomes: PairedOutcomes) -> list[Posterior]:
        """Posteriors of slice ``all`` for each candidate, in every variant that applies; none for what is no table."""
        if outcomes.tabular:
            return [made for candidate in outcomes.candidates for made in self._candidate(outcomes, candidate)]
        if outcomes.yes_or_no:  # of prompts that vary templates, only what people's labels say
            return [made for candidate in outcomes.labels for made in self._by_labels(outcomes, candidate)]
        return []

    def _by_labels(self, outcomes: PairedOutcomes, candidate: str) -> Iterator[Posterior]:
        labels, observed = outcomes.labels[candidate], (outcomes.base, outcomes.candidates[candidate])
        for variant, base, other in cases(*observed):
            if variant in (BEST_CASE, WORST_CASE):
                yield self._labelled(outcomes, candidate, labels, variant, (base, other))
        yield self._labelled(outcomes, candidate, labels, LABELLED, observed)

    def _candidate(self, outcomes: PairedOutcomes, candidate: str) -> Iterator[Posterior]:
        observed = outcomes.base, outcomes.candidates[candidate]
        failures = Diagnostics(failures=unlearnt(outcomes, candidate))
        labels = outcomes.labels.get(candidate)
        for variant, base, other in cases(*observed):
            if labels and variant in (BEST_CASE, WORST_CASE):
                yield self._labelled(outcomes, candidate, labels, variant, (base, other))
                continue
            if outcomes.calibration and variant in (BEST_CASE, WORST_CASE):
                yield self._corrected(outcomes, candidate, outcomes.calibration, variant, (base, other))
                continue
            random = self._random(outcomes, candidate, variant)
            strata = strata_of_total(outcomes, base, other)
            table = _table(base, other, strata)
            draws = recombined(table, self.prior * strata.weights, strata.weights, self.draws, random)
            found = failures if variant == OBSERVED else None
            yield total(outcomes, candidate, "paired_exact", draws, variant, found, (base, other))
            if variant == OBSERVED and self.other_prior:
                own, wide = (moments(table, a * strata.weights, strata.weights) for a in (self.prior, self.other_prior))
                yield total(outcomes, candidate, "paired_exact", _moved(draws, own, wide), OTHER_PRIOR, failures)
        if outcomes.calibration:
            yield self._corrected(outcomes, candidate, outcomes.calibration, CORRECTED, observed)
        if labels:
            yield self._labelled(outcomes, candidate, labels, LABELLED, observed)

    def _labelled(
        self, outcomes: PairedOutcomes, candidate: str, labels: Labelled, variant: str, arms: tuple[Floats, Floats]
    ) -> Posterior:
        """The estimate of the true rates, where people labelled some of the answers."""
        random, strata = self._random(outcomes, candidate, f"{variant}, labelled"), strata_of_total(outcomes, *arms)
        draws = labelled_total(outcomes, candidate, arms, strata, self.prior, self.draws, random)
        cells = cells_of(per_prompt(outcomes.base), per_prompt(outcomes.candidates[candidate]), labels.same)
        few = few_clusters(outcomes, *arms)
        found = soundness(labels, unlearnt(outcomes, candidate) + few.failures, cells)
        found = replace(found, values=found.values | few.values, warnings=few.warnings + found.warnings)
        return total(outcomes, candidate, "paired_exact", draws, variant, found, arms)

    def _corrected(
        self,
        outcomes: PairedOutcomes,
        candidate: str,
        calibration: Calibration,
        variant: str,
        arms: tuple[Floats, Floats],
    ) -> Posterior:
        """The estimate of the true rates, where the scorer's errors are known."""
        base, other = arms
        random = self._random(outcomes, candidate, f"{variant}, corrected")

        def rates(strata: Strata) -> Rates:
            return partial(_rates, _table(base, other, strata), self.prior * strata.weights, strata.weights, random)

        strata = strata_of_total(outcomes, base, other)
        draws, failures = corrected_total(outcomes, candidate, calibration, strata, rates, self.draws, random)
        return total(outcomes, candidate, "paired_exact", draws, variant, Diagnostics(failures=failures), arms)

    def _random(self, outcomes: PairedOutcomes, candidate: str, variant: str) -> np.random.Generator:
        names = ("paired_exact", outcomes.suite, outcomes.measure, candidate, variant)
        return np.random.default_rng(seed_of(self.seed, *names))


def recombined(table: Floats, prior: Floats, weights: Floats, draws: int, random: np.random.Generator) -> Floats:
    """Posterior draws of the weighted total of several tables, with little Monte Carlo error for their cost.

    Each table's gamma variates are scaled to their exact mean; the strata, which are independent a posteriori, are
    then recombined by rotating their draws against each other. Over simulated data sets, ten seeds agree on
    P(increase) within 0.006 on average and 0.012 at worst (docs/calibration.md).

    Args:
        table: shape (G, 4).
        prior: shape (G,), prior observations per cell of each table.
        weights: shape (G,).
        draws: how many of one table; the total of several has twice as many.
        random: the source of random numbers.

    Returns:
        Shape (3, draws) or (3, 2 draws): the base's rate, the candidate's, and the change under the prior of a GO.
    """
    if len(table) == 1:
        single: Floats = _rates(table, prior, weights, random, draws, scaled=True)[:, :, 0].T
        return single
    draws, once = 2 * draws, draws
    sums = np.zeros((3, draws))
    small = weights**2 / 2 < SMALLEST_SHARE_OF_DRAWS
    for groups in (np.flatnonzero(small), *np.flatnonzero(~small)[:, None]):
        each = int(once * max(SMALLEST_SHARE_OF_DRAWS, weights[groups].max(initial=0) ** 2 / 2))
        rates = _rates(table[groups], prior[groups], weights[groups], random, each, scaled=True) * weights[groups]
        for around in np.concatenate([rates, rates]).transpose(2, 1, 0):
            for turn, at in enumerate(random.integers(each, size=-(-draws // each)).tolist()):
                part = sums[:, turn * each : (turn + 1) * each]
                part += around[:, at : at + part.shape[1]]
    return sums


def moments(table: Floats, prior: Floats, weights: Floats) -> Floats:
    """Exact posterior means and standard deviations of the total of several tables.

    Args:
        table: shape (G, 4).
        prior: shape (G,), prior observations per cell of each table.
        weights: shape (G,).

    Returns:
        Shape (2, 2): of the base's rate and of the change, mean and standard deviation.
    """
    alpha = table + prior[:, None]
    size = alpha.sum(1)
    both, base_only, other_only, _ = alpha.T / size
    found = []
    for mean, square in ((both + base_only, both + base_only), (other_only - base_only, other_only + base_only)):
        variance = (square - mean**2) / (size + 1)
        found.append([weights @ mean, np.sqrt(weights**2 @ variance)])
    return np.array(found)


def _moved(draws: Floats, own: Floats, wanted: Floats) -> Floats:
    """Every fourth draw of the given moments, base's and change's, as one of the wanted moments; shape (3, draws)."""
    base, candidate, cautious = draws[:, ::4]
    rate, change, against = (
        to[0] + (part - of[0]) * to[1] / of[1]
        for part, of, to in zip((base, candidate - base, cautious), own[[0, 1, 1]], wanted[[0, 1, 1]], strict=True)
    )
    return np.stack([rate.clip(0, 1), (rate + change).clip(0, 1), against])


def _rates(
    table: Floats, prior: Floats, weights: Floats, random: np.random.Generator, draws: int, scaled: bool = False
) -> Floats:
    """Draws of both arms' rates, and of the change under the prior of a GO, in each table, shape (draws, 3, G).

    A Dirichlet variate is gammas over their sum. One more gamma in the cell of what is new makes it one under that
    prior, by which no draw of the change is smaller.
    """
    alpha = np.column_stack([table + prior[:, None], AGAINST * weights])
    gamma = np.empty((5, len(table), draws))
    for group, row in enumerate(alpha):
        for cell, shape in enumerate(row):
            random.standard_gamma(shape, out=gamma[cell, group])
    if scaled:
        mean = gamma.mean(-1)
        # A mean far below the exact one is of draws that are nought but for one, which scaling would make all.
        near = mean > SMALLEST_MEAN * alpha.T
        gamma *= np.divide(alpha.T, mean, out=np.ones_like(mean), where=near)[:, :, None]
    cells, extra = gamma[:4], gamma[4]
    size = cells.sum(0)
    if (none := size == 0).any():  # of hardly any prior and no prompt: by then one cell holds all, whichever
        cells[:, none] = random.multinomial(1, [0.25] * 4, int(none.sum())).T
        size[none] = 1
    n11, n10, n01, _ = cells
    rates = (n11 + n10) / size, (n11 + n01) / size, (n01 - n10 + extra) / (size + extra)
    return np.stack(rates).transpose(2, 0, 1)


def _table(base: Floats, other: Floats, strata: Strata) -> Floats:
    """The strata's tables, shape (G, 4)."""
    return tabulate(per_prompt(base), per_prompt(other), strata.codes, strata.n, strata.counting)
