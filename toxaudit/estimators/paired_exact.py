"""The exact paired estimate: a Dirichlet posterior over each stratum's 2 x 2 table, without sampling chains."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from toxaudit.errors import ToxauditError
from toxaudit.estimators import scorer_error
from toxaudit.estimators.outcomes import (
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
from toxaudit.estimators.strata import Strata, divide
from toxaudit.estimators.variants import cases
from toxaudit.records import CORRECTED, FLAT_PRIOR, OBSERVED, Diagnostics
from toxaudit.registry import register

SMALLEST_STRATUM = 50
"""Strata with fewer scored pairs are joined into one: below it, 95 % intervals begin to cover less than 93 %.

In simulation (rates 0.9 % to 20 %, change +3 pp): coverage .935 to .947 with 5 or 7 strata of 50, .923 at worst with 7
of 20, .80 at worst with 100 of 3; joined, .92 to .97.
"""

FEWEST = 0.05
"""Draws made of a stratum however small, as a share of those of the total."""


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
    other. ``paired_bb`` takes the others.

    Attributes:
        draws: posterior draws per posterior.
        seed: a posterior's draws follow from it and from the names of candidate, suite and measure.
        prior: a, the prior observations per cell; 1/2 is Jeffreys' prior.
        other_prior: another a, under which the estimate is given beside; null for none.
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
        if not outcomes.tabular:
            return []
        return [posterior for candidate in outcomes.candidates for posterior in self._candidate(outcomes, candidate)]

    def _candidate(self, outcomes: PairedOutcomes, candidate: str) -> Iterator[Posterior]:
        arms = outcomes.base, outcomes.candidates[candidate]
        for variant, base, other in cases(*arms):
            random = self._random(outcomes, candidate, variant)
            strata, table = _tables(outcomes, base, other)
            draws = recombined(table, self.prior * strata.weights, strata.weights, self.draws, random)
            failures = _failures(outcomes, base, other) if variant == OBSERVED else []
            yield _posterior(outcomes, candidate, table, draws, variant, failures)
            if variant == OBSERVED and self.other_prior:
                wide = recombined(table, self.other_prior * strata.weights, strata.weights, self.draws // 10, random)
                yield _posterior(outcomes, candidate, table, wide, FLAT_PRIOR, failures)
        if outcomes.calibration:
            yield self._corrected(outcomes, candidate, *arms)

    def _corrected(self, outcomes: PairedOutcomes, candidate: str, base: Floats, other: Floats) -> Posterior:
        """The estimate of the true rates, where the scorer's errors are known."""
        calibration, random = outcomes.calibration, self._random(outcomes, candidate, CORRECTED)
        assert calibration is not None
        failures = _failures(outcomes, base, other)
        if calibration.by is None:
            strata, table = _tables(outcomes, base, other)
        else:
            strata, table = _tables(outcomes, base, other, calibration.by)
            failures += _uncalibrated(strata, calibration.by, set(calibration.counts))
        if failures:
            draws = recombined(table, self.prior * strata.weights, strata.weights, self.draws, random)
            return _posterior(outcomes, candidate, table, draws, CORRECTED, failures)
        by_stratum = partial(_rates, table, self.prior * strata.weights, random=random)
        if calibration.by is None:  # one error rate for all strata: what holds of each holds of their total
            reported, weights, values = lambda n: by_stratum(draws=n) @ strata.weights[:, None], np.ones(1), ("",)
        else:
            reported, weights, values = lambda n: by_stratum(draws=n), strata.weights, strata.values
        draws, share = scorer_error.corrected(reported, weights, calibration, values, self.draws, random)
        return _posterior(outcomes, candidate, table, draws, CORRECTED, scorer_error.misfit(share))

    def _random(self, outcomes: PairedOutcomes, candidate: str, variant: str) -> np.random.Generator:
        names = ("paired_exact", outcomes.suite, outcomes.measure, candidate, variant)
        return np.random.default_rng(seed_of(self.seed, *names))


def recombined(
    table: Floats, prior: Floats, weights: Floats, draws: int, random: np.random.Generator
) -> dict[str, Floats]:
    """Posterior draws of the weighted total of several tables, with little Monte Carlo error for their cost.

    Each table's gamma variates are scaled to their exact mean; the strata, which are independent a posteriori, are
    then recombined by rotating their draws against each other. At P = 0.5 and 20,000 draws, ten seeds agree within
    0.008, as 60,000 plain draws would.

    Args:
        table: shape (G, 4).
        prior: shape (G,), prior observations per cell of each table.
        weights: shape (G,).
        draws: how many.
        random: the source of random numbers.

    Returns:
        ``base`` and ``candidate``, each of shape (draws,).
    """
    total = np.zeros((2, draws))
    for group, weight in enumerate(weights):
        each = int(draws * max(weight**2, FEWEST))
        rates = _rates(table[group : group + 1], prior[group : group + 1], each, random, scaled=True)[:, :, 0].T
        around = np.concatenate([rates, rates], axis=1)
        starts = random.integers(each, size=-(-draws // each))
        total += weight * np.concatenate([around[:, at : at + each] for at in starts], axis=1)[:, :draws]
    return {"base": total[0], "candidate": total[1]}


def _rates(table: Floats, prior: Floats, draws: int, random: np.random.Generator, scaled: bool = False) -> Floats:
    """Draws of both arms' rates in each table, shape (draws, 2, G): a Dirichlet variate is gammas over their sum."""
    alpha = table + prior[:, None]
    gamma = np.empty((4, len(table), draws))
    for group, row in enumerate(alpha):
        for cell, shape in enumerate(row):
            random.standard_gamma(shape, out=gamma[cell, group])
    if scaled:
        gamma *= (alpha.T / gamma.mean(-1))[:, :, None]
    theta_11, theta_10, theta_01, _ = gamma / gamma.sum(0)
    return np.stack([theta_11 + theta_10, theta_11 + theta_01]).transpose(2, 0, 1)


def _tables(outcomes: PairedOutcomes, base: Floats, other: Floats, by: str | None = None) -> tuple[Strata, Floats]:
    """The strata and their tables, shape (G, 4)."""
    b, c = per_prompt(base), per_prompt(other)
    if by is None:
        strata = divide(outcomes, outcomes.strata, ~np.isnan(b) & ~np.isnan(c), SMALLEST_STRATUM)
    else:
        strata = divide(outcomes, by)
    return strata, tabulate(b, c, strata.codes, strata.n)


def _failures(outcomes: PairedOutcomes, base: Floats, other: Floats) -> list[str]:
    """What stands against the total: nothing scored at all, else the strata with nothing scored."""
    found = unscored(base, other, f"suite '{outcomes.suite}'")
    if found or outcomes.strata is None:
        return found
    strata = divide(outcomes, outcomes.strata)
    pairs = ~np.isnan(base).all(1) & ~np.isnan(other).all(1)
    for number in np.flatnonzero(np.bincount(strata.codes[pairs], minlength=strata.n) == 0):
        where = f"stratum '{outcomes.strata}={strata.values[number]}' of suite '{outcomes.suite}'"
        chosen = strata.codes == number
        found += unscored(base[chosen], other[chosen], where)
    return found


def _uncalibrated(strata: Strata, by: str, known: set[str]) -> list[str]:
    """The strata of whose scorer errors nothing is known."""
    unknown = [value or "no value" for value in strata.values if value not in known]
    return [f"the scorer's calibration has no counts for {by} {', '.join(unknown)}"] if unknown else []


def _posterior(
    outcomes: PairedOutcomes,
    candidate: str,
    table: Floats,
    draws: dict[str, Floats],
    variant: str,
    failures: list[str],
) -> Posterior:
    return Posterior(
        candidate=candidate,
        suite=outcomes.suite,
        measure=outcomes.measure,
        slice="all",
        estimator="paired_exact",
        variant=variant,
        n=round(table.sum()),
        missing=missing(outcomes.base, outcomes.candidates[candidate]),
        counts=as_counts(table.sum(0)),
        draws=draws,
        diagnostics=Diagnostics(failures=tuple(failures)),
    )
