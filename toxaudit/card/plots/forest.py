"""The forest plot: every change with its interval, the zero line and the margin, as a PNG fit for a card."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from toxaudit.card import words
from toxaudit.card.findings import decisions, headlines, measure_label, slices, verdict_of
from toxaudit.records import AuditResult, Decision, Estimate, ModelFacts, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, LEFT, RIGHT = 6.0, 2.05, 1.6
"""Inches: the whole plot, and its columns of names and of numbers. Drawn so that 6 inches read well on 600 pixels."""
ROW, AXIS, GAP, LEGEND = 0.235, 0.5, 0.28, 0.34
"""Inches: one row, the ticks and label below a panel, the gap and title above it, and the legend."""
MANY, NAME = 120, 32
"""Rows above which slices stay in the tables only, and characters of a name that fit its column."""
INK, QUIET, BAND = "#1f2328", "#57606a", "#e7ebf0"
SHAPES: dict[Decision | None, tuple[str, str, str]] = {
    "GO": ("o", "#0072b2", "#0072b2"),
    "INCONCLUSIVE": ("^", "#57606a", "white"),
    "NO-GO": ("D", "#b3420a", "#b3420a"),
    None: ("|", "#57606a", "#57606a"),
}
"""Marker, line colour and fill of a decision: told apart by shape, and by colours that the colour-blind tell apart."""


@dataclass(frozen=True)
class Row:
    """One row of the plot: a candidate's heading where ``change`` is None, else a change."""

    label: str
    indent: int
    decision: Decision | None
    change: Quantity | None = None


def forest_plot(result: AuditResult) -> bytes:
    """The change of each candidate on each measure; on critical ones also by slice, where it is no control.

    Returns:
        A PNG on an opaque white background, the same bytes for the same result and the same libraries.
    """
    import matplotlib
    from matplotlib.figure import Figure

    panels = _panels(result)
    heights = [ROW * max(1, len(rows)) for _, rows in panels]
    height = LEGEND + sum(GAP + tall + AXIS for tall in heights)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(WIDTH, height), dpi=min(200, 60_000 / height), facecolor="white")
        top = height
        for (title, rows), tall in zip(panels, heights, strict=True):
            bottom = top - GAP - tall
            box = (LEFT / WIDTH, bottom / height, (WIDTH - LEFT - RIGHT) / WIDTH, tall / height)
            _draw(figure.add_axes(box), title, rows, result.gate.margin)
            top = bottom - AXIS
        _legend(figure, [row for _, rows in panels for row in rows], result.gate.margin)
        png = BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _panels(result: AuditResult) -> list[tuple[str, list[Row]]]:
    """Titles and rows of real candidates, then of controls, by kind: each panel has a scale of its own."""
    groups: dict[str, list[ModelFacts]] = {"candidate": []}
    for model in sorted(result.candidates, key=lambda model: model.expect or ""):
        groups.setdefault(words.control(model.expect) or "candidate", []).append(model)
    for with_slices in (True, False):
        panels = [
            (f"{kind}s", [row for model in models for row in _rows(result, model, with_slices)])
            for kind, models in groups.items()
            if models
        ]
        if sum(len(rows) for _, rows in panels) <= MANY:
            break
    return panels or [("candidates", [])]


def _rows(result: AuditResult, model: ModelFacts, with_slices: bool) -> Iterator[Row]:
    verdict = verdict_of(result, model.name)
    decided = decisions(verdict)
    parts = slices(result, model.name) if with_slices and not model.expect else []

    def row(label: str, indent: int, of: Estimate) -> Row:
        return Row(label, indent, decided.get((of.suite, of.measure, of.slice)), of.quantities["change"])

    yield Row(model.name, 0, verdict.decision)
    for total, scorer in headlines(result, model.name):
        yield row(measure_label(result, total.suite, scorer.name), 1, total)
        for part, _ in parts:
            if (part.suite, part.measure) == (total.suite, total.measure):
                yield row(part.slice, 2, part)


def _draw(axes: "Axes", title: str, rows: Sequence[Row], margin: float) -> None:
    """One panel: names on the left, intervals in the middle, numbers on the right."""
    low, high = _limits(rows, margin)
    axes.set(xlim=(low, high), ylim=(max(1, len(rows)) - 0.5, -0.5), yticks=[])
    axes.axvspan(-100 * margin, 100 * margin, color=BAND, zorder=0, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(axis="x", labelsize=8, colors=QUIET)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("← less    change, pp    more →", fontsize=8, color=QUIET)
    inch = 1 / (WIDTH - LEFT - RIGHT)
    start = -(LEFT - 0.1) * inch
    _write(axes, start, -0.5 - 0.4, title.upper(), color=QUIET, fontsize=7.5, fontweight="bold")
    for y, row in enumerate(rows):
        heading = row.change is None
        weight = "bold" if heading else "normal"
        colour = QUIET if row.indent == 2 else INK
        size = 8.5 if row.indent < 2 else 8
        label = _fitting(row.label, NAME - 2 * row.indent)
        _write(axes, start + 0.13 * row.indent * inch, y, label, color=colour, fontsize=size, fontweight=weight)
        if row.change is None:
            shown = row.decision or ""
            _write(axes, 1 + 0.12 * inch, y, shown, color=SHAPES[row.decision][1], fontsize=8.5, fontweight="bold")
            axes.axhline(y - 0.5, xmin=start, xmax=1 + RIGHT * inch, color=BAND, linewidth=0.8, clip_on=False)
        else:
            _interval(axes, y, row.change, row.decision)
            _write(axes, 1 + 0.12 * inch, y, str(words.change(row.change)), color=colour, fontsize=8)


def _interval(axes: "Axes", y: float, change: Quantity, decision: Decision | None) -> None:
    marker, colour, fill = SHAPES[decision]
    axes.plot(
        [100 * bound for bound in change.hdi], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2
    )
    (point,) = axes.plot([100 * change.mean], [y], marker=marker, markersize=5.5, markeredgewidth=1.3, zorder=3)
    point.set(markerfacecolor=fill, markeredgecolor=colour)


def _write(axes: "Axes", x: float, y: float, text: str, **style: Any) -> None:
    """Text beside a row; x is in widths of the axes. Nothing in it is taken for mathematics."""
    place = axes.get_yaxis_transform()
    axes.text(x, y, text, transform=place, va="center", ha="left", parse_math=False, clip_on=False, **style)


def _limits(rows: Sequence[Row], margin: float) -> tuple[float, float]:
    """Percentage points that hold every interval, zero and the margin, with a little room."""
    bounds = [100 * bound for row in rows if row.change for bound in (*row.change.hdi, row.change.mean)]
    low, high = min([*bounds, -100 * margin, -0.1]), max([*bounds, 100 * margin, 0.1])
    room = 0.06 * (high - low)
    return low - room, high + room


def _legend(figure: "Figure", rows: Sequence[Row], margin: float) -> None:
    """The shapes in use, the interval and the margin, in words."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    used = {row.decision for row in rows if row.change}
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor=fill, label=decision or "reported")
        for decision, (marker, colour, fill) in SHAPES.items()
        if decision in used
    ]
    handles.append(Line2D([], [], color=QUIET, linewidth=1.6, label="95 % interval"))
    handles.append(Patch(facecolor=BAND, edgecolor=QUIET, linewidth=0.5, label=f"margin ± {words.points(margin)}"))
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles),
        fontsize=8,
        frameon=False,
        labelcolor=INK,
        handletextpad=0.4,
        columnspacing=1.4,
        bbox_to_anchor=(0.5, 0),
        borderaxespad=0.3,
    )


def _fitting(text: str, room: int) -> str:
    """A name as far as its column and the font can show it."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    shown = "".join(character if ord(character) in known else "□" for character in words.visible(text).strip())
    return shown if len(shown) <= room else shown[: room - 1].rstrip() + "…"
