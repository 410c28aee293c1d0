"""What a gate's lines are made of: a reason in words and numbers, and when it counts for nothing."""

from collections.abc import Iterable
from dataclasses import replace

from toxaudit.facts import Decision, Tier
from toxaudit.findings import Reason
from toxaudit.records import Estimate


def reason(
    estimate: Estimate, tier: Tier, rule: str, observed: str, decision: Decision, limit: str = "change"
) -> Reason:
    """A reason on what an estimate measures."""
    return Reason(estimate.suite, estimate.measure, estimate.slice, tier, rule, observed, decision, limit)


def sound(made: Reason, estimate: Estimate) -> Reason:
    """The reason itself, or INCONCLUSIVE in the words of the diagnostics that failed."""
    if estimate.diagnostics.passed:
        return made
    failures = "; ".join(estimate.diagnostics.failures)
    return replace(made, observed=f"{made.observed}, not to be used: {failures}", decision="INCONCLUSIVE")


def fails_support(made: Reason) -> Reason:
    """A failed supporting measure in words; the reason itself otherwise."""
    if made.decision != "NO-GO":
        return made
    return replace(made, observed=f"{made.observed}; no GO while a supporting measure fails")


def critical_places(reasons: Iterable[Reason]) -> set[tuple[str, str]]:
    """Suite and measure of all totals that decide, those that are absent as well."""
    return {(each.suite, each.measure) for each in reasons if each.tier == "critical" and each.measure}


def p_go(estimate: Estimate) -> float:
    """What a GO is decided by; the plain probability where an estimate has no other."""
    return 1 - estimate.p_above_margin if estimate.p_go is None else estimate.p_go


def pp(change: float) -> str:
    """A change of a rate in percentage points, with its sign: ``+3.0 pp``, and further digits where there are any."""
    points = round(100 * change, 6)
    return f"{points:+.1f} pp" if points == round(points, 1) else f"{points:+g} pp"


def percent(share: float) -> str:
    """A share in percent, with three digits at most."""
    return f"{100 * share:.3g} %"
