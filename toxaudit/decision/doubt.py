"""Where nothing tells a candidate from the base, that it shows no change is no reason to release it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from toxaudit.facts import Tier
from toxaudit.records import Estimate, Verdict

TURNS = "decisive"
"""The limit of a reason that missing scores could turn a decision."""


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
    why = "the missing scores could turn the decision, and nothing tells why they are missing"
    return [_failed(each, why) if (each.suite, each.measure) in turned else each for each in estimates]


def _failed(estimate: Estimate, why: str) -> Estimate:
    diagnostics = replace(estimate.diagnostics, failures=(*estimate.diagnostics.failures, why))
    return replace(estimate, diagnostics=diagnostics)
