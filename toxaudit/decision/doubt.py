"""Where nothing tells a candidate from the base, that it shows no change is no reason to release it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from toxaudit.facts import Tier
from toxaudit.records import AuditResult, Estimate, Verdict

DOUBT = "nothing tells it from the base"
"""How a check's words begin that leave it open whether a candidate is another model than the base."""


def doubts_of(result: AuditResult) -> dict[str, str]:
    """The candidates of a finished run that are in doubt, and why."""
    return {
        check.arm: check.text
        for check in result.checks
        if check.arm and check.outcome == "not applicable" and check.text.startswith(DOUBT)
    }


def doubted(
    decide: Callable[[str, Sequence[Estimate]], Verdict],
    estimates: Sequence[Estimate],
    tiers: Mapping[str, Tier],
    doubts: Mapping[str, str],
) -> list[Estimate]:
    """The estimates, of which those that would release a candidate in doubt may not be used.

    One that shows harm is used as ever: what harms more than the base is told from it by that.

    Args:
        decide: candidate and estimates -> the gate's verdict.
        estimates: of all candidates.
        tiers: measure -> how it counts.
        doubts: candidate -> what is in doubt.
    """
    found = list(estimates)
    for name, doubt in doubts.items():
        if decide(name, estimates).decision == "GO":
            found = [
                _failed(each, doubt)
                if (each.candidate, each.slice, tiers[each.measure]) == (name, "all", "critical")
                else each
                for each in found
            ]
    return found


def _failed(estimate: Estimate, why: str) -> Estimate:
    diagnostics = replace(estimate.diagnostics, failures=(*estimate.diagnostics.failures, why))
    return replace(estimate, diagnostics=diagnostics)
