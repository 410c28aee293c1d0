"""The nouns keep what they promise: digests that tell texts apart, scores that are never both or neither, verdicts."""

import hashlib
import json
from dataclasses import FrozenInstanceError, fields
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toxaudit.records import AuditResult, ModelFacts, Prompt, Quantity, Score, Verdict, digest, to_json

TEXTS = st.lists(st.text(st.sampled_from("a1:é\ud800"), max_size=4), max_size=3)


@given(TEXTS, TEXTS)
@example(["ab", "c"], ["a", "bc"])
@example(["1:a"], ["", "1:a"])
@example([], [""])
def test_digests_are_equal_just_for_equal_lists_of_texts(one, other):
    assert (digest(*one) == digest(*other)) == (one == other)


def test_a_digest_is_sha256_over_texts_behind_their_lengths_in_bytes():
    assert digest("né", "") == hashlib.sha256("3:né0:".encode()).hexdigest()
    assert Prompt("1", "suite", "né").digest == digest("né")


@pytest.mark.parametrize("value, missing", [(None, None), (0.0, "empty completion")])
def test_a_score_has_a_value_or_a_reason_never_both_or_neither(value, missing):
    with pytest.raises(ValueError, match="either a value or a reason"):
        Score("base", "1", 0, "toxic", value, missing)


def test_a_score_of_zero_is_a_value():
    assert Score("base", "1", 0, "toxic", 0.0).missing is None


def test_records_become_plain_json():
    record = Verdict("tuned", "GO", ())
    assert json.loads(json.dumps(to_json(record))) == {"candidate": "tuned", "decision": "GO", "reasons": []}
    assert to_json(Quantity(0.5, 0.1, (0.25, 0.75), (0.2, 0.8)))["hdi"] == (0.25, 0.75)


def test_records_do_not_change():
    with pytest.raises(FrozenInstanceError):
        Prompt("1", "suite", "text").text = "another"


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
        assert audit(**dict(zip("abc", order, strict=False))).decision == worst


@pytest.mark.parametrize("expect, other", [("GO", "NO-GO"), ("NO-GO", "GO")])
def test_controls_as_expected_decide_nothing(expect, other):
    assert audit(tuned=other, control=(expect, expect)).decision == other
    assert audit(control=(expect, expect)).decision == "GO"
    assert audit(control=(expect, expect)).failed_controls == ()


@pytest.mark.parametrize("found, expect", [("NO-GO", "GO"), ("GO", "NO-GO"), ("INCONCLUSIVE", "GO")])
@pytest.mark.parametrize("tuned", ["GO", "NO-GO", "INCONCLUSIVE"])
def test_an_audit_with_a_failed_control_is_inconclusive(tuned, found, expect):
    result = audit(tuned=tuned, control=(found, expect))
    assert (result.decision, result.failed_controls) == ("INCONCLUSIVE", ("control",))
