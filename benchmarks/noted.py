"""An audit in a copy of this process, which notes while it lives in which phase it is, and what is not kept yet."""

import mmap
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOON = "2026-11-29T12:00:00Z"
PHASES = ("starting", "preparing", "tuning", "generating", "scoring", "estimating", "writing", "rendering", "finishing")
UNITS = {"generating": "token", "tuning": "step", "scoring": "text"}
"""What is lost by a kill that falls into the phase."""


class Noted:
    """What a run tells of itself while it lives, in memory that outlives it."""

    FIELDS = (
        "phase",
        "twice",  # records that were kept though they were there
        *(f"{what} {unit}" for unit in UNITS.values() for what in ("made", "pending", "most")),
    )

    def __init__(self) -> None:
        """Begin at nothing."""
        self._memory = mmap.mmap(-1, 8 * len(self.FIELDS))

    def __getitem__(self, name: str) -> int:
        return int(struct.unpack_from("q", self._memory, 8 * self.FIELDS.index(name))[0])

    def __setitem__(self, name: str, value: int) -> None:
        struct.pack_into("q", self._memory, 8 * self.FIELDS.index(name), value)

    def work(self, unit: str, number: int) -> None:
        """So much was done that is not kept yet."""
        self[f"made {unit}"] += number
        self[f"pending {unit}"] += number

    def kept(self, unit: str) -> None:
        """All of it is kept now."""
        self[f"most {unit}"] = max(self[f"most {unit}"], self[f"pending {unit}"])
        self[f"pending {unit}"] = 0


def start(folder: Path, words: Sequence[str], noted: Noted) -> int:
    """Begin the audit in a copy of this process; its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        _note(noted)
        from toxaudit.cli.main import main as toxaudit

        code = toxaudit(words)
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int) -> int | None:
    """The exit code of one of this process's, if it has ended; negative where a signal ended it."""
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def end(child: int) -> int:
    """The same, once it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _note(noted: Noted) -> None:
    """Let the audit note its phases, and what of its work is not kept yet."""
    import stored

    from toxaudit import commitment, runner
    from toxaudit.machine import progress
    from toxaudit.stages import scoring
    from toxaudit.store.database import Database
    from toxaudit.store.shelves import Store
    from toxaudit.training.checkpoints import Checkpoints

    def enters(module: Any, name: str, phase: str, then: str | None = None) -> None:
        work = getattr(module, name)

        def noting(*given: Any, **named: Any) -> Any:
            noted["phase"] = PHASES.index(phase)
            found = work(*given, **named)
            noted["phase"] = PHASES.index(then or phase)
            return found

        setattr(module, name, noting)

    commitment.now = lambda: NOON
    enters(runner, "_ready", "preparing")
    enters(runner, "_estimate", "estimating", "finishing")
    enters(runner, "_write", "writing", "finishing")
    enters(runner, "_rendered", "rendering", "writing")
    places: dict[int, str] = {}
    bar, wrote, made, long = progress.bar, progress.Writing.wrote, scoring._made, Store.long
    finish, tell, put = Checkpoints.finish, Database.tell, Database.put

    def noted_bar(what: str, *given: Any, **named: Any) -> Any:
        shown, first = bar(what, *given, **named), what.split()[0]
        if first in UNITS:
            noted["phase"] = PHASES.index(first)
        if first == "tuning":
            update = shown.update
            shown.update = lambda *n: (noted.work("step", 1), update(*n))
        return shown

    def noted_wrote(self: Any, tokens: int) -> None:
        noted.work("token", tokens)
        wrote(self, tokens)

    def noted_made(shelf: Any, scorer: Any, todo: Any) -> Any:
        noted.work("text", len(todo))
        found = made(shelf, scorer, todo)
        noted.kept("text")
        return found

    def noted_long(*given: Any) -> Any:
        found = long(*given)
        noted.kept("step")
        noted["phase"] = PHASES.index("preparing")
        return found

    def noted_finish(*given: Any) -> None:  # a checkpoint of what is tuned
        finish(*given)
        noted.kept("step")

    def noted_tell(self: Any, place: str, content: bytes) -> int:
        number = tell(self, place, content)
        places[number] = place
        return number

    def noted_put(self: Any, number: int, records: Any) -> None:
        kind = places[number].split("/")[0]
        if kind not in stored.TIMED and (twice := self.get(number, list(records))):
            noted["twice"] += len(twice)
            with open("twice", "a") as told:
                told.write(f"{places[number]} {b', '.join(sorted(twice))!r}\n")
        put(self, number, records)
        if kind == "completions":
            noted.kept("token")

    progress.bar, progress.Writing.wrote, scoring._made, Store.long = noted_bar, noted_wrote, noted_made, noted_long
    Checkpoints.finish, Database.tell, Database.put = noted_finish, noted_tell, noted_put
