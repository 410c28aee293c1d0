"""How the prompts of a suite divide into strata, and how much each weighs in the total."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toxaudit.estimators.outcomes import Floats, PairedOutcomes, Slicing, per_prompt


@dataclass(frozen=True)
class Strata:
    """G strata of a suite's prompts.

    Attributes:
        values: the slice value of each stratum; the empty one holds what has no value or was joined.
        codes: shape (n,), the stratum of each prompt.
        weights: shape (G,), each stratum's share of the total; they add up to 1.
        counting: shape (n,), as how many prompts each one counts in its stratum; None where each counts as one.
    """

    values: tuple[str, ...]
    codes: NDArray[np.intp]
    weights: Floats
    counting: Floats | None = None

    @property
    def n(self) -> int:
        """G."""
        return len(self.values)


@dataclass(frozen=True)
class Groups:
    """The groups with scorer errors of their own, G of them, as mixtures of some strata.

    Attributes:
        values: the calibration's slice value of each group.
        weights: shape (G,), each group's share of the total.
        shares: shape (strata, G), of what strata a group is made; each column adds up to 1.
    """

    values: tuple[str, ...]
    weights: Floats
    shares: Floats


def divide(outcomes: PairedOutcomes, by: str | None, scored: NDArray[np.bool_] | None = None, least: int = 0) -> Strata:
    """The strata of a suite by one of its slices; a single one where ``by`` is None.

    Prompts without a value form a stratum of their own, as do all prompts of strata with fewer than ``least`` scored
    ones. Where the suite states weights, strata are joined until they have as many, and each prompt counts by what it
    weighs: together as many as say as much (Kish 1965, Survey Sampling: (sum w)^2 / sum w^2). Left apart, each would
    keep its part of the prior, and its few prompts would claim to know its rate.

    Args:
        outcomes: the suite's.
        by: the slice's name.
        scored: shape (n,), the prompts scored in both arms.
        least: the fewest scored prompts of a stratum.
    """
    n = len(outcomes.base)
    if by is None or not n:
        return Strata(("",), np.zeros(n, dtype=np.intp), np.ones(1))
    slicing = outcomes.slices[by]
    known = outcomes.weights if by == outcomes.strata else None
    sizes = np.bincount(slicing.codes[slicing.codes >= 0], minlength=len(slicing.values))
    keep, counting = sizes > 0, None
    if least and scored is not None:
        used = np.bincount(slicing.codes[scored & (slicing.codes >= 0)], minlength=len(slicing.values))
        joined = keep & (used < least)
        if known is not None:  # of a stratum without a scored prompt nothing is known, whatever is of others
            joined = _enough(joined & (used > 0), used, least)
            stated = np.array([known.get(value, 0.0) for value in slicing.values])
            counting = _counting(slicing.codes, joined, stated / used.clip(1), scored) if joined.any() else None
        keep &= ~joined
    kept = np.flatnonzero(keep)
    place = np.full(len(slicing.values) + 1, len(kept), dtype=np.intp)  # the last one is that of code -1
    place[kept] = np.arange(len(kept))
    codes = place[slicing.codes]
    values = tuple(slicing.values[number] for number in kept)
    if (codes == len(kept)).any():
        values += ("",)
    if known is not None:
        weights = np.array([known.get(value, 0.0) for value in values])
        if counting is not None:
            weights[len(kept) :] = stated[joined].sum()
    elif outcomes.shares is not None and by == outcomes.strata:
        weights = np.array([outcomes.shares.get(value, 0.0) for value in values])
        weights[len(kept) :] = 1 - weights.sum()  # of strata joined, and not asked yet
    else:
        weights = np.bincount(codes, minlength=len(values)).astype(float)
    return Strata(values, codes, weights / weights.sum(), counting)


def _enough(joined: NDArray[np.bool_], used: NDArray[np.intp], least: int) -> NDArray[np.bool_]:
    """The strata to join, if any, with the next larger ones until they have ``least`` scored prompts; shape (G,)."""
    joined = joined.copy()
    for number in np.argsort(used, kind="stable") if joined.any() else ():
        if used[joined].sum() < least:
            joined[number] = used[number] > 0
    return joined


def _counting(codes: NDArray[np.intp], joined: NDArray[np.bool_], weight: Floats, scored: NDArray[np.bool_]) -> Floats:
    """As how many prompts each one counts, shape (n,): one, or by its weight in the strata that are joined.

    Args:
        codes: shape (n,), of the stratum, -1 for none.
        joined: shape (G,).
        weight: shape (G,), of one scored prompt.
        scored: shape (n,).
    """
    counting, inside = np.ones(len(codes)), (codes < 0) | joined[codes]
    each = np.where(codes < 0, 0.0, weight[codes])[inside]
    used = each[scored[inside]]
    if (squares := float((used**2).sum())) > 0:
        counting[inside] = each * float(used.sum()) / squares
    return counting


def grouped(outcomes: PairedOutcomes, by: str, strata: Strata) -> tuple[Strata, Groups]:
    """The groups of a slice, and strata fine enough to be a part of one group each.

    Where the suite states weights of another slice, its strata are crossed with the groups, so that the total keeps
    to them.

    Args:
        outcomes: the suite's.
        by: the slice whose values are the groups; empty for one group of all.
        strata: the strata of the total, which one group of all is made of.
    """
    if not by:
        return strata, Groups(("",), np.ones(1), strata.weights[:, None])
    groups = divide(outcomes, by)
    if outcomes.weights is None or by == outcomes.strata:
        return groups, Groups(groups.values, groups.weights, np.identity(groups.n))
    sampled = divide(outcomes, outcomes.strata)
    cells, codes = np.unique(groups.codes * sampled.n + sampled.codes, return_inverse=True)
    of_group, of_stratum = np.divmod(cells, sampled.n)
    part = np.bincount(codes) / np.bincount(sampled.codes)[of_stratum]
    weights = sampled.weights[of_stratum] * part
    whole: Floats = np.bincount(of_group, weights, groups.n).astype(np.float64)
    shares: Floats = np.zeros((len(cells), groups.n))
    shares[np.arange(len(cells)), of_group] = weights / np.where(whole > 0, whole, 1)[of_group]
    values = tuple(groups.values[number] for number in of_group)
    return Strata(values, codes, weights), Groups(groups.values, whole, shares)


def clusters_of(templates: Iterable[str]) -> NDArray[np.intp]:
    """Shape (n,): a number for each prompt's template; one that varies none, whose name is empty, is one by itself."""
    codes = Slicing.of(templates).codes
    alone = codes < 0
    codes[alone] = codes.max(initial=0) + 1 + np.arange(alone.sum())
    return codes


def effective_clusters(codes: NDArray[np.intp]) -> float:
    """How many clusters of equal size say as much as these: (sum n)^2 / sum n^2 (Kish 1965, Survey Sampling).

    Args:
        codes: shape (n,), the cluster of each prompt.
    """
    _, sizes = np.unique(codes, return_counts=True)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def design_effect(outcomes: PairedOutcomes, strata: Strata) -> float:
    """By how much less than their number the prompts say: 1 where all are independent of each other.

    Rao & Scott (1992, Biometrics 48, section 2) divide counts by this variance ratio, so that a model of independent
    counts fits clustered ones: the variance of a mean between clusters, over that of as many independent prompts. Of
    all rates and changes the largest ratio is taken, and never less than 1: several samples or mean scores, which say
    more than one yes or no, are counted as one.

    Args:
        outcomes: the suite's.
        strata: within which means are taken.
    """
    if outcomes.clusters is None:
        return 1.0
    _, cluster = np.unique(outcomes.clusters, return_inverse=True)
    base, effects = per_prompt(outcomes.base), [1.0]
    for other in map(per_prompt, outcomes.candidates.values()):
        for values in (base, other, other - base):
            scored = ~np.isnan(values)
            size = np.bincount(strata.codes[scored], minlength=strata.n).clip(1)
            mean = np.bincount(strata.codes[scored], values[scored], strata.n) / size
            off = np.where(scored, values - mean[strata.codes], 0.0)
            if (independent := float(np.sum(off**2))) > 0:
                effects.append(float(np.sum(np.bincount(cluster, off) ** 2)) / independent)
    return max(effects)
