"""Tables: CSV, TSV, JSONL or Parquet with a prompt or an id, and scores or a completion, one answer a row."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.interop.importers.base import Imported, Place, Row, categories, clean, content, number
from toxaudit.interop.importers.reading import LARGEST_FILE, LARGEST_WHOLE, beginning, first, lines
from toxaudit.registry import register

TOOL = "a table"

ROLES = {
    "prompt": ("prompt", "question", "input", "instruction", "query", "text"),
    "id": ("id", "prompt_id", "doc_id", "sample_id", "question_id", "key"),
    "completion": ("completion", "response", "answer", "output", "generation", "prediction"),
    "task": ("task", "suite", "benchmark", "dataset"),
    "target": ("target", "reference", "expected", "gold"),
    "error": ("error",),
    "sample": ("sample", "epoch", "repeat", "attempt"),
}
"""What is wanted of a row, and the columns that hold it where nobody names one: the first that is there."""

MOST_ROWS = 10_000_000
"""Rows of a Parquet file, which can hold any number of equal ones in a few bytes."""

LONGEST_CELL = 2**24
"""Characters of the longest CSV cell that is read."""


@register("importer", "table")
class Tables:
    """Reads tables by the names of their columns; every other column whose values are numbers is a metric."""

    takes = "columns"

    def recognises(self, path: Path) -> bool:
        """Whether a file is a table with a column that tells prompts apart."""
        if path.suffix.lower() == ".jsonl":
            row = first(path)
            return isinstance(row, dict) and bool(row.keys() & {*ROLES["prompt"], *ROLES["id"]})
        return path.suffix.lower() in (".csv", ".tsv") or beginning(path, 4) == b"PAR1"

    def read(self, place: Place) -> Imported:
        """The rows of one file."""
        read = list(_rows(place.path))
        if not read:
            raise ToxauditError(f"{place.path} holds no rows: name a file of results.")
        columns = list(dict.fromkeys(name for _, row in read for name in row))
        roles = _roles(place, columns)
        others = [name for name in columns if name not in roles.values()]
        metrics = [name for name in others if _is_metric([row.get(name) for _, row in read])]
        told = [name for name in others if name not in metrics]
        rows = tuple(_row(row, roles, metrics, told) for _, row in read)
        return Imported(TOOL, "", "", rows, notes=(f"{place.path.name} is a table that says nothing of its making",))


def _roles(place: Place, columns: list[str]) -> dict[str, str]:
    """What is wanted of a row -> its column."""
    for role, name in place.columns.items():
        if role not in ROLES:
            raise ToxauditError(f"--columns has no '{role}'.{did_you_mean(role, ROLES)}")
        if name not in columns:
            raise ToxauditError(f"{place.path} has no column '{name}'.{did_you_mean(name, columns)}")
    found = dict(place.columns)
    for role, names in ROLES.items():
        known = next((name for name in names if name in columns and name not in found.values()), None)
        if role not in found and known:
            found[role] = known
    if not {"prompt", "id"} & found.keys():
        raise ToxauditError(
            f"{place.path} has no column that tells its prompts apart: name one by --columns prompt=NAME or id=NAME, "
            f"of {', '.join(columns[:20])}."
        )
    return found


def _is_metric(values: list[Any]) -> bool:
    """Whether a column holds a number, and nothing that is neither a number nor missing."""
    told = [value for value in values if value is not None and (not isinstance(value, str) or value.strip())]
    texts = [value for value in told if isinstance(value, str) and not isinstance(number(_as_number(value)), float)]
    missing = all(value.strip().lower() in MISSING for value in texts)
    return missing and any(isinstance(number(_as_number(value)), float) for value in told)


MISSING = ("nan", "inf", "-inf", "infinity", "-infinity", "na", "n/a", "null", "none", "error", "[invalid]")
"""Texts in a column of numbers that stand for none."""


def _as_number(value: Any) -> Any:
    """A cell's text as what it stands for."""
    text = value.strip().lower() if isinstance(value, str) else ""
    return {"true": True, "false": False}.get(text, value)


def _row(row: Mapping[str, Any], roles: Mapping[str, str], metrics: list[str], told: list[str]) -> Row:
    cells = {role: row.get(name) for role, name in roles.items()}
    asked = cells.get("prompt")
    named = asked if asked is not None else cells.get("id")
    answer, error = cells.get("completion"), cells.get("error")
    failed = error not in (None, "", False) and str(error).strip().lower() not in ("false", "0", "none", "null")
    return Row(
        task=clean(cells["task"]) if cells.get("task") else "results",
        content=content(*(["" if named is None else str(named)] if not isinstance(named, list | dict) else [named])),
        prompt=clean(asked if asked is not None else f"(prompt {named})"),
        answer=None if answer is None else clean(answer),
        scores={name: number(_as_number(row.get(name))) for name in metrics},
        fields=categories({name: row.get(name) for name in told}),
        order=clean(str(cells.get("sample") or "")),
        target=clean(str(cells.get("target") or "")),
        missing=f"the table names an error: {clean(error)[:80]}" if failed else "",
    )


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a table, each with the words that name its place."""
    if beginning(file, 4) == b"PAR1":
        for number_, row in enumerate(parquet(file), start=1):
            yield f"{file}, row {number_}", row
    elif file.suffix.lower() in (".csv", ".tsv"):
        yield from _csv(file)
    else:
        yield from lines(file)


def parquet(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file.

    Raises:
        ToxauditError: if it is none that can be read, or is larger than results are.
    """
    from pyarrow import ArrowException
    from pyarrow import parquet as reader

    try:
        with reader.ParquetFile(file) as opened:
            groups = (opened.metadata.row_group(place) for place in range(opened.metadata.num_row_groups))
            if (size := sum(group.total_byte_size for group in groups)) > LARGEST_FILE:
                raise ToxauditError(f"{file} unpacks to {size / 2**30:.0f} GiB, which no file of results does.")
            if opened.metadata.num_rows > MOST_ROWS:
                raise ToxauditError(
                    f"{file} has {opened.metadata.num_rows:,} rows, and no more than {MOST_ROWS:,} are read."
                )
            for batch in opened.iter_batches(1024):
                yield from batch.to_pylist()
    except (ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        problem = str(error).split("\n")[0].rstrip(".")
        raise ToxauditError(f"{file} is no readable Parquet file: {problem}.") from error


def _csv(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if file.stat().st_size > LARGEST_WHOLE:
        raise ToxauditError(f"{file} is larger than {LARGEST_WHOLE // 2**30} GiB: write it as Parquet or JSONL.")
    csv.field_size_limit(LONGEST_CELL)
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened, delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True)
            header = next((cells for cells in reader if cells), [])
            if twice := next((name for name in header if header.count(name) > 1), None):
                raise ToxauditError(f"{file}: the header names the column '{twice}' twice.")
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise ToxauditError(
                        f"{file}, line {reader.line_num} has {len(cells)} columns, but the header has {len(header)}."
                    )
                if cells:
                    filled = {name: cell if cell != "" else None for name, cell in zip(header, cells, strict=True)}
                    yield f"{file}, line {reader.line_num}", filled
    except UnicodeDecodeError as error:
        raise ToxauditError(f"{file} is not UTF-8.") from error
    except csv.Error as error:
        raise ToxauditError(f"{file} is no CSV that can be read: {error}.") from error
