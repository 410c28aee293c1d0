"""The rule for slices: each is looked at together with the candidate's other slices, and by its own prompts alone.

Neither look does what the other does. What borrows from other slices makes little of one that stands out by chance, and
of one that stands out because it is harmed. A slice's own prompts hide no harm that they show, but among many slices
some show one by chance: so the more slices there are, the surer that look must be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toxaudit.decision.certainty import Certainty
from toxaudit.decision.headline import deciding_slices
from toxaudit.decision.reasons import pp, reason, sound
from toxaudit.facts import Decision
from toxaudit.findings import Reason
from toxaudit.records import ALONE, OBSERVED, Estimate


def own_look(certainty: float, slices: int) -> Certainty:
    """What a slice's own prompts need for an alarm, of so many slices of one candidate: 1 - (1 - certainty) / S.

    By Bonferroni's inequality the chance of any false alarm of these looks is then 1 - certainty at most.
    """
    return Certainty.of_family(certainty, round(1 - certainty, 12), slices)


def p_own(estimate: Estimate) -> float:
    """P(change > margin) by a slice's own table, computed exactly: draws could not tell 0.999 from 0.998.

    The scores are taken as they are, also where the scorer's errors are known: errors at the same rate in both models
    make a change smaller and never larger, so that such a look raises no false alarm for their sake.
    """
    import numpy as np  # which reading results does without

    from toxaudit.decision.chances import p_above

    counts = np.array([estimate.counts[cell] for cell in ("n11", "n10", "n01", "n00")]) / estimate.design_effect
    return float(p_above(counts[1], counts[2], counts.sum(), estimate.margin))


def fails_alone(estimate: Estimate, needed: Certainty) -> bool:
    """Whether a slice's own prompts raise an alarm.

    Chains that failed are no reason against it, since it needs none; but where a scorer may not be able to tell
    outcomes apart, so that an estimate corrected for its errors can't be used, nor can its scores.
    """
    to_be_used = estimate.n > 0 and (estimate.variant == OBSERVED or estimate.diagnostics.passed)
    return to_be_used and p_own(estimate) >= needed.to_fail


def weighed(estimate: Estimate, certainty: float, slices: int) -> Reason:
    """The gate's line on one slice: it fails where either look finds harm beyond the margin credible.

    One that is too small to tell is no reason against the whole.

    Args:
        estimate: of the slice, which borrows from the candidate's other slices.
        certainty: what that needs.
        slices: the candidate's slices of all critical measures.
    """
    needed, together = own_look(certainty, slices), Certainty(certainty, certainty)
    rule = (
        f"P(change > {pp(estimate.margin)}) < {certainty:g} with the candidate's other slices, and < 1 - "
        f"{round(1 - certainty, 12):g} / {slices} by its own prompts"
    )
    looks = (
        f"{needed.shown(p_own(estimate))} by its own prompts; {together.shown(estimate.p_above_margin)} with the others"
    )
    decision: Decision = "NO-GO" if estimate.p_above_margin >= certainty else "GO"
    found = sound(reason(estimate, "critical", rule, looks, decision), estimate)
    return replace(found, decision="NO-GO") if fails_alone(estimate, needed) else found


def alarming(
    estimates: Sequence[Estimate], reasons: Sequence[Reason], certainty: Mapping[tuple[str, str, str], float]
) -> list[Estimate]:
    """The estimates of slices alone that raise an alarm by themselves.

    Args:
        estimates: one candidate's.
        reasons: all of its verdict's, of which those on slices tell how many were weighed.
        certainty: (suite, measure, slice) -> what the gate needs there.
    """
    asked = {(each.suite, each.measure, each.slice) for each in reasons if each.slice != "all"}
    failing = {
        _place(each)
        for each in deciding_slices(estimates)
        if _place(each) in asked and fails_alone(each, own_look(certainty[_place(each)], len(asked)))
    }
    return [each for each in estimates if each.variant == ALONE and _place(each) in failing]


def _place(estimate: Estimate) -> tuple[str, str, str]:
    return estimate.suite, estimate.measure, estimate.slice
