"""Rows of data files, each with the words that name its place: JSONL, JSON, CSV, TSV, text and Parquet."""

import csv
import io
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError

Row = dict[str, Any]
Rows = Iterator[tuple[str, int, Row]]

CELL_CHARACTERS = 2**24
"""Characters of a CSV cell that are read; the longest prompt is far shorter, and is refused by its own sentence."""


def read(file: Path, name: str | None = None) -> Rows:
    """A file's rows, by the ending of its name; blank lines are skipped.

    Args:
        file: the file.
        name: what to call it in sentences; none takes its own name, without its folder.

    Yields:
        Where the row stands, in words for a sentence; its number, that of its line where the file has lines; its
        columns.

    Raises:
        ToxauditError: if the file is of no known form, or if a row can't be read; the sentence names that row.
    """
    form = FORMS.get(file.suffix.lower())
    if form is None:
        raise ToxauditError(f"{name or file.name} is no data file: its name must end with {', '.join(FORMS)}.")
    yield from form(file, name or file.name)


def _text(file: Path, name: str) -> Rows:
    """Each line is a prompt, and is called ``text`` as well."""
    for where, number, line in _lines(file, name):
        yield where, number, {"text": line, "prompt": line}


def _jsonl(file: Path, name: str) -> Rows:
    for where, number, line in _lines(file, name):
        yield where, number, _object(_json(line, where), where)


def _array(file: Path, name: str) -> Rows:
    """One JSON array of objects; a file that holds something else is taken for JSONL."""
    text = _decoded(file, name)
    if not text.lstrip().startswith("["):
        yield from _jsonl(file, name)
        return
    for number, row in enumerate(_json(text, name), start=1):
        where = f"{name}, row {number}"
        yield where, number, _object(row, where)


def _csv(file: Path, name: str, delimiter: str = ",") -> Rows:
    csv.field_size_limit(CELL_CHARACTERS)
    lines = io.StringIO(_decoded(file, name), newline="")  # cells keep the line breaks that stand in them
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1  # where the row begins: a quoted cell may hold line breaks
        where = f"{name}, line {line}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ToxauditError(f"{where} is no {file.suffix[1:].upper()}: {_parted(header) or error}.") from error
        if cells is None:
            return
        if not cells:
            continue
        if header and len(cells) != len(header):
            but = _parted(header) or f"the header has {len(header)}"
            raise ToxauditError(f"{where} has {len(cells)} columns, but {but}.")
        if header:
            yield where, line, dict(zip(header, cells, strict=True))
        elif twice := next((column for column in cells if cells.count(column) > 1), None):
            raise ToxauditError(f"{where}, the header, names the column '{twice}' twice.")
        else:
            header = cells


def _parted(header: Sequence[str]) -> str:
    """What else than commas a header seems to be parted by, and the mend."""
    other = len(header) == 1 and ";" in header[0]
    return "the header seems to be parted by semicolons: save the file with commas" if other else ""


def _tsv(file: Path, name: str) -> Rows:
    return _csv(file, name, "\t")


def _parquet(file: Path, name: str) -> Rows:
    """Rows as ``datasets`` decodes them: the names of class labels, not their numbers."""
    from datasets import ClassLabel, Features
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(file.absolute()) as opened:
            features = Features.from_arrow_schema(opened.schema_arrow)
            labels = {column: feature for column, feature in features.items() if isinstance(feature, ClassLabel)}
            number = 0
            for batch in opened.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    for column, feature in labels.items():
                        if row[column] is not None and row[column] >= 0:  # -1 stands for no label
                            row[column] = feature.int2str(row[column])
                    yield f"{name}, row {number}", number, row
    except (ArrowException, OSError, ValueError, TypeError) as error:
        problem = str(error).split("\n")[0].rstrip(".")
        raise ToxauditError(f"{name} is no readable Parquet file: {problem}.") from error


FORMS: dict[str, Callable[[Path, str], Rows]] = {
    ".jsonl": _jsonl,
    ".json": _array,
    ".csv": _csv,
    ".tsv": _tsv,
    ".txt": _text,
    ".parquet": _parquet,
}
"""Ending of a file's name -> its reader."""


def _lines(file: Path, name: str) -> Iterator[tuple[str, int, str]]:
    """The lines that aren't blank, each with its place; a line ends with a line feed, whatever else may break one."""
    for number, line in enumerate(_decoded(file, name).split("\n"), start=1):
        if line.strip():
            yield f"{name}, line {number}", number, line.removesuffix("\r")


def _decoded(file: Path, name: str) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Raises:
        ToxauditError: if a line is not UTF-8; the sentence names it.
    """
    data = file.read_bytes().removeprefix(BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ToxauditError(f"{name}, line {line} is not UTF-8.") from error


def _json(text: str, where: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> Row:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ToxauditError(f"{where}: the key '{twice}' stands twice in an object.")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if "\n" in text else ""
        raise ToxauditError(
            f"{where}{line} is not JSON: {error.msg.removesuffix(' at')} at column {error.colno}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ToxauditError(f"{where} is not JSON: {str(error).rstrip('.')}.") from error


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise ToxauditError(f"{where} is no JSON object.")
    return value
