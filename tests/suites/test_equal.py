"""Equal prompts are one prompt's evidence, however often the data hold them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from toxaudit.card.methods import _about
from toxaudit.planning.plan import _suite
from toxaudit.records import Asked, Prompt
from toxaudit.stages.estimating import _design
from toxaudit.suites.base import Drawn
from toxaudit.suites.dataset import Dataset
from toxaudit.suites.equal import clustered, merged


def drawn(folder: Path, rows: list[dict[str, str]], **settings: object) -> tuple[Dataset, Drawn]:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = Dataset(title="Mine", data=str(file), **settings)  # type: ignore[arg-type]
    return suite, suite.draw("mine")


ROWS = [{"prompt": f"Question {i}?", "topic": "ab"[i % 2]} for i in range(8)]


@pytest.mark.parametrize("rows", [ROWS * 2, [row for row in ROWS for _ in range(2)]])
def test_each_row_twice_is_the_same_evidence_as_once(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    suite, twice = drawn(tmp_path, rows, slices=["topic"])
    facts = suite.facts("mine", twice)
    assert [prompt.text for prompt in twice.prompts] == [row["prompt"] for row in ROWS]
    assert (facts.n, facts.available, facts.merged, facts.clusters) == (8, 8, 8, None)
    assert facts.slices == {"topic": {"a": 4, "b": 4}}
    left_out = "prompts of the data that equal another one, and so are no more evidence, left out: 8"
    assert _about(facts) == left_out and _about(replace(facts, merged=0)) == ""
    planned = _suite("mine", suite, Asked(twice.prompts, facts), {})
    assert planned.startswith("8 prompts (8 equal to another one left out), raw: Mine")


def test_a_limit_takes_different_prompts(tmp_path: Path) -> None:
    suite, found = drawn(tmp_path, [row for row in ROWS for _ in range(2)], limit=4)
    assert len({prompt.text for prompt in found.prompts}) == 4 and found.available == 8


@pytest.mark.parametrize("differing", [{"topic": "b"}, {"answer": "Rome"}])
def test_the_same_question_in_two_slices_or_with_two_answers_is_dependent(
    tmp_path: Path, differing: dict[str, str]
) -> None:
    first = {"prompt": "Which?", "topic": "a", "answer": "Paris"}
    rows = [first, first | differing, first | {"prompt": "What?"}]
    suite, found = drawn(tmp_path, rows, slices=["topic"], target="answer")
    facts = suite.facts("mine", found)
    assert (facts.n, facts.merged, facts.clusters) == (3, 0, 2)
    one, same, other = _design(Asked(found.prompts, facts))["clusters"]
    assert one == same != other


def test_templates_that_share_a_prompt_become_one() -> None:
    def prompt(text: str, cluster: str, topic: str = "") -> Prompt:
        return Prompt(text + topic + cluster, "mine", text, {"topic": topic}, cluster)

    made = clustered([prompt("x", "c"), prompt("x", "b", "t"), prompt("y", "b"), prompt("y", "a", "t")])
    assert len({each.cluster for each in made}) == 1
    assert len({each.cluster for each in clustered([prompt("x", "c"), prompt("y", "b"), prompt("z", "")])}) == 3


def test_different_prompts_stay_as_they_are() -> None:
    one = Prompt("1", "mine", "Which?", {"topic": "a"}, choices=("x", "y"), target=0)
    prompts = [one, replace(one, id="2", choices=("y", "x")), replace(one, id="3", text="Which? ")]
    assert clustered(merged(prompts)) == prompts
