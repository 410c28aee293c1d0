"""How each measure's change moved from run to run of the same audit and candidate, as small pictures with numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING

from toxaudit.card import words
from toxaudit.view.found import Change, Row, Run, short

if TYPE_CHECKING:
    from markupsafe import Markup

LAST = 40
"""Runs of one picture, at most: the newest."""

WIDTH, HEIGHT = 340, 150
"""Of a picture, in its own units, which are pixels where it is not made smaller."""

LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 22
"""Of its margins, in the same units."""

PART = " · "
"""What stands between the parts of a point's title."""

LINE = 12
"""The least distance of two labels above each other, in the same units."""

SHAPES = {
    "GO": "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "NO-GO": "m0-6l6 6l-6 6l-6-6z",
    "INCONCLUSIVE": "m0-5.5l5.5 9.5h-11z",
    "": "m-2.5-2.5h5v5h-5z",
}
"""The mark of a decision, the shape that stands before its word; a small square for what decides nothing."""


@dataclass(frozen=True)
class Picture:
    """One measure of one candidate over ``runs`` of an audit, the oldest first; ``left`` older ones are left out.

    Each point is titled by what it stands for, in parts that ``PART`` separates: the run's day, both rates, the change,
    and what came of it.
    """

    title: str
    tier: str
    svg: "Markup"
    runs: int
    left: int


@dataclass(frozen=True)
class Course:
    """One candidate of an audit over its runs, and the decision of the newest."""

    audit: str
    candidate: str
    rows: tuple[Row, ...]
    pictures: tuple[Picture, ...]


def courses(runs: Sequence[Run], room: int) -> tuple[list[Course], int]:
    """Each candidate that several runs of one audit have, in the order of the runs; and how many more have no room.

    Args:
        runs: those of an audit after one another, the newest first.
        room: for so many characters, about.
    """
    found: dict[tuple[str, str], list[tuple[Run, Row]]] = {}
    for run in runs:
        for row in run.rows:
            found.setdefault((run.audit, row.name), []).append((run, row))
    drawn, left = [], 0
    for (audit, candidate), several in found.items():
        if len(several) > 1 and room <= 0:
            left += 1
        elif pictures := tuple(_pictures(several[::-1])):
            room -= sum(len(each.svg) for each in pictures)
            drawn.append(Course(audit, candidate, tuple(row for _, row in several), pictures))
    return drawn, left


def _pictures(several: Sequence[tuple[Run, Row]]) -> Iterator[Picture]:
    """A picture of each measure that at least two runs have; those that decide come first, as in the newest run."""
    series: dict[tuple[str, str], list[tuple[Run, Change]]] = {}
    for run, row in several:
        for change in row.changes:
            series.setdefault((change.suite, change.measure), []).append((run, change))
    newest = [(change.suite, change.measure) for change in several[-1][1].changes]
    for place in sorted(series, key=lambda each: newest.index(each) if each in newest else len(newest)):
        points = series[place][-LAST:]
        if len(points) > 1:
            last = points[-1][1]
            yield Picture(
                title=short(last.title),
                tier=last.tier,
                svg=_drawn(points),
                runs=len(points),
                left=len(series[place]) - len(points),
            )


def _result(change: Change) -> str:
    return f"{words.marked(change.mark)}: {change.reading}" if change.mark else change.reading


def _drawn(points: Sequence[tuple[Run, Change]]) -> "Markup":
    """The picture: every number in it stands in words beside it."""
    from markupsafe import Markup

    changes = [change for _, change in points]
    scale = _Scale.of(changes)
    step = (WIDTH - LEFT - RIGHT) / len(points)
    across = [LEFT + step * (place + 0.5) for place in range(len(points))]
    parts = [
        *_ground(scale, changes[-1].margin),
        *_dates(short(points[0][0].date), short(points[-1][0].date)),
        *_joined(changes, across, scale),
    ]
    for (run, change), x in zip(points, across, strict=True):
        parts += _point(run, change, x, scale)
    label = escape(_label(points))
    svg = f'<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return Markup(svg)


def _label(points: Sequence[tuple[Run, Change]]) -> str:
    (first, before), (last, now) = points[0], points[-1]
    return (
        f"{short(now.title)}, the change in {len(points)} runs: {before.shown[2]} on {short(first.date)}, "
        f"{now.shown[2]} on {short(last.date)}; the margin is {words.points(now.margin)}"
    )


@dataclass(frozen=True)
class _Scale:
    """What is shown of the changes, in shares of 1: from ``low`` to ``high``."""

    low: float
    high: float

    @classmethod
    def of(cls, changes: Sequence[Change]) -> "_Scale":
        shown = [each for each in changes if each.mean is not None and isfinite(each.low) and isfinite(each.high)]
        low = min([0.0, *(each.low for each in shown)])
        high = max([changes[-1].margin, *(each.high for each in shown)])
        room = (high - low) * 0.06
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """Where a change stands, from above."""
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low)


def _ground(scale: _Scale, margin: float) -> Iterator[str]:
    """The lines of no change and of the margin, and the numbers at the side: these two, then the ends if they fit."""
    for kind, value in (("zero", 0.0), ("margin", margin)):
        yield f'<path class="{kind}" d="M{LEFT} {scale.at(value):.1f}H{WIDTH - RIGHT}"/>'
    room = (scale.high - scale.low) * 0.06 / 1.12
    taken: list[float] = []
    for value in (margin, 0.0, scale.high - room, scale.low + room):
        y = scale.at(value)
        if all(abs(y - other) >= LINE for other in taken):
            taken.append(y)
            plus = "+" if value > 0 else ""
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{plus}{words.signed(100 * value, 1)}</text>'


def _dates(first: str, last: str) -> Iterator[str]:
    y = HEIGHT - 6
    yield f'<text x="{LEFT}" y="{y}">{escape(first[:10])}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{y}" text-anchor="end">{escape(last[:10])}</text>'


def _joined(changes: Sequence[Change], across: Sequence[float], scale: _Scale) -> Iterator[str]:
    """A line from run to run, broken where the changes on either side are not of the same thing."""
    line = ""
    for (one, x), (other, y) in pairwise(zip(changes, across, strict=True)):
        if one.asked != other.asked:
            yield f'<path class="apart" d="M{(x + y) / 2:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        elif one.mean is not None and other.mean is not None:
            line += f"M{x:.1f} {scale.at(one.mean):.1f}L{y:.1f} {scale.at(other.mean):.1f}"
    if line:
        yield f'<path class="line" d="{line}"/>'


def _point(run: Run, change: Change, x: float, scale: _Scale) -> Iterator[str]:
    told = f"<title>{escape(PART.join((short(run.date), *change.shown, _result(change))))}</title>"
    if change.mean is None:
        yield f"<g>{told}</g>"
        return
    mark = change.mark or ""
    span = f'<path class="span" d="M{x:.1f} {scale.at(change.high):.1f}V{scale.at(change.low):.1f}"/>'
    shape = f'<path class="mark" d="M{x:.1f} {scale.at(change.mean):.1f}{SHAPES[mark]}"/>'
    yield f'<g class="{mark.lower() or "none"}">{told}{span}{shape}</g>'
