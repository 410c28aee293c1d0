"""Strangers' files, read within limits: whatever is wrong with one is one sentence."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError

LARGEST_FILE = 4 * 2**30
"""Bytes of the largest file that is read line by line."""

LARGEST_WHOLE = 2**30
"""Bytes of the largest file that is read as one piece of JSON."""

LONGEST_LINE = 64 * 2**20
"""Bytes of the longest line: an answer with its likelihoods is far shorter."""


def lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSONL file, each with the words that name its place; blank lines are passed over.

    Raises:
        ToxauditError: if it is empty, too large or cut off, or a line is no JSON object.
    """
    _check_size(file, LARGEST_FILE)
    number = found = 0
    with file.open("rb") as opened:
        while line := opened.readline(LONGEST_LINE + 1):
            number += 1
            where = f"{file}, line {number}"
            if len(line) > LONGEST_LINE:
                raise ToxauditError(f"{where} is longer than {LONGEST_LINE // 2**20} MiB: no line of results is.")
            if line.strip():
                found += 1
                yield where, _object(line.removeprefix(b"\xef\xbb\xbf"), where, last=not line.endswith(b"\n"))
    if not found:
        raise ToxauditError(f"{file} is empty: name a file of results.")


def whole(file: Path) -> Any:
    """The JSON that a file holds.

    Raises:
        ToxauditError: if it is empty, too large, cut off or no JSON.
    """
    _check_size(file, LARGEST_WHOLE)
    data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise ToxauditError(f"{file} is empty: name a file of results.")
    return decoded(data, str(file), last=True)


def decoded(data: bytes, where: str, last: bool = False) -> Any:
    """What one piece of JSON says; NaN and Infinity, which Python's and others' writers leave in it, are taken.

    Args:
        data: in UTF-8.
        where: it stands, for the sentence.
        last: whether the file ends with it, so that it may be cut off.

    Raises:
        ToxauditError: if it is no JSON.
    """
    try:
        return json.loads(data.decode())
    except json.JSONDecodeError as error:
        if last and error.pos >= len(error.doc.rstrip()) - 1 or last and error.msg.startswith("Unterminated"):
            raise ToxauditError(f"{where} is cut off: make the results again, or name another file.") from error
        raise ToxauditError(f"{where} is not JSON: {error.msg.removesuffix(' at')} at column {error.colno}.") from error
    except UnicodeDecodeError as error:
        raise ToxauditError(f"{where} is not UTF-8.") from error
    except (ValueError, RecursionError) as error:
        problem = "brackets are too deep" if isinstance(error, RecursionError) else str(error).rstrip(".")
        raise ToxauditError(f"{where} is not JSON that can be read: {problem}.") from error


def first(file: Path) -> Any:
    """What the first line of a file says, where that is JSON by itself; None elsewhere, and where it is too long."""
    if not file.is_file():  # a pipe would never end
        return None
    try:
        with file.open("rb") as opened:
            line = opened.readline(LONGEST_LINE)
        return json.loads(line.removeprefix(b"\xef\xbb\xbf").decode())
    except (OSError, ValueError, RecursionError):
        return None


def beginning(file: Path, size: int = 4096) -> bytes:
    """The first bytes of a file; none of what can't be read, or is no file."""
    if not file.is_file():
        return b""
    try:
        with file.open("rb") as opened:
            return opened.read(size).removeprefix(b"\xef\xbb\xbf")
    except OSError:
        return b""


def keys(file: Path) -> set[str]:
    """The keys at the root of a JSON file that is one object; none of any other file, or of one that is too large."""
    try:
        stat = file.stat()
    except OSError:  # whoever reads it says what is wrong with it
        return set()
    return set(_keys(file, stat.st_mtime_ns, stat.st_size))


@lru_cache(64)
def _keys(file: Path, changed: int, size: int) -> frozenset[str]:
    """As ``keys``, found once for all who ask as long as the file stays the same."""
    head = beginning(file)
    if not head.lstrip().startswith(b"{"):
        return frozenset()
    found = first(file)
    if found is None:
        try:
            found = whole(file)
        except ToxauditError:  # whoever reads it says what is wrong with it
            return frozenset(key for key in MARKS if f'"{key}"'.encode() in head)
    return frozenset(found) if isinstance(found, dict) else frozenset()


MARKS = ("evalId", "eval", "status", "version", "results", "schema_version", "evaluation_id", "lm_eval_version")
"""Keys by which a file is known even where it is cut off."""


def _object(line: bytes, where: str, last: bool) -> dict[str, Any]:
    found = decoded(line, where, last)
    if not isinstance(found, dict):
        raise ToxauditError(f"{where} is no JSON object.")
    return found


def _check_size(file: Path, most: int) -> None:
    if not file.is_file():
        raise ToxauditError(f"{file} is no file: name a file of results.")
    if (size := file.stat().st_size) > most:
        raise ToxauditError(f"{file} has {size / 2**30:.1f} GiB, and no more than {most / 2**30:g} are read.")
