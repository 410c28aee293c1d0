"""What a store holds, and what of it may go: work that no run refers to, and that nobody has asked for in a while."""

import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from toxaudit.machine.folders import writing
from toxaudit.store.identities import KINDS, Commitments, Decisions, Runs
from toxaudit.store.opening import number
from toxaudit.store.shelves import BEGUN, RECORDS, Store

REMEMBERED = (Commitments.kind, Decisions.kind, Runs.kind)
"""Kinds of work that never go: what was committed to and decided, and what runs are made of."""


@dataclass(frozen=True)
class Piece:
    """Some finished work.

    Attributes:
        place: KIND/KEY.
        size: in bytes.
        used: the day on which it was last asked for.
    """

    place: str
    size: int
    used: date


@dataclass(frozen=True)
class Remembered:
    """A run that was made of work in a store.

    Attributes:
        folder: where it was written.
        results: SHA-256 of its results.
        time: when it was written, in UTC.
        used: the places of all work that it refers to.
    """

    folder: Path
    results: str
    time: str
    used: tuple[str, ...]


def remembered(store: Store) -> list[Remembered]:
    """Every run that the store knows, the latest last."""
    told = (value for _, value in store.shelf(Runs()).items())
    found = (Remembered(Path(each["folder"]), each["results"], each["time"], tuple(each["used"])) for each in told)
    return sorted(found, key=lambda each: each.time)


def of_run(known: Iterable[Remembered], folder: Path, results: str) -> Remembered | None:
    """What is known of a run: by its results, wherever they are now, else the last that was written there."""
    known = list(known)
    same = [each for each in known if each.results == results]
    there = [each for each in known if each.folder == folder.absolute()]
    return next(reversed(same or there), None)


def pieces(store: Store) -> list[Piece]:
    """All finished work of a store, by its place, folders of before it was noted when they are asked for among it."""
    sizes = store.records.sizes()
    folders = {f"{each.parent.name}/{each.name}": each for kind in KINDS for each in store.root.glob(f"{kind.kind}/*/")}
    used = {place: int(each.stat().st_mtime) for place, each in folders.items() if not each.suffix}
    used |= {place: seconds for place, _, seconds in store.records.places()}
    return [
        Piece(place, sizes.get(number(place.encode()), 0) + _size(store.root / place), _day(seconds))
        for place, seconds in sorted(used.items())
    ]


def clear(store: Store, places: Collection[str]) -> None:
    """Remove work; it is for the caller to keep other processes away from the store, from before it was chosen.

    Raises:
        ToxauditError: if the store can't be written.
    """
    for place in places:
        folder = store.root / place
        with writing(folder):
            for each in (folder, folder.with_name(folder.name + BEGUN)):
                shutil.rmtree(each, ignore_errors=True)
            folder.with_name(folder.name + ".sha256").unlink(missing_ok=True)
    store.records.clear(places)


def noted(root: Path) -> set[str]:
    """The places, KIND/KEY each, of what the store in a folder holds, in which nothing is changed."""
    found = {f"{each.parent.name}/{each.name}" for each in root.glob("*/*") if each.is_dir() and not each.suffix}
    if (root / RECORDS).is_file():
        found |= {each for each, *_ in Store(root).records.places()}
    return found


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def _size(folder: Path) -> int:
    """Bytes of a folder's own files: what a link leads to is not counted."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
