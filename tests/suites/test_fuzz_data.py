"""Whatever a data file holds: prompts that are texts, or one sentence that names the file."""

import gzip
import io
import random
import zipfile
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from fuzzing import TIMES, damaged, dumped, ended, named, seeds, value
from pyarrow import parquet

from toxaudit.suites.dataset import Dataset

TRIES = 1000 * TIMES
COLUMNS = ("prompt", "id", "kind", "a", "b", "answer", "group")


def row(chance: random.Random, number: int) -> dict[str, Any]:
    """A row as it should be, in which now and then a value, a column or its name is another."""
    made: dict[str, Any] = {"prompt": f"Say {number}", "id": f"p{number}", "kind": chance.choice("xyz")}
    made |= {"a": "yes", "b": "no", "answer": chance.choice("AB"), "group": f"g{number % 3}"}
    for _ in range(chance.choice([0, 0, 0, 0, 1, 2])):
        column = chance.choice(COLUMNS)
        if chance.random() < 0.2:
            made.pop(column, None)
        else:
            made[column if chance.random() < 0.9 else f"{column} "] = value(chance)
    return made


def cell(chance: random.Random, found: Any) -> str:
    text = found if isinstance(found, str) else "" if found is None else str(found)
    return '"' + text.replace('"', '""') + '"' if chance.random() < 0.5 or {",", '"', "\n"} & set(text) else text


def table(chance: random.Random, rows: list[dict[str, Any]], delimiter: str) -> bytes:
    """CSV or TSV, with a header that may name a column twice or none."""
    header = [chance.choice([*COLUMNS, ""]) if chance.random() < 0.02 else name for name in COLUMNS]
    ending = chance.choice(["\n", "\r\n", "\n", "\r"])
    lines = [header, *([cell(chance, each.get(name)) for name in COLUMNS] for each in rows)]
    return ending.join(delimiter.join(cells) for cells in lines).encode("utf-8", "surrogatepass")


def columnar(chance: random.Random, rows: list[dict[str, Any]]) -> bytes:
    """Parquet, of whatever types the values of a column share."""
    import datetime

    into, arrays, names = io.BytesIO(), [], []
    for name in COLUMNS:
        values = [each.get(name) for each in rows]
        if chance.random() < 0.1:
            odd = chance.choice([datetime.date(2024, 5, 1), b"\xff", [1], {"a": 1}, 1.5, None, datetime.timedelta(1)])
            values = [odd] * len(rows)
        try:
            arrays.append(pyarrow.array(values))
        except (pyarrow.ArrowException, UnicodeError, OverflowError, TypeError):
            arrays.append(pyarrow.array([repr(each) for each in values]))
        names.append(name if chance.random() < 0.98 else "prompt")
    try:
        parquet.write_table(pyarrow.Table.from_arrays(arrays, names=names), into)
    except pyarrow.ArrowNotImplementedError:  # Parquet holds no mapping without keys, so nobody has such a file
        into = io.BytesIO()
        parquet.write_table(pyarrow.table({"prompt": ["say"]}), into)
    return into.getvalue()


def made(chance: random.Random) -> tuple[str, bytes]:
    """A data file's name and content."""
    rows = [row(chance, number) for number in range(chance.choice([0, 1, 5, 12]))]
    form = chance.choice(["jsonl", "json", "csv", "tsv", "txt", "parquet"])
    if form == "parquet":
        data = columnar(chance, rows)
    elif form in ("csv", "tsv"):
        data = table(chance, rows, "," if form == "csv" else chance.choice("\t\t\t,;"))
    elif form == "json":
        data = dumped(rows if chance.random() < 0.7 else value(chance))
    else:
        ending = chance.choice([b"\n", b"\r\n", b"\n\n", b"\r"])
        data = (
            ending.join(dumped(each) for each in rows)
            if form == "jsonl"
            else b"\n".join(
                each["prompt"].encode("utf-8", "replace") if isinstance(each.get("prompt"), str) else b"x"
                for each in rows
            )
        )
    if chance.random() < 0.05:
        data = data.decode("utf-8", "replace").encode(chance.choice(["utf-16", "latin-1", "utf-32"]), "replace")
    data = damaged(chance, data)
    if chance.random() < 0.05:
        data = damaged(chance, gzip.compress(data)) if chance.random() < 0.5 else zipped(data)
    return f"prompts.{form.upper() if chance.random() < 0.05 else form}", data


def zipped(data: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as file:
        file.writestr("prompts.csv", data)
    return into.getvalue()[:-7]


def suite(chance: random.Random, data: Path) -> Any:
    """A suite of some kind over the file, by its columns."""
    text = (
        "text"
        if data.suffix.lower() == ".txt"
        else chance.choice(["prompt"] * 6 + ["{{ prompt }}!", "{{ prompt }}", "kind.a"])
    )
    more: dict[str, Any] = {}
    for name, choices in {
        "id": ["id", None, "{{ id }}"],
        "slices": [["kind"], [], ["kind", "group"]],
        "strata": [None, None, "kind"],
        "cluster": [None, None, "group"],
        "filter": [None, None, None, "kind == 'x'", "a < 2"],
        "limit": [None, None, 3],
    }.items():
        more[name] = chance.choice(choices)
    if more["strata"] and more["strata"] not in more["slices"]:
        more["slices"] = [*more["slices"], more["strata"]]
    if chance.random() < 0.3:
        more |= {
            "choices": chance.choice([["a", "b"], ["a"], ["{{ [a, b] }}"]]),
            "target": chance.choice([None, "answer"]),
        }
    elif chance.random() < 0.2:
        more |= {"target": "answer"}
    return Dataset(title="Mine", data=str(data), text=text, **more)


def drawn(found: Any) -> Any:
    found.check()
    return found.draw("mine").prompts


@pytest.mark.slow
@seeds
def test_any_data_file_ends_in_prompts_or_in_one_sentence(tmp_path, seed):
    chance, read = random.Random(seed), 0
    for number in range(TRIES):
        name, data = made(chance)
        (tmp_path / name).write_bytes(data)
        asked = suite(chance, tmp_path / name)
        with named(seed, number, (name, asked, data)):
            prompts, said = ended(lambda asked=asked: drawn(asked))
            assert said or prompts, "no prompt is asked, and nothing is said"
            for prompt in prompts or ():
                assert prompt.id and isinstance(prompt.text.encode(), bytes)
                assert prompt.text.strip() or prompt.choices
                assert all(isinstance(each, str) for each in (*prompt.slices.values(), *prompt.choices))
            assert name in said or "Mine" in said or "mine" in said or not said
            read += not said
        (tmp_path / name).unlink()
    assert TRIES / 50 < read < TRIES  # about one in twenty can be read
