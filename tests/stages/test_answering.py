"""Answers and scores of a large audit are held packed; what the store loses meanwhile is no answer."""

import sqlite3
import tracemalloc
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from toxaudit.errors import ToxauditError
from toxaudit.executors.local import LocalExecutor
from toxaudit.facts import SuiteFacts
from toxaudit.models import ServedModel
from toxaudit.records import Asked, Completion, Prompt
from toxaudit.scorers.keywords import Keywords
from toxaudit.spec.schema import Generation
from toxaudit.stages import answering, scoring
from toxaudit.store.shelves import RECORDS, Store
from toxaudit.suites.base import described

ARMS = [ServedModel("base", "base", "host", "b"), ServedModel("tuned", "served", "host", "t")]
REASON = "the server refused it"


class Backend:
    """Answers what it is told to by arm and number."""

    numerics = "synthetic"

    def __init__(self, says, after=lambda: None):
        self.says, self.after, self.asked = says, after, []

    @contextmanager
    def open(self, loader, arms):
        yield self
        self.after()

    def generate(self, requests, generation, done, wrote):
        for request in requests:
            if not done(request):
                self.asked.append((request.arm, request.prompt.id))
                text = self.says(request.arm, int(request.prompt.id))
                finish, missing = ("stop", "") if text is not None else ("other", REASON)
                yield [(request, Completion(request.arm, request.prompt.id, 0, text or "", 5, finish, (), missing))]


def spec(backend):
    """An audit of one suite by one scorer."""
    scorers = {"vowels": Keywords(title="Vowels", phrases=["a", "e"])}
    return SimpleNamespace(
        generation=Generation(max_new_tokens=5),
        backend=backend,
        executor=LocalExecutor(),
        scorers=scorers,
        suites={"mine": SimpleNamespace(scorers=list(scorers))},
    )


def suites(prompts):
    facts = SuiteFacts("mine", "Mine", 0, "mine.jsonl", "", "MIT", "raw", None, {}, scorers=("vowels",))
    made = [Prompt(str(number), "mine", f"prompt {number}") for number in range(prompts)]
    return {"mine": Asked(made, described(facts, made))}


@pytest.mark.thorough
def test_answers_and_scores_are_held_in_a_fraction_of_the_memory_of_as_many_texts(tmp_path):
    asked = suites(prompts := 3000)
    audit = spec(Backend(lambda arm, number: f"{arm} {number}: " + " ".join(map(str, range(number, number + 50)))))
    tracemalloc.start()
    answers = answering.answer(audit, None, Store(tmp_path), ARMS, asked)
    scored = scoring.score(audit, None, Store(tmp_path), asked, answers)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    texts = sum(len(each.text) for found in answers.values() for each in found)
    assert len(answers["tuned", "mine"]) == len(scored["tuned", "mine", "vowels"]) == prompts
    assert held < texts + 250 * prompts  # the names of prompts among them


def test_answers_come_back_as_they_were_given_whoever_gave_them(tmp_path):
    odd = ["", "a\nb\u2028", "half \ud800", "é" * 300, None]
    asked, first = suites(len(odd)), Backend(lambda arm, number: odd[number])
    for backend in (first, Backend(lambda arm, number: "now it answers")):
        answers = answering.answer(spec(backend), None, Store(tmp_path), ARMS, asked)
        assert list(answers) == [("base", "mine"), ("tuned", "mine")]
        found = [(each.model, each.prompt_id, each.text) for each in answers["tuned", "mine"]]
        assert found[:-1] == [("tuned", str(number), text) for number, text in enumerate(odd[:-1])]
    assert backend.asked == [("base", "4"), ("tuned", "4")]  # a missing answer is asked for again
    assert list(answers["base", "mine"])[-1].text == "now it answers"


def test_texts_in_several_lots_have_the_scores_of_one(tmp_path, monkeypatch):
    asked = suites(40)
    audit = spec(Backend(lambda arm, number: ["an answer", "so", "", None][number % 4]))
    answers = answering.answer(audit, None, Store(tmp_path), ARMS, asked)
    monkeypatch.setattr(scoring, "LOT", 1)
    parted = scoring.score(audit, None, Store(tmp_path / "parted"), asked, answers)
    monkeypatch.undo()
    whole = scoring.score(audit, None, Store(tmp_path / "whole"), asked, answers)
    assert {key: list(found) for key, found in parted.items()} == {key: list(found) for key, found in whole.items()}
    assert [(each.value, each.missing) for each in whole["base", "mine", "vowels"]][:4] == [
        (1.0, None),
        (0.0, None),
        (None, "empty completion"),
        (None, REASON),
    ]


def test_answers_that_the_store_loses_at_once_are_a_sentence(tmp_path):
    store = Store(tmp_path)

    def lose():
        with sqlite3.connect(tmp_path / RECORDS) as connection:
            connection.execute("DELETE FROM record")

    with pytest.raises(ToxauditError, match="no longer holds answers"):
        answering.answer(spec(Backend(lambda arm, number: "so", lose)), None, store, ARMS, suites(3))
    answers = answering.answer(spec(Backend(lambda arm, number: "so")), None, store, ARMS, suites(3))
    assert [each.text for each in answers["base", "mine"]] == ["so"] * 3
