"""A session of arms that answer in the workers of a pool."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toxaudit.backends.request import Answered, Done, Request, Wrote
from toxaudit.errors import ToxauditError
from toxaudit.executors.ledger import Heard, Work, require_all
from toxaudit.executors.pool import Pool
from toxaudit.executors.worker import Part
from toxaudit.extensions import Backend
from toxaudit.spec.schema import Generation


class Shared:
    """Arms, over the same weights or different ones, of which every worker takes those over one model at a time."""

    def __init__(self, pool: Pool, backend: Backend, arms: Sequence[Any]) -> None:
        """Take what the workers need to open sessions of their own."""
        self._pool, self._backend = pool, backend
        self._groups: dict[str, list[Any]] = defaultdict(list)
        for arm in arms:
            self._groups[arm.loaded_as].append(arm)

    def generate(
        self, requests: Sequence[Request], generation: Generation, done: Done, wrote: Wrote = lambda tokens: None
    ) -> Iterator[list[Answered]]:
        """Write an answer to each request that is not ``done``; ``wrote`` is told nothing: answers come in batches.

        Raises:
            ToxauditError: if a worker's session refuses, too many workers die, or an answer is missing or doubled.
        """
        return self._answered(requests, generation, done)

    def choose(self, requests: Sequence[Request], done: Done) -> Iterator[list[Answered]]:
        """Choose the likeliest of each request's choices, of those that are not ``done``.

        Raises:
            ToxauditError: as ``generate``.
        """
        return self._answered(requests, None, done)

    def fits(self, arm: str, texts: Sequence[str], ask: str, new: int) -> list[bool]:
        """Whether the arm can read each text and write ``new`` tokens after it."""
        group = next(group for group in self._groups.values() if any(each.name == arm for each in group))
        found = self._pool.ask("fits", self._backend, group, arm, texts, ask, new)
        if isinstance(found, Part):
            raise ToxauditError(found.refusal)
        return list(found)

    def _answered(
        self, requests: Sequence[Request], generation: Generation | None, done: Done
    ) -> Iterator[list[Answered]]:
        works = []
        for arms in self._groups.values():
            places = {arm.name: place for place, arm in enumerate(arms)}
            mine = [request for request in requests if request.arm in places]
            left = [number for number, request in enumerate(mine) if not done(request)]
            left.sort(key=lambda n, mine=mine, places=places: _order(mine[n], places))  # type: ignore[misc]
            if left:
                works.append(Work(arms, mine, generation, deque(left)))
        for work, answers in self._heard(works):
            yield [(work.requests[number], completion) for number, completion in answers]

    def _heard(self, works: Sequence[Work]) -> Iterator[Heard]:
        """Let the workers answer all that is left of some works; yields answers as they come, with whose they are.

        Raises:
            ToxauditError: if a worker refuses, if no worker can be had or too many die, or if an answer is missing or
                comes twice.
        """
        import ray

        self._pool.hired()
        requests = {work: ray.put(list(work.requests)) for work in works}
        try:
            while any(work.lacking for work in works) or self._pool.busy:
                self._hand_out(requests)
                for hear in self._pool.events():
                    if heard := hear():
                        yield heard
        finally:
            self._pool.forsake()
        require_all(works)

    def _hand_out(self, requests: Mapping[Work, Any]) -> None:
        """Give every worker that has nothing in hand a share: of what it holds, else of what needs most hands."""
        for worker in self._pool.free():
            if not (waiting := [work for work in requests if work.waiting]):
                return
            others = [each.holds for each in self._pool.hired() if each is not worker]
            at = {work: 1 + sum(work.arms == arms for arms in others) for work in waiting}
            held = (work for work in waiting if work.arms == worker.holds)
            work = next(held, None) or max(waiting, key=lambda each: each.waiting / at[each])
            spread = max(1, round(self._pool.size / len(waiting)), at[work])
            share = work.share(min(spread, self._pool.size))
            worker.holds = work.arms
            asked = (self._backend, work.arms, requests[work], sorted(share.numbers), work.generation)
            self._pool.hand(worker, share, "answer", *asked)


def _order(request: Request, places: dict[str, int]) -> tuple[Any, ...]:
    """The longest first, as a backend forms batches, and what several arms are asked together."""
    prompt = request.prompt
    return -len(prompt.text), prompt.suite, prompt.id, request.sample, places[request.arm]
