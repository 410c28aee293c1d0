"""The plots of an audit: what each shows in words, and the figure itself as PNG and as SVG."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from toxaudit.card.index import Index, indexed
from toxaudit.card.plots import densities, forest, grid, groups, style, thresholds, training
from toxaudit.card.plots.subjects import Draws
from toxaudit.findings import AuditResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PLOTS", "Drawing", "Draws", "described", "drawn"]


class Plot(Protocol):
    """One kind of plot."""

    def describe(self, index: Index) -> str:
        """What it shows, with the numbers that matter, for those who do not see it; empty where that is nothing."""

    def draw(self, index: Index, draws: Draws) -> "Figure":
        """The figure, in the style of the house that is set while it is drawn."""


PLOTS: dict[str, Plot] = {
    "forest": forest,
    "densities": densities,
    "groups": groups,
    "thresholds": thresholds,
    "grid": grid,
    "training": training,
}
"""The plots by name, in the order in which a reader meets them."""


@dataclass(frozen=True)
class Drawing:
    """A plot: what it shows in plain words, and the same figure in pixels for a card and in vectors for a page.

    The vectors are empty where no page was to show it.
    """

    alt: str
    png: bytes
    svg: str


def described(result: AuditResult) -> dict[str, str]:
    """Name -> what the plot shows, in plain words of bounded length; only of plots that have something to show."""
    return _described(indexed(result))


def _described(index: Index) -> dict[str, str]:
    if len(index.subjects) == 1 and index.subjects[0].of_many:
        return {}  # a card of its own for each of a grid of many: the audit's has the heat map and the worst ones
    found = ((name, plot.describe(index)) for name, plot in PLOTS.items())
    return {name: alt for name, alt in found if alt}


def drawn(result: AuditResult, draws: Draws, on_page: bool = True) -> dict[str, Drawing]:
    """The plots that ``described`` names: the same bytes for the same result, draws and libraries.

    Args:
        result: what the audit found.
        draws: posterior draws of the changes that decide; a change without draws has no density.
        on_page: whether a page will show them, and not only a card.
    """
    made: dict[str, Drawing] = {}
    index = indexed(result)
    with style.house():
        for name, alt in _described(index).items():
            figure = PLOTS[name].draw(index, draws)
            made[name] = Drawing(alt, style.png(figure), style.svg(figure, name) if on_page else "")
    return made
