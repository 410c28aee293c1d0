"""Posterior densities: how probable each size of a critical change is, and how much of it lies beyond the margin."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toxaudit.card import words
from toxaudit.card.index import Index
from toxaudit.card.plots import style, subjects
from toxaudit.card.plots.style import ALARM, EDGE, INK, LEFT, NORMAL, QUIET, SHAPES, SMALL
from toxaudit.card.plots.subjects import Draws
from toxaudit.decision.headline import usable
from toxaudit.facts import Decision
from toxaudit.records import Estimate

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

ROW = 0.6
"""Inches of one row."""
BASELINE, TALL = 0.34, 0.74
"""Where a row's density stands below its middle, and how tall its peak is, in rows."""
MANY = 40
"""Rows that are drawn: beyond them the largest changes."""
POINTS = 200
"""Places at which a density is known."""
FILL, BEYOND = "#d3dae3", "#e9a57f"
"""Colours within the margin and beyond it: apart also in grey."""


@dataclass(frozen=True)
class Row:
    """One density: the estimate that it is of, its decision, and the curve in percentage points, at most 1 high."""

    estimate: Estimate
    decision: Decision | None
    x: "NDArray[np.float64]"
    height: "NDArray[np.float64]"


def describe(index: Index) -> str:
    """The critical changes in total, and how probably each exceeds the margin."""
    rows, left_out = _shown(index)
    if not rows:
        return ""
    margins = "margins" if index.margins_differ else f"margin of {index.margin}"
    listed = subjects.listed([_said(index, estimate) for estimate in rows], left_out)
    return (
        f"Posterior densities of the change from the {index.reference} in percentage points, each with its 95 % "
        f"interval and the {margins}: {listed}"
    )


def _said(index: Index, estimate: Estimate) -> str:
    if not usable(estimate):
        return f"{subjects.named(index, estimate)}: not usable"
    above = words.chance(f"increase > {words.points(estimate.margin)}", estimate.p_above_margin)
    return f"{subjects.named(index, estimate)} {words.change(estimate.quantities['change'])}, {above}"


def draw(index: Index, draws: Draws) -> "Figure":
    """A panel for each suite and critical measure, in it a row for each candidate of whose change there are draws."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown, left_out = _shown(index)
    panels = _panels(_rows(index, shown, draws))
    margin = "margin" if index.margins_differ else f"margin, +{index.margin}"
    notes = [f"{left_out} smaller changes are in the tables only."] if left_out else []
    if missing := len(shown) - sum(map(len, panels)):
        notes.append(f"Without draws, or not usable: {missing} of {len(shown)} changes, which are not drawn.")
    figure, axes = style.stacked([ROW * len(rows) for rows in panels], notes=len(notes))
    for place, rows in zip(axes, panels, strict=True):
        _draw(place, index, rows)
    handles: list[Line2D | Patch] = [
        style.interval_handle(),
        Line2D([], [], color=ALARM, linewidth=1, linestyle="--", label=margin),
        Patch(facecolor=FILL, edgecolor=QUIET, linewidth=0.5, label="posterior density"),
        Patch(facecolor=BEYOND, edgecolor=QUIET, linewidth=0.5, label="beyond the margin"),
    ]
    style.legend(figure, handles, notes)
    return figure


def _shown(index: Index) -> tuple[list[Estimate], int]:
    """The changes that are drawn, and how many are not, for want of room."""
    found = [estimate for estimate, _ in subjects.critical(index)]
    shown = subjects.largest(found, MANY, subjects.change_size)
    return shown, len(found) - len(shown)


def _rows(index: Index, estimates: Sequence[Estimate], draws: Draws) -> Iterator[Row]:
    import numpy as np

    for estimate in estimates:
        place = (estimate.candidate, estimate.suite, estimate.measure)
        known = np.asarray(draws.get(place, ()), dtype=float)
        known = known[np.isfinite(known)]
        if known.size and usable(estimate):
            yield Row(estimate, index.candidates[estimate.candidate].mark(estimate), *density(100 * known))


def _panels(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows by suite and measure, in the order in which they come."""
    panels: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        panels.setdefault((row.estimate.suite, row.estimate.measure), []).append(row)
    return list(panels.values())


def density(draws: "NDArray[np.float64]") -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    """A smoothed histogram of finite draws, by Silverman's (1986) rule for the width of its Gaussian kernel.

    Returns:
        Places and heights, of one shape (at most ``POINTS``,); the peak is 1. Draws without spread are one place.
    """
    import numpy as np

    low, lower, upper, high = np.quantile(draws, (0.001, 0.25, 0.75, 0.999))
    if high - low < 1e-6:
        return np.array([np.median(draws)]), np.ones(1)
    spread = min(draws.std(), (upper - lower) / 1.34) or draws.std()
    width = 0.9 * spread * draws.size**-0.2
    counts, edges = np.histogram(draws, np.linspace(low - 3 * width, high + 3 * width, POINTS + 1))
    middles = (edges[:-1] + edges[1:]) / 2
    steps = np.arange(1 - POINTS // 2, POINTS // 2) * (edges[1] - edges[0])
    smooth = np.convolve(counts, np.exp(-0.5 * (steps / width) ** 2), "same")
    return middles, smooth / smooth.max()


def _draw(axes: "Axes", index: Index, rows: Sequence[Row]) -> None:
    """One panel: candidates on the left, densities in the middle, probabilities and changes on the right."""
    first = rows[0].estimate
    margin, title = first.margin, index.label(first.suite, first.measure)
    bounds = [value for row in rows for value in (row.x[0], row.x[-1])]
    bounds += [100 * bound for row in rows for bound in row.estimate.quantities["change"].hdi]
    low, high = style.limits([*bounds, -0.1, 0.1, 100 * margin])
    axes.set(xlim=(low, high), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    axes.axvline(100 * margin, color=ALARM, linewidth=1, linestyle="--", zorder=4)
    style.bare(axes, "← less    change, pp    more →")
    axes.locator_params(axis="x", nbins=5)
    style.title(axes, title, f"P(increase > {words.points(margin)})")
    for y, row in enumerate(rows):
        style.name(axes, (EDGE, y + 0.1), index.named(row.estimate.candidate), LEFT - EDGE - 0.08, NORMAL, color=INK)
        _curve(axes, y + BASELINE, row, 100 * margin)
        style.interval(axes, y + BASELINE, row.estimate.quantities["change"], SHAPES[row.decision])
        chance = words.probability(row.estimate.p_above_margin)
        colour = SHAPES[row.decision][1]
        style.number(axes, y - 0.12, chance, color=colour, fontsize=NORMAL, fontweight="bold")
        change = str(words.change(row.estimate.quantities["change"]))
        style.number(axes, y + 0.26, change, color=QUIET, fontsize=SMALL)


def _curve(axes: "Axes", base: float, row: Row, margin: float) -> None:
    """A density that stands on its row's baseline: what lies beyond the margin has another colour."""
    import numpy as np

    if row.x.size == 1:
        axes.plot([row.x[0]] * 2, [base, base - TALL], color=QUIET, linewidth=2, zorder=2)
        return
    axes.fill_between(row.x, base, base - TALL * row.height, color=FILL, linewidth=0, zorder=2)
    if row.x[-1] > margin:
        start = max(margin, row.x[0])
        beyond = row.x > start
        x = np.append(start, row.x[beyond])
        height = np.append(np.interp(start, row.x, row.height), row.height[beyond])
        axes.fill_between(x, base, base - TALL * height, color=BEYOND, linewidth=0, zorder=2)
    axes.plot(row.x, base - TALL * row.height, color=QUIET, linewidth=0.9, zorder=3)
