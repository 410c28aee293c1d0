"""What stores of before there was a database hold: lines of JSON, which are taken into it, so that nothing is lost.

A shelf was a folder with ``identity.json`` and ``records.jsonl``, each line of which ended with a checksum, but for
those of before there were any. Posteriors were a folder of two files. What is taken in is removed once it is safe.
"""

import json
import re
import shutil
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit.machine import progress
from toxaudit.store import seals

if TYPE_CHECKING:
    from toxaudit.store.database import Database

SHELVES = ("checks", "commitments", "completions", "scores", "decisions")
"""The kinds of work that were kept as lines."""

POSTERIORS, FILES = "posteriors", ("posteriors.json", "draws.parquet")
"""The kind that was kept in folders and is a document now: the first file, a line, and then the second."""

TOGETHER = 1000
"""Lines that are kept in one go."""

_SEAL = re.compile(rb', "sum": "([0-9a-f]{16})"\}$')


def waits(root: Path) -> bool:
    """Whether a store holds something to be taken in."""
    return any((root / kind).is_dir() for kind in (*SHELVES, POSTERIORS))


def take_in(root: Path, records: "Database", writable: bool) -> None:
    """Take in what a store of before holds.

    Args:
        root: the store's folder.
        records: the database.
        writable: whether what was taken in is removed.
    """
    for kind in (*SHELVES, POSTERIORS):
        for folder in sorted(each for each in (root / kind).glob("*/") if not each.suffix):  # others are unfinished
            place = f"{kind}/{folder.name}"
            if kind == POSTERIORS:
                _take_in_posteriors(folder, place, records)
            else:
                _take_in_shelf(folder, place, records)
            if writable:
                shutil.rmtree(folder)
        if writable and (root / kind).is_dir():
            shutil.rmtree(root / kind)


def _take_in_shelf(folder: Path, place: str, records: "Database") -> None:
    identity, file = folder / "identity.json", folder / "records.jsonl"
    number = records.tell(place, identity.read_bytes() if identity.is_file() else b"")
    if file.is_file():
        lines = _lines(file, place)
        while some := dict(islice(lines, TOGETHER)):
            records.put(number, some)


def _lines(file: Path, place: str) -> Iterator[tuple[bytes, bytes]]:
    """The name and the value of each whole record."""
    with file.open("rb") as opened:
        sealed = any(_SEAL.search(line.rstrip(b"\n")) for line in opened)
    damaged = []
    with file.open("rb") as opened:
        for count, line in enumerate(opened, start=1):
            if not line.endswith(b"\n"):
                break  # its process was killed
            try:
                yield _record(line[:-1], place, sealed)
            except (ValueError, RecursionError):
                damaged.append(str(count))
    if damaged:
        where = f"{', '.join(damaged[:5])}{' and more' if len(damaged) > 5 else ''}"
        progress.say(f"{file} is damaged (line {where}): what it held there is made again.")


def _record(line: bytes, place: str, sealed: bool) -> tuple[bytes, bytes]:
    """The name and the value in a line.

    Raises:
        ValueError: if it is damaged, or belongs elsewhere.
    """
    if sealed:
        found = _SEAL.search(line)
        line = line[: found.start()] + b"}" if found else line
        if not found or sha256(place.encode() + b"\n" + line).hexdigest()[:16].encode() != found[1]:
            raise ValueError("its checksum is another, or gone")
    content = json.loads(line)
    if not isinstance(content, dict) or set(content) != {"key", "value"} or not isinstance(content["key"], str):
        raise ValueError("it is no record")
    value = json.dumps(content["value"], ensure_ascii=False)
    return content["key"].encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")


def _take_in_posteriors(folder: Path, place: str, records: "Database") -> None:
    beside = folder.with_name(folder.name + ".sha256")
    files = [folder / name for name in FILES]
    if not all(file.is_file() for file in files):
        return
    if beside.is_file() and not seals.is_intact(place, folder, beside):
        progress.say(f"{folder} is damaged: it is made again.")
        return
    records.put(records.tell(place, b""), {b"": files[0].read_bytes() + b"\n" + files[1].read_bytes()})
