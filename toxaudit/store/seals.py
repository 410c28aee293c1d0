"""Checksums of finished work, each over what is kept and over what it belongs to.

A record carries its own at the end of its line. A folder's files are listed beside it in ``KEY.sha256``, whose first
line names the work. What was kept before there were checksums has none: it is taken as it is, once, and gets them then.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toxaudit.machine.folders import sha256, write_atomically

_SEAL = re.compile(rb', "sum": "([0-9a-f]{16})"\}$')
"""The end of a record's line: the first 64 bits of its checksum, enough for damage that nobody means."""


def line(place: str, record: str, value: Any) -> bytes:
    """A record as a line of its shelf, with a checksum.

    Args:
        place: the shelf, ``KIND/KEY``.
        record: the record's key.
        value: JSON values.
    """
    body = json.dumps({"key": record, "value": value}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return body[:-1] + b', "sum": "' + _sum(place, body) + b'"}\n'


def is_sealed(text: bytes) -> bool:
    """Whether a line ends with a checksum, right or wrong."""
    return _SEAL.search(text) is not None


def record(place: str, text: bytes) -> tuple[str, Any]:
    """The key and the value in a line; of one with a checksum, only where that is right.

    Raises:
        ValueError: if it is damaged, or belongs elsewhere.
    """
    body = text
    if found := _SEAL.search(text):
        body = text[: found.start()] + b"}"
        if _sum(place, body) != found[1]:
            raise ValueError("its checksum is another")
    try:
        content = json.loads(body)
    except RecursionError as error:
        raise ValueError("it is no record") from error
    if not isinstance(content, dict) or set(content) != {"key", "value"} or not isinstance(content["key"], str):
        raise ValueError("it is no record")
    return content["key"], content["value"]


def _sum(place: str, body: bytes) -> bytes:
    return hashlib.sha256(place.encode() + b"\n" + body).hexdigest()[:16].encode()


def seal(place: str, folder: Path, beside: Path) -> None:
    """Write the checksums of a folder's files, once these have reached the disk, to the file ``beside`` it."""
    for path in _paths(folder):
        if path.is_file() and not path.is_symlink():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    write_atomically(beside, _listing(place, folder))


def is_intact(place: str, folder: Path, beside: Path) -> bool:
    """Whether a folder holds just the files that were listed, for this work, when it was finished."""
    return beside.read_bytes() == _listing(place, folder).encode("utf-8", "surrogatepass")


def _listing(place: str, folder: Path) -> str:
    names = {path.relative_to(folder).as_posix(): path for path in _paths(folder)}
    return f"# {place}\n" + "".join(f"{_digest(path)}  {json.dumps(name)}\n" for name, path in sorted(names.items()))


def _paths(folder: Path) -> Iterator[Path]:
    """All that a folder holds at any depth, but folders; what a link leads to is not looked at."""
    for root, folders, files in os.walk(folder):
        yield from (Path(root, name) for name in files)
        yield from (path for name in folders if (path := Path(root, name)).is_symlink())


def _digest(path: Path) -> str:
    if path.is_symlink():
        return hashlib.sha256(b"link to " + os.fsencode(os.readlink(path))).hexdigest()
    return sha256(path)
