"""What a worker has in hand, and what came back: each request is answered exactly once, or there is no result."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from toxaudit.backends.request import Request
from toxaudit.errors import ToxauditError
from toxaudit.executors.worker import Part
from toxaudit.records import Completion
from toxaudit.spec.schema import Generation

FEWEST = 128
"""Requests that are worth a share of their own: about as many as a CPU decodes at once."""

MOST_DEATHS = 3
"""Workers that may die over one task before it is taken for the reason."""


class Task(Protocol):
    """What one worker has in hand: others may get it, if that one dies."""

    def told(self, part: Part) -> Any:
        """What comes of something that the worker tells: a ToxauditError where it can't be."""

    def ended(self) -> None:
        """The worker is done with it, or says so: a ToxauditError where something is missing."""

    def lost(self, why: str) -> None:
        """The worker died: a ToxauditError where too many have."""


Heard = tuple["Work", Sequence[tuple[int, Completion]]]
"""Answers, by the places of their requests among those of a work."""


@dataclass(eq=False)
class Share:
    """Requests that one worker has in hand.

    Attributes:
        work: of which they are.
        numbers: those that are not answered yet, by their places among the work's requests.
        deaths: how many workers died over them.
    """

    work: "Work"
    numbers: set[int]
    deaths: int = 0

    def told(self, part: Part) -> Heard:
        """What of the work is answered by what a worker tells.

        Raises:
            ToxauditError: if it refuses, or an answer comes twice or unasked.
        """
        if part.refusal:
            raise ToxauditError(part.refusal)
        self.work.answered(self, [number for number, _ in part.answers])
        return self.work, part.answers

    def ended(self) -> None:
        """Note that its worker is done with it."""
        self.work.finished(self)

    def lost(self, why: str) -> None:
        """Note that its worker died."""
        self.work.lost(self, why)


@dataclass(eq=False)
class Work:
    """What arms over the same weights are asked in one way.

    Attributes:
        arms: the arms.
        requests: all that they are asked, answered before or not: batches are formed from all of them.
        generation: how answers are written; None where they are chosen.
        left: the places of the requests that nobody has in hand, in the order in which they are handed out.
        returned: shares of workers that died, which go before.
    """

    arms: Sequence[Any]
    requests: Sequence[Request]
    generation: Generation | None
    left: deque[int]
    returned: list[Share] = field(default_factory=list)
    _open: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self._open = set(self.left)

    @property
    def waiting(self) -> int:
        """How many requests nobody has in hand."""
        return len(self.left) + sum(len(share.numbers) for share in self.returned)

    @property
    def lacking(self) -> int:
        """How many requests lack an answer."""
        return len(self._open)

    def share(self, workers: int) -> Share:
        """The next share, so large that ``workers`` end at about the same time.

        As long as much is left, it is half of a worker's part; once that is less than a share is worth, all of it.
        """
        if self.returned:
            return self.returned.pop()
        part = math.ceil(len(self.left) / workers)
        size = part if part <= 2 * FEWEST else math.ceil(part / 2)
        return Share(self, {self.left.popleft() for _ in range(min(size, len(self.left)))})

    def answered(self, share: Share, numbers: Iterable[int]) -> None:
        """Note which requests of a share were answered.

        Raises:
            ToxauditError: if one was answered before, or is none of the share's.
        """
        for number in numbers:
            if number not in share.numbers or number not in self._open:
                raise ToxauditError(f"A worker answered {self._named(number)} twice, or unasked: nothing is decided.")
            share.numbers.remove(number)
            self._open.remove(number)

    def finished(self, share: Share) -> None:
        """Note that a worker is done with a share.

        Raises:
            ToxauditError: if it has left out one.
        """
        if share.numbers:
            raise ToxauditError(
                f"A worker left out {len(share.numbers)} of the prompts that it was handed, such as "
                f"{self._named(min(share.numbers))}: nothing is decided."
            )

    def lost(self, share: Share, why: str) -> None:
        """Take back what a worker that died has not answered, for others.

        Raises:
            ToxauditError: if too many have died over it.
        """
        share.deaths += 1
        if share.deaths >= MOST_DEATHS:
            raise ToxauditError(
                f"{share.deaths} workers died over the same {len(share.numbers)} prompts, the last one as {why}: give "
                "them more memory, by fewer executor.workers or a smaller backend.batch_size."
            )
        if share.numbers:
            self.returned.append(share)

    def _named(self, number: int) -> str:
        if not 0 <= number < len(self.requests):
            return f"prompt number {number}"
        request = self.requests[number]
        return f"prompt {request.prompt.id} of {request.prompt.suite} for {request.arm}"


def require_all(works: Iterable[Work]) -> None:
    """Refuse to go on without an answer to every request.

    Raises:
        ToxauditError: if one is missing.
    """
    if lacking := sum(work.lacking for work in works):
        raise ToxauditError(f"The workers have left {lacking} prompts unanswered: nothing is decided.")
