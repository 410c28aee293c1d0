"""Whatever a stranger's README holds: the section in it and all else as it was, or one sentence and nothing done."""

import random
from typing import Any

import pytest
from fuzzing import TEXTS, TIMES, damaged, ended, named, seeds
from readmes import BEGIN, BLOCKS, END, LATER, METADATA, SECTION
from results import RESULTS

from toxaudit.card.readme.front_matter import find, merge
from toxaudit.card.readme.metadata import metadata
from toxaudit.card.readme.splice import place, splice

TRIES = 400 * TIMES
MARKS = [BEGIN, END, f"{BEGIN}{END}", f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}", "<!-- toxaudit:begin", "toxaudit:end -->"]
MARKS += [f" {BEGIN}", f"{BEGIN} ", BEGIN.upper(), BEGIN.replace(" ", ""), f"> {BEGIN}", f"- {END}", f"<b>{END}</b>"]
ODD = ["---", "...", "\t---", "--- ", "```", "~~~", "````", "<pre>", "</pre>", "<!--", "-->", "<script>", "<details>"]
ODD += ["z" * 50_000, "[" * 5000, "> " * 3000, "- " * 3000]
YAML = [
    "&a [*a]",
    "<<: *a",
    "? x",
    "a: a: a",
    "!!python/none",
    "%YAML 9",
    "- a",
    "tags: &x [a]\nmore: *x",
    "tags: !!set {a}",
]
OURS = [{"tags": ["toxaudit"], "base_model": ["org/base"]}, metadata(RESULTS["go"].narrowed("benign"))]


def readme(chance: random.Random) -> bytes:
    """A README of blocks, marks and oddities, whose front matter may be any, damaged at the end."""
    parts = []
    if chance.random() < 0.6:
        pieces = chance.sample(METADATA, chance.randrange(4)) + [chance.choice(YAML + ODD)] * (chance.random() < 0.15)
        first, last = chance.choice(["---"] * 9 + ["--- ", "----"]), chance.choice(["---"] * 9 + ["...", "--"])
        parts.append("\n".join([first, *pieces, last]))
    for _ in range(chance.randrange(7)):
        parts.append(chance.choice(chance.choice([BLOCKS, BLOCKS, TEXTS, ODD])))
    if chance.random() < 0.6:
        parts.insert(chance.randrange(len(parts) + 1), SECTION.rstrip("\n"))
    if chance.random() < 0.3:
        parts.insert(chance.randrange(len(parts) + 1), chance.choice(MARKS))
    text = chance.choice(["\n\n", "\n\n", "\n", "\r\n\r\n", "\r"]).join(parts)
    data = text.replace("\n", chance.choice(["\n", "\n", "\r\n"])).encode("utf-8", "surrogatepass")
    data = chance.choice([b"", b"", b"\xef\xbb\xbf"]) + data
    if chance.random() < 0.03:
        data = data.decode("utf-8", "replace").encode(chance.choice(["utf-16", "latin-1"]), "replace")
    return damaged(chance, data) if chance.random() < 0.5 else data


def outside(data: bytes) -> tuple[bytes, bytes]:
    """What stands before and behind the section."""
    found = place(data)
    assert found
    return data[: found.start], data[found.stop :]


def check_spliced(before: bytes) -> str:
    """Why no section can be put in; else nothing, and all but the section is as it was."""
    first, said = ended(lambda: splice(before, SECTION.encode()))
    if said:
        return said
    start, end = outside(first)
    if there := place(before):
        assert (start, end) == (before[: there.start], before[there.stop :])
    else:
        assert start.startswith(before) and not (start[len(before) :] + end).strip(b"\r\n")
    assert splice(first, SECTION.encode()) == first
    later = splice(first, LATER.encode())
    assert outside(later) == (start, end) and splice(later, SECTION.encode()) == first
    return ""


def check_merged(before: bytes, ours: dict[str, Any]) -> str:
    """Why no metadata can be put in; else nothing, and all behind the front matter is as it was."""
    merged, said = ended(lambda: merge(before, ours))
    if said:
        return said
    head, kept = find(merged.data), find(before)
    assert head
    assert merge(merged.data, ours).data == merged.data
    rest = before[kept.end() :] if kept else before.removeprefix(b"\xef\xbb\xbf")
    assert merged.data[head.end() :] == rest
    return ""


@pytest.mark.slow
@seeds
def test_any_readme_keeps_all_but_the_section_or_ends_in_one_sentence(seed):
    chance, done = random.Random(seed), 0
    for number in range(TRIES):
        before = readme(chance)
        with named(seed, number, before):
            done += not check_spliced(before)
            done += not check_merged(before, OURS[number % 2])
    assert TRIES < done < 2 * TRIES
