"""What a store holds, for tests that compare it: its records as they are kept, and the places of its work."""

import sqlite3
from contextlib import closing
from pathlib import Path

from toxaudit.store.shelves import RECORDS

TIMED = ("decisions", "commitments", "runs")
"""The kinds of work that say when they were made."""


def records(root: Path, *kinds: str) -> dict[str, bytes]:
    """KIND/KEY and a record's name -> its value; without ``kinds``, of all that do not say when they were made."""
    with closing(sqlite3.connect(root / RECORDS)) as connection:
        rows = connection.execute("SELECT place, name, value FROM shelf JOIN record ON shelf = number").fetchall()
    found = {f"{place.decode()} {name.decode('utf-8', 'replace')}": value for place, name, value in rows}
    wanted = {name: name.split("/")[0] for name in found}
    return {name: found[name] for name, kind in wanted.items() if (kind in kinds if kinds else kind not in TIMED)}


def places(root: Path, kind: str) -> list[str]:
    """The keys of all work of a kind that was asked for, be there any or not."""
    if not (root / RECORDS).is_file():  # nothing was asked for
        return []
    with closing(sqlite3.connect(root / RECORDS)) as connection:
        rows = connection.execute("SELECT place FROM shelf ORDER BY place").fetchall()
    return [place.decode().split("/")[1] for (place,) in rows if place.decode().startswith(f"{kind}/")]
