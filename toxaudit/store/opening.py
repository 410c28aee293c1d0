"""How the database of records is made and opened: its tables, its version, and what a row's numbers and sum are."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from toxaudit.errors import ToxauditError

FORMAT = 1
"""The version of the tables: whoever changes them raises it, and turns older ones into the new ones."""

TWICE = 0x10001
"""By which the version is multiplied where it is written: a flipped bit makes it no newer one, but none."""

PAGE = 4096
"""Bytes of a page of the file."""

TABLES = """
CREATE TABLE shelf (number INTEGER PRIMARY KEY, place BLOB, identity BLOB, used INTEGER);
CREATE TABLE record (row INTEGER PRIMARY KEY, shelf INTEGER, item INTEGER, name BLOB, value BLOB, sum BLOB);
CREATE UNIQUE INDEX found ON record (shelf, item);
"""
"""``number`` and ``item`` are those of a place (KIND/KEY) and of a name, ``identity`` is JSON for people, ``used`` the
day of the last use. Records lie as they came, since names are random: an index of short numbers finds them."""

COLUMNS = "shelf, item, name, value, sum"
"""Those of a record that say something."""

WAIT_SECONDS = 120.0
"""How long a write waits for other processes', each of which takes milliseconds."""

SETTINGS = ("synchronous = FULL", "wal_autocheckpoint = 50000", "cache_size = -64000", "cell_size_check = ON")
"""A commit is on the disk; what is written often, such as the pages near a table's root, reaches the file seldom."""

Row = tuple[object, ...]


def number(text: bytes) -> int:
    """The number of a place or a name: the first 64 bits of its SHA-256."""
    return int.from_bytes(sha256(text).digest()[:8], "big", signed=True)


def checksum(shelf: int, name: bytes, value: bytes) -> bytes:
    """A record's checksum, over what it belongs to and what it says: enough for damage that nobody means."""
    return sha256(b"%d\n%d\n%s%s" % (shelf, len(name), name, value)).digest()[:8]


def is_whole(shelf: int, name: object, value: object, told: object) -> bool:
    """Whether a record's checksum bears it out."""
    return isinstance(name, bytes) and isinstance(value, bytes) and told == checksum(shelf, name, value)


def removed(what: Path) -> ToxauditError:
    """What is said of a store, or a file of it, that is gone."""
    return ToxauditError(f"{what} was removed while it was in use: run the same again, which makes anew what it held.")


def opened(file: Path) -> sqlite3.Connection:
    """The database to be read and written, which is made where there is none.

    Raises:
        ToxauditError: if it is of a newer version; nothing is written then.
        sqlite3.Error: if it can't be opened, or is damaged.
    """
    if not file.exists():
        made(file, ())
    connection = _connected(file, "mode=rw")
    for setting in SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    return connection


def read_only(file: Path) -> sqlite3.Connection:
    """The database to be read where nothing may be written, not even beside it; no process may be writing to it.

    Raises:
        ToxauditError: if it is of a newer version.
        sqlite3.Error: if it can't be opened, or is damaged.
    """
    return _connected(file, "mode=ro&immutable=1")


def looked_at(file: Path) -> sqlite3.Connection:
    """The database to be read while other processes may be writing to it; nothing is made, not even beside it.

    Raises:
        ToxauditError: if it is of a newer version.
        sqlite3.Error: if it can't be opened, or is damaged.
    """
    in_use = file.with_name(file.name + "-wal").exists() and os.access(file.parent, os.W_OK)
    return _connected(file, "mode=ro" if in_use else "mode=ro&immutable=1")


def made(file: Path, rows: Iterable[tuple[str, Row]], in_place: bool = False) -> None:
    """Make a database with these rows, each with the name of its table, whole or not at all.

    Args:
        file: where it is to be; another process may make the same at the same time.
        rows: what it holds from the beginning.
        in_place: whether one that is there is replaced.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    connection = sqlite3.connect(part, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA journal_mode = OFF")  # nobody else sees it yet, and nothing is left beside it
        connection.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {FORMAT * TWICE};")
        for table, row in rows:
            connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    if in_place:
        for beside in ("-wal", "-shm"):
            file.with_name(file.name + beside).unlink(missing_ok=True)
        part.replace(file)
        return
    with suppress(FileExistsError):
        os.link(part, file)
    part.unlink()


def _connected(file: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{file.as_uri()}?{how}", uri=True, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = bytes  # what a flipped bit makes text of is no error by itself
    try:
        told: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if told == FORMAT * TWICE:
            return connection
        if told > FORMAT * TWICE and told % TWICE == 0:
            raise ToxauditError(
                f"{file} was written by a newer toxaudit (format {told // TWICE}, and this one reads {FORMAT}): "
                "update toxaudit, or set store=FOLDER."
            )
        raise sqlite3.DatabaseError("its version is damaged")
    except BaseException:
        connection.close()
        raise
