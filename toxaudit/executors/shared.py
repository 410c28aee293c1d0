"""A session of arms that answer in the workers of a pool."""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any

from toxaudit.backends.request import Answered, Done, Request, Wrote
from toxaudit.executors.ledger import Work
from toxaudit.executors.pool import Pool
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
        return self._pool.fits(self._backend, group, arm, texts, ask, new)

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
        for work, answers in self._pool.answered(self._backend, works):
            yield [(work.requests[number], completion) for number, completion in answers]


def _order(request: Request, places: dict[str, int]) -> tuple[Any, ...]:
    """The longest first, as a backend forms batches, and what several arms are asked together."""
    prompt = request.prompt
    return -len(prompt.text), prompt.suite, prompt.id, request.sample, places[request.arm]
