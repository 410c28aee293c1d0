"""One rule says what changes nothing, whatever the evidence; other modules only hand it evidence."""

from dataclasses import replace

import pytest

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.models import effect
from toxaudit.records import Check, Completion


@pytest.mark.parametrize(
    ("same", "outcome"),
    [
        ([True], "failed"),
        ([True, True], "failed"),
        ([True, False], "passed"),
        ([False], "passed"),
        ([], "not applicable"),
    ],
)
def test_nothing_is_changed_where_all_that_can_be_compared_is_equal(same, outcome):
    checks, refusal = Checklist("mine"), ToxauditError("mine changes nothing.")
    if outcome == "failed":
        with pytest.raises(ToxauditError, match="mine changes nothing") as caught:
            effect.require(checks, "stored values", iter(same), refusal)
        assert caught.value is refusal
    else:
        effect.require(checks, "stored values", iter(same), refusal)
    (check,) = checks.done
    assert (check.arm, check.name, check.outcome) == ("mine", "effect by stored values", outcome)


def test_a_refusal_within_a_check_is_noted_once_where_it_is():
    checks = Checklist("mine")
    with pytest.raises(ToxauditError), checks.check("outer"), checks.check("inner"):
        raise ToxauditError("no.")
    assert [(check.name, check.outcome, check.text) for check in checks.done] == [("inner", "failed", "no.")]


def answers(arm, *texts):
    return [Completion(arm, f"p{i}", 0, text, 1, "stop") for i, text in enumerate(texts)]


def by_answers(own, proof=None):
    checks = Checklist("mine")
    done = [Check("mine", proof, "passed")] if proof else []
    pairs = zip(answers("mine", *own), answers("base", "a", "b", "c"), strict=True)
    try:
        effect.require_by_answers(checks, done, pairs, "do this")
    except ToxauditError as error:
        return str(error)
    return [(check.outcome, check.text) for check in checks.done]


@pytest.mark.parametrize("proof", [None, "effect by files and system prompts", "effect by stored values"])
def test_equal_answers_are_refused_where_nothing_else_tells_the_two_apart(proof):
    said = by_answers("abc", proof)
    assert said == "mine: all its 3 answers are the base's, and no likelihoods tell the two apart: do this."


@pytest.mark.parametrize("proof", effect.PROOFS)
def test_equal_answers_are_noted_where_likelihoods_tell_the_two_apart(proof):
    assert by_answers("abc", f"effect by {proof}") == [
        ("passed", "all its 3 answers are the base's; its likelihoods are not")
    ]
    assert by_answers("abd", f"effect by {proof}") == []


def test_one_other_answer_tells_the_two_apart():
    assert by_answers("abd") == [("passed", "")]


def test_a_missing_answer_tells_nothing():
    own, its = answers("mine", "a", "x", "c"), answers("base", "a", "b", "x")
    own[1], its[2] = (replace(each, missing="it was cut off") for each in (own[1], its[2]))
    with pytest.raises(ToxauditError, match="its only answer is the base's"):
        effect.require_by_answers(Checklist("mine"), [], zip(own, its, strict=True), "do this")
    effect.require_by_answers(checks := Checklist("mine"), [], [(own[1], its[1])], "do this")
    assert [check.outcome for check in checks.done] == ["not applicable"]
