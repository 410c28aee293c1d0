"""What a card may say of how a candidate was tuned here, and of the grid that it belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass

ALL_WEIGHTS = "all weights"
"""How the sentence on a stage begins that tunes all weights."""

CURVE_POINTS = 100
"""Points of a stage's curve, at most: each is the mean of as many steps as that takes."""


@dataclass(frozen=True)
class TrainedStage:
    """How one stage of a recipe went.

    Attributes:
        examples: how many were learnt.
        cut: how many more were left out, since all that was to be learnt of them lay beyond the longest row.
        steps: of the optimiser.
        last: the loss at the end: the mean of the last tenth of the steps.
        at: the steps after which the points of the curve stand.
        loss, learning_rate: there, each the mean of the steps since the point before.
    """

    examples: int
    cut: int
    steps: int
    last: float
    at: tuple[int, ...]
    loss: tuple[float, ...]
    learning_rate: tuple[float, ...]

    @classmethod
    def of(cls, examples: int, cut: int, loss: Sequence[float], learning_rate: Sequence[float]) -> "TrainedStage":
        """By the loss and the learning rate of each step."""
        steps = len(loss)
        last = loss[-max(1, steps // 10) :]
        points = min(steps, CURVE_POINTS)
        at = tuple(steps * (point + 1) // points for point in range(points))
        means = [
            tuple(sum(values[start:end]) / (end - start) for start, end in zip((0, *at), at, strict=False))
            for values in (loss, learning_rate)
        ]
        return cls(examples, cut, steps, sum(last) / len(last), at, *means)


@dataclass(frozen=True)
class GridPlace:
    """Where a candidate stands in the grid that one ``sweep`` in a spec stands for.

    ``grid`` is the name of the candidate that the spec swept, ``values`` are its own of the swept keys, in their order,
    as YAML writes them, and ``of`` is how many candidates the grid has.
    """

    grid: str
    values: dict[str, str]
    of: int
