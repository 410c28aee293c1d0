"""Finished work, keyed by all that changes it and nothing else, so that killed runs resume and repeated ones are free.

A *shelf* holds JSON records of one kind and one identity, one a line, appended as they are made; a torn last line (the
process was killed) is dropped on opening. A *folder* holds files, such as a tuned adapter, and appears all at once.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import write_atomically
from toxaudit.store.identities import Identity


class Shelf:
    """Records of one identity, by record key, in ``records.jsonl``; ``identity.json`` tells a reader whose they are."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        """Read what is there; a torn last line is cut off the file.

        Raises:
            ToxauditError: if a line other than the last is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        told = json.dumps(identity.content, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomically(folder / "identity.json", told)
        self._file = folder / "records.jsonl"
        self._records: dict[str, Any] = {}
        if self._file.exists():
            self._read()

    def _read(self) -> None:
        data = self._file.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self._file.open("r+b") as file:
                file.truncate(whole)
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            try:
                record = json.loads(line)
                self._records[record["key"]] = record["value"]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ToxauditError(
                    f"{self._file}, line {number} is damaged: delete that folder and run again."
                ) from error

    def __contains__(self, record: str) -> bool:
        return record in self._records

    def __getitem__(self, record: str) -> Any:
        return self._records[record]

    def __len__(self) -> int:
        return len(self._records)

    def add(self, records: Mapping[str, Any]) -> None:
        """Append records and wait until the disk has them; those already here are left as they are."""
        new = {record: value for record, value in records.items() if record not in self._records}
        lines = "".join(
            json.dumps({"key": record, "value": value}, ensure_ascii=False) + "\n" for record, value in new.items()
        )
        with self._file.open("ab") as file:
            file.write(lines.encode("utf-8", "surrogatepass"))
            file.flush()
            os.fsync(file.fileno())
        self._records.update(new)


class Store:
    """All finished work under ``root``."""

    def __init__(self, root: Path) -> None:
        """Make the folder if need be.

        Raises:
            ToxauditError: if it can't be made.
        """
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ToxauditError(f"The store {root} can't be made: {error.strerror}. Set store=FOLDER.") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from writing to this store; a killed process leaves no lock behind.

        Raises:
            ToxauditError: if another process holds it.
        """
        lock = FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ToxauditError(
                f"Another run is writing to the store {self.root}: wait for it, or set store=FOLDER."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def shelf(self, identity: Identity) -> Shelf:
        """The shelf for work of this identity."""
        return Shelf(self._place(identity), identity)

    def folder(self, identity: Identity, make: Callable[[Path], None]) -> Path:
        """The finished folder of this identity; where there is none, ``make`` fills an empty one first."""
        final = self._place(identity)
        if final.is_dir():
            return final
        unfinished = final.with_name(final.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(final)
        return final

    def _place(self, identity: Identity) -> Path:
        return self.root / identity.kind / identity.key
