"""What all estimators of a suite's total share: its posterior as a record, what stands against it, its correction."""

from collections.abc import Callable

import numpy as np

from toxaudit.estimators import scorer_error
from toxaudit.estimators.outcomes import (
    Floats,
    PairedOutcomes,
    as_counts,
    missing,
    missing_in_both,
    per_prompt,
    tabulate,
    unscored,
)
from toxaudit.estimators.posterior import Posterior
from toxaudit.estimators.strata import Strata, divide, effective_clusters, grouped
from toxaudit.facts import Calibration
from toxaudit.records import OBSERVED, Diagnostics

Rates = Callable[[int], Floats]
"""Number -> that many fresh draws by stratum, shape (number, 3, strata): the base's rate, the candidate's, and the
change under the prior of a GO."""


FEW_CLUSTERS = 30
"""Clusters below which a total is given with a warning."""

TOO_FEW_CLUSTERS = 5
"""Clusters below which a total may not be used: how clusters differ can't be learnt from four."""

SMALLEST_STRATUM = 50
"""Strata with fewer scored pairs are joined into one: below it, 95 % intervals begin to cover less than 93 %.

In simulation (rates 0.9 % to 20 %, change +3 pp): coverage .935 to .947 with 5 or 7 strata of 50, .923 at worst with 7
of 20, .80 at worst with 100 of 3; joined, .92 to .97.
"""


def strata_of_total(outcomes: PairedOutcomes, base: Floats, other: Floats) -> Strata:
    """The strata by which the suite was sampled, small ones joined; both arms' outcomes have shape (n, m)."""
    scored = ~np.isnan(per_prompt(base)) & ~np.isnan(per_prompt(other))
    return divide(outcomes, outcomes.strata, scored, SMALLEST_STRATUM)


def total(
    outcomes: PairedOutcomes,
    candidate: str,
    estimator: str,
    draws: Floats,
    variant: str = OBSERVED,
    diagnostics: Diagnostics | None = None,
    arms: tuple[Floats, Floats] | None = None,
) -> Posterior:
    """The posterior of a suite's total from its draws.

    Args:
        outcomes: the suite's.
        candidate: whose total it is.
        estimator: who drew it.
        draws: shape (3, draws): the base's rate, the candidate's, and the change under the prior of a GO; shape
            (2, draws) where the estimator never decides.
        variant: what it was made of.
        diagnostics: none failed where None.
        arms: both arms' outcomes, shape (n, m), where they are not those of ``outcomes`` (a best or worst case).
    """
    own = outcomes.base, outcomes.candidates[candidate]
    base, other = map(per_prompt, arms or own)
    table = tabulate(base, other, np.zeros(len(base), dtype=np.intp), 1)[0]
    return Posterior(
        candidate=candidate,
        suite=outcomes.suite,
        measure=outcomes.measure,
        slice="all",
        estimator=estimator,
        variant=variant,
        samples=own[0].shape[1],
        n=round(table.sum()),
        missing=missing(*own),
        missing_in_both=missing_in_both(*own),
        counts=as_counts(table),
        draws={"base": draws[0], "candidate": draws[1]},
        cautious=draws[2] if len(draws) > 2 else None,
        diagnostics=diagnostics or Diagnostics(),
    )


def unlearnt(outcomes: PairedOutcomes, candidate: str) -> tuple[str, ...]:
    """What stands against a total, in words: nothing scored at all, else the strata with nothing scored."""
    base, other = outcomes.base, outcomes.candidates[candidate]
    found = unscored(base, other, f"suite '{outcomes.suite}'", outcomes.reference)
    if found or outcomes.strata is None:
        return tuple(found)
    strata = divide(outcomes, outcomes.strata)
    for value in sorted(set(outcomes.weights or ()) - set(strata.values)):
        found.append(f"stratum '{outcomes.strata}={value}' of suite '{outcomes.suite}' has a weight but no prompt")
    pairs = ~np.isnan(base).all(1) & ~np.isnan(other).all(1)
    for number in np.flatnonzero(np.bincount(strata.codes[pairs], minlength=strata.n) == 0):
        where = f"stratum '{outcomes.strata}={strata.values[number]}' of suite '{outcomes.suite}'"
        chosen = strata.codes == number
        found += unscored(base[chosen], other[chosen], where, outcomes.reference)
    return tuple(found)


def weighted(rates: Floats, weights: Floats) -> Floats:
    """Draws of the total, shape (3, draws), from those of its strata, shape (draws, 3, G), and weights, shape (G,)."""
    sums: Floats = (rates @ weights).T
    return sums


def corrected_total(
    outcomes: PairedOutcomes,
    candidate: str,
    calibration: Calibration,
    strata: Strata,
    rates: Callable[[Strata], Rates],
    draws: int,
    random: np.random.Generator,
) -> tuple[Floats, tuple[str, ...]]:
    """Draws of the true rates, shape (3, draws), where the scorer's errors are known, and what stands against them.

    Where the correction can't be made, the draws are those of the reported rates: they may not be used, but still show
    what was reported.

    Args:
        outcomes: the suite's.
        candidate: whose total it is.
        calibration: the scorer's labelled counts.
        strata: those of the uncorrected total.
        rates: strata -> draws of the rates reported in them.
        draws: how many.
        random: the source of random numbers.
    """
    by = calibration.by or ""
    cells, groups = grouped(outcomes, by, strata)
    failures = unlearnt(outcomes, candidate)
    if unknown := [value or "no value" for value in groups.values if value not in calibration.counts]:
        failures += (f"the scorer's calibration has no counts for {by} {', '.join(unknown)}",)
    else:
        failures += tuple(scorer_error.blind(calibration, groups.values))
    if not failures:
        by_cell = rates(cells)
        found, share = scorer_error.corrected(
            lambda number: by_cell(number) @ groups.shares, groups.weights, calibration, groups.values, draws, random
        )
        failures = tuple(scorer_error.misfit(share, len(groups.values)))
        if found.size:
            return found, failures
    return weighted(rates(strata)(draws), strata.weights), failures


def few_clusters(outcomes: PairedOutcomes, base: Floats, other: Floats) -> Diagnostics:
    """Where prompts vary templates, whether these are enough to say how templates differ."""
    if outcomes.clusters is None:
        return Diagnostics()
    codes = outcomes.clusters[~np.isnan(base).all(1) & ~np.isnan(other).all(1)]
    count, clusters = len(np.unique(codes)), effective_clusters(codes)
    values = {"clusters": float(count), "effective_clusters": clusters}
    sentence = f"the scored prompts vary only {count} templates"
    if clusters < 0.95 * count:
        sentence += f", of such unequal size that they say no more than {clusters:.1f} of equal size"
    if 0 < round(clusters) < TOO_FEW_CLUSTERS:
        return Diagnostics(values, failures=(f"{sentence}: what others would do can't be learnt from so few",))
    if 0 < round(clusters) < FEW_CLUSTERS:
        return Diagnostics(
            values, warnings=(f"{sentence}: with fewer than {FEW_CLUSTERS}, intervals may be too narrow",)
        )
    return Diagnostics(values)
