"""The CSV that a page saved, taken in: also as spreadsheets write it again."""

import csv
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.labels import NO, SKIP, YES

ANSWER, LABEL = "answer", "label"
"""The columns of the table."""

WORDS = {"yes": YES, "y": YES, "true": YES, "1": YES, "no": NO, "n": NO, "false": NO, "0": NO, "skip": SKIP, "s": SKIP}
LARGEST_BYTES = 20_000_000
MARK = "k"
"""What an answer's key begins with in a table, so that no spreadsheet takes it for a number; no digit of it."""


def read(file: Path, known: set[str]) -> dict[str, str]:
    """Answer's key -> label; answers without one are left out.

    Args:
        file: a CSV with the columns ``answer`` and ``label``, separated by commas, semicolons or tabs.
        known: the keys of the answers that were asked about.

    Raises:
        ToxauditError: if it can't be read, or a row is none; the sentence names the line.
    """
    lines = _text(file).splitlines()
    head = lines[0] if lines else ""
    between = max(",;\t", key=head.count)
    rows = csv.reader(lines, delimiter=between, strict=True)
    try:
        columns = [name.strip().lower() for name in next(rows, [])]
        if missing := [name for name in (ANSWER, LABEL) if columns.count(name) != 1]:
            raise ToxauditError(
                f"{file} must have one column '{missing[0]}' in its first line: read the file that the page saved."
            )
        found: dict[str, str] = {}
        for row in rows:
            if any(cell.strip() for cell in row):
                key, label = _labelled(file, rows.line_num, dict(zip(columns, row, strict=False)), known)
                if label and found.setdefault(key, label) != label:
                    raise ToxauditError(f"{file}, line {rows.line_num}: this answer has another label further up.")
    except csv.Error as error:
        raise ToxauditError(f"{file}, line {rows.line_num} is no row of a table ({error}).") from error
    return found


def _labelled(file: Path, line: int, row: dict[str, str], known: set[str]) -> tuple[str, str]:
    key, word = row.get(ANSWER, "").strip().removeprefix(MARK), row.get(LABEL, "").strip().lower()
    if key not in known:
        raise ToxauditError(
            f"{file}, line {line}: '{key[:20]}' is no answer that was asked about here: read the file that the page of "
            "this run and these options saved."
        )
    if word and word not in WORDS:
        raise ToxauditError(
            f"{file}, line {line}: '{word[:20]}' is no label: write yes, no or skip, or leave it empty."
        )
    return key, WORDS.get(word, "")


def _text(file: Path) -> str:
    """The text of a file, in UTF-8 or in UTF-16 that says so."""
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise ToxauditError(f"{file} is larger than {LARGEST_BYTES:,} bytes: read the file that the page saved.")
        data = file.read_bytes()
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise ToxauditError(f"{file} can't be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ToxauditError(f"{file} is no text in UTF-8 (byte {error.start}): save it as CSV in UTF-8.") from error
