"""A heat map of each grid: the change of a critical measure by the values that were swept."""

from typing import TYPE_CHECKING

from toxaudit.card import words
from toxaudit.card.grids import GridCell, GridTable, tables
from toxaudit.card.index import Index
from toxaudit.card.plots import style, subjects
from toxaudit.card.plots.style import INK, QUIET, SMALL, TINY, WIDTH
from toxaudit.card.plots.subjects import Draws

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

LEFT, RIGHT, ROW, TALL = 1.6, 0.2, 0.42, 0.54
"""Inches: the columns beside the cells, how tall a row of cells is, and one whose intervals take two lines."""
WIDE = 0.75
"""Inches of a cell in which an interval has room on one line."""
PANELS = 6
"""Measures that are drawn: beyond them the first ones."""
MOST = 12
"""Rows and columns that are drawn."""
WORSE, BETTER, NEITHER = "#b3420a", "#0072b2", "white"


def describe(index: Index) -> str:
    """Of each grid the candidates with the smallest and the largest change."""
    found = list(tables(index))
    listed = [_said(table) for table in found if any(cell and cell.change for row in table.cells for cell in row)]
    if not listed:
        return ""
    return f"Heat maps of the change in percentage points by what was swept, 95 % intervals: {subjects.listed(listed)}"


def _said(table: GridTable) -> str:
    cells = [cell for row in table.cells for cell in row if cell and cell.change]
    ends = sorted(cells, key=lambda cell: cell.change.mean if cell.change else 0.0)
    said = " to ".join(
        f"{subjects.short(cell.candidate)} {words.change(cell.change)}" for cell in (ends[0], ends[-1]) if cell.change
    )
    return f"{subjects.short(table.measure)} from {said}"


def draw(index: Index, draws: Draws) -> "Figure":
    """A panel for each grid and critical measure: a cell for each candidate, coloured by its change."""
    found = list(tables(index))
    shown = found[:PANELS]
    notes = [f"The first {PANELS} of {len(found)} tables."] if len(found) > PANELS else []
    if any(max(len(table.rows), len(table.columns)) > MOST for table in shown):
        notes.append(f"The first {MOST} rows and columns of each; the others are in the tables.")
    tall = [(ROW if _width(each) >= WIDE else TALL) * max(1, min(MOST, len(each.rows))) for each in shown]
    figure, panels = style.stacked(tall, LEFT, RIGHT, len(notes))
    for axes, table in zip(panels, shown, strict=True):
        _draw(axes, table)
    style.legend(figure, [_patch("more", WORSE), _patch("less", BETTER)], notes)
    return figure


def _patch(label: str, colour: str) -> "Patch":
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, alpha=0.55, label=label)


def _width(table: GridTable) -> float:
    """Inches of a cell."""
    return (WIDTH - LEFT - RIGHT) / max(1, min(MOST, len(table.columns)))


def _draw(axes: "Axes", table: GridTable) -> None:
    rows, columns, width = table.rows[:MOST], table.columns[:MOST], _width(table)
    axes.set(xlim=(-0.5, max(1, len(columns)) - 0.5), ylim=(max(1, len(rows)) - 0.5, -0.5), yticks=[])
    style.bare(axes, style.fitting(table.column_key, WIDTH - LEFT - RIGHT))
    axes.set_xticks(range(len(columns)), [style.fitting(value, max(width, 0.5)) for value in columns])
    for text in axes.get_xticklabels():
        text.set_fontsize(style.fitted(text.get_text(), SMALL, 0.92 * width))
    for text in (axes.xaxis.label, *axes.get_xticklabels()):
        text.set_parse_math(False)
    style.title(axes, f"{table.grid}: {table.measure}")
    cells = [cell for line in table.cells for cell in line if cell and cell.change]
    most = max([abs(cell.change.mean) for cell in cells if cell.change] + [table.margin, 1e-9])
    for y, line in enumerate(table.cells[:MOST]):
        label = f"{table.row_key} {rows[y]}".strip()
        style.name(axes, (style.EDGE, y), label, LEFT - style.EDGE - 0.08, SMALL, color=QUIET)
        for x, cell in enumerate(line[:MOST]):
            _cell(axes, (x, y), cell, most, width)


def _cell(axes: "Axes", place: tuple[int, int], cell: GridCell | None, most: float, width: float) -> None:
    from matplotlib.patches import Rectangle

    x, y = place
    change = cell.change if cell else None
    colour = NEITHER if change is None else WORSE if change.mean > 0 else BETTER
    strength = 0.0 if change is None else 0.55 * min(1.0, abs(change.mean) / most)  # text stays readable on it
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, alpha=strength, linewidth=0))
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fill=False, edgecolor=QUIET, linewidth=0.5))
    if change:
        said = words.change(change)
        bounds = [said.interval] if width >= WIDE else said.interval.replace(", ", ",\n").splitlines()
        for line, (text, size) in enumerate([(said.value, SMALL), *((each, TINY) for each in bounds)]):
            middle = y + (line - len(bounds) / 2) * (0.33 if len(bounds) == 1 else 0.28)
            size = style.fitted(text, size, 0.9 * width)
            axes.text(x, middle, text, ha="center", va="center", fontsize=size, color=INK, parse_math=False)
