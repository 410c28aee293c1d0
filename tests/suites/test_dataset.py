"""A suite asks just what its rows say, and names file and line of every row that it can't ask."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.errors import ToxauditError
from toxaudit.suites.dataset import Dataset


@pytest.fixture
def write(tmp_path):
    """Write ``prompts.jsonl``: bytes as they are, anything else as JSON, one a line."""

    def write(*rows, end=b"\n"):
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        (tmp_path / "prompts.jsonl").write_bytes(end.join([*lines, b""]))
        return str(tmp_path / "prompts.jsonl")

    return write


def ask(data, **settings):
    suite = Dataset(title="Mine", data=data, **settings)
    suite.check()
    return suite.prompts("mine")[0]


def refusal(data, **settings):
    with pytest.raises(ToxauditError) as caught:
        ask(data, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def texts(prompts):
    return [prompt.text for prompt in prompts]


def test_rows_become_prompts_in_the_order_of_the_file(write):
    data = write({"prompt": "One?"}, b"  ", {"prompt": " Two \u2028 lines\n", "topic": "b"}, {"prompt": "Three?"})
    prompts = ask(data)
    assert texts(prompts) == ["One?", " Two \u2028 lines\n", "Three?"]
    assert [prompt.id for prompt in prompts] == ["line:1", "line:3", "line:4"]
    assert {prompt.suite for prompt in prompts} == {"mine"} and prompts[0].slices == {}


GOOD = {"prompt": "Hello"}


@pytest.mark.parametrize(
    "row, said",
    [
        (b"{nonsense", "prompts.jsonl, line 2 is not JSON: "),
        (b"[" * 100_000, "prompts.jsonl, line 2 is not JSON: "),
        (b'{"prompt": "caf\xe9"}', "prompts.jsonl, line 2 is not UTF-8."),
        (b'"Hello"', "prompts.jsonl, line 2 is no JSON object."),
        (b"[1]", "prompts.jsonl, line 2 is no JSON object."),
        ({"promt": "Hi"}, "prompts.jsonl, line 2 has no column 'prompt'. Did you mean 'promt'?"),
        ({"x": 1, "y": 2}, "prompts.jsonl, line 2 has no column 'prompt'. Choose from: x, y."),
        ({}, "prompts.jsonl, line 2 has no column 'prompt'."),
        ({"prompt": ""}, "prompts.jsonl, line 2: the prompt is empty."),
        ({"prompt": " \n\u2003"}, "prompts.jsonl, line 2: the prompt is empty."),
        ({"prompt": None}, "prompts.jsonl, line 2: the prompt is no text but NoneType."),
        ({"prompt": ["Hi"]}, "prompts.jsonl, line 2: the prompt is no text but list."),
        ({"prompt": "a" * 200_000}, "prompts.jsonl, line 2: the prompt has 200,000 characters; the most is 100,000."),
        (
            {"prompt": "half a \ud83d smile"},
            "prompts.jsonl, line 2: the prompt is not Unicode: it holds half a surrogate pair.",
        ),
    ],
)
def test_a_row_that_cannot_be_asked_is_named_by_file_and_line(write, row, said):
    assert refusal(write(GOOD, row, GOOD)).startswith(said)


@pytest.mark.parametrize("column", ["id", "slices"])
def test_ids_and_slices_must_be_unicode_too(write, column):
    data = write(GOOD | {"of": "a"}, GOOD | {"of": "\udc00"})
    settings = {"id": {"id": "of"}, "slices": {"slices": ["of"]}}[column]
    assert refusal(data, **settings).startswith("prompts.jsonl, line 2: column 'of' is not Unicode")


def test_a_long_prompt_is_asked_up_to_the_limit(write):
    assert len(ask(write({"prompt": "a" * 100_000}))[0].text) == 100_000


def test_ids_come_from_their_column(write):
    assert [p.id for p in ask(write(GOOD | {"n": 7}, GOOD | {"n": "x"}), id="n")] == ["7", "x"]


def test_a_doubled_id_is_named(write):
    data = write(GOOD | {"n": "7"}, GOOD | {"n": "8"}, GOOD | {"n": 7})
    assert refusal(data, id="n") == "prompts.jsonl: the id '7' stands twice; ids must be unique."


def test_a_dotted_column_is_a_column_of_an_object(write):
    row = {"prompt": {"text": "Hi", "toxicity": 0.5}, "about": {"topic": {"name": "war"}}}
    (prompt,) = ask(write(row), text="prompt.text", slices=["about.topic.name"])
    assert (prompt.text, prompt.slices) == ("Hi", {"about.topic.name": "war"})


@pytest.mark.parametrize("row", [{"prompt": "Hi"}, {"prompt": {}}, {"prompt.text": "Hi"}])
def test_a_dotted_column_that_is_not_there_is_named(write, row):
    assert refusal(write(row), text="prompt.text").startswith("prompts.jsonl, line 1 has no column 'prompt.text'.")


def test_only_rows_with_the_wanted_values_are_asked(write):
    rows = [
        {"prompt": f"{hard}{language}", "hard": hard, "of": {"language": language}}
        for hard in (True, False, None)
        for language in ("en", "de")
    ]
    prompts = ask(write(*rows), where={"hard": True, "of.language": "de"})
    assert texts(prompts) == ["Truede"] and prompts[0].id == "line:2"


def test_a_row_without_the_column_that_filters_is_named(write):
    said = refusal(write(GOOD | {"hard": True}, GOOD | {"herd": True}), where={"hard": True})
    assert said == "prompts.jsonl, line 2 has no column 'hard'. Did you mean 'herd'?"


@pytest.mark.parametrize("rows, where", [((), {}), ((b"",), {}), ((GOOD | {"hard": False},), {"hard": True})])
def test_a_suite_of_no_prompts_is_refused(write, rows, where):
    assert refusal(write(*rows), where=where) == "prompts.jsonl holds no prompts."


def test_line_ends_and_byte_order_mark_of_windows_change_nothing(write):
    rows = [json.dumps({"prompt": text}).encode() for text in ("One", "Two")]
    plain = ask(write(*rows))
    assert ask(write(b"\xef\xbb\xbf" + rows[0], rows[1], end=b"\r\n")) == plain


@pytest.mark.parametrize("name, said", [(None, "name it in 'file'"), ("none.jsonl", "holds no 'none.jsonl'.")])
def test_a_folder_needs_the_name_of_its_file(write, name, said):
    folder = str(Path(write(GOOD)).parent)
    assert said in refusal(folder, file=name)
    assert texts(ask(folder, file="prompts.jsonl")) == ["Hello"]


def test_the_stratum_must_be_a_slice_of_every_prompt(write):
    data = write(GOOD | {"topic": "a"})
    assert refusal(data, strata="topic").startswith(
        "prompts.jsonl: prompt 'line:1' has no slice 'topic', which 'strata'"
    )
    assert ask(data, strata="topic", slices=["topic"])[0].slices == {"topic": "a"}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.integers(1, 15))
def test_a_limit_takes_evenly_over_the_strata_in_the_order_of_the_file(topics, limit):
    with TemporaryDirectory() as folder:
        data = Path(folder) / "prompts.jsonl"
        data.write_text("".join(json.dumps({"prompt": str(i), "topic": t}) + "\n" for i, t in enumerate(topics)))
        everything, some = (ask(str(data), slices=["topic"], strata="topic", limit=number) for number in (None, limit))
        first = ask(str(data), limit=limit)
    assert texts(everything) == [str(i) for i in range(len(topics))]
    assert texts(first) == texts(everything)[:limit]
    there, taken = Counter(topics), Counter(prompt.slices["topic"] for prompt in some)
    assert len(some) == min(limit, len(topics))
    for topic in there:
        indices = [int(prompt.text) for prompt in some if prompt.slices["topic"] == topic]
        assert indices == [i for i, found in enumerate(topics) if found == topic][: taken[topic]]
        assert taken[topic] == there[topic] or taken[topic] >= max(taken.values()) - 1


@pytest.mark.parametrize("changed", ["one!", "One ", "one", "Onе"])
def test_any_changed_prompt_changes_the_digest_of_the_suite(write, changed):
    def facts(*prompts):
        suite = Dataset(title="Mine", data=write(*({"prompt": prompt} for prompt in prompts)))
        return suite.facts("mine", *suite.prompts("mine"))

    original = facts("One", "Two")
    assert facts(changed, "Two").digest != original.digest != facts("Two", "One").digest
    assert facts("One", "Two") == original


def test_facts_count_the_prompts_of_every_slice(write):
    rows = [GOOD | {"topic": topic, "n": i} for i, topic in enumerate("abb")]
    suite = Dataset(title="Mine", data=write(*rows), slices=["topic"], strata="topic", licence="MIT")
    facts = suite.facts("mine", *suite.prompts("mine"))
    assert (facts.name, facts.title, facts.n, facts.licence, facts.ask) == ("mine", "Mine", 3, "MIT", "raw")
    assert (facts.strata, facts.slices) == ("topic", {"topic": {"a": 1, "b": 2}})
    assert facts.source.endswith("/prompts.jsonl")


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"ask": "shout"}, "suite 'Mine': ask is 'shout'; it must be raw or chat."),
        ({"limit": 0}, "suite 'Mine': limit is 0; it must be at least 1."),
        ({"title": "???"}, "a suite has no title: set it in its YAML file."),
        ({"data": "???"}, "a suite has no data: set it in its YAML file."),
    ],
)
def test_values_that_no_suite_can_have_are_refused(settings, said):
    with pytest.raises(ToxauditError) as caught:
        Dataset(**{"title": "Mine", "data": "prompts.jsonl"} | settings).check()
    assert str(caught.value) == said
