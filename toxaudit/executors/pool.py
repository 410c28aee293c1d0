"""Workers of Ray: they are started, handed tasks, looked after, replaced when they die, and ended.

A worker that dies, or can't be reached, costs what it had not done yet, which others get; tasks change nothing, so that
to do one again is harmless. Ray's own retries are off: with them, calls to a worker whose node is lost wait without a
word.
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
from toxaudit.executors.ledger import Task
from toxaudit.executors.worker import Part, Told, code
from toxaudit.machine import progress

LOOK_SECONDS = 1.0
"""Seconds after which it is seen to those workers that say nothing."""

PING_SECONDS = 2.0
"""Seconds of silence after which a worker is asked whether it lives, and how far it is."""

LOST_SECONDS = 180.0
"""Seconds without an answer to that, after which it counts as dead: to load a large model may take all its time."""

START_SECONDS = 300.0
"""Seconds within which the first worker must be ready."""

AHEAD = 8
"""Parts that a worker may have told that nobody has heard: of tuned weights, each takes megabytes of memory."""

REPLACEMENTS = 3
"""New workers for each that there were at the start."""


@dataclass(eq=False)
class Hired:
    """A worker, as the pool knows it.

    Attributes:
        actor: Ray's handle of it.
        ready: what it says once it is ready; None from then on.
        heard: when it last gave a sign of life, or was asked for one.
        ping: a question whether it lives, while it is open.
        task: what it has in hand.
        tells: Ray's generator of what it tells of that.
        holds: the arms whose weights it has loaded.
    """

    actor: Any
    ready: Any
    heard: float
    ping: Any = None
    task: Task | None = None
    tells: Any = None
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

    @property
    def size(self) -> int:
        """How many workers there are, where none has died."""
        return self._size

    @property
    def cpus(self) -> float:
        """How many CPUs all workers have together."""
        return self._needs["CPU"] * self._size

    @property
    def busy(self) -> bool:
        """Whether any worker has something in hand."""
        return any(worker.task for worker in self._hired)

    def hired(self) -> list[Hired]:
        """The workers, with others in the place of those that died."""
        self._fill_up()
        return list(self._hired)

    def free(self) -> list[Hired]:
        """Those that have nothing in hand and are ready."""
        return [worker for worker in self.hired() if worker.ready is None and not worker.task]

    def hand(self, worker: Hired, task: Task, method: str, *asked: Any) -> None:
        """Let a free worker do a task, by one of its methods, which tells parts."""
        worker.task = task
        how = {"num_returns": "streaming", "_generator_backpressure_num_objects": AHEAD}
        worker.tells = getattr(worker.actor, method).options(**how).remote(*asked)

    def ask(self, method: str, *asked: Any) -> Any:
        """What one of the workers that are ready gives for this, which must be quick."""
        import ray

        while True:
            worker = next((each for each in self.hired() if each.ready is None), None)
            if worker is None:
                for hear in self.events():
                    hear()
                continue
            try:
                return _got(getattr(worker.actor, method).remote(*asked), None)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                self._lost(worker, _reason(error))

    def forsake(self) -> None:
        """Let go of the workers that are at something for which nobody waits any more."""
        self._stale += [worker for worker in self._hired if worker.task]
        self._hired = [worker for worker in self._hired if not worker.task]

    def rest(self) -> None:
        """Let the workers give back the memory of what they have loaded."""
        import ray

        for worker in self._hired:
            worker.holds = ()
        with suppress(ray.exceptions.RayError):  # one that died has given it back
            _got([worker.actor.rest.remote() for worker in self._hired if worker.ready is None])

    def _new(self) -> Hired:
        import ray

        kept = {"num_cpus": self._needs["CPU"], "num_gpus": self._needs.get("GPU", 0)}
        made = ray.remote(cluster.Actor).options(**kept, max_restarts=0, max_task_retries=0, max_concurrency=2)
        actor = made.remote(self._told)
        return Hired(actor, actor.ready.remote(), monotonic())

    def events(self) -> Iterator[Callable[[], Any]]:
        """How to hear what workers have to tell, of those that have something; it waits for a moment for that."""
        import ray

        if not self._hired:
            raise ToxauditError("All workers of Ray died, and no more are hired: see what Ray says of it above.")
        waited: list[tuple[Any, Hired, Callable[[Hired], Any]]] = []
        for worker in self._hired:
            waited += [(worker.ready, worker, self._is_ready)] if worker.ready is not None else []
            waited += [(worker.tells, worker, self._heard)] if worker.tells is not None else []
            waited += [(worker.ping, worker, self._lives)] if worker.ping is not None else []
        done: list[Any] = []
        if waited:
            with cluster.heeding():
                done, _ = ray.wait([ref for ref, *_ in waited], num_returns=1, timeout=LOOK_SECONDS)
        for ref, worker, hear in waited:
            if worker in self._hired and any(ref is each for each in done):
                yield partial(self._safely, worker, hear)
        self._look_after()

    def _safely(self, worker: Hired, hear: Callable[[Hired], Any]) -> Any:
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
        self._take_in(worker, _got(ping))

    def _heard(self, worker: Hired) -> Any:
        """What comes of what a worker tells next; at the end of its task it has nothing in hand."""
        assert worker.task is not None
        try:
            with cluster.heeding():
                ref = next(worker.tells)
            return self._take_in(worker, _got(ref))
        except StopIteration:
            task, worker.task, worker.tells = worker.task, None, None
            task.ended()
            return None

    def _take_in(self, worker: Hired, part: Part) -> Any:
        for line in part.said:
            self._say(line)
        return worker.task.told(part) if worker.task else None

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
        self._hired.remove(worker)
        self._stale.append(worker)
        self._fill_up()
        progress.say(f"A worker of Ray was lost, as {why}: what it had not done is handed to others.")
        if worker.task:
            worker.task.lost(why)

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
