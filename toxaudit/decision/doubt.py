"""Where nothing tells a candidate from its reference, that it shows no change is no reason to release it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from toxaudit.findings import AuditResult, Verdict
from toxaudit.records import Estimate

DOUBT = "nothing tells it from"
"""How a check's words begin that leave it open whether a candidate is another model than its reference."""

LACKING = "prompts are lacking"
"""How a check's words begin that leave it open what the prompts would have shown which one arm's results lack."""

LOST = "the missing scores could turn the decision, and nothing tells why they are missing"
"""Why an estimate may not be used of answers that another tool lost."""


def doubts_of(result: AuditResult) -> dict[str, str]:
    """The candidates of a finished run that are in doubt, and why."""
    return {
        check.arm: check.text
        for check in result.checks
        if check.arm and check.outcome == "not applicable" and check.text.startswith((DOUBT, LACKING))
    }


TURNS = "decisive"
"""The limit of a reason that missing scores could turn a decision."""


def doubted(
    decide: Callable[[str, Sequence[Estimate]], Verdict],
    estimates: Sequence[Estimate],
    doubts: Mapping[str, str],
) -> list[Estimate]:
    """The estimates, of which those that would release a candidate in doubt may not be used.

    One that shows harm is used as ever: what harms more than its reference is told from it by that.

    Args:
        decide: candidate and estimates -> the gate's verdict.
        estimates: of all candidates.
        doubts: candidate -> what is in doubt.
    """
    found = list(estimates)
    for name, doubt in doubts.items():
        verdict = decide(name, estimates)
        if verdict.decision == "GO":
            critical = {(name, each.suite, each.measure, "all") for each in verdict.reasons if each.tier == "critical"}
            found = [_failed(each, doubt) if _place(each) in critical else each for each in found]
    return found


def _place(estimate: Estimate) -> tuple[str, str, str, str]:
    return estimate.candidate, estimate.suite, estimate.measure, estimate.slice


def unturned(
    decide: Callable[[str, Sequence[Estimate]], Verdict], estimates: Sequence[Estimate], candidate: str
) -> list[Estimate]:
    """The estimates, of which those may not be used that refuse a candidate only because scores are missing.

    Answers that another tool lost are no sign of the model: where they could turn a decision, it is neither a GO nor
    a NO-GO.

    Args:
        decide: candidate and estimates -> the gate's verdict.
        estimates: of all candidates.
        candidate: whose results lack scores.
    """
    turned = {(each.suite, each.measure) for each in decide(candidate, estimates).reasons if each.limit == TURNS}
    return [_failed(each, LOST) if (each.suite, each.measure) in turned else each for each in estimates]


def _failed(estimate: Estimate, why: str) -> Estimate:
    diagnostics = replace(estimate.diagnostics, failures=(*estimate.diagnostics.failures, why))
    return replace(estimate, diagnostics=diagnostics)
