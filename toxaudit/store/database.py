"""The records of a store, as bytes, in a SQLite database with which several processes and threads work at once.

A row stands for itself: it holds its shelf's number, its name, its value and a checksum over all three. A damaged row
is as if it had never been kept. Where SQLite finds its file damaged, what ``salvage.py`` reads of it gets a new one.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from time import time
from typing import Any, TypeVar

from toxaudit.errors import ToxauditError
from toxaudit.machine import progress
from toxaudit.store import opening, salvage
from toxaudit.store.opening import COLUMNS, checksum, is_whole, number

TOGETHER = 500
"""Records that are asked for by one statement."""

DAY_SECONDS = 24 * 3600

SET_BACK_SECONDS = 3650 * DAY_SECONDS
"""Seconds by which a clock may have been set back; a day further ahead is damage."""

NO_DAMAGE = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
    sqlite3.SQLITE_FULL: "there is no room left",
    sqlite3.SQLITE_IOERR: "there may be no room left",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}
"""What SQLite reports that is no damage of the file, in words."""

DAMAGE = (sqlite3.Error, UnicodeDecodeError)
"""What is raised where a file is damaged; the latter of a name in it that an error would have told."""

Found = TypeVar("Found")
Alone = Callable[[], AbstractContextManager[object]]


class Database:
    """A file of records; what can't be had of it is one sentence."""

    def __init__(self, file: Path, writable: bool, alone: Alone, copied: bool = False) -> None:
        """Take the file, which is opened when it is first needed, and made where there is none.

        Args:
            file: the database.
            writable: whether it may be written; else nothing beside it is, either.
            alone: within this context no other process works with the store.
            copied: whether a file that may not be written is copied, so that something can be added to it.
        """
        self._copied = copied
        self._file, self._writable, self._alone = file, writable, alone
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._copy: TemporaryDirectory[str] | None = None
        self._one_by_one = RLock()  # of this process's threads

    def ready(self) -> None:
        """Open the file, or make it, lest anything else is done to a store of another version."""
        self._rows("SELECT 1")

    def get(self, shelf: int, names: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values of these records, as far as they are here; damaged ones are named, and taken out."""
        wanted, found, damaged = {number(name): name for name in names}, {}, []
        for where, items in _together(shelf, wanted):
            for _, item, name, value, told in self._rows(f"SELECT {COLUMNS} FROM record WHERE {where}", items):
                if name == wanted.get(item) and is_whole(shelf, name, value, told):
                    found[name] = value
                else:
                    damaged.append(item)
        if damaged:
            self._drop(shelf, damaged)
        return found

    def held(self, shelf: int, names: Iterable[bytes]) -> set[bytes]:
        """Which of these records are here, whole or not."""
        wanted, found = {number(name): name for name in names}, set[bytes]()
        for where, items in _together(shelf, wanted):
            found |= {wanted[item] for (item,) in self._rows(f"SELECT item FROM record WHERE {where}", items)}
        return found

    def all_of(self, shelf: int) -> Iterator[tuple[bytes, bytes]]:
        """Name and value of all whole records of a shelf, of which a few are in memory at a time."""
        some_of = f"SELECT {COLUMNS} FROM record WHERE shelf = ? AND item > ? ORDER BY item LIMIT ?"
        after = shelf, -(2**63), TOGETHER
        while some := self._rows(some_of, after):
            yield from ((name, value) for _, _, name, value, told in some if is_whole(shelf, name, value, told))
            after = shelf, some[-1][1], TOGETHER

    def put(self, shelf: int, records: Mapping[bytes, bytes]) -> None:
        """Keep records, and wait until the disk has them; those already here stay as they are."""
        rows = [(shelf, number(name), name, value, checksum(shelf, name, value)) for name, value in records.items()]
        self._write(f"INSERT OR IGNORE INTO record ({COLUMNS}) VALUES (?, ?, ?, ?, ?)", rows)

    def tell(self, place: str, identity: bytes) -> int:
        """Note whose work is at a place, and that it is used today; the place's number.

        A later day that stands there stays: the clock may have been set back.
        """
        told = number(place.encode()), place.encode(), identity
        today = int(time()) // DAY_SECONDS * DAY_SECONDS
        current = "SELECT 1 FROM shelf WHERE number = ? AND place = ? AND identity = ? AND used BETWEEN ? AND ?"
        if self._writable and not self._rows(current, (*told, today, today + SET_BACK_SECONDS)):
            self._write("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?, ?)", [(*told, today)])
        return told[0]

    def places(self) -> list[tuple[str, bytes, int]]:
        """Of each place that was noted: what it is, whose work is there, its last use in seconds since 1970."""
        told = "typeof(place) = 'blob' AND typeof(identity) = 'blob' AND typeof(used) = 'integer'"
        rows = self._rows(f"SELECT place, identity, used FROM shelf WHERE {told} ORDER BY place")
        return [(place.decode("utf-8", "replace"), identity, used) for place, identity, used in rows]

    def sizes(self) -> dict[int, int]:
        """The number of each shelf -> bytes of its records."""
        return dict(self._rows("SELECT shelf, sum(length(name) + length(value) + 40) FROM record GROUP BY shelf"))

    def check(self) -> bool:
        """Look at the whole file, and mend it where its tables don't fit together; whether they did."""
        if self._rows("PRAGMA integrity_check(1)") == [(b"ok",)]:
            return True
        self._mend()
        return False

    def clear(self, places: Iterable[str]) -> None:
        """Remove what is noted and kept of these places, and give the room back to the disk."""
        gone = [(number(place.encode()),) for place in places]
        self._write("DELETE FROM record WHERE shelf = ?", gone)
        self._write("DELETE FROM shelf WHERE number = ?", gone)
        self._rows("VACUUM")

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        if self._connection:
            self._connection.close()
        if self._copy:
            self._copy.cleanup()
        self._connection = self._copy = None

    def _drop(self, shelf: int, damaged: list[int]) -> None:
        where = [place for place, *_ in self.places() if number(place.encode()) == shelf]
        which = f"{len(damaged)} record{'s' * (len(damaged) > 1)} of {''.join(where)}"
        progress.say(f"{self._file} is damaged ({which}): what was there is made again.")
        if self._writable and self.check():  # else a damaged index could lead to another record
            self._write("DELETE FROM record WHERE shelf = ? AND item = ?", [(shelf, item) for item in damaged])

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        return self._do(lambda to: to.execute(statement, values).fetchall())

    def _write(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        self._do(lambda to: to.executemany(statement, rows), write=True)

    def _do(self, work: Callable[[sqlite3.Connection], Found], write: bool = False) -> Found:
        """Do some work with the database, once more where the first try shows damage.

        Raises:
            ToxauditError: if the database can't be read or written, is of a newer version, or was removed.
        """
        with self._one_by_one:
            try:
                return self._try(work, write)
            except DAMAGE as error:
                self._require_damage(error)
            self._mend()
            try:
                return self._try(work, write)
            except DAMAGE as error:
                self._require_damage(error)
                raise ToxauditError(
                    f"{self._file} can't be mended ({error}): remove it; its work is made again."
                ) from error

    def _try(self, work: Callable[[sqlite3.Connection], Found], write: bool) -> Found:
        to = self._opened()
        if not write:
            return work(to)
        to.execute("BEGIN IMMEDIATE")
        try:
            found = work(to)
            to.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                to.execute("ROLLBACK")
            raise
        return found

    def _opened(self) -> sqlite3.Connection:
        """The connection to the file that is there now: another process may have mended it."""
        if self._connection and self._inode not in (0, _inode(self._file)):
            if not self._file.exists():
                raise opening.removed(self._file)
            self.close()
        if self._connection is None:
            if self._writable:
                self._connection = opening.opened(self._file)
                self._inode = _inode(self._file)
            elif self._file.exists() and not self._copied and not _log(self._file).exists():
                self._connection = opening.read_only(self._file)
            else:
                self._read_a_copy()
        assert self._connection
        return self._connection

    def _read_a_copy(self) -> None:
        """Read, and add to, a copy of what can be read of the file, which may not be written."""
        self.close()
        self._copy = TemporaryDirectory(prefix="toxaudit-")
        file = Path(self._copy.name, self._file.name)
        opening.made(file, salvage.rows(self._file) if self._file.exists() else ())
        self._connection, self._inode = opening.opened(file), 0

    def _require_damage(self, error: Exception) -> None:
        """Refuse to go on after what is no damage."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in NO_DAMAGE and not (code == sqlite3.SQLITE_READONLY and os.access(self._file, os.W_OK)):
            raise ToxauditError(
                f"{self._file} can't be {'written' if self._writable else 'read'}: {NO_DAMAGE[code]} ({error}). Make "
                "room there, or name another place; finished work is kept."
            ) from error

    def _mend(self) -> None:
        """Put what can be read of a damaged file into a new one."""
        self.close()
        progress.say(f"{self._file} is damaged: what can't be read of it is made again.")
        if not self._writable:
            self._read_a_copy()
            return
        with self._alone():
            opening.made(self._file, salvage.rows(self._file), in_place=True)


def _together(shelf: int, items: Iterable[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Conditions on a few of these items each, and the values in them."""
    left = sorted(items)  # as they lie in the file
    for start in range(0, len(left), TOGETHER):
        some = left[start : start + TOGETHER]
        yield f"shelf = ? AND item IN ({', '.join('?' * len(some))})", (shelf, *some)


def _log(file: Path) -> Path:
    """What a killed process left of its last writes."""
    return file.with_name(file.name + "-wal")


def _inode(file: Path) -> int:
    try:
        return file.stat().st_ino
    except OSError:
        return 0
