"""One rule says what changes nothing, whatever the evidence; other modules only hand it evidence."""

import random
from dataclasses import replace

import pytest

from toxaudit.backends.request import Request
from toxaudit.backends.served_again import by_turns
from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.findings import Check
from toxaudit.models import effect
from toxaudit.models.effect import Again
from toxaudit.records import Completion, Prompt


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


@pytest.mark.parametrize(
    ("same", "others", "neither", "tells"),
    [(0, 0, 0, False), (9, 0, 0, False), (10, 0, 0, True), (10, 1, 0, False), (19, 4, 30, False), (20, 4, 0, True)]
    + [(50, 50, 0, False), (0, 40, 0, False), (0, 0, 500, False)],
)
def test_two_models_are_told_apart_where_one_would_seem_so_once_in_a_thousand_times(same, others, neither, tells):
    assert Again(same, others, neither).tells == tells


@pytest.mark.parametrize("again", [Again(50, 50, 0), Again(0, 0, 40), Again()])
def test_other_answers_are_no_proof_where_one_model_s_vary_as_much(again):
    checks = Checklist("mine")
    pairs = zip(answers("mine", "a", "x"), answers("base", "a", "b"), strict=True)
    doubt = effect.require_by_answers(checks, [], pairs, "do this", lambda: again)
    assert doubt.startswith("nothing tells it from the base") and f"of {again.asked} questions asked again" in doubt
    assert [(check.outcome, check.text) for check in checks.done] == [("not applicable", doubt)]


def test_equal_answers_are_refused_without_asking_again():
    pairs = zip(answers("mine", "a", "b"), answers("base", "a", "b"), strict=True)
    with pytest.raises(ToxauditError, match="all its 2 answers are the base's"):
        effect.require_by_answers(Checklist("mine"), [], pairs, "do this", pytest.fail)


class Server:
    """Asked in turns; of one model or two, whose answers vary by chance in some of the prompts."""

    def __init__(self, models, varying, seed):
        self.chance, self.models, self.varying = random.Random(seed), models, varying

    def __call__(self, requests):
        return [self.answer(self.models[each.arm], int(each.prompt.id)) for each in requests]

    def answer(self, model, number):
        return f"{model(number)} {self.chance.random() < 0.5 and number % 10 < 10 * self.varying}"


def tells(own, varying, seed):
    prompts = [Prompt(str(number), "mine", "say") for number in range(60)]
    server = Server({"base": lambda number: 0, "mine": own}, varying, seed)
    base, mine = ([Request(arm, prompt) for prompt in prompts] for arm in ("base", "mine"))
    return by_turns(base, mine, server).tells


@pytest.mark.parametrize("varying", [0.1, 0.5, 1.0])
def test_one_model_is_hardly_ever_taken_for_two(varying):
    assert sum(tells(lambda number: 0, varying, seed) for seed in range(300)) <= 1


@pytest.mark.parametrize("varying", [0.0, 0.1, 0.5])
def test_a_weakly_tuned_model_is_told_from_its_base_although_the_server_s_answers_vary(varying):
    """It answers every third prompt otherwise."""
    assert sum(tells(lambda number: number % 3 == 0, varying, seed) for seed in range(100)) >= 95
