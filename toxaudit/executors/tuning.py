"""Recipes that are carried out in the workers of a pool: chains of stages at once, each chain's one after another.

A chain's own thread, in this process, looks up the store and writes it; what it hands on is one stage at a time, which
a worker tunes. The thread that asks for what is made looks after the workers meanwhile: no other speaks with Ray.
"""

import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.executors.ledger import MOST_DEATHS
from toxaudit.executors.pool import Pool
from toxaudit.executors.worker import Part
from toxaudit.machine import progress
from toxaudit.machine.folders import sha256
from toxaudit.models import ResolvedModel
from toxaudit.training import Computed, ReadStage, Tune, doing

LOOK_SECONDS = 0.05
"""Seconds after which chains are looked at again, while no worker has anything in hand."""

END_SECONDS = 10.0
"""Seconds that chains which are given up get to end; one that waits for another process ends with this one."""


class Stage:
    """One stage of a recipe, which one worker at a time has in hand."""

    def __init__(
        self,
        waiting: deque["Stage"],
        arm: ResolvedModel,
        stage: ReadStage,
        computed: Computed,
        folder: Path,
        scratch: Path,
    ) -> None:
        """Take the queue of those that no worker has in hand, and what tuning takes."""
        self.done: Future[None] = Future()
        self.asked = arm, stage, computed, scratch
        self.threads = computed.threads if computed.device == "cpu" else 0
        self._waiting, self._place, self._folder = waiting, stage.place, folder
        self._made: dict[str, str] = {}
        self._bar: Any = None
        self._deaths = 0

    def told(self, part: Part) -> None:
        """Take in how far a worker is, the next bytes of what is made, or why nothing can be."""
        if self.done.done():
            return
        if part.bar and part.bar.what == doing(self._place):  # and not that of its worker's last stage
            self._show(part.bar)
        if part.refusal:
            self._refuse(ToxauditError(part.refusal))
        if part.piece:
            try:
                self._write(*part.piece)
            except OSError as error:  # which its chain knows to say
                self._refuse(error)
        self._made |= part.made

    def ended(self) -> None:
        """Look whether all that was made is there, once and whole."""
        self.close()
        if self.done.done():
            return
        came = {file.relative_to(self._folder).as_posix(): file for file in self._folder.rglob("*") if file.is_file()}
        if not self._made or {name: sha256(file) for name, file in came.items()} != self._made:
            raise ToxauditError(f"A worker made {self._place}, but not all of it came, or twice: nothing is decided.")
        self.done.set_result(None)

    def lost(self, why: str) -> None:
        """Let another worker begin it again, from the last checkpoint that it finds; too many deaths refuse it."""
        self._deaths += 1
        if self.done.done():
            return
        if self._deaths < MOST_DEATHS:
            self._made.clear()
            shutil.rmtree(self._folder)
            self._folder.mkdir()
            self._waiting.appendleft(self)
            return
        died = f"{self._deaths} workers died while they tuned {self._place}, the last one as {why}"
        mend = "give them more memory, by fewer executor.workers or a smaller batch_size."
        self._refuse(ToxauditError(f"{died}: {mend}"))

    def close(self) -> None:
        """Let its bar stand as it is."""
        if self._bar is not None:
            self._bar.close()

    def _refuse(self, error: Exception) -> None:
        self.close()
        self.done.set_exception(error)

    def _write(self, name: str, data: bytes) -> None:
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as opened:
            opened.write(data)

    def _show(self, told: progress.Unseen) -> None:
        if self._bar is None:
            self._bar = progress.bar(told.what, told.total, told.unit, int(told.n))
        self._bar.set_postfix_str(told.postfix, refresh=False)
        self._bar.update(told.n - self._bar.n)


class Tuning:
    """Chains that are tuned, several at once."""

    def __init__(self, hire: Callable[[], Pool]) -> None:
        """Begin nothing yet; ``hire`` gives the workers once there is something to tune, which the store may hold."""
        self._hire = hire
        self._pool: Pool | None = None
        self._begun: dict[str, Future[Any]] = {}
        self._threads: list[Thread] = []
        self._waiting: deque[Stage] = deque()
        self._stages: list[Stage] = []
        self._closed = False

    def begin(self, name: str, make: Callable[[Tune], Any], after: str | None) -> None:
        """Begin to make something of stages, as soon as what it goes on from is made."""
        begun: Future[Any] = Future()
        before = self._begun.get(after) if after else None

        def run() -> None:
            try:
                if before:
                    before.result()
                begun.set_result(make(self._tune))
            except BaseException as error:  # who asks for it gets it
                begun.set_exception(error)

        self._begun[name] = begun
        self._threads.append(Thread(target=run, daemon=True))
        self._threads[-1].start()

    def finish(self, name: str) -> None:
        """Let the workers tune until this is made, or can't be, if it has begun.

        Raises:
            ToxauditError: if no worker can be had, or one leaves out what it made.
        """
        begun = self._begun.get(name)
        while begun and not begun.done():
            self._serve()
            if self._pool is None or not self._pool.busy:
                wait([begun], LOOK_SECONDS)

    def made(self, name: str) -> Any:
        """What was made.

        Raises:
            ToxauditError: if it can't be.
        """
        return self._begun[name].result()

    def rest(self) -> None:
        """Let the workers give back the memory of what they have loaded; one that is still at work is replaced."""
        if self._pool:
            self._pool.forsake()
            self._pool.rest()

    def close(self) -> None:
        """Give up what is not made yet."""
        self._closed = True
        for stage in self._stages:
            stage.done.cancel()
            stage.close()
        if self._pool:
            self._pool.forsake()
        end = monotonic() + END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))

    def _tune(self, arm: ResolvedModel, stage: ReadStage, computed: Computed, folder: Path, scratch: Path) -> None:
        """Let a worker tune, and wait for it: in a chain's thread."""
        one = Stage(self._waiting, arm, stage, computed, folder, scratch)
        self._stages.append(one)
        self._waiting.append(one)
        if self._closed:  # after it was looked through what is to be given up
            one.done.cancel()
        one.done.result()

    def _has_cpus(self, stage: Stage) -> bool:
        """Whether the CPUs of all workers are enough for one more; one alone may be slow."""
        assert self._pool
        at_work = [worker.task.threads for worker in self._pool.hired() if isinstance(worker.task, Stage)]
        return not at_work or sum(at_work) + stage.threads <= self._pool.cpus

    def _serve(self) -> None:
        """Hand out what waits, and hear what there is to hear."""
        if self._waiting and self._pool is None:
            self._pool = self._hire()
        if self._pool is None:
            return
        for worker in self._pool.free():
            if self._waiting and self._has_cpus(self._waiting[0]):
                stage = self._waiting.popleft()
                self._pool.hand(worker, stage, "tune", *stage.asked)
        for hear in self._pool.events():
            hear()
