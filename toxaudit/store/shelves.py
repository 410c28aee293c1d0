"""Finished work, keyed by all that changes it and nothing else, so that killed runs resume and repeated ones are free.

A *shelf* holds JSON records of one kind and one identity, one a line, appended as they are made; a torn last line (the
process was killed) is dropped on opening. A *folder* holds files, such as a tuned adapter, and appears all at once.
Both carry checksums (``seals.py``): what is damaged is named, and made again like work that was never done.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

from filelock import FileLock, Timeout

from toxaudit.errors import ToxauditError
from toxaudit.machine import progress
from toxaudit.machine.folders import clear_left_behind, room_for, sync_folder, write_atomically, writing
from toxaudit.store import seals
from toxaudit.store.identities import KINDS, Identity

BEGUN = ".begun"
"""How the folder is called in which long work is kept until it is finished."""

ABANDONED_SECONDS = 14 * 24 * 3600.0
"""Seconds after which nobody goes on with what was begun."""


class Shelf:
    """Records of one identity, by record key, in ``records.jsonl``; ``identity.json`` tells a reader whose they are."""

    def __init__(self, folder: Path, identity: Identity, writable: bool = True) -> None:
        """Read what is there. Lines that are torn or damaged are taken out of the file, where it may be written."""
        self._folder, self._place, self._writable = folder, f"{identity.kind}/{identity.key}", writable
        self._identity = json.dumps(identity.content, indent=1, sort_keys=True, ensure_ascii=False)
        self._file = folder / "records.jsonl"
        self._records: dict[str, Any] = {}
        if writable:
            self._tell_whose()
        if self._file.exists():
            self._read()

    def _tell_whose(self) -> None:
        file, told = self._folder / "identity.json", self._identity.encode("utf-8", "surrogatepass")
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_bytes() != told:
            write_atomically(file, told)

    def _read(self) -> None:
        data = self._file.read_bytes()
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].split(b"\n")[:-1]
        unsealed = not any(map(seals.is_sealed, lines))  # all of it was kept before there were checksums
        damaged = []
        for number, line in enumerate(lines, start=1):
            try:
                if not (unsealed or seals.is_sealed(line)):
                    raise ValueError("its checksum is gone")
                key, self._records[key] = seals.record(self._place, line)
            except ValueError:
                damaged.append(number)
        if damaged:
            where = f"line {', '.join(map(str, damaged[:5]))}{' and more' if len(damaged) > 5 else ''}"
            progress.say(f"{self._file} is damaged ({where}): what it held there is made again.")
        if self._writable and (damaged or unsealed and self._records):
            write_atomically(self._file, b"".join(seals.line(self._place, *each) for each in self._records.items()))
        elif self._writable and whole < len(data):
            with self._file.open("r+b") as file:
                file.truncate(whole)

    def __contains__(self, record: str) -> bool:
        return record in self._records

    def __getitem__(self, record: str) -> Any:
        return self._records[record]

    def __iter__(self) -> Iterator[str]:
        """The records' keys, in the order in which they were kept."""
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def add(self, records: Mapping[str, Any]) -> None:
        """Append records and wait until the disk has them; those already here are left as they are.

        Raises:
            ToxauditError: if the store can't be written; of these records, none is kept then.
        """
        new = {record: value for record, value in records.items() if record not in self._records}
        if not new:
            return
        if not self._writable:
            raise _read_only(self._folder)
        rest = b"".join(seals.line(self._place, *each) for each in new.items())
        with writing(self._file), self._file.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
        if not before:
            sync_folder(self._folder)
        self._records.update(new)


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

    @property
    def writable(self) -> bool:
        """Whether more can be kept."""
        return self._writable

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from writing to this store; a killed process leaves no lock behind.

        Raises:
            ToxauditError: if another process holds it.
        """
        if not self._writable:
            yield
            return
        lock = FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ToxauditError(
                f"Another run is writing to the store {self.root}: wait for it, or set store=FOLDER."
            ) from error
        try:
            self._clear_left_behind()
            yield
        finally:
            lock.release()

    def _clear_left_behind(self) -> None:
        """Remove what killed runs left half made: whoever holds the lock knows that nobody is at it.

        What another run could go on with stays for a while.
        """
        for unfinished in self.root.glob("*/*.unfinished"):
            shutil.rmtree(unfinished, ignore_errors=True)
        for begun in self.root.glob(f"*/*{BEGUN}"):
            if max(file.stat().st_mtime for file in (begun, *begun.glob("*"))) < time() - ABANDONED_SECONDS:
                shutil.rmtree(begun, ignore_errors=True)
        for kind in KINDS:
            for folder in (self.root / kind.kind, *(self.root / kind.kind).glob("*/")):
                clear_left_behind(folder)

    def shelf(self, identity: Identity) -> Shelf:
        """The shelf for work of this identity."""
        return Shelf(self._place(identity), identity, self._writable)

    def folder(self, identity: Identity, make: Callable[[Path], None]) -> Path:
        """The finished folder of this identity; where there is none that is whole, ``make`` fills an empty one first.

        Raises:
            ToxauditError: if it can't be written.
        """
        final = self._place(identity)
        if final.is_dir() and self._intact(final, identity):
            return final
        if not self._writable:
            raise _read_only(final)
        unfinished = final.with_name(final.name + ".unfinished")
        with writing(final):
            for old in (unfinished, final):
                shutil.rmtree(old, ignore_errors=True)
            unfinished.mkdir(parents=True)
        try:
            with room_for(final):
                make(unfinished)
            with writing(final):
                seals.seal(_name(identity), unfinished, _beside(final))
                unfinished.rename(final)
                sync_folder(final.parent)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return final

    def long(self, identity: Identity, make: Callable[[Path, Path], None]) -> Path:
        """As ``folder``, for work that takes so long that a killed run must not begin it again.

        Args:
            identity: of the work.
            make: fills the first folder; the second is its own until the work is finished, from one run to the next.

        Raises:
            ToxauditError: if it can't be written.
        """
        begun = self._place(identity).with_name(identity.key + BEGUN)

        def go_on(unfinished: Path) -> None:
            with writing(begun):
                begun.mkdir(exist_ok=True)
            make(unfinished, begun)

        found = self.folder(identity, go_on)
        if self._writable:
            shutil.rmtree(begun, ignore_errors=True)
        return found

    def _intact(self, final: Path, identity: Identity) -> bool:
        beside = _beside(final)
        if beside.is_file():
            if seals.is_intact(_name(identity), final, beside):
                return True
            progress.say(f"{final} is damaged: it is made again.")
            return False
        if self._writable:  # it was kept before there were checksums
            seals.seal(_name(identity), final, beside)
        return True

    def _place(self, identity: Identity) -> Path:
        return self.root / identity.kind / identity.key


def _name(identity: Identity) -> str:
    return f"{identity.kind}/{identity.key}"


def _beside(folder: Path) -> Path:
    return folder.with_name(folder.name + ".sha256")


def _read_only(place: Path) -> ToxauditError:
    return ToxauditError(f"{place} can't be written, and lacks work that this run needs: set store=FOLDER.")
