"""Sensitivity to the threshold: the change as it would be if scores counted from another value on."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from toxaudit.card import words
from toxaudit.card.index import Index
from toxaudit.card.plots import style, subjects
from toxaudit.card.plots.style import BAND, INK, QUIET, SMALL
from toxaudit.card.plots.subjects import Draws
from toxaudit.card.sensitivity import cases
from toxaudit.decision.headline import usable
from toxaudit.facts import ScorerFacts
from toxaudit.records import CORRECTED, LABELLED, OBSERVED, Estimate, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LEFT, RIGHT, PANEL = 0.62, 1.95, 1.9
"""Inches: the columns of the axis and of the candidates, and how tall a panel is."""
LINE = 0.21
"""Inches of one candidate's line among the candidates."""
PANELS = 12
"""Panels that are drawn: beyond them those of the largest changes."""
SIGNS = {">=": "≥", ">": ">", "<": "<", "<=": "≤"}
LineStyle: TypeAlias = tuple[str, Any, str]
LINE_STYLES: tuple[LineStyle, ...] = (
    ("o", "-", "#0072b2"),
    ("s", "--", "#b3420a"),
    ("^", "-.", "#00684a"),
    ("D", ":", "#1f2328"),
    ("v", "-", "#8a3f76"),
    ("P", "--", "#57606a"),
    ("X", "-.", "#7a5c00"),
    ("*", ":", "#005a87"),
)
"""Marker, line and colour of each candidate, told apart by the first two alone; beyond them the largest changes."""
_COUNTED = re.compile(r"score (>=|>|<=|<) ([0-9](?:\.[0-9]{1,9})?(?:e-[0-9]{1,2})?)")


@dataclass(frozen=True)
class Line:
    """One candidate's change by threshold, in rising order.

    ``own`` is the threshold that decides; ``corrected`` tells that the change that decides is corrected for the
    scorer's errors, by labels or beforehand, which none of ``points`` is.
    """

    deciding: Estimate
    operator: str
    own: float
    points: dict[float, Quantity]
    corrected: bool


def describe(index: Index) -> str:
    """Of each candidate the change at the threshold that decides, and the smallest and the largest at any."""
    lines = _lines(index)
    if not lines:
        return ""
    raw = ", scores as they are" if any(line.corrected for line in lines) else ""
    listed = subjects.listed([_said(index, line) for line in lines])
    margins = "margins" if index.margins_differ else f"margin of {index.margin}"
    return (
        f"The change from the {index.reference} in percentage points by the scorer's threshold, with 95 % intervals "
        f"and the {margins}{raw}: {listed}"
    )


def _said(index: Index, line: Line) -> str:
    by_size = sorted(line.points, key=lambda threshold: line.points[threshold].mean)
    ends = [f"{words.change(line.points[place])} at {place:g}" for place in (by_size[0], by_size[-1])]
    said = f"{subjects.named(index, line.deciding)} from {ends[0]} to {ends[1]}"
    if line.own in line.points:
        said += f", {words.change(line.points[line.own])} at the deciding {line.own:g}"
    return said


def draw(index: Index, draws: Draws) -> "Figure":
    """A panel for each suite and critical measure of graded scores, in it a line for each candidate."""
    lines = _lines(index)
    names = list(dict.fromkeys(line.deciding.candidate for line in lines))
    sizes = {name: max(_size(line) for line in lines if line.deciding.candidate == name) for name in names}
    line_styles = dict(zip(subjects.largest(names, len(LINE_STYLES), sizes.__getitem__), LINE_STYLES, strict=False))
    panels: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        if line.deciding.candidate in line_styles:
            panels.setdefault((line.deciding.suite, line.deciding.measure), []).append(line)
    shown = subjects.largest(list(panels.values()), PANELS, lambda panel: max(map(_size, panel)))
    notes = list(_notes(lines, len(panels), len(names)))
    figure, axes = style.stacked([PANEL] * len(shown), LEFT, RIGHT, notes=len(notes))
    for place, panel in zip(axes, shown, strict=True):
        _draw(place, index, [(line, line_styles[line.deciding.candidate]) for line in panel])
    style.legend(figure, [_own_handle(), style.interval_handle(), style.margin_handle(index)], notes)
    return figure


def _lines(index: Index) -> list[Line]:
    """Every line of which a second point is known."""
    found = (_line(index, estimate, scorer) for estimate, scorer in subjects.critical(index))
    return [line for line in found if line and len(line.points) > 1]


def _line(index: Index, deciding: Estimate, scorer: ScorerFacts) -> Line | None:
    own = _COUNTED.fullmatch(scorer.outcome)
    if own is None:
        return None
    others = cases(index.candidates[deciding.candidate], deciding)
    points: dict[float, Estimate] = {}
    for variant, estimate in others.items():
        at = _COUNTED.fullmatch(variant.removeprefix("counted at "))
        if at and variant.startswith("counted at ") and at[1] == own[1]:
            points[float(at[2])] = estimate
    corrected = deciding.variant in (CORRECTED, LABELLED)
    as_scored = others.get(OBSERVED) if corrected else deciding
    if points and as_scored:
        points[float(own[2])] = as_scored
    changes = {at: points[at].quantities["change"] for at in sorted(points) if usable(points[at])}
    return Line(deciding, own[1], float(own[2]), changes, corrected)


def _size(line: Line) -> float:
    return max(abs(change.mean) for change in line.points.values())


def _notes(lines: Sequence[Line], panels: int, names: int) -> Iterator[str]:
    if panels > PANELS:
        yield f"The {PANELS} of {panels} measures that changed most; the others are in the tables."
    if names > len(LINE_STYLES):
        yield f"The {len(LINE_STYLES)} of {names} candidates that changed most; the others are in the tables."
    if any(line.corrected for line in lines):
        yield "Scores as they are: at no threshold is the change corrected for the scorer's errors."


def _draw(axes: "Axes", index: Index, lines: Sequence[tuple[Line, LineStyle]]) -> None:
    """One panel: thresholds side by side, at each the candidates' changes; the candidates' names on the right."""
    first, _ = lines[0]
    margin, title = first.deciding.margin, index.label(first.deciding.suite, first.deciding.measure)
    places = sorted({at for line, _ in lines for at in line.points} | {first.own})
    bounds = [100 * bound for line, _ in lines for change in line.points.values() for bound in change.hdi]
    low, high = style.limits([*bounds, -100 * margin, -0.1, 0.1, 100 * margin])
    axes.set(xlim=(-0.5, len(places) - 0.5), ylim=(low, high))
    axes.axhspan(-100 * margin, 100 * margin, color=BAND, zorder=0, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
    axes.axvline(places.index(first.own), color=QUIET, linewidth=1, linestyle=":", zorder=1)
    style.bare(axes, f"counted where score {SIGNS[first.operator]} threshold")
    axes.set_xticks(range(len(places)), [f"{at:g}" for at in places])
    axes.tick_params(axis="y", labelsize=SMALL, colors=QUIET)
    axes.locator_params(axis="y", nbins=6, prune="upper")
    axes.set_ylabel("change, pp", fontsize=SMALL, color=QUIET)
    style.title(axes, title)
    for number, (line, line_style) in enumerate(lines):
        shift = (number - (len(lines) - 1) / 2) * min(0.16, 0.7 / len(lines))
        _changes(axes, [(places.index(at) + shift, change) for at, change in line.points.items()], line_style)
        _name(axes, number, index.named(line.deciding.candidate), line_style)


def _changes(axes: "Axes", points: Sequence[tuple[float, Quantity]], line_style: LineStyle) -> None:
    """A candidate's changes with their intervals, joined by a thin line."""
    marker, dashes, colour = line_style
    for x, change in points:
        axes.plot([x, x], [100 * bound for bound in change.hdi], color=colour, linewidth=1.4, zorder=3)
    means = [100 * change.mean for _, change in points]
    axes.plot([x for x, _ in points], means, color=colour, linewidth=0.9, linestyle=dashes, marker=marker, markersize=5)


def _name(axes: "Axes", number: int, name: str, line_style: LineStyle) -> None:
    """A candidate's marker, line and name on the right, below those of the candidates before it."""
    from matplotlib.lines import Line2D

    marker, dashes, colour = line_style
    start, y = style.WIDTH - RIGHT + 0.12, axes.get_ylim()[1] + (number + 0.5) * LINE * style.inch(axes)
    sample = Line2D([start, start + 0.15, start + 0.3], [y] * 3, color=colour, linewidth=0.9, linestyle=dashes)
    sample.set(marker=marker, markersize=5, markevery=[1], transform=style.beside(axes), clip_on=False)
    axes.add_artist(sample)
    room = RIGHT - 0.12 - 0.38 - style.EDGE
    style.write(axes, start + 0.38, y, style.fitting(name, room), color=INK, fontsize=SMALL)


def _own_handle() -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], color=QUIET, linewidth=1, linestyle=":", label="threshold that decides")
