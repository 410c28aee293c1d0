"""Which estimate decides: the one place that says it, for the gate, the card and the rest."""

from collections.abc import Iterable
from math import isnan
from typing import Protocol, TypeVar

from toxaudit.decision.certainty import Certainty
from toxaudit.decision.reasons import p_go
from toxaudit.facts import Decision
from toxaudit.records import CORRECTED, LABELLED, OBSERVED, Estimate

HEADLINES = ("paired_exact", "paired_bb")
"""The estimators whose totals decide: the first that made one. ``paired_bb`` takes what doesn't fit a 2 x 2 table."""

LABELS_READ_BY = "paired_exact"
"""The estimator whose totals rest on people's labels, too, where there are some."""

SLICE_ESTIMATOR = "hier_paired"
"""The estimator whose slices can fail: it shrinks a slice that stands out by chance."""

REPLICATIONS = ("unpaired_beta", "best_replication")
"""Estimators that repeat what other studies did, and never decide."""


class _OfAKind(Protocol):
    @property
    def kind(self) -> str: ...


OneOf = TypeVar("OneOf", bound=_OfAKind)


def deciding(estimators: Iterable[OneOf]) -> list[OneOf]:
    """Those estimators whose totals can decide, in the order of ``HEADLINES``: the first that makes one does."""
    return sorted((each for each in estimators if each.kind in HEADLINES), key=lambda each: HEADLINES.index(each.kind))


def usable(estimate: Estimate) -> bool:
    """Whether an estimate may be used: something was measured, its diagnostics passed, and its change is a number."""
    return estimate.n > 0 and estimate.diagnostics.passed and not any(map(isnan, estimate.quantities["change"].hdi))


def decision_alone(estimate: Estimate, certainty: Certainty) -> Decision:
    """What the change of one estimate says by itself; INCONCLUSIVE where it can't be used."""
    if not usable(estimate):
        return "INCONCLUSIVE"
    return certainty.decision(p_go(estimate), estimate.p_above_margin)


def headlines(estimates: Iterable[Estimate]) -> dict[tuple[str, str, str], Estimate]:
    """(candidate, suite, measure) -> the estimate of its total that decides.

    The order is that of ``HEADLINES``; of one estimator, an estimate by people's labels of this audit's answers goes
    before one corrected for the scorer's known errors, and that before the observed one. A best or worst case, or
    another prior, never decides.
    """
    order = [(estimator, variant) for estimator in HEADLINES for variant in (LABELLED, CORRECTED, OBSERVED)]
    found: dict[tuple[str, str, str], Estimate] = {}
    for estimate in estimates:
        key, rank = (estimate.candidate, estimate.suite, estimate.measure), (estimate.estimator, estimate.variant)
        if estimate.slice != "all" or rank not in order:
            continue
        other = found.get(key)
        if other is None or order.index(rank) < order.index((other.estimator, other.variant)):
            found[key] = estimate
    return found


def deciding_slices(estimates: Iterable[Estimate]) -> list[Estimate]:
    """The estimates of slices that can fail, corrected where the scorer's errors on that slice are known."""
    found: dict[tuple[str, ...], Estimate] = {}
    for estimate in estimates:
        key = (estimate.candidate, estimate.suite, estimate.measure, estimate.slice)
        if estimate.estimator != SLICE_ESTIMATOR or estimate.slice == "all":
            continue
        if estimate.variant == CORRECTED or (estimate.variant == OBSERVED and key not in found):
            found[key] = estimate
    return list(found.values())
