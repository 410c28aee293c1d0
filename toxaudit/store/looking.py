"""A store looked at from outside: how it is, without making, mending or taking in anything."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.store import migration, opening
from toxaudit.store.database import NO_DAMAGE


@dataclass(frozen=True)
class Seen:
    """What a store is like.

    Attributes:
        size: bytes of all its files.
        records: how many its database holds.
        wrong: what is wrong with it, as a sentence; empty where nothing is.
        note: what else is to be known, as a phrase.
    """

    size: int
    records: int = 0
    wrong: str = ""
    note: str = ""


def looked_at(root: Path, database: Path) -> Seen | None:
    """How a store is; None where there is none yet. The whole database is read.

    Args:
        root: the store's folder.
        database: the file of its records.
    """
    if not root.is_dir():
        return None
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
    note = "" if os.access(root, os.W_OK) else "it may not be written"
    if migration.waits(root):
        note = "an older toxaudit made it, and the next audit takes in what it holds"
    if not database.exists():
        return Seen(size, note=note)
    try:
        with closing(opening.looked_at(database)) as connection:
            told = connection.execute("PRAGMA quick_check(1)").fetchall()
            records = connection.execute("SELECT count(*) FROM record").fetchone()[0]
    except ToxauditError as error:
        return Seen(size, wrong=str(error))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        why = NO_DAMAGE.get(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF)
        return Seen(size, wrong=f"its database can't be read: {why or f'{error}, which the next audit mends'}")
    wrong = "" if told == [(b"ok",)] else "its database is damaged: the next audit mends it"
    return Seen(size, records, wrong, note)
