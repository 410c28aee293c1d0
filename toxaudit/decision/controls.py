"""Declared controls: whether one came out as expected, and by which measures one is surely worse than its reference."""

from collections.abc import Iterable

from toxaudit.decision.certainty import Certainty
from toxaudit.decision.headline import headlines, usable
from toxaudit.decision.missing import missing_alone, too_few, too_many
from toxaudit.decision.policy import critical_in, limits_of
from toxaudit.facts import Decision, Expectation, ModelFacts, the
from toxaudit.findings import AuditResult, Verdict
from toxaudit.gate_facts import Limits
from toxaudit.records import BEST_CASE, Estimate

WORSE: Expectation = "worse"
"""What a control is expected to be that is worse than its reference, be it within the margin or beyond it."""

KNOWN_WORSE: tuple[Expectation, ...] = ("NO-GO", WORSE)
"""What a control is expected to be that is known to be worse."""


def as_expected(result: AuditResult, verdict: Verdict) -> bool:
    """Whether a declared control came out as expected; what is no control did."""
    expect = next((model.expect for model in result.candidates if model.name == verdict.candidate), None)
    if expect == WORSE:
        return bool(surely_worse(result, verdict.candidate))
    return expect in (None, verdict.decision)


def unmet(model: ModelFacts, decision: Decision) -> str:
    """How a control failed, as a phrase that goes on from its name."""
    if model.expect == WORSE:
        return f"was expected to be worse than {the(model.against)}, and by no critical measure is it surely so"
    return f"was expected to be {model.expect} and came out {decision}"


def surely_worse(result: AuditResult, candidate: str) -> tuple[tuple[str, str], ...]:
    """Suite and measure of the critical measures by which a candidate is surely worse than its reference, in total.

    A rise must be as probable as a NO-GO on one of M critical measures would have to be, so that the chance that an
    unchanged model passes for a worse one by any of them is bounded in the same way (``Certainty.of_family``). Where
    one arm misses scores that the other has, it must be so with all that are missing in the candidate's favour as well.
    What is not to be used, rests on too few prompts or misses too much tells nothing.
    """
    critical, scorers = critical_in(result), {scorer.name: scorer for scorer in result.scorers}
    mine = [each for each in result.estimates if each.candidate == candidate]
    found = []
    for place, total in ((each[1:], total) for each, total in headlines(mine).items()):
        if place in critical:
            limits = limits_of(result.gate, scorers, *place)
            needed = Certainty.of_family(limits.certainty, result.gate.family_error, len(critical)).to_fail
            looks = [total, _favoured(total, mine)] if missing_alone(total) else [total]
            surely = all(each and usable(each) and each.p_increase >= needed for each in looks)
            if surely and _enough(total, limits):
                found.append(place)
    return tuple(sorted(found))


def _favoured(total: Estimate, estimates: Iterable[Estimate]) -> Estimate | None:
    """The same total with every missing score taken in the candidate's favour."""
    wanted = (total.suite, total.measure, total.estimator, "all", BEST_CASE)
    same = (
        each for each in estimates if (each.suite, each.measure, each.estimator, each.slice, each.variant) == wanted
    )
    return next(same, None)


def _enough(total: Estimate, limits: Limits) -> bool:
    """Whether enough prompts were asked, and scored, for the gate to decide by them."""
    few = too_few(total, limits.tier, limits.min_prompts)
    return not few and not too_many(total, limits.tier, limits.max_missing)
