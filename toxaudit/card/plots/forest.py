"""The forest plot: every change with its interval, the zero line and the margin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toxaudit.card import words
from toxaudit.card.index import Candidate, Index
from toxaudit.card.plots import style, subjects
from toxaudit.card.plots.style import BAND, INK, LEFT, NORMAL, QUIET, SHAPES, SMALL
from toxaudit.card.plots.subjects import Draws
from toxaudit.decision.headline import usable
from toxaudit.facts import Decision
from toxaudit.records import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, INDENT = 0.235, 0.13
"""Inches: one row, and how far a name is moved to the right below its heading."""
MANY = 120
"""Rows above which slices stay in the tables only, then measures that are not critical; a panel has no more rows."""


@dataclass(frozen=True)
class Row:
    """One row of the plot: a heading where ``estimate`` is None, a candidate's with its decision; else a change."""

    label: str
    indent: int
    decision: Decision | None
    estimate: Estimate | None = None


def describe(index: Index) -> str:
    """The totals of the candidates that are no controls, in the order of the plot."""
    numbers = [
        f"{subjects.named(index, total)}{' ' if usable(total) else ': '}{_number(total)}"
        for candidate in index.pictured
        for total, _ in candidate.totals
    ]
    if not numbers:
        return ""
    listed = subjects.listed(numbers)
    return f"Forest plot of the change from the {index.reference} in percentage points, with 95 % intervals: {listed}"


def _number(estimate: Estimate) -> str:
    return str(words.change(estimate.quantities["change"])) if usable(estimate) else "not usable"


def draw(index: Index, draws: Draws) -> "Figure":
    """The change of each candidate on each measure; on critical ones also by slice, where it is no control."""
    found = _panels(index)
    panels = [(title, rows[:MANY]) for title, rows in found]
    left_out = sum(len(rows) - MANY for _, rows in found if len(rows) > MANY)
    notes = [f"{left_out:,} more rows are in the tables."] if left_out else []
    figure, axes = style.stacked([ROW * max(1, len(rows)) for _, rows in panels], notes=len(notes))
    for place, (title, rows) in zip(axes, panels, strict=True):
        _draw(place, title, rows, index)
    used = {row.decision for _, rows in panels for row in rows if row.estimate}
    shapes = [style.decision_handle(decision) for decision in SHAPES if decision in used]
    style.legend(figure, [*shapes, style.interval_handle(), style.margin_handle(index)], notes)
    return figure


def _panels(index: Index) -> list[tuple[str, list[Row]]]:
    """Titles and rows of real candidates, then of controls, by kind: each panel has a scale of its own."""
    groups: dict[str, list[Candidate]] = {"candidate": []}
    shown = {each.model.name for each in index.pictured}
    there = [each for name, each in index.candidates.items() if name in shown or each not in index.subjects]
    for candidate in sorted(there, key=lambda candidate: candidate.model.expect or ""):
        groups.setdefault(words.control(candidate.model.expect) or "candidate", []).append(candidate)
    for parts in ("slices", "totals", "critical totals"):
        panels = [
            (f"{kind}s", [row for candidate in candidates for row in _rows(index, candidate, parts)])
            for kind, candidates in groups.items()
            if candidates
        ]
        if sum(len(rows) for _, rows in panels) <= MANY:
            break
    return panels or [("candidates", [])]


def _rows(index: Index, candidate: Candidate, parts_of: str) -> Iterator[Row]:
    """A candidate's rows, suite by suite; each suite has a heading where the audit has several.

    A control is there for what decides, and has no other rows.
    """
    control = bool(candidate.model.expect)
    parts = candidate.critical_slices if parts_of == "slices" and not control else []
    totals = candidate.critical_totals if parts_of == "critical totals" or control else candidate.totals
    suites = list(dict.fromkeys(total.suite for total, _ in totals))
    inner = 1 if len(suites) < 2 else 2

    def row(label: str, indent: int, of: Estimate) -> Row:
        return Row(label, indent, candidate.mark(of), of)

    yield Row(index.named(candidate.model.name), 0, candidate.verdict.decision)
    for suite in suites:
        if inner == 2:
            yield Row(index.suite_title(suite), 1, None)
        for total, scorer in totals:
            if total.suite == suite:
                yield row(scorer.title, inner, total)
                for part, _ in parts:
                    if (part.suite, part.measure) == (suite, total.measure):
                        yield row(part.slice, inner + 1, part)


def _draw(axes: "Axes", title: str, rows: Sequence[Row], index: Index) -> None:
    """One panel: names on the left, intervals in the middle, numbers on the right."""
    margin = max([index.result.gate.margin, *(row.estimate.margin for row in rows if row.estimate)])
    axes.set(xlim=_limits(rows, margin), ylim=(max(1, len(rows)) - 0.5, -0.5), yticks=[])
    if index.margins_differ:
        for y, row in enumerate(rows):
            if row.estimate:
                width = 200 * row.estimate.margin
                axes.barh(y, width, 1, -width / 2, color=BAND, zorder=0, linewidth=0)
    else:
        axes.axvspan(-100 * margin, 100 * margin, color=BAND, zorder=0, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    style.bare(axes, "← less    change, pp    more →")
    axes.locator_params(axis="x", nbins=5)
    style.title(axes, title.upper(), colour=QUIET)
    for y, row in enumerate(rows):
        _name(axes, y, row)
        if row.estimate is None:
            shown = row.decision or ""
            style.number(axes, y, shown, color=SHAPES[row.decision][1], fontsize=NORMAL, fontweight="bold")
        else:
            if usable(row.estimate):
                style.interval(axes, y, row.estimate.quantities["change"], SHAPES[row.decision])
            colour = QUIET if _quiet(row) else INK
            style.number(axes, y, _number(row.estimate), color=colour, fontsize=SMALL)


def _name(axes: "Axes", y: int, row: Row) -> None:
    """A row's name; a candidate's has a line above it."""
    start = style.EDGE + INDENT * row.indent
    weight = "normal" if row.indent else "bold"
    quiet = _quiet(row)
    size = SMALL if quiet else NORMAL
    colour = QUIET if quiet else INK
    style.name(axes, (start, y), row.label, LEFT - start - 0.08, size, color=colour, fontweight=weight)
    if y and not row.indent:
        style.rule(axes, y - 0.5)


def _quiet(row: Row) -> bool:
    """Whether a row is that of a slice, or the heading of a suite."""
    return bool(row.indent) if row.estimate is None else row.estimate.slice != "all"


def _limits(rows: Sequence[Row], margin: float) -> tuple[float, float]:
    """Percentage points that hold every interval, zero and the margin, with a little room."""
    changes = [row.estimate.quantities["change"] for row in rows if row.estimate and usable(row.estimate)]
    bounds = [100 * bound for change in changes for bound in (*change.hdi, change.mean)]
    return style.limits([*bounds, -100 * margin, -0.1, 100 * margin, 0.1])
