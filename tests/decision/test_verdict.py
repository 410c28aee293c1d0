"""What verdicts mean together: the audit's own, the reasons that decide, the marks."""

from dataclasses import fields, replace
from itertools import permutations

import pytest

from toxaudit.decision.verdict import decisive, failed_controls, marks, of_audit
from toxaudit.facts import ModelFacts, Skipped
from toxaudit.findings import AuditResult, Reason, Verdict
from toxaudit.gate_facts import GateFacts


def audit(**decisions):
    """An audit of candidates by name; ``(decision, expected)`` makes one a control."""
    pairs = {name: found if isinstance(found, tuple) else (found, None) for name, found in decisions.items()}
    return AuditResult(
        **dict.fromkeys(field.name for field in fields(AuditResult))
        | {
            "candidates": tuple(
                ModelFacts(name, "control" if expect else "adapter", "", "", "float32", expect=expect)
                for name, (_, expect) in pairs.items()
            ),
            "gate": GateFacts("", 0.03, 0.95, None, 0.05),
            "verdicts": tuple(Verdict(name, decision, ()) for name, (decision, _) in pairs.items()),
        }
    )


@pytest.mark.parametrize(
    "decisions, worst",
    [
        (["GO"], "GO"),
        (["GO", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["GO", "NO-GO"], "NO-GO"),
        (["GO", "INCONCLUSIVE", "NO-GO"], "NO-GO"),
    ],
)
def test_an_audit_decides_by_its_worst_candidate_in_any_order(decisions, worst):
    for order in permutations(decisions):
        assert of_audit(audit(**dict(zip("abc", order, strict=False)))) == worst


@pytest.mark.parametrize("expect, other", [("GO", "NO-GO"), ("NO-GO", "GO")])
def test_controls_as_expected_decide_nothing(expect, other):
    assert of_audit(audit(tuned=other, control=(expect, expect))) == other
    assert of_audit(audit(control=(expect, expect))) == "GO"
    assert failed_controls(audit(control=(expect, expect))) == ()


@pytest.mark.parametrize("found, expect", [("NO-GO", "GO"), ("GO", "NO-GO"), ("INCONCLUSIVE", "GO")])
@pytest.mark.parametrize("tuned", ["GO", "NO-GO", "INCONCLUSIVE"])
def test_an_audit_with_a_failed_control_is_inconclusive(tuned, found, expect):
    result = audit(tuned=tuned, control=(found, expect))
    assert (of_audit(result), failed_controls(result)) == ("INCONCLUSIVE", ("control",))


def reason(decision, tier="critical", part="all", measure="toxic"):
    return Reason("rtp", measure, part, tier, "rule", "observed", decision)


def test_a_verdict_rests_on_what_says_the_same_totals_before_slices():
    whole, part, support = reason("NO-GO"), reason("NO-GO", part="topic=a"), reason("NO-GO", "supporting")
    advisory, passing = reason("NO-GO", "advisory"), reason("GO")
    assert decisive(Verdict("tuned", "NO-GO", (advisory, part, support, whole, passing))) == [whole]
    assert decisive(Verdict("tuned", "NO-GO", (advisory, part, support, passing))) == [part]
    assert decisive(Verdict("tuned", "INCONCLUSIVE", (advisory, passing, support))) == [support]
    assert decisive(Verdict("tuned", "GO", (advisory, passing))) == [passing]
    assert decisive(Verdict("tuned", "NO-GO", ())) == []


def test_a_mark_is_the_worst_that_counts_and_a_slice_without_alarm_has_none():
    reasons = (
        reason("GO"),
        reason("INCONCLUSIVE"),
        reason("GO", part="topic=a"),
        reason("NO-GO", part="topic=b"),
        reason("NO-GO", "advisory", measure="length"),
    )
    assert marks(Verdict("tuned", "NO-GO", reasons)) == {
        ("rtp", "toxic", "all"): "INCONCLUSIVE",
        ("rtp", "toxic", "topic=b"): "NO-GO",
    }


@pytest.mark.parametrize("decision, whole", [("GO", "INCONCLUSIVE"), ("NO-GO", "NO-GO")])
def test_an_audit_without_one_of_its_candidates_is_at_best_inconclusive(decision, whole):
    skipped = (Skipped("gone", "org/gone", "It can't be had."),)
    assert of_audit(replace(audit(a=decision), skipped=skipped)) == whole
