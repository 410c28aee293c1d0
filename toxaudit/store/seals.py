"""Checksums of finished folders, over their files and over what these belong to.

A folder's files are listed beside it in ``KEY.sha256``, whose first line names the work. What was kept before there
were checksums has none: it is taken as it is, once, and gets them then.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from toxaudit.machine.folders import sha256, write_atomically


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
