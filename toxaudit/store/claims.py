"""Who makes what: a lock for each piece of work, which the system takes from a process that ends, however it ends."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from toxaudit.errors import ToxauditError
from toxaudit.machine import progress
from toxaudit.machine.folders import writing

LONGEST_WAIT_SECONDS = 120.0
"""Seconds to wait for who opens or mends a store."""

QUIET_SECONDS = 2.0
"""Seconds of waiting for another process of which nothing is said."""

POLL_SECONDS = 0.1


class Claims:
    """The locks of one store, and which processes work with it."""

    def __init__(self, root: Path, writable: bool) -> None:
        """Take the store's folder; where that may not be written nothing is made, and nothing claimed."""
        self._root, self._folder, self._writable = root, root / "claims", writable

    @contextmanager
    def held(self, work: str) -> Iterator[None]:
        """Keep other processes from making some work; where one is at it, wait until it is done or has ended."""
        with ExitStack() as stack:
            if self._writable:
                stack.enter_context(self._waiting(work))
            yield

    @contextmanager
    def free(self, works: Iterable[str]) -> Iterator[list[str]]:
        """Keep other processes from making such of these works as none is making; yields which."""
        with ExitStack() as stack:
            yield [work for work in works if not self._writable or self._taken(stack, work)]

    def each_once(self, missing: Callable[[], Sequence[str]], make: Callable[[Sequence[str]], None]) -> None:
        """Make works that are missing: first those that no other process is making, then what such a one has left.

        Args:
            missing: which works are.
            make: makes as much of these as is still missing.
        """
        made: set[str] = set()
        while works := [work for work in missing() if work not in made]:
            with self.free(works) as mine:
                if mine:
                    make(mine)
                    made.update(mine)
            if not mine:
                with self._waiting(works[0]):
                    pass

    @contextmanager
    def present(self) -> Iterator[None]:
        """Let other processes know meanwhile that this one works with the store.

        Raises:
            ToxauditError: if an older toxaudit, or one that clears or mends the store, doesn't let go of it.
        """
        with ExitStack() as stack:
            if self._writable:
                with self._door():
                    self._taken(stack, f"user-{os.getpid()}")
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes away from the store.

        Raises:
            ToxauditError: if another process works with it.
        """
        with self._door(), ExitStack() as stack:
            for file in sorted(self._folder.glob("user-*")):
                if file.name != f"user-{os.getpid()}" and not self._taken(stack, file.name):
                    raise ToxauditError(f"Another run works with the store {self._root}: wait for it, and try again.")
            yield

    def left_behind(self) -> None:
        """Remove what killed processes left of theirs."""
        for file in self._folder.glob("*"):
            with self.free([file.name]):
                pass

    @contextmanager
    def _door(self) -> Iterator[None]:
        """What is passed by each process that begins to work with the store; toxaudit 0.1 kept it for a whole run."""
        lock = FileLock(self._root / "lock")
        with writing(self._root):
            try:
                lock.acquire(timeout=LONGEST_WAIT_SECONDS, poll_interval=POLL_SECONDS)
            except Timeout as error:
                raise ToxauditError(
                    f"Another run is writing to the store {self._root}: wait for it, or set store=FOLDER."
                ) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _waiting(self, work: str) -> Iterator[None]:
        lock = self._lock(work)
        with writing(self._folder):
            try:
                lock.acquire(timeout=QUIET_SECONDS, poll_interval=POLL_SECONDS)
            except Timeout:
                progress.say(f"{work} is being made already: waiting for it.")
                lock.acquire(poll_interval=POLL_SECONDS)
        try:
            yield
        finally:
            self._let_go(lock)

    def _taken(self, stack: ExitStack, work: str) -> bool:
        """Whether a lock could be had at once; the stack lets go of it."""
        lock = self._lock(work)
        with writing(self._folder):
            try:
                lock.acquire(blocking=False)
            except Timeout:
                return False
        stack.callback(self._let_go, lock)
        return True

    def _lock(self, work: str) -> FileLock:
        if not self._root.is_dir():
            raise ToxauditError(
                f"The store {self._root} was removed while it was in use: what it held is made again by a rerun."
            )
        return FileLock(self._folder / work.replace("/", "."))

    def _let_go(self, lock: FileLock) -> None:
        if os.name != "nt":  # where it is removed on release; who waits for it sees that the file is gone
            with suppress(OSError):
                Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
