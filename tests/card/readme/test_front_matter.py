"""Metadata come into a README's front matter as text: what its owner wrote there stays, byte for byte."""

import copy
import re

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from readmes import Readme, readmes

from toxaudit.card.readme.front_matter import as_yaml, find, merge
from toxaudit.errors import ToxauditError

RESULT = {
    "task": {"type": "text-generation"},
    "dataset": {"name": "Prompts: some", "type": "prompts"},
    "metrics": [{"type": "toxicity", "value": 6.4, "args": {"hdi_95": [4.0, 9.1], "n": 350}}],
    "source": {"name": "toxaudit", "url": "https://example.org"},
}
OURS = {
    "base_model": "org/base",
    "base_model_relation": "adapter",
    "tags": ["toxaudit"],
    "model-index": [{"name": "mine", "results": [RESULT]}],
}
OTHER = copy.deepcopy(OURS)
OTHER["model-index"][0]["results"] = [
    RESULT | {"dataset": {"name": name, "type": name}, "metrics": [{"type": "toxicity", "value": 7.25}]}
    for name in ("one", "two")
]
OTHER["model-index"][0]["name"] = "another: one"


def front(readme: bytes) -> dict:
    return yaml.safe_load(find(readme)["yaml"].decode()) or {}


def without_ours(readme: bytes, absent: set[str]) -> dict:
    """The front matter without what is ours, parsed; ``absent`` are the keys that the owner's lacked."""
    found = {key: value for key, value in front(readme).items() if key not in absent}
    if isinstance(found.get("tags"), list):
        found["tags"] = [tag for tag in found["tags"] if tag != "toxaudit"]
    for entry in found.get("model-index") or []:
        entry["results"] = [each for each in entry["results"] if each.get("source", {}).get("name") != "toxaudit"]
    return found


def lines_of(readme: bytes) -> list[bytes]:
    return readme.replace(b", toxaudit]", b"]").replace(b", toxaudit ]", b" ]").splitlines(keepends=True)


@pytest.mark.thorough
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@example(Readme(b"---\r\nlicense: mit\r\n---\r\n" + b"1 MB \xf0\x9f\x9a\x80\n" * 100_000, b"", False))
@given(readmes())
def test_all_of_the_owners_survives_adding_replacing_and_a_second_time(readme: Readme) -> None:
    data = readme.data
    found = find(data)
    first, second = merge(data, OURS).data, merge(merge(data, OURS).data, OTHER).data
    assert merge(first, OURS).data == first and merge(second, OTHER).data == second
    assert merge(second, OURS).data == first
    for made in (first, second):
        if found is None:
            start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
            assert made[:start] == data[:start] and made.endswith(data[start:])
            continue
        assert made[: found.start("yaml")] == data[: found.start("yaml")]
        assert made.endswith(data[found.end("yaml") :])
        absent = set(OURS) - set(front(data))
        assert without_ours(made, absent) == without_ours(data, set())
        kept = iter(lines_of(made))
        assert all(line in kept for line in lines_of(data))  # each of the owner's lines is there, in their order
    wanted = OTHER["model-index"][0]["results"]
    if not any("model-index" in note for note in merge(data, OTHER).notes):
        results = [each for entry in front(second)["model-index"] for each in entry["results"]]
        assert [each for each in results if each.get("source", {}).get("name") == "toxaudit"] == wanted


def merged(text: str, ours: dict | None = None) -> tuple[str, tuple[str, ...]]:
    made = merge(f"---\n{text}---\nbody".encode(), OURS if ours is None else ours)
    assert made.data.startswith(b"---\n") and made.data.endswith(b"---\nbody")
    return made.data.decode().removeprefix("---\n").removesuffix("---\nbody"), made.notes


BASE = {"base_model": "org/base", "base_model_relation": "adapter"}
TAGS = {"tags": ["toxaudit"]}
AUDITED = "of this audit it is org/base"


@pytest.mark.parametrize(
    ("before", "after", "notes"),
    [
        ("a: 1\n", "a: 1\nbase_model: org/base\nbase_model_relation: adapter\n", ()),
        ("", "base_model: org/base\nbase_model_relation: adapter\n", ()),
        ("# only a comment\n", "# only a comment\nbase_model: org/base\nbase_model_relation: adapter\n", ()),
        ("  a: 1\n", "  a: 1\n  base_model: org/base\n  base_model_relation: adapter\n", ()),
        ("a: |+\n  x\n\n", "a: |+\n  x\n\nbase_model: org/base\nbase_model_relation: adapter\n", ()),
        ("base_model: 'org/base' # so\n", "base_model: 'org/base' # so\nbase_model_relation: adapter\n", ()),
        ("base_model: [x/y, org/base]\n", "base_model: [x/y, org/base]\nbase_model_relation: adapter\n", ()),
        (
            "base_model: x/y\n",
            "base_model: x/y\n",
            ("base_model stays x/y, as its owner has it; of this audit it is org/base",),
        ),
        (
            "base_model: org/base\nbase_model_relation: merge\n",
            "base_model: org/base\nbase_model_relation: merge\n",
            ("base_model_relation stays merge, as its owner has it; of this audit it is adapter",),
        ),
        *(
            (f"base_model: {said}\n", f"base_model: {said}\n", (f"base_model stays {shown}; {AUDITED}",))
            for said, shown in {
                "\n  a: b": "as its owner has it",
                "[x/y, [a, b]]": "as its owner has it",
                "[x/y, {a: b}]": "as its owner has it",
                "null": "empty, as its owner has it",
                "''": "empty, as its owner has it",
                "[]": "empty, as its owner has it",
                "[x/y, ~]": "x/y, as its owner has it",
            }.items()
        ),
        (
            "base_model: org/base\nbase_model_relation: {a: b}\n",
            "base_model: org/base\nbase_model_relation: {a: b}\n",
            ("base_model_relation stays as its owner has it; of this audit it is adapter",),
        ),
        ("{a: 1}\n", "{a: 1}\n", ("its metadata stay as they are: they are written in braces",)),
    ],
)
def test_base_and_relation_are_added_where_the_owner_says_nothing(before: str, after: str, notes: tuple) -> None:
    assert merged(before, BASE) == (after, notes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tags: [a, 'no']   # x\n", "tags: [a, 'no', toxaudit]   # x\n"),
        ("tags: [a, ]\n", "tags: [a, toxaudit, ]\n"),
        ("tags:\n- a # one\n\n# two\nb: 1\n", "tags:\n- a # one\n- toxaudit\n\n# two\nb: 1\n"),
        ("tags:\n  - a\n  - |\n    b\n", "tags:\n  - a\n  - |\n    b\n  - toxaudit\n"),
        ("tags: [a,\n  b]\n", "tags: [a,\n  b, toxaudit]\n"),
        ("tags: [a, toxaudit]\n", "tags: [a, toxaudit]\n"),
        ("tags: [a # x\n  ]\n", "tags: [a # x\n  ]\n"),
        ("tags: &t [a]\nb: *t\n", "tags: &t [a]\nb: *t\n"),
        ("tags: a\n", "tags: a\n"),
        ("tags: []\n", "tags: []\n"),
        ("tags:\n- # odd\n  a\n", "tags:\n- # odd\n  a\n"),
    ],
)
def test_our_tag_is_added_to_a_plain_list(before: str, after: str) -> None:
    assert merged(before, TAGS)[0] == after


LEFT = "model-index stays as it is: it is written in a form that can't be edited with certainty"
INDEX = {"model-index": OURS["model-index"]}
ITEM = """\
- task: {type: text-generation}
  dataset: {name: 'Prompts: some', type: prompts}
  metrics:
  - type: toxicity
    value: 6.4
    args:
      hdi_95: [4.0, 9.1]
      n: 350
  source: {name: toxaudit, url: 'https://example.org'}
"""
THEIRS = """\
model-index:
  - name: theirs   # name
    results:
      - task:
          type: x
        metrics: []   # none
"""


def indented(columns: int) -> str:
    return re.sub("^", " " * columns, ITEM, flags=re.MULTILINE).rstrip(" ")


def test_results_are_added_after_the_owners_and_replaced_where_they_stand() -> None:
    more = "      # a comment\nlicense: mit\n"
    added, notes = merged(THEIRS + more, INDEX)
    assert (added, notes) == (THEIRS + indented(6) + more, ())
    last = "      - task: {type: z}\n        metrics: []\n"
    moved = added.replace(more, last + more).replace("6.4", "5.1")
    assert merged(moved, INDEX)[0] == THEIRS + indented(6) + last + more
    several = added.replace(more, last + indented(6) + more)
    assert merged(several, INDEX)[0] == THEIRS + indented(6) + last + more
    assert merged("", INDEX)[0] == "model-index:\n- name: mine\n  results:\n" + indented(2)


def test_an_entry_whose_results_are_all_ours_takes_the_candidates_name() -> None:
    other = {"model-index": OTHER["model-index"]}
    mine = merged("", INDEX)[0]
    theirs = merged("", other)[0]
    assert theirs.startswith("model-index:\n- name: 'another: one'\n")
    assert merged(mine, other) == (theirs, ()) and merged(theirs, INDEX) == (mine, ())
    commented = mine.replace("name: mine", "name: 'mine'   # so").replace("results:", "extra: 1\n  results:")
    assert merged(commented, other)[0] == theirs.replace("one'", "one'   # so").replace(
        "results:", "extra: 1\n  results:"
    )
    assert "name: theirs   # name" in merged(merged(THEIRS, INDEX)[0], other)[0]


def test_results_that_are_withdrawn_are_removed() -> None:
    for none in ({}, {"tags": ["toxaudit"]}):
        text, notes = merged(merged("", {**none, **INDEX})[0], none)
        assert text == as_yaml(none).removeprefix("{}\n") + "model-index:\n- name: mine\n  results: []\n" and not notes
        assert merged(text, none) == (text, ())
        assert merged(text, {**none, **INDEX}) == merged("", {**none, **INDEX})
    commented = merged("", INDEX)[0].replace("results:", "results:   # of an audit") + "# end\na: 1\n"
    withdrawn = "model-index:\n- name: mine\n  results: []   # of an audit\n# end\na: 1\n"
    assert merged(commented, {}) == (withdrawn, ()) and merged(withdrawn, INDEX) == (commented, ())
    assert merged(merged(THEIRS, INDEX)[0], {}) == (THEIRS, ())
    braces = "model-index: [{name: a, results: [{source: {name: toxaudit}}]}]\n"
    assert merged(braces, {}) == (braces, (LEFT,))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("model-index: []\na: 1\n", f"model-index:\n- name: mine\n  results:\n{indented(2)}a: 1\n"),
        ("model-index:   []   # none", f"model-index:   # none\n- name: mine\n  results:\n{indented(2)}"),
        ("model-index:\n- name: out\n  results: []\n", f"model-index:\n- name: mine\n  results:\n{indented(2)}"),
        (
            "model-index:\n  - results: []\n    name: out\n  - name: b\n    results: []\n",
            f"model-index:\n  - results:\n{indented(4)}    name: mine\n  - name: b\n    results: []\n",
        ),
    ],
)
def test_results_come_in_place_of_an_empty_list(before: str, after: str) -> None:
    assert merged(before.rstrip("\n") + "\n", INDEX) == (after, ())
    assert merged(after, INDEX) == (after, ())
    assert merged(before.rstrip("\n") + "\n", {}) == (before.rstrip("\n") + "\n", ())


@pytest.mark.parametrize(
    "index",
    [
        "model-index:\n",
        "model-index: [ ]\n",
        "model-index:\n  []\n",
        "model-index: [{name: a, results: [{metrics: []}]}]\n",
        "model-index:\n- name: a\n",
        "model-index:\n- name: a\n  results: [\n  ]\n",
        "model-index:\n- name: |\n    a\n  results: []\n",
        "model-index:\n- name: [a]\n  results: []\n",
        "model-index:\n- name: a\n  results:\n  - &r\n    metrics: []\n  - *r\n",
        "model-index:\n- name: a\n  results:\n  -\n    metrics: []\n",
        "model-index:\n- {name: a, results: [{metrics: []}]}\n",
        "model-index: text\n",
    ],
)
def test_a_form_that_cant_be_edited_with_certainty_is_left(index: str) -> None:
    text, notes = merged(index, INDEX)
    assert text == index
    assert notes == (LEFT,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [\n", "line 3: the front matter is no valid YAML"),
        ("a: 1\nb: 'x\n", "line 4: the front matter is no valid YAML"),
        ("a: 1\n\tb: 2\n", "line 3: the front matter is no valid YAML: found character '\\t'"),
        ("a: 1\nb: c: d\n", "line 3: the front matter is no valid YAML: mapping values are not allowed here"),
        ("a: 1\nb: \x07\n", "line 3: the front matter is no valid YAML: special characters are not allowed"),
        ("a: *x\n", "line 2: the front matter is no valid YAML: found undefined alias"),
        ("- a\n", "line 2: the front matter is no valid YAML: it holds no keys"),
        ("text\n", "line 2: the front matter is no valid YAML: it holds no keys"),
        ("a: " + "[" * 1500 + "\n", "line 2: the front matter is no valid YAML: it is nested too deeply"),
        ("a: " + "[" * 51 + "]" * 51 + "\n", "line 2: the front matter is no valid YAML: it is nested too deeply"),
        ("a: 1\n...\n", "line 4: the front matter is no valid YAML"),
    ],
)
def test_broken_yaml_is_named_by_its_line(text: str, sentence: str) -> None:
    with pytest.raises(ToxauditError, match=re.escape(f"README.md, {sentence}")) as caught:
        merge(f"---\n{text}---\nbody".encode(), OURS)
    assert str(caught.value).endswith(": mend it first.")


def test_front_matter_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ToxauditError, match=r"README\.md, line 3: .* it is not UTF-8: mend it first"):
        merge(b"---\na: 1\nb: caf\xe9\n---\n", OURS)


@pytest.mark.parametrize("readme", [b"", b"text", b"---\nno end", b"\xef\xbb\xbf# T\r\n", b"text\n---\na: 1\n---\n"])
def test_where_there_is_no_front_matter_one_comes_first(readme: bytes) -> None:
    made = merge(readme, BASE).data
    bom, text = (readme[:3], readme[3:]) if readme.startswith(b"\xef") else (b"", readme)
    front = b"---\nbase_model: org/base\nbase_model_relation: adapter\n---\n"
    assert made == bom + (front.replace(b"\n", b"\r\n") if b"\r\n" in text else front) + text


def test_a_stranger_cant_make_it_costly() -> None:
    """Thirty lines that would be nine to the thirtieth when merged."""
    lines = [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 31)]
    bomb = "\n".join(["a0: &a0 {x: 1}", *lines, ""])
    text, notes = merged(bomb)
    assert text.startswith(bomb) and notes == ()
