"""Rows of data files, each with the words that name its place: JSONL, JSON, CSV, TSV, text and Parquet."""

import csv
import io
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError

Row = dict[str, Any]

CELL = 2**24
"""Characters of a CSV cell that are read; the longest prompt is far shorter, and is refused by its own sentence."""


def read(file: Path) -> Iterator[tuple[str, int, Row]]:
    """A file's rows, by the ending of its name; blank lines are skipped.

    Yields:
        Where the row stands, in words for a sentence; its number, that of its line where the file has lines; its
        columns.

    Raises:
        ToxauditError: the file is of no known form, or naming the row that can't be read.
    """
    form = FORMS.get(file.suffix.lower())
    if form is None:
        raise ToxauditError(f"{file.name} is no data file: its name must end with {', '.join(FORMS)}.")
    yield from form(file)


def _text(file: Path) -> Iterator[tuple[str, int, Row]]:
    for number, line in enumerate(_lines(file), start=1):
        if line.strip():
            yield f"{file.name}, line {number}", number, {"text": line}


def _jsonl(file: Path) -> Iterator[tuple[str, int, Row]]:
    for number, line in enumerate(_lines(file), start=1):
        if line.strip():
            where = f"{file.name}, line {number}"
            yield where, number, _object(_json(line, where), where)


def _array(file: Path) -> Iterator[tuple[str, int, Row]]:
    """One JSON array of objects; a file that holds one object a line is taken for JSONL."""
    text = "\n".join(_lines(file))
    if not text.lstrip().startswith("["):
        yield from _jsonl(file)
        return
    for number, row in enumerate(_json(text, file.name), start=1):
        where = f"{file.name}, row {number}"
        yield where, number, _object(row, where)


def _csv(file: Path, delimiter: str = ",") -> Iterator[tuple[str, int, Row]]:
    csv.field_size_limit(CELL)
    reader = csv.reader(io.StringIO("\n".join(_lines(file)), newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1  # where the row begins: a quoted cell may hold line breaks
        where = f"{file.name}, line {line}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ToxauditError(f"{where} is no {file.suffix[1:].upper()}: {error}.") from error
        if cells is None:
            return
        if not any(cells):
            continue
        if header is None:
            header = cells
        elif len(cells) != len(header):
            raise ToxauditError(f"{where} has {len(cells)} columns, but the header has {len(header)}.")
        else:
            yield where, line, dict(zip(header, cells, strict=True))


def _tsv(file: Path) -> Iterator[tuple[str, int, Row]]:
    return _csv(file, "\t")


def _parquet(file: Path) -> Iterator[tuple[str, int, Row]]:
    """Rows as ``datasets`` decodes them: the names of class labels, not their numbers."""
    from datasets import ClassLabel, Features
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(file) as opened:
            labels = {
                name: feature
                for name, feature in Features.from_arrow_schema(opened.schema_arrow).items()
                if isinstance(feature, ClassLabel)
            }
            number = 0
            for batch in opened.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    for name, feature in labels.items():
                        if row[name] is not None and row[name] >= 0:
                            row[name] = feature.int2str(row[name])
                    yield f"{file.name}, row {number}", number, row
    except (ArrowException, OSError, ValueError, TypeError) as error:
        problem = str(error).splitlines()[0].rstrip(".")
        raise ToxauditError(f"{file.name} is no readable Parquet file: {problem}.") from error


FORMS: dict[str, Callable[[Path], Iterator[tuple[str, int, Row]]]] = {
    ".jsonl": _jsonl,
    ".json": _array,
    ".csv": _csv,
    ".tsv": _tsv,
    ".txt": _text,
    ".parquet": _parquet,
}
"""Ending of a file's name -> its reader."""


def _lines(file: Path) -> list[str]:
    """The lines of a UTF-8 file, with or without a byte-order mark.

    Raises:
        ToxauditError: naming the line that is not UTF-8.
    """
    lines = []
    for number, line in enumerate(file.read_bytes().removeprefix(BOM_UTF8).split(b"\n"), start=1):
        try:
            lines.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ToxauditError(f"{file.name}, line {number} is not UTF-8.") from error
    return lines


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ToxauditError(f"{where} is not JSON: {error}.") from error


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise ToxauditError(f"{where} is no JSON object.")
    return value
