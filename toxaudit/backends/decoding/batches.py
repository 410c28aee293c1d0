"""Requests in batches: as many rows as are worth it and fit, and fewer once memory was short."""

import gc
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from toxaudit.backends.request import Answered
from toxaudit.errors import ToxauditError
from toxaudit.machine import progress
from toxaudit.machine.memory import is_short


def batches(numbers: Sequence[int], size: int, arms: int) -> Iterator[Sequence[int]]:
    """Requests in batches of about equal size, each with equally many of every arm as far as possible.

    Args:
        numbers: the requests' numbers, those of one prompt one after another.
        size: the most requests in a batch.
        arms: how many arms the requests are of.
    """
    even = math.ceil(len(numbers) / math.ceil(len(numbers) / size))
    if arms <= even:
        fuller = even + -even % arms
        even = fuller if fuller <= size else even - even % arms
    for start in range(0, len(numbers), even):
        yield numbers[start : start + even]


class Room:
    """How many rows the memory has had room for."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.most = 2**31

    def answered(
        self, batch: Sequence[int], answer: Callable[[Sequence[int]], list[Answered]]
    ) -> Iterator[list[Answered]]:
        """Answer a batch; where memory is short, in halves, and never again so many at once.

        Raises:
            ToxauditError: if there is no room for one row.
        """
        waiting = deque([batch])
        while waiting:
            part = waiting.popleft()
            if len(part) > self.most:
                chunks = [part[start : start + self.most] for start in range(0, len(part), self.most)]
                waiting.extendleft(reversed(chunks))
            elif (answered := self._tried(part, answer)) is not None:
                yield answered
            else:
                self.most = max(1, len(part) // 2)
                waiting.appendleft(part)
                progress.say(f"Memory is short for {len(part)} prompts at once: going on with {self.most}.")

    def _tried(self, part: Sequence[int], answer: Callable[[Sequence[int]], list[Answered]]) -> list[Answered] | None:
        """The answers to a part of a batch, or None if memory was short."""
        try:
            return answer(part)
        except (RuntimeError, MemoryError) as error:
            if not is_short(error):
                raise
            if len(part) == 1:
                raise ToxauditError(
                    "The memory is too small to generate for one prompt: lower generation.max_new_tokens, set "
                    "base.dtype=bfloat16, or use a larger machine."
                ) from error
        release()
        return None


def release() -> None:
    """Give back the memory that a failed try took."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
