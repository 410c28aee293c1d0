"""What plots speak of: the candidates that count, their critical changes, and how many of them there is room for."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from toxaudit.card import words
from toxaudit.card.index import Index, Pair
from toxaudit.records import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Draws: TypeAlias = Mapping[tuple[str, str, str], "NDArray[np.float64]"]
"""(candidate, suite, measure) -> posterior draws of the total change that decides, candidate minus base, in -1..1."""

NAME, SAID = 60, 8
"""Characters of a name, and numbers, that a description holds."""

T = TypeVar("T")


def critical(index: Index) -> list[Pair]:
    """The critical changes in total that decide, candidate by candidate."""
    return [pair for candidate in index.pictured for pair in candidate.critical_totals]


def largest(rows: Sequence[T], most: int, size: Callable[[T], float]) -> list[T]:
    """The largest of rows, not more than ``most``, in the order in which they came."""
    by_size = sorted(range(len(rows)), key=lambda place: -size(rows[place]))
    return [rows[place] for place in sorted(by_size[:most])]


def change_size(estimate: Estimate) -> float:
    """How large a change is, whichever way it goes."""
    return abs(estimate.quantities["change"].mean)


def named(index: Index, estimate: Estimate) -> str:
    """The candidate and the measure of an estimate in a description."""
    return f"{short(index.named(estimate.candidate))}, {short(index.label(estimate.suite, estimate.measure))}"


def short(name: str) -> str:
    """A name as far as a description has room for it, on one line."""
    shown = words.visible(name).strip()
    return shown if len(shown) <= NAME else shown[: NAME - 1].rstrip() + "…"


def listed(numbers: Sequence[str], more: int = 0) -> str:
    """The first numbers of a plot in words, and how many follow; ``more`` are not even drawn."""
    rest = len(numbers) - SAID if len(numbers) > SAID else 0
    return "; ".join([*numbers[:SAID], *([f"and {rest + more} more in the tables"] if rest + more else [])])
