"""Workers of Ray: they are started, handed shares, looked after, replaced when they die, and ended.

A worker that dies, or can't be reached, costs what it had not answered yet, which others get; tasks change nothing, so
that to do one again is harmless. Ray's own retries are off: with them, calls to a worker whose node is lost wait
without a word.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.executors import cluster
from toxaudit.executors.ledger import Share, Work, require_all
from toxaudit.executors.worker import Part, Told, code
from toxaudit.extensions import Backend
from toxaudit.machine import progress
from toxaudit.records import Completion

LOOK_SECONDS = 1.0
"""Seconds after which it is seen to those workers that say nothing."""

PING_SECONDS = 20.0
"""Seconds of silence after which a worker is asked whether it lives."""

LOST_SECONDS = 180.0
"""Seconds without an answer to that, after which it counts as dead: to load a large model may take all its time."""

START_SECONDS = 300.0
"""Seconds within which the first worker must be ready."""

REPLACEMENTS = 3
"""New workers for each that there were at the start."""


Heard = tuple[Work, Sequence[tuple[int, Completion]]]
"""Answers, by the places of their requests among those of a work."""


@dataclass(eq=False)
class Hired:
    """A worker, as the pool knows it.

    Attributes:
        actor: Ray's handle of it.
        ready: what it says once it is ready; None from then on.
        heard: when it last gave a sign of life, or was asked for one.
        ping: a question whether it lives, while it is open.
        share: what it has in hand.
        answers: Ray's generator of what it answers.
        holds: the arms whose weights it has loaded.
    """

    actor: Any
    ready: Any
    heard: float
    ping: Any = None
    share: Share | None = None
    answers: Any = None
    holds: Sequence[Any] = ()


class Pool:
    """Workers on the nodes of a cluster, which may be this machine alone."""

    def __init__(
        self, address: str | None, most: int | None, needs: dict[str, float], device: str, threads: int
    ) -> None:
        """Join a cluster, or make one of this machine, and start workers.

        Args:
            address: of a cluster's head; None starts Ray here.
            most: how many workers; None takes as many as there is room for.
            needs: what Ray keeps for each, by its names of resources.
            device: torch's name of what they compute on.
            threads: how many each uses on a CPU.

        Raises:
            ToxauditError: if Ray does not start, or has no room for a worker.
        """
        self._stack, self._needs = ExitStack(), needs
        self._hired, self._stale = list[Hired](), list[Hired]()
        self._requests: dict[Work, Any] = {}
        self._said: set[str] = set()
        with ExitStack() as unless_all_is_well:
            unless_all_is_well.callback(self.close)
            node = cluster.join(address, needs, most)
            self._stack.callback(cluster.leave)
            self._stack.enter_context(redirect_stdout(sys.stderr))  # Ray tells there of workers that died
            self._told = Told(device, threads, code(), node)
            room, nodes = cluster.room(needs)
            if not room or (most or 0) > room:
                wanted = " and ".join(f"{number:g} {what}(s)" for what, number in needs.items())
                raise ToxauditError(
                    f"Ray has room for {room} workers with {wanted} each on {nodes} node(s): lower executor.workers, "
                    "executor.cpus_per_worker or executor.gpus_per_worker."
                )
            self._size = most or room
            self._left_to_hire = (1 + REPLACEMENTS) * self._size
            self._fill_up()
            progress.say(f"Ray: {self._size} worker(s) on {nodes} node(s), {threads} thread(s) each.")
            unless_all_is_well.pop_all()

    def close(self) -> None:
        """End the workers, leave the cluster, and end Ray where it was started here."""
        self._hired, self._stale = [], []
        self._stack.close()  # with this process, its workers end: they are not asked to, as Ray may be dead

    def answered(self, backend: Backend, works: Sequence[Work]) -> Iterator[Heard]:
        """Let the workers answer all that is left of some works; yields answers as they come, with whose they are.

        Raises:
            ToxauditError: if a worker refuses, if no worker can be had or too many die, or if an answer is missing or
                comes twice.
        """
        import ray

        self._fill_up()
        self._requests = {work: ray.put(list(work.requests)) for work in works}
        try:
            while any(work.lacking for work in works) or any(worker.share for worker in self._hired):
                self._hand_out(backend, works)
                for told in self._events():
                    if heard := told():
                        yield heard
        finally:
            self._stale += [worker for worker in self._hired if worker.share]  # at work that nobody waits for
            self._hired = [worker for worker in self._hired if not worker.share]
            self._requests = {}
        require_all(works)

    def fits(
        self, backend: Backend, arms: Sequence[Any], arm: str, texts: Sequence[str], ask: str, new: int
    ) -> list[bool]:
        """Whether an arm can read each text and write ``new`` tokens after it, as a worker says."""
        import ray

        self._fill_up()
        while True:
            worker = next((each for each in self._hired if each.ready is None), None)
            if worker is None:
                for told in self._events():
                    told()
                continue
            try:
                found = _got(worker.actor.fits.remote(backend, arms, arm, texts, ask, new), None)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                self._lost(worker, _reason(error))
                continue
            if isinstance(found, Part):
                raise ToxauditError(found.refusal)
            return list(found)

    def _new(self) -> Hired:
        import ray

        kept = {"num_cpus": self._needs["CPU"], "num_gpus": self._needs.get("GPU", 0)}
        made = ray.remote(cluster.Actor).options(**kept, max_restarts=0, max_task_retries=0, max_concurrency=2)
        actor = made.remote(self._told)
        return Hired(actor, actor.ready.remote(), monotonic())

    def _hand_out(self, backend: Backend, works: Sequence[Work]) -> None:
        """Give every worker that has nothing in hand a share: of what it holds, else of what needs most hands."""
        for worker in self._hired:
            waiting = [work for work in works if work.waiting]
            if worker.ready is not None or worker.share or not waiting:
                continue
            others = [each.holds for each in self._hired if each is not worker]
            at = {work: 1 + sum(work.arms == arms for arms in others) for work in waiting}
            held = (work for work in waiting if work.arms == worker.holds)
            work = next(held, None) or max(waiting, key=lambda each: each.waiting / at[each])
            spread = max(1, round(self._size / len(waiting)), at[work])
            worker.holds, worker.share = work.arms, work.share(min(spread, self._size))
            worker.answers = worker.actor.answer.options(num_returns="streaming").remote(
                backend, work.arms, self._requests[work], sorted(worker.share.numbers), work.generation
            )

    def _events(self) -> Iterator[Callable[[], Heard | None]]:
        """How to hear what workers have to tell, of those that have something; it waits for a moment for that."""
        import ray

        if not self._hired:
            raise ToxauditError("All workers of Ray died, and no more are hired: see what Ray says of it above.")
        waited: list[tuple[Any, Hired, Callable[[Hired], Heard | None]]] = []
        for worker in self._hired:
            waited += [(worker.ready, worker, self._is_ready)] if worker.ready is not None else []
            waited += [(worker.answers, worker, self._heard)] if worker.answers is not None else []
            waited += [(worker.ping, worker, self._lives)] if worker.ping is not None else []
        done: list[Any] = []
        if waited:
            with cluster.heeding():
                done, _ = ray.wait([ref for ref, *_ in waited], num_returns=1, timeout=LOOK_SECONDS)
        for ref, worker, hear in waited:
            if worker in self._hired and any(ref is each for each in done):
                yield partial(self._safely, worker, hear)
        self._look_after()

    def _safely(self, worker: Hired, hear: Callable[[Hired], Heard | None]) -> Heard | None:
        """Hear a worker; one that died has nothing to tell."""
        import ray

        try:
            found = hear(worker)
            worker.heard = monotonic()
            return found
        except ray.exceptions.RayTaskError:  # a defect is no dead worker
            raise
        except ray.exceptions.RayError as error:
            self._lost(worker, _reason(error))
            return None

    def _is_ready(self, worker: Hired) -> None:
        if problem := _got(worker.ready):
            raise ToxauditError(problem)
        worker.ready = None

    def _lives(self, worker: Hired) -> None:
        ping, worker.ping = worker.ping, None
        _got(ping)

    def _heard(self, worker: Hired) -> Heard | None:
        """The next answers of a worker; at the end of its share it has nothing in hand."""
        assert worker.share is not None
        try:
            with cluster.heeding():
                ref = next(worker.answers)
            part: Part = _got(ref)
        except StopIteration:
            share, worker.share, worker.answers = worker.share, None, None
            share.work.finished(share)
            return None
        for line in part.said:
            self._say(line)
        if part.refusal:
            raise ToxauditError(part.refusal)
        worker.share.work.answered(worker.share, [number for number, _ in part.answers])
        return worker.share.work, part.answers

    def _look_after(self) -> None:
        """Ask workers that were silent whether they live, and give up those that don't say."""
        now = monotonic()
        for worker in list(self._hired):
            silent = now - worker.heard
            if worker.ready is not None:
                if silent > START_SECONDS and all(each.ready is not None for each in self._hired):
                    raise ToxauditError(
                        f"No worker of Ray was ready within {START_SECONDS:g} seconds: see whether the cluster is busy."
                    )
            elif worker.ping is None and silent > PING_SECONDS:
                worker.ping, worker.heard = worker.actor.ping.remote(), now
            elif worker.ping is not None and silent > LOST_SECONDS:
                self._lost(worker, f"it gave no sign of life for {silent:.0f} seconds")

    def _lost(self, worker: Hired, why: str) -> None:
        """Take a worker for dead: others get what it had in hand, and another one is hired."""
        share = worker.share
        self._hired.remove(worker)
        self._stale.append(worker)
        self._fill_up()
        progress.say(f"A worker of Ray was lost, as {why}: what it had not answered is handed to others.")
        if share:
            share.work.lost(share, why)

    def _fill_up(self) -> None:
        """End workers that nobody waits for, and hire others in their place, as long as any are left to hire."""
        import ray

        for worker in self._stale:
            with suppress(ray.exceptions.RayError, ValueError):  # it may be gone
                ray.kill(worker.actor)
        self._stale = []
        while len(self._hired) < self._size and self._left_to_hire:
            self._left_to_hire -= 1
            self._hired.append(self._new())

    def _say(self, line: str) -> None:
        """Tell the user, once, what several workers may tell of the same arms."""
        if line not in self._said:
            self._said.add(line)
            progress.say(line)


def _got(ref: Any, seconds: float | None = LOST_SECONDS) -> Any:
    """What Ray holds for a reference; it is there already, unless its node is lost."""
    import ray

    with cluster.heeding():
        return ray.get(ref, timeout=seconds)


def _reason(error: Exception) -> str:
    """What Ray says of a worker's end, as the end of a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
