"""Which rows were decoded from logits that are numbers: the tokens of others mean nothing, and must not be scored."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch


class Finite:
    """Looks at the logits from which tokens are chosen, and is asked only once all are."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._seen: list[tuple[torch.Tensor, Sequence[int]]] = []

    def saw(self, greatest: Any, numbers: Sequence[int]) -> None:
        """Note the greatest logit (rows,) for the next token of each of some rows, by their numbers.

        It is no number where any of the row's logits is none.
        """
        self._seen.append((torch.isfinite(greatest), numbers))

    def only(self, rows: Sequence[list[int]]) -> list[list[int] | None]:
        """The tokens of each row; None where one of them, of those up to its end, was chosen from what is no number."""
        lost, steps = set[int](), Counter[int]()
        for finite, numbers in self._seen:
            for number, fine in zip(numbers, finite.tolist(), strict=True):
                if not fine and number < len(rows) and steps[number] < len(rows[number]):
                    lost.add(number)
                steps[number] += 1
        return [None if number in lost else row for number, row in enumerate(rows)]
