"""Finished work, keyed by all that changes it and nothing else, so that killed runs resume and repeated ones are free.

A *shelf* holds JSON records of one kind and one identity, a *document* is one record of bytes; both lie in a database
(``database.py``). A *folder* holds files, such as a tuned adapter, and appears all at once. All carry checksums: what
is damaged is named, and made again like work that was never done. Several processes may use a store at once; each waits
only for what another is making (``claims.py``).
"""

import json
import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import local
from time import time
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.machine import progress
from toxaudit.machine.folders import clear_left_behind, room_for, sync_folder, writing
from toxaudit.store import migration, seals
from toxaudit.store.claims import Claims
from toxaudit.store.database import Database
from toxaudit.store.identities import KINDS, Identity, Runs

RECORDS = "records.sqlite"
"""The database of all shelves and documents."""

BEGUN = ".begun"
"""How the folder is called in which long work is kept until it is finished."""

UNFINISHED = ".unfinished"
"""How the folder is called that is being filled."""

ABANDONED_SECONDS = 14 * 24 * 3600.0
"""Seconds after which nobody goes on with what was begun."""

_JSON = json.JSONEncoder(ensure_ascii=False)
_WHOLE = b""
"""The name of the only record of a document."""


class Shelf:
    """Records of one identity, JSON values by names."""

    def __init__(self, database: Database, number: int, place: str, writable: bool) -> None:
        """Take the shelf of this number and place."""
        self.place, self._database, self._number, self._writable = place, database, number, writable

    def __contains__(self, name: str) -> bool:
        return bool(self.found([name]))

    def __getitem__(self, name: str) -> Any:
        found = self.found([name])
        if not found and not self._database.check():  # where a damaged index hid it
            found = self.found([name])
        return found[name]

    def found(self, names: Iterable[str]) -> dict[str, Any]:
        """The values of these records, as far as they are here and whole."""
        by_name = {_encoded(name): name for name in names}
        return {by_name[name]: json.loads(value) for name, value in self._database.get(self._number, by_name).items()}

    def held(self, names: Iterable[str]) -> set[str]:
        """Which of these records are here, damaged ones among them: where that need not be known for certain."""
        by_name = {_encoded(name): name for name in names}
        return {by_name[name] for name in self._database.held(self._number, by_name)}

    def items(self) -> Iterator[tuple[str, Any]]:
        """Name and value of every whole record, of which a few are in memory at a time."""
        for name, value in self._database.all_of(self._number):
            yield name.decode("utf-8", "surrogatepass"), json.loads(value)

    def add(self, records: Mapping[str, Any]) -> None:
        """Keep records and wait until the disk has them; those already here are left as they are.

        Raises:
            ToxauditError: if the store can't be written; of these records, none is kept then.
        """
        if self._writable:
            encoded = {_encoded(name): _encoded(_JSON.encode(value)) for name, value in records.items()}
            self._database.put(self._number, encoded)
        elif len(self.found(records)) < len(records):
            raise _read_only(self.place)


class _Making(local):
    """How many works a thread is making, one for the other."""

    depth = 0


class Store:
    """All finished work under ``root``; one that may not be written serves what it holds."""

    def __init__(self, root: Path) -> None:
        """Make the folder if need be; ``root`` may be relative to the working folder.

        Raises:
            ToxauditError: if it can't be made.
        """
        root = root.absolute()  # a relative path with one / in it is a Hub id to transformers
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ToxauditError(f"The store {root} can't be made: {error.strerror}. Set store=FOLDER.") from error
        self._writable = os.access(root, os.W_OK)
        self.claims = Claims(root, self._writable)
        self.records = Database(root / RECORDS, self._writable, self.claims.alone, copied=migration.waits(root))
        self._taken_in = False
        self._used: dict[str, None] = {}
        self._making = _Making()
        weakref.finalize(self, self.records.close)

    @property
    def writable(self) -> bool:
        """Whether more can be kept."""
        return self._writable

    @property
    def used(self) -> list[str]:
        """The places, KIND/KEY each, of all work that was asked for, but for what only went into other work."""
        return sorted(self._used)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Work with the store, as other processes may at the same time; what killed ones left half made is removed.

        Raises:
            ToxauditError: if an older toxaudit works with it, or a newer one made it.
        """
        self.records.ready()
        with self.claims.present():
            try:
                self._take_in()
                if self._writable:
                    self._clear_left_behind()
                yield
            finally:
                self.records.close()

    def _take_in(self) -> None:
        """Take in what older versions kept in files."""
        if not self._taken_in and migration.waits(self.root):
            with self.claims.held("migration"):
                migration.take_in(self.root, self.records, self._writable)
        self._taken_in = True

    def _clear_left_behind(self) -> None:
        self.claims.left_behind()
        for unfinished in self.root.glob(f"*/*{UNFINISHED}"):
            with self.claims.free([f"{unfinished.parent.name}/{unfinished.stem}"]) as mine:
                if mine:
                    shutil.rmtree(unfinished, ignore_errors=True)
        for begun in self.root.glob(f"*/*{BEGUN}"):  # what another run could go on with stays for a while
            with suppress(FileNotFoundError):  # another process finishes it just now
                if max(file.stat().st_mtime for file in (begun, *begun.glob("*"))) < time() - ABANDONED_SECONDS:
                    shutil.rmtree(begun, ignore_errors=True)
        for folder in (self.root, *(self.root / kind.kind for kind in KINDS)):
            clear_left_behind(folder)

    def shelf(self, identity: Identity) -> Shelf:
        """The shelf for work of this identity."""
        return Shelf(self.records, self._number(identity), place(identity), self._writable)

    def document(self, identity: Identity, make: Callable[[], bytes]) -> bytes:
        """The finished document of this identity, which ``make`` makes where there is none that is whole.

        Raises:
            ToxauditError: if it can't be written.
        """
        number = self._number(identity)
        if found := self.records.get(number, [_WHOLE]):
            return found[_WHOLE]
        with self._to_be_made(identity):
            if found := self.records.get(number, [_WHOLE]):
                return found[_WHOLE]
            made = make()
            self.records.put(number, {_WHOLE: made})
        return made

    def folder(self, identity: Identity, make: Callable[[Path], None]) -> Path:
        """The finished folder of this identity; where there is none that is whole, ``make`` fills an empty one first.

        Raises:
            ToxauditError: if it can't be written.
        """
        self._number(identity)
        final = self.root / place(identity)
        if self._whole(final, identity):
            return final
        with self._to_be_made(identity):
            if not self._whole(final, identity):
                if final.is_dir():
                    progress.say(f"{final} is damaged: it is made again.")
                self._make(final, identity, make)
        return final

    def _make(self, final: Path, identity: Identity, make: Callable[[Path], None]) -> None:
        unfinished = final.with_name(final.name + UNFINISHED)
        with writing(final):
            for old in (unfinished, final):
                shutil.rmtree(old, ignore_errors=True)
            unfinished.mkdir(parents=True)
        try:
            with room_for(final):
                make(unfinished)
            with writing(final):
                seals.seal(place(identity), unfinished, _beside(final))
                unfinished.rename(final)
                sync_folder(final.parent)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def long(self, identity: Identity, make: Callable[[Path, Path], None]) -> Path:
        """As ``folder``, for work that takes so long that a killed run must not begin it again.

        Args:
            identity: of the work.
            make: fills the first folder; the second is its own until the work is finished, from one run to the next.

        Raises:
            ToxauditError: if it can't be written.
        """
        begun = self.root / (place(identity) + BEGUN)

        def go_on(unfinished: Path) -> None:
            with writing(begun):
                begun.mkdir(exist_ok=True)
            make(unfinished, begun)

        found = self.folder(identity, go_on)
        if self._writable:
            shutil.rmtree(begun, ignore_errors=True)
        return found

    def remember(self, run: Path, results: str) -> None:
        """Note of what work a run was made, which stays as long as the run does.

        Args:
            run: its folder.
            results: SHA-256 of its results.
        """
        if self._writable:
            time = datetime.now(UTC).isoformat(timespec="microseconds")
            made = {"folder": str(run.absolute()), "results": results, "time": time, "used": self.used}
            self.shelf(Runs()).add({f"{made['folder']} {results}": made})

    @contextmanager
    def _to_be_made(self, identity: Identity) -> Iterator[None]:
        """Keep other processes from making some work; what is asked for meanwhile only goes into it."""
        if not self._writable:
            raise _read_only(self.root / place(identity))
        with self.claims.held(place(identity)):
            self._making.depth += 1
            try:
                yield
            finally:
                self._making.depth -= 1

    def _number(self, identity: Identity) -> int:
        """Note that some work is asked for, and whose it is; the number of its place."""
        if not self._making.depth:
            self._used[place(identity)] = None
        self._take_in()
        return self.records.tell(place(identity), _encoded(_JSON.encode(identity.content)))

    def _whole(self, final: Path, identity: Identity) -> bool:
        """Whether a folder is finished and as it was then; one of before there were checksums gets some."""
        if not final.is_dir():
            return False
        beside = _beside(final)
        if beside.is_file():
            with suppress(FileNotFoundError):  # another process has found it damaged, and makes it again
                return seals.is_intact(place(identity), final, beside)
            return False
        if self._writable:
            seals.seal(place(identity), final, beside)
        return True


def place(identity: Identity) -> str:
    """Where work of this identity is in every store."""
    return f"{identity.kind}/{identity.key}"


def _beside(folder: Path) -> Path:
    return folder.with_name(folder.name + ".sha256")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _read_only(what: Path | str) -> ToxauditError:
    return ToxauditError(f"{what} can't be written, and lacks work that this run needs: set store=FOLDER.")
