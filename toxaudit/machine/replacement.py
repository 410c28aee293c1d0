"""A folder whose files are replaced all at once, and whose files can be told to belong together.

New files are written into a folder within the old one, with their checksums. One renaming makes them the folder's; then
each is moved to its place. Whoever is killed before that moment leaves the old files as they were; after it, the next
one to come (``settle``) moves the rest. What lies in the folder under other names is nobody's business.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import clear_left_behind, sha256, sync_folder, write_atomically, writing

SUMS = "SHA256SUMS"
"""The file that lists the others with their checksums, as ``sha256sum --check`` reads it."""

OURS = "# Written together by toxaudit, which replaces them together.\n"
"""The list's first line, which ``sha256sum`` passes over: another list of this name is somebody else's."""

LONGEST_WAIT_SECONDS = 120.0
"""Seconds that another process may take to write its files."""

READINGS = 5
"""How often a folder is read again that others replace all the time."""

Read = TypeVar("Read")

_UNFINISHED = ".toxaudit.unfinished"
_NEW = ".toxaudit.new"
_STALE = ".stale"
_LOCK = ".toxaudit.lock"


@contextmanager
def replaced(folder: Path, earlier: Iterable[str] = (), keep: bool = False) -> Iterator[Path]:
    """An empty folder to be filled, whose files then take the place of those that ``folder`` had by this function.

    Args:
        folder: it is made where it does not exist; while files are written, other processes wait.
        earlier: names of files to be replaced in a folder that has no list of them.
        keep: begin with the files that are there, in place of none.

    Raises:
        ToxauditError: if the files can't be written; ``folder`` is then as it was.
    """
    there = folder.is_dir()
    try:
        with _locked(folder):
            _settle(folder)
            for place in {folder, *(path.parent for path in folder.glob("*/*.png"))}:
                clear_left_behind(place)
            old = [name for name in (checksums(folder) or earlier) if (folder / name).is_file()]
            new = folder / _UNFINISHED
            with writing(new):
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir()
            try:
                for name in old if keep else ():
                    _link(folder / name, new / name)
                yield new
                _commit(folder, new, old)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            _settle(folder)
    except BaseException:
        if not there and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise


def settle(folder: Path) -> None:
    """Finish what another process was killed at: moving new files to their places.

    Raises:
        ToxauditError: if the folder can't be written.
    """
    if (folder / _NEW).is_dir():
        with _locked(folder):
            _settle(folder)


def steadily(folder: Path, read: Callable[[], Read]) -> Read:
    """What is read of a folder's files, all of which were there at one moment: of the earlier ones, or of the new.

    Args:
        folder: its files may be replaced meanwhile, after which they are read again.
        read: reads them; what it raises for a mixture of both is not raised.
    """
    for _ in range(READINGS):
        settle(folder)
        before = moment(folder)
        try:
            found = read()
        except ToxauditError:
            if moment(folder) == before:
                raise
        else:
            if moment(folder) == before:
                return found
    with _locked(folder):  # others replace it all the time: they wait
        _settle(folder)
        return read()


def moment(folder: Path) -> object:
    """What is another after each replacement, and while one is under way."""
    try:
        listed = (folder / SUMS).stat()
    except OSError:
        return (folder / _NEW).is_dir()
    return listed.st_ino, listed.st_mtime_ns, (folder / _NEW).is_dir()


def checksums(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the files that were written together; nothing where there is no list of them.

    Raises:
        ToxauditError: if the list is damaged, or somebody else's.
    """
    listed = _listed(folder)
    if isinstance(listed, str):
        raise ToxauditError(f"{listed}: move it away and run the audit again; finished work is kept.")
    return listed


def _listed(folder: Path) -> dict[str, str] | str:
    """What the folder's list says, or a phrase on why it is of no use."""
    file = folder / SUMS
    if not file.is_file():
        return {}
    text = file.read_text(encoding="utf-8", errors="replace")
    if not text.startswith(OURS):
        return f"{file} is a list that toxaudit did not write"
    found = {}
    for line in text.removeprefix(OURS).splitlines():
        digest, gap, name = line[:64], line[64:66], line[66:]
        inside = name and not Path(name).is_absolute() and ".." not in Path(name).parts
        if gap != "  " or not inside or set(digest) - set("0123456789abcdef"):
            return f"{file} is damaged"
        found[name] = digest
    return found


def changed(folder: Path, names: Iterable[str]) -> str | None:
    """The first of these files that is there and is not the one that was listed, if any."""
    listed = checksums(folder)
    for name in names:
        if name in listed and (folder / name).is_file() and sha256(folder / name) != listed[name]:
            return name
    return None


def obstacle(folder: Path, names: Iterable[str]) -> str | None:
    """Why one of these files can't be put into the folder, if that can be seen: a phrase that begins with its path."""
    for path in (folder, *(folder / parent for name in names for parent in reversed(Path(name).parents[:-1]))):
        if os.path.lexists(path) and not path.is_dir():
            return f"{path} is {_kind(path)}, where a folder must be"
    for path in (folder / name for name in names):
        if os.path.lexists(path) and not path.is_file():
            return f"{path} is {_kind(path)}, where a file must be"
    listed = _listed(folder)
    return listed if isinstance(listed, str) else None


def _kind(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return "a link to nothing"
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "a pipe or a device"


def _commit(folder: Path, new: Path, old: Iterable[str]) -> None:
    """Make the new files the folder's: all before the last line may fail, and nothing has happened."""
    files = sorted(path for path in new.rglob("*") if path.is_file())
    names = [path.relative_to(new).as_posix() for path in files]
    if odd := obstacle(folder, [*names, SUMS]):
        raise ToxauditError(f"{odd}: move it away.")
    write_sums(new)
    write_atomically(new / _STALE, json.dumps(sorted(set(old) - set(names))))
    with writing(folder):
        for path in {new, *(file.parent for file in files)}:
            sync_folder(path)
        new.rename(folder / _NEW)
        sync_folder(folder)


def write_sums(folder: Path) -> None:
    """List all files of a folder with their checksums, in ``SHA256SUMS``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SUMS)
    lines = (f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in files)
    write_atomically(folder / SUMS, OURS + "".join(lines))


def _settle(folder: Path) -> None:
    """Move what is new to its place, its list last; whoever is stopped at it can begin again."""
    new = folder / _NEW
    if not new.is_dir():
        return
    stale = new / _STALE  # which is gone last of all, once everything is in its place
    with writing(folder):
        for name in json.loads(stale.read_text(encoding="utf-8")) if stale.is_file() else ():
            (folder / name).unlink(missing_ok=True)
            _drop_empty(folder, name)
        files = [path.relative_to(new) for path in new.rglob("*") if path.is_file() and path.name not in (SUMS, _STALE)]
        for name in (*files, *([Path(SUMS)] if (new / SUMS).is_file() else [])):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).replace(folder / name)
        sync_folder(folder)
        shutil.rmtree(new)


def _drop_empty(folder: Path, name: str) -> None:
    for parent in list(Path(name).parents)[:-1]:
        if (folder / parent).is_dir() and not any((folder / parent).iterdir()):
            (folder / parent).rmdir()


def _link(file: Path, to: Path) -> None:
    """The same file under another name; a copy where a system has no such links."""
    with writing(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, to)
        except OSError:
            shutil.copyfile(file, to)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=LONGEST_WAIT_SECONDS)
        except Timeout as error:
            raise ToxauditError(f"Another run is writing to {folder}: wait for it, or set out=FOLDER.") from error
    try:
        yield
    finally:
        if os.name != "nt":  # where it is removed on release; a waiting process sees that the file is gone
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
