"""Where a training that was killed goes on: checkpoints in the store, sealed when whole, gone when it is finished."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

from filelock import FileLock, Timeout

from toxaudit.store import seals

LEAST_SECONDS = 10.0
"""Seconds from one checkpoint to the next, at least."""

WORK_FOR_SAVING = 20.0
"""Seconds of training for each second that saving takes, at least: saving costs less than one in twenty.

When a checkpoint is written changes nothing in what is trained, so that the clock may decide it.
"""

WRITER = "writer.lock"
"""The file whose lock the process holds that writes checkpoints beside it; the system takes it where that ends."""


@contextmanager
def written_alone(folder: Path, else_in: Path) -> Iterator[Path]:
    """A folder for checkpoints that no other process writes meanwhile.

    Args:
        folder: that of earlier tries, which may be on another machine alone, or be written by a process that is
            wrongly taken for dead.
        else_in: an empty one, where the other can't be had.
    """
    with ExitStack() as stack:
        yield folder if _locked(folder, stack) else else_in


def _locked(folder: Path, stack: ExitStack) -> bool:
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    try:
        stack.enter_context(FileLock(folder / WRITER, blocking=False))
    except (Timeout, OSError):
        return False
    return True


class Checkpoints:
    """The checkpoints of one stage, of which only the last whole one is kept."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that holds them, which must exist."""
        self.folder = folder
        self._kept_at = monotonic()
        self._writing_since = self._kept_at
        self._took = 0.0

    def due(self) -> bool:
        """Whether it is time for another."""
        return monotonic() - self._kept_at >= max(LEAST_SECONDS, WORK_FOR_SAVING * self._took)

    def begin(self) -> None:
        """Note that one is being written from here on."""
        self._writing_since = monotonic()

    def finish(self, checkpoint: Path) -> None:
        """Seal one that is written whole, and take away those before it."""
        seals.seal(checkpoint.name, checkpoint, _seal(checkpoint))
        self._keep(checkpoint)
        self._kept_at = monotonic()
        self._took = self._kept_at - self._writing_since

    def last(self) -> Path | None:
        """The last whole one; what is damaged or was left half written is taken away."""
        whole = [each for each in self._all() if _seal(each).is_file() and _is_whole(each)]
        last = whole[-1] if whole else None
        self._keep(last)
        return last

    def clear(self) -> None:
        """Take all away."""
        self._keep(None)

    def _all(self) -> list[Path]:
        found = (each for each in self.folder.glob("checkpoint-*") if each.is_dir())
        return sorted(found, key=lambda each: int(each.name.rpartition("-")[2]))

    def _keep(self, kept: Path | None) -> None:
        for each in self._all():
            if each != kept:
                _seal(each).unlink(missing_ok=True)
                shutil.rmtree(each, ignore_errors=True)


def _seal(checkpoint: Path) -> Path:
    return checkpoint.with_name(checkpoint.name + ".sha256")


def _is_whole(checkpoint: Path) -> bool:
    return seals.is_intact(checkpoint.name, checkpoint, _seal(checkpoint))
