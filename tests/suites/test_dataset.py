"""A suite asks just what its rows say, and names file and line of every row that it can't ask."""

import json
import os
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow
import pytest
from hub_server import Repository, serve
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

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
    return suite.draw("mine").prompts


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
        ({"prompt": None}, "prompts.jsonl, line 2: the prompt is no text but null."),
        ({"prompt": 7}, "prompts.jsonl, line 2: the prompt is no text but int."),
        ({"prompt": []}, "prompts.jsonl, line 2: the prompt is an empty list."),
        ({"prompt": ["Hi", ""]}, "prompts.jsonl, line 2: the prompt is empty."),
        ({"prompt": "a" * 2**20}, "prompts.jsonl, line 2: the prompt has 1,048,576 characters; the most is 100,000."),
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
    assert refusal(data, **settings).startswith("prompts.jsonl, line 2: 'of' is not Unicode")


@pytest.mark.parametrize("settings", [{"id": "of"}, {"slices": ["of"]}])
def test_an_id_or_slice_longer_than_any_name_is_refused_with_its_row(write, settings):
    data = write(GOOD | {"of": "a" * 200}, GOOD | {"of": "a" * 201})
    assert refusal(data, **settings) == "prompts.jsonl, line 2: 'of' has 201 characters; the most is 200."


def test_a_cluster_may_be_as_long_as_a_prompt(write):
    data = write(GOOD | {"of": "a" * 100_000}, GOOD | {"of": "a" * 100_001})
    assert refusal(data, cluster="of") == "prompts.jsonl, line 2: 'of' has 100,001 characters; the most is 100,000."


def test_a_long_prompt_is_asked_up_to_the_limit(write):
    assert len(ask(write({"prompt": "a" * 100_000}))[0].text) == 100_000


def test_ids_come_from_their_column(write):
    data = write(GOOD | {"n": 7}, {"prompt": "Bye", "n": "x"})
    assert [p.id for p in ask(data, id="n")] == ["7", "x"]


def test_a_doubled_id_is_named_with_both_its_lines(write):
    data = write(GOOD | {"n": "7"}, GOOD | {"n": "8"}, GOOD | {"n": 7})
    assert refusal(data, id="n") == (
        "prompts.jsonl, line 3: the id '7' stands twice, first in prompts.jsonl, line 1; ids must be unique."
    )


@pytest.mark.parametrize("empty", [None, ""])
def test_a_row_without_an_id_is_named(write, empty):
    assert refusal(write(GOOD | {"n": 1}, GOOD | {"n": empty}), id="n").endswith(", line 2 has no id: 'n' is empty.")


def test_a_list_makes_one_prompt_of_each_of_its_texts(write):
    rows = [{"prompt": ["One", "Two"], "n": "a", "topic": "x"}, {"prompt": ["Three"], "n": "b", "topic": "y"}]
    found = [(p.id, p.text, p.slices) for p in ask(write(*rows), id="n", slices=["topic"])]
    assert found == [("a:0", "One", {"topic": "x"}), ("a:1", "Two", {"topic": "x"}), ("b:0", "Three", {"topic": "y"})]
    assert [p.id for p in ask(write(*rows))] == ["line:1:0", "line:1:1", "line:2:0"]


def test_prompts_of_one_template_are_a_cluster(write):
    data = write({"prompt": "A", "of": "t1"}, {"prompt": "B", "of": None}, {"prompt": "C", "of": 7})
    assert [prompt.cluster for prompt in ask(data, cluster="of")] == ["t1", "", "7"]


def test_a_dotted_column_is_a_column_of_an_object(write):
    row = {"prompt": {"text": "Hi", "toxicity": 0.5}, "about": {"topic": {"name": "war"}}}
    (prompt,) = ask(write(row), text="prompt.text", slices=["about.topic.name"])
    assert (prompt.text, prompt.slices) == ("Hi", {"about.topic.name": "war"})


@pytest.mark.parametrize("row", [{"prompt": "Hi"}, {"prompt": {}}, {"prompt.text": "Hi"}])
def test_a_dotted_column_that_is_not_there_is_named(write, row):
    assert refusal(write(row), text="prompt.text").startswith("prompts.jsonl, line 1 has no column 'prompt.text'.")


def test_texts_ids_and_slices_may_be_templates_over_the_columns(write):
    row = {"q": "Why?", "lines": ["a", "b"], "of": {"topic": "war"}, "n": 3}
    (prompt,) = ask(
        write(row),
        columns={"frame": "Q: {{ q }}", "topic": "{{ of.topic | upper }}", "constant": "yes"},
        text="{{ frame }}\n{% for line in lines %}- {{ line }}\n{% endfor %}A:",
        id="{{ of.topic }}-{{ n }}",
        slices=["topic", "constant"],
    )
    assert (prompt.text, prompt.id) == ("Q: Why?\n- a\n- b\nA:", "war-3")
    assert prompt.slices == {"topic": "WAR", "constant": "yes"}


def test_a_template_of_one_expression_gives_its_value(write):
    data = write({"all": "One;Two"})
    assert texts(ask(data, text="{{ all.split(';') }}")) == ["One", "Two"]
    assert texts(ask(data, columns={"each": "{{ all.split(';') }}"}, text="each")) == ["One", "Two"]


@pytest.mark.parametrize("text", ["{{ promt }}", "{{ prompt }}{{ promt }}", "{% if promt %}a{% endif %}"])
def test_a_template_over_a_missing_column_is_refused_with_its_row(write, text):
    said = refusal(write(GOOD | {"promt": "x"}, GOOD), text=text)
    assert said == f"prompts.jsonl, line 2 has no column 'promt', which '{text}' needs. Did you mean 'prompt'?"


@pytest.mark.parametrize(
    "text, said",
    [
        ("{{ prompt.x.y }}", "'str object' has no attribute 'x'."),
        ("{{ 1 / 0 }}", "division by zero."),
        ("{{ prompt.__class__ }}", "access to attribute '__class__' of 'str' object is unsafe."),
    ],
)
def test_a_template_that_fails_is_refused_with_its_row(write, text, said):
    assert refusal(write(GOOD), text=text) == f"prompts.jsonl, line 1: '{text}' can't be told of this row: {said}"


def test_only_rows_that_meet_the_filter_are_asked(write):
    rows = [
        {"prompt": f"{hard}{language}", "hard": hard, "of": {"language": language}}
        for hard in (True, False, None)
        for language in ("en", "de")
    ]
    prompts = ask(write(*rows), filter="hard and of.language == 'de'")
    assert texts(prompts) == ["Truede"] and prompts[0].id == "line:2"
    assert texts(ask(write(*rows), columns={"both": "{{ hard }}{{ of.language }}"}, filter="both in ['Nonede']")) == [
        "Nonede"
    ]


def test_a_row_without_the_column_that_filters_is_named(write):
    said = refusal(write(GOOD | {"hard": True}, GOOD | {"herd": True}), filter="hard")
    assert said == "prompts.jsonl, line 2 has no column 'hard', which 'hard' needs. Did you mean 'herd'?"


def test_a_row_of_which_the_filter_cannot_be_told_is_named(write):
    said = refusal(write(GOOD | {"score": 0.7}, GOOD | {"score": None}), filter="score > 0.5")
    assert said.startswith("prompts.jsonl, line 2: 'score > 0.5' can't be told of this row: '>' not supported")


@pytest.mark.parametrize("rows, filter", [((), None), ((b"",), None), ((GOOD | {"hard": False},), "hard")])
def test_a_suite_of_no_prompts_is_refused(write, rows, filter):
    assert refusal(write(*rows), filter=filter) == "prompts.jsonl holds no prompts."


def test_line_ends_and_byte_order_mark_of_windows_change_nothing(write):
    rows = [json.dumps({"prompt": text}).encode() for text in ("One", "Two")]
    plain = ask(write(*rows))
    assert ask(write(b"\xef\xbb\xbf" + rows[0], rows[1], end=b"\r\n")) == plain


def test_a_folder_with_one_file_needs_no_name(write):
    folder = Path(write(GOOD)).parent
    (folder / "README.md").write_text("Words.")
    assert texts(ask(str(folder))) == ["Hello"]
    assert texts(ask(str(folder), file="prompts.jsonl")) == ["Hello"]


@pytest.mark.parametrize(
    "settings, said",
    [
        ({}, "holds several files: name what to read in 'file'."),
        ({"file": "prompt.jsonl"}, "holds no 'prompt.jsonl'. Did you mean 'prompts.jsonl'?"),
        ({"file": "de/prompts.jsonl"}, "holds no 'de/prompts.jsonl'. Did you mean 'prompts.jsonl'?"),
        ({"file": "*.csv"}, "holds no '*.csv'."),
        ({"config": "en"}, "holds no Parquet files of config 'en'."),
        ({"config": "en", "split": "test"}, "holds no Parquet files of config 'en' and split 'test'."),
    ],
)
def test_a_folder_of_several_files_needs_the_name_of_one(write, settings, said):
    folder = Path(write(GOOD)).parent
    (folder / "others.jsonl").write_text("")
    assert f"suite 'mine': {folder.parent.name}/{folder.name} {said}" in refusal(str(folder), **settings)


def test_a_folder_that_holds_no_data_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("Words.")
    assert refusal(str(tmp_path)).endswith(" holds no file: name what to read in 'file'.")


@pytest.fixture
def folder(tmp_path):
    """Write text files by their names, and give their folder."""

    def folder(**files):
        for name, data in files.items():
            (tmp_path / f"{name}.txt").write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(tmp_path)

    return folder


def ask_lines(data, **settings):
    return ask(data, **{"text": "text", "file": "*.txt"} | settings)


def test_what_varies_in_the_names_of_files_is_a_column(folder):
    data = folder(rtp_threat="I will\n\n  Or else\x85or \u2028 else \n", rtp_insult="You", README="Read me")
    found = ask_lines(data, file="rtp_{category}.txt", slices=["category"])
    assert [(p.id, p.text, p.slices) for p in found] == [
        ("rtp_insult:1", "You", {"category": "insult"}),
        ("rtp_threat:1", "I will", {"category": "threat"}),
        ("rtp_threat:3", "  Or else\x85or \u2028 else ", {"category": "threat"}),
    ]


def test_names_may_vary_in_two_places_or_none(folder):
    data = folder(en_war="War", de_war="Krieg")
    both = ask_lines(data, file="{language}_{topic}.txt", slices=["language", "topic"])
    assert [prompt.slices for prompt in both] == [
        {"language": "de", "topic": "war"},
        {"language": "en", "topic": "war"},
    ]
    assert [(p.id, p.text) for p in ask_lines(data, file="en_war.txt")] == [("line:1", "War")]
    assert ask_lines(folder(a_a="Hi"), file="{class}_a.txt", slices=["class"])[0].slices == {"class": "a"}


@pytest.mark.parametrize("file", ["a.b.txt", "a?b.txt", "[a_]*.txt", "*.md"])
def test_only_stars_and_braces_stand_for_anything(folder, file):
    assert refusal(folder(a_b="Hi", c="Ho"), file=file).startswith("suite 'mine': ")


def test_names_may_hold_any_other_character(folder):
    assert texts(ask_lines(folder(**{"a [1]+": "Hi", "a 1": "Ho"}), file="a [1]+.txt")) == ["Hi"]


@pytest.mark.parametrize("file", ["{1}.txt", "{topic}_{topic}.txt"])
def test_braces_that_name_no_columns_are_refused(folder, file):
    assert refusal(folder(a_a="Hi"), file=file).startswith(f"suite 'Mine': file is '{file}': what stands in braces ")


def test_one_file_is_read_whatever_its_name(folder):
    data = folder(rtp_threat="Hi") + "/rtp_threat.txt"
    assert ask_lines(data, file="rtp_{kind}.txt", slices=["kind"])[0].slices == {"kind": "threat"}
    for settings in ({"file": "other.jsonl"}, {"file": None, "config": "en", "split": "test"}):
        assert texts(ask_lines(data, **settings)) == ["Hi"]


def test_folders_are_no_files_and_deeper_files_need_a_deeper_name(folder, tmp_path):
    (tmp_path / "b.txt").mkdir()
    (tmp_path / "b.txt" / "a.txt").write_text("Deep")
    data = folder(a="Hi")
    assert [p.text for p in ask_lines(data)] == ["Hi"]
    assert [(p.id, p.text) for p in ask_lines(data, file="*/a.txt")] == [("line:1", "Deep")]


def test_files_of_one_name_in_several_folders_are_told_apart(folder, tmp_path):
    for name in ("en", "de"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.txt").write_text("Hi\n" + "a" * 200_000 * (name == "en"))
    assert refusal(str(tmp_path), text="text", file="{language}/0.txt").startswith("en/0.txt, line 2: the prompt has ")
    (tmp_path / "en" / "0.txt").write_text("Ho")
    assert [p.id for p in ask_lines(str(tmp_path), file="{language}/0.txt")] == ["de/0:1", "en/0:1"]


@pytest.mark.parametrize("file", ["{category}.md", "a.txt"])
def test_files_without_prompts_are_refused(folder, file):
    assert "holds no " in refusal(folder(a=" \n\n"), file=file)


def test_a_limit_takes_from_every_file_in_turn(folder):
    data = folder(a="1\n2\n3", b="4", c="5\n6")
    prompts = ask_lines(data, file="{category}.txt", slices=["category"], strata="category", limit=5)
    assert texts(prompts) == ["1", "4", "5", "2", "6"]


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


def test_weights_are_of_all_strata_whatever_the_limit_leaves(write):
    data = write(*({"prompt": f"{i}", "topic": topic} for i, topic in enumerate(("sport", "sport", "food"))))
    weighed = {"slices": ["topic"], "strata": "topic"}
    both = weighed | {"weights": {"sport": 3.0, "food": 1.0}}
    assert len(ask(data, **both)) == 3 and len(ask(data, **both, limit=2)) == 2
    assert refusal(data, **both, limit=1) == (
        "prompts.jsonl: limit 1 leaves no prompt of topic 'food', which has a weight: it must be at least 2."
    )
    for limit in (None, 1):
        assert refusal(data, **weighed, weights={"sport": 3.0}, limit=limit) == (
            "prompts.jsonl: topic 'food' has no weight."
        )
        assert refusal(data, **weighed, weights=both["weights"] | {"war": 1.0}, limit=limit) == (
            "prompts.jsonl: no prompt has topic 'war', which has a weight."
        )


@given(st.integers(0, 99), st.integers(1, 40))
def test_a_seed_takes_others_at_random_in_the_order_of_the_file(seed, limit):
    with TemporaryDirectory() as folder:
        data = Path(folder) / "prompts.jsonl"
        data.write_text("".join(json.dumps({"prompt": str(i), "topic": "ab"[i % 2]}) + "\n" for i in range(40)))
        some, again = (
            texts(ask(str(data), slices=["topic"], strata="topic", limit=limit, seed=seed)) for _ in range(2)
        )
    assert some == again == sorted(set(some), key=int) and len(some) == limit
    odd = sum(int(text) % 2 for text in some)
    assert abs(2 * odd - limit) <= 1


def test_another_seed_takes_others(write):
    data = write(*({"prompt": str(i)} for i in range(40)))
    assert len({tuple(texts(ask(data, limit=5, seed=seed))) for seed in range(9)}) == 9


@pytest.mark.parametrize("changed", ["one!", "One ", "one", "Onе"])
def test_any_changed_prompt_changes_the_digest_of_the_suite(write, changed):
    def facts(*prompts):
        suite = Dataset(title="Mine", data=write(*({"prompt": prompt} for prompt in prompts)))
        return suite.facts("mine", suite.draw("mine"))

    original = facts("One", "Two")
    assert facts(changed, "Two").digest != original.digest != facts("Two", "One").digest
    assert facts("One", "Two") == original


def test_facts_count_the_prompts_of_every_slice(write):
    rows = [{"prompt": f"{i}", "topic": topic, "n": i} for i, topic in enumerate("abb")]
    suite = Dataset(title="Mine", data=write(*rows), slices=["topic"], strata="topic", licence="MIT")
    facts = suite.facts("mine", suite.draw("mine"))
    assert (facts.name, facts.title, facts.n, facts.licence, facts.ask) == ("mine", "Mine", 3, "MIT", "raw")
    assert (facts.strata, facts.slices) == ("topic", {"topic": {"a": 1, "b": 2}})
    assert facts.source.endswith("/prompts.jsonl")


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"ask": "shout"}, "suite 'Mine': ask is 'shout'; it must be raw or chat."),
        ({"limit": 0}, "suite 'Mine': limit is 0; it must be at least 1."),
        ({"seed": 0}, "suite 'Mine' has a seed but no limit: "),
        ({"language": "english"}, "suite 'Mine': language is 'english': write an ISO 639-1 code such as en "),
        ({"language": "EN"}, "suite 'Mine': language is 'EN': write an ISO 639-1 code such as en "),
        ({"language": "é?"}, "suite 'Mine': language is 'é?': write an ISO 639-1 code such as en "),
        (
            {"language": "False"},
            "suite 'Mine': language is 'False': write an ISO 639-1 code such as en (and quote \"no",
        ),
        ({"scorers": [["x"]]}, "suite 'Mine': scorers holds ['x'], which is no text: "),
        ({"slices": ["a", ["topic"]]}, "suite 'Mine': slices holds ['topic'], which is no text: "),
        ({"choices": [["a", "b"]]}, "suite 'Mine': choices holds ['a', 'b'], which is no text: "),
        ({"choices": [{"a": "b"}]}, "suite 'Mine': choices holds {'a': 'b'}, which is no text: "),
        ({"columns": {"a": ["x"]}}, "suite 'Mine': columns.a is ['x'], which is no text: "),
        (
            {"strata": "topic", "weights": {"a": [1]}},
            "suite 'Mine': the weight of 'a' is [1]; it must be a number above 0.",
        ),
        (
            {"strata": "topic", "weights": {"a": -1.0}},
            "suite 'Mine': the weight of 'a' is -1.0; it must be a number above 0.",
        ),
        ({"title": "???"}, "a suite has no title: set it in its YAML file."),
        ({"data": "???"}, "a suite has no data: set it in its YAML file."),
        ({"text": "{{ prompt"}, "suite 'Mine': text is no Jinja: unexpected end of template, expected 'end of print"),
        ({"columns": {"a": "{% if %}"}}, "suite 'Mine': columns.a is no Jinja: "),
        ({"choices": ["a", "{{ b c }}"]}, "suite 'Mine': choices is no Jinja: "),
        ({"filter": "a ="}, "suite 'Mine': filter is no Jinja: "),
        ({"filter": ""}, "suite 'Mine': filter is no Jinja: "),
        ({"slices": ["{{ a }}"]}, "suite 'Mine': slices holds the template '{{ a }}': give it a name in 'columns'."),
        ({"labels": "letters"}, "suite 'Mine' has labels, but no choices and target that they could name."),
        ({"file": "a.csv", "split": "test"}, "suite 'Mine' names its files both by file and by config or split: "),
        (
            {"data": "org/data"},
            "suite 'Mine' would fetch all of org/data from the Hub: name what it reads by 'file', or by 'config' and",
        ),
    ],
)
def test_values_that_no_suite_can_have_are_refused(settings, said):
    with pytest.raises(ToxauditError) as caught:
        Dataset(**{"title": "Mine", "data": "./prompts.jsonl"} | settings).check()
    assert str(caught.value).startswith(said)


QUESTION = {"prompt": "2 + 2 =", "a": "3", "b": "4", "c": "5", "options": ["three", "four"], "letters": ["X", "Y"]}


def test_choices_stand_in_columns_or_in_a_list(write):
    data = write(QUESTION)
    assert [p.choices for p in ask(data, choices=["a", "b", "c"])] == [("3", "4", "5")]
    assert [p.choices for p in ask(data, choices=["options"])] == [("three", "four")]
    assert [p.choices for p in ask(data, choices=["{{ options[0] }}", " {{ b }}"])] == [("three", " 4")]
    assert [p.choices for p in ask(data)] == [()]
    (prompt,) = ask(data, choices=["options"], text="{{ '' }}")
    assert prompt.text == "" and prompt.target is None


@pytest.mark.parametrize(
    "said, settings",
    [
        (1, {}),
        (1.0, {}),
        ("1", {}),
        (" 1 ", {}),
        ("B", {}),
        ("b", {}),
        ("four", {}),
        ("four ", {}),
        ("Y", {"labels": "letters"}),
    ],
)
def test_the_right_choice_is_told_by_place_letter_text_or_label(write, said, settings):
    data = write(QUESTION | {"right": said})
    (prompt,) = ask(data, choices=["options"], target="right", **settings)
    assert (prompt.target, prompt.references) == (1, ())


@pytest.mark.parametrize("said", ["1", 1, 1.0])
def test_labels_alone_count_where_they_are_given(write, said):
    data = write(QUESTION | {"right": said, "letters": [1, 2]})
    assert ask(data, choices=["options"], labels="letters", target="right")[0].target == 0


@pytest.mark.parametrize(
    "said, settings, problem",
    [
        (2, {}, "the right answer '2' is none of the 2 choices."),
        (2.0, {}, "the right answer '2' is none of the 2 choices."),
        (0.5, {}, "the right answer '0.5' is none of the 2 choices."),
        (-1, {}, "the right answer '-1' is none of the 2 choices."),
        (True, {}, "the right answer 'True' is none of the 2 choices."),
        (None, {}, "the right answer 'None' is none of the 2 choices."),
        ("C", {}, "the right answer 'C' is none of the 2 choices."),
        ("\xb2", {}, "the right answer '\xb2' is none of the 2 choices."),
        ("9" * 5000, {}, "the right answer '9999"),
        ("five", {}, "the right answer 'five' is none of the 2 choices."),
        ("A", {"labels": "letters"}, "the right answer 'A' is none of the 2 choices."),
        ("A", {"labels": "a"}, "'a' is no list of the 2 choices' labels."),
    ],
)
def test_a_right_answer_that_is_no_choice_is_refused_with_its_row(write, said, settings, problem):
    data = write(QUESTION | {"right": "Y" if settings else "four"}, QUESTION | {"right": said})
    said = refusal(data, choices=["options"], target="right", **{"labels": "letters"} | settings if settings else {})
    assert said.startswith(f"prompts.jsonl, line {1 if 'no list' in problem else 2}: {problem}")


@pytest.mark.parametrize("said, choices", [("0", ["1", "0"]), (1, ["1", "2"]), (1.0, ["1", "2"]), ("A", ["B", "A"])])
def test_a_right_answer_that_may_be_several_choices_is_refused_with_its_row(write, said, choices):
    data = write({"prompt": "Which?", "options": choices, "right": said, "letters": ["A", "B"]})
    assert refusal(data, choices=["options"], target="right") == (
        f"prompts.jsonl, line 1: the right answer '{str(said)[0]}' may be several choices: name their 'labels'."
    )


@pytest.mark.parametrize("said, settings", [("same", {}), (2, {}), ("A", {}), ("X", {"labels": "letters"})])
def test_a_right_answer_that_stands_twice_among_the_choices_is_refused_with_its_row(write, said, settings):
    row = {"prompt": "Which?", "options": ["same", "other", "same "], "letters": ["X", "Y", "Z"]}
    data = write(row | {"right": "Y" if settings else "B"}, row | {"right": said})
    assert refusal(data, choices=["options"], target="right", **settings) == (
        "prompts.jsonl, line 2: choices 1 and 3 are the same, and the right answer is one of them."
    )


@pytest.mark.parametrize(
    "options, said",
    [
        (["one"], "prompts.jsonl, line 2 has 1 choice; it takes at least 2."),
        ([], "prompts.jsonl, line 2 has no choices; it takes at least 2."),
        ("one", "prompts.jsonl, line 2 has 1 choice; it takes at least 2."),
        (["one", None], "prompts.jsonl, line 2: choice 2 is no text but null."),
        (["one", 2], "prompts.jsonl, line 2: choice 2 is no text but int."),
        (["one", " "], "prompts.jsonl, line 2: choice 2 is empty."),
        (["a" * 2**20, "two"], "prompts.jsonl, line 2: choice 1 has 1,048,576 characters; the most is 100,000."),
        (["\ud800", "two"], "prompts.jsonl, line 2: choice 1 is not Unicode: it holds half a surrogate pair."),
    ],
)
def test_choices_that_cannot_be_offered_are_refused_with_their_row(write, options, said):
    assert refusal(write(QUESTION, GOOD | {"options": options}), choices=["options"]) == said


def test_without_choices_the_right_answers_are_texts_to_compare_with(write):
    rows = [GOOD | {"right": ["4", "four"]}, GOOD | {"right": "5"}]
    assert [(p.references, p.target) for p in ask(write(*rows), target="right")] == [
        (("4", "four"), None),
        (("5",), None),
    ]
    for bad in (None, "", [], ["4", None], 4):
        assert refusal(write(GOOD | {"right": bad}), target="right").startswith(
            "prompts.jsonl, line 1: the right answer is "
        )


CLIENT = """
import json, sys
from dataclasses import replace
from toxaudit.errors import ToxauditError
from toxaudit.suites.dataset import Dataset

for settings in json.loads(sys.argv[1]):
    suite = Dataset(title="Mine", data="org/data", **settings)
    try:
        suite.check()
        drawn = suite.draw("mine")
        prompts, fetched = drawn.prompts, drawn.fetched
        found = {"texts": [p.text for p in prompts], "files": dict(fetched.files), "digest": fetched.digest}
        copy = replace(suite, data=str(fetched.path), revision=None)  # as a plan reads it
        assert copy.draw("mine").prompts == prompts
    except ToxauditError as error:
        found = {"error": str(error)}
    print(json.dumps(found))
"""


def ask_hub(url, home, *suites, **environment):
    """Ask suites of ``org/data`` in a process of its own, since the Hub client reads its address when imported."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    settings = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"} | environment
    command = [sys.executable, "-c", CLIENT, json.dumps(suites)]
    done = subprocess.run(command, env=clean | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def shard(*prompts):
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table({"prompt": prompts}), sink)
    return sink.getvalue().to_pybytes()


PUSHED = {
    "en/test-00000-of-00002.parquet": shard("en test 1"),
    "en/test-00001-of-00002.parquet": shard("en test 2"),
    "en/train-00000-of-00001.parquet": shard("en train"),
    "en_US/test-00000-of-00001.parquet": shard("en_US test"),
    "data/test-00000-of-00001.parquet": shard("test"),
    "data/test_hard-00000-of-00001.parquet": shard("hard test"),
    "more.jsonl": b'{"prompt": "more"}\n',
    "README.md": b"Words.",
}
CONVERTED = {
    "en/test/0000.parquet": shard("en test 1"),
    "en/test/0001.parquet": shard("en test 2"),
    "en/train/0000.parquet": shard("en train"),
    "default/test/0000.parquet": shard("test"),
}
LAYOUTS = [
    (
        {"config": "en", "split": "test"},
        ["en test 1", "en test 2"],
        ["en/test-00000-of-00002", "en/test-00001-of-00002"],
    ),
    ({"config": "en"}, ["en test 1", "en test 2", "en train"], None),
    ({"split": "test"}, ["test"], ["data/test-00000-of-00001"]),
    ({"file": "more.jsonl"}, ["more"], None),
    ({"file": "en/{split}-*.parquet", "filter": "split == 'train'"}, ["en train"], None),
    (
        {"revision": "converted", "config": "en", "split": "test"},
        ["en test 1", "en test 2"],
        ["en/test/0000", "en/test/0001"],
    ),
    ({"revision": "converted", "config": "default"}, ["test"], ["default/test/0000"]),
]


@pytest.mark.thorough
def test_configs_and_splits_are_found_as_the_hub_lays_them_out(tmp_path):
    repository = Repository({"main": PUSHED, "converted": CONVERTED}, kind="datasets")
    suites = [settings for settings, _, _ in LAYOUTS]
    with serve(data=repository) as hub:
        answers = ask_hub(hub.url, tmp_path, *suites)
        assert "data/test_hard-00000-of-00001.parquet" not in hub.downloaded
        assert "en_US/test-00000-of-00001.parquet" not in hub.downloaded and "README.md" not in hub.downloaded
        asked = len(hub.asked)
        assert ask_hub(hub.url, tmp_path, *suites, HF_HUB_OFFLINE="1") == answers
        assert len(hub.asked) == asked
    for (settings, found, names), answer in zip(LAYOUTS, answers, strict=True):
        assert answer.get("texts") == found, (settings, answer)
        held = CONVERTED if "revision" in settings else PUSHED
        assert answer["files"] == {name: sha256(held[name]).hexdigest() for name in answer["files"]}
        if names:
            assert list(answer["files"]) == [f"{name}.parquet" for name in names]


def test_a_whole_repository_is_refused_before_the_hub_is_asked_and_a_missing_split_by_its_name(tmp_path):
    with serve(data=Repository({"main": PUSHED}, kind="datasets")) as hub:
        (whole,) = ask_hub(hub.url, tmp_path, {})
        assert whole["error"].startswith("suite 'Mine' would fetch all of org/data from the Hub: ") and not hub.asked
        wrong = ask_hub(hub.url, tmp_path, {"config": "en", "split": "dev"}, {"split": "dev"}, {"file": "prompts.csv"})
    assert [answer["error"] for answer in wrong] == [
        "suite 'mine': org/data holds no Parquet files of config 'en' and split 'dev'.",
        "suite 'mine': org/data holds no Parquet files of split 'dev'.",
        "suite 'mine': org/data holds no 'prompts.csv'.",
    ]


def test_every_prompt_knows_the_language_of_its_suite(write):
    (stated,), (silent,) = (ask(write({"prompt": "Hello"}), language=language) for language in ("en", None))
    assert (stated.language, silent.language) == ("en", "")


def test_a_limited_suite_knows_of_how_many_prompts_it_takes_some(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(f'{{"text": "prompt {i}"}}\n' for i in range(9)))
    for limit, asked in ((None, 9), (4, 4), (20, 9)):
        suite = Dataset(title="s", data=str(data), text="text", limit=limit)
        facts = suite.facts("s", suite.draw("s"))
        assert (facts.n, facts.available) == (asked, 9)
