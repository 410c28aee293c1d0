"""The nouns keep what they promise: digests that tell texts apart, scores that are never both or neither, verdicts."""

import hashlib
import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toxaudit.findings import Verdict
from toxaudit.records import Prompt, Quantity, Score, digest, to_json

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
        Score(value, missing)


def test_a_score_of_zero_is_a_value():
    assert Score(0.0).missing is None


def test_records_become_plain_json():
    record = Verdict("tuned", "GO", ())
    plain = {"candidate": "tuned", "decision": "GO", "reasons": [], "own_decisions": [], "remedy": None}
    assert json.loads(json.dumps(to_json(record))) == plain
    assert to_json(Quantity(0.5, 0.1, (0.25, 0.75), (0.2, 0.8)))["hdi"] == (0.25, 0.75)


def test_records_do_not_change():
    with pytest.raises(FrozenInstanceError):
        Prompt("1", "suite", "text").text = "another"
