"""How every plot looks: sizes, colours and shapes, names that fit their columns, and the bytes of a figure."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

from toxaudit.card import words
from toxaudit.card.index import Index
from toxaudit.card.plots.vector import compact
from toxaudit.facts import Decision
from toxaudit.records import Quantity

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.transforms import Transform

WIDTH, EDGE = 6.0, 0.1
"""Inches: the whole plot, and what stays free at its sides. Drawn so that 6 inches read well on 600 pixels."""
LEFT, RIGHT = 2.2, 1.6
"""Inches: the columns of names and of numbers."""
NUMBERS = WIDTH - RIGHT + 0.12
"""Inches from the left at which numbers begin."""
AXIS, GAP, TITLE, LEGEND, NOTE = 0.5, 0.28, 0.1, 0.34, 0.2
"""Inches: ticks and label below a panel, gap and title above it, its title's height over it, legend, line of notes."""
TINY, SMALL, NORMAL = 7.0, 8.0, 8.5
"""Points of text."""
LONGEST = 200
"""Characters of a name that are looked at: no column holds more."""
INK, QUIET, BAND, ALARM = "#1f2328", "#57606a", "#e7ebf0", "#b3420a"
SHAPES: dict[Decision | None, tuple[str, str, str]] = {
    "GO": ("o", "#0072b2", "#0072b2"),
    "INCONCLUSIVE": ("^", QUIET, "white"),
    "NO-GO": ("D", ALARM, ALARM),
    None: ("|", QUIET, QUIET),
}
"""Marker, line colour and fill of a decision: told apart by shape, and by colours that the colour-blind tell apart."""


@contextmanager
def house() -> Iterator[None]:
    """The style of the house while figures are drawn and saved; the user's own comes back afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "toxaudit"})
        yield


def stacked(
    heights: Sequence[float], left: float = LEFT, right: float = RIGHT, notes: int = 0
) -> tuple["Figure", list["Axes"]]:
    """Panels below each other on an opaque white background, with room for what stands around them.

    Args:
        heights: the panels', in inches.
        left: the column on their left, in inches.
        right: the column on their right, in inches.
        notes: lines below all of them, above the legend.
    """
    from matplotlib.figure import Figure

    height = LEGEND + notes * NOTE + sum(GAP + tall + AXIS for tall in heights)
    figure = Figure(figsize=(WIDTH, height), dpi=min(200, 60_000 / height), facecolor="white")
    panels, top = [], height
    for tall in heights:
        bottom = top - GAP - tall
        box = (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, tall / height)
        panels.append(figure.add_axes(box))
        top = bottom - AXIS
    return figure, panels


def bare(axes: "Axes", label: str) -> None:
    """Axes with nothing but their lower line, its ticks and its label."""
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(axis="x", labelsize=SMALL, colors=QUIET)
    axes.set_xlabel(label, fontsize=SMALL, color=QUIET)


def write(axes: "Axes", x: float, y: float, text: str, **font: Any) -> None:
    """Text beside a panel; x as in ``beside``. Nothing in it is taken for mathematics."""
    axes.text(x, y, text, transform=beside(axes), va="center", parse_math=False, clip_on=False, **font)


def number(axes: "Axes", y: float, text: str, fontsize: float = SMALL, **font: Any) -> None:
    """Text in the column of numbers, in smaller letters where it would not fit: a bound's sign must not be cut off."""
    weight = font.get("fontweight", "normal")
    size = fitted(text, fontsize, WIDTH - NUMBERS - EDGE / 2, weight)
    write(axes, NUMBERS, y, text, fontsize=size, **font)


def fitted(text: str, fontsize: float, room: float, weight: str = "normal") -> float:
    """The size of letters, at most ``fontsize``, at which a text is not wider than the room, in inches."""
    return fontsize * min(1, room / max(_inches(text, fontsize, weight), 1e-6))


def _inches(text: str, fontsize: float, fontweight: str) -> float:
    """How wide a text is."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=fontsize, weight=fontweight)
    points: float = text_to_path.get_text_width_height_descent(text, font, False)[0]
    return points / 72


def beside(axes: "Axes") -> "Transform":
    """Places of which x is in inches from the left of the figure, and y on the panel's own axis."""
    from matplotlib.transforms import blended_transform_factory

    return blended_transform_factory(axes.figure.dpi_scale_trans, axes.transData)


def title(axes: "Axes", text: str, numbers: str = "", colour: str = INK) -> None:
    """A panel's title, and that of its column of numbers."""
    top = axes.get_ylim()[1]
    y = top - TITLE * inch(axes)
    room = (NUMBERS if numbers else WIDTH) - 2 * EDGE
    write(axes, EDGE, y, fitting(text, room, SMALL, "bold"), color=colour, fontsize=SMALL, fontweight="bold")
    write(axes, NUMBERS, y, numbers, color=QUIET, fontsize=SMALL)
    rule(axes, top)


def inch(axes: "Axes") -> float:
    """One inch downwards on a panel's own axis of y."""
    bottom, top = axes.get_ylim()
    tall = axes.get_window_extent().height / axes.figure.dpi
    return (bottom - top) / tall


def rule(axes: "Axes", y: float) -> None:
    """A quiet line from edge to edge."""
    from matplotlib.lines import Line2D

    line = Line2D([EDGE, WIDTH - EDGE], [y, y], color=BAND, linewidth=0.8, zorder=1)
    line.set(transform=beside(axes), clip_on=False)
    axes.add_artist(line)


def interval(axes: "Axes", y: float, share: Quantity, shape: tuple[str, str, str], size: float = 5.5) -> None:
    """The mean of a rate or a change, in percent, and its 95 % HDI; ``shape`` as in ``SHAPES``."""
    marker, colour, fill = shape
    ends = [100 * bound for bound in share.hdi]
    axes.plot(ends, [y, y], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=5)
    (point,) = axes.plot([100 * share.mean], [y], color=colour, marker=marker, markersize=size, zorder=6)
    point.set(markerfacecolor=fill, markeredgewidth=1.3)


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Where an axis begins and ends that holds all values with a little room."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low)
    return low - room, high + room


def fitting(text: str, room: float, fontsize: float = SMALL, fontweight: str = "normal") -> str:
    """A name as far as its column, ``room`` in inches, and the font can show it."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties(size=fontsize, weight=fontweight)))
    start = words.visible(text[:LONGEST]).strip()
    shown = "".join(character if known.get_char_index(ord(character)) else "□" for character in start)

    def width(end: int) -> float:
        return _inches(shown if end == len(shown) else shown[:end].rstrip() + "…", fontsize, fontweight)

    if width(len(shown)) <= room:
        return shown
    end = bisect_right(range(len(shown)), room, key=width) - 1
    return shown[: max(0, end)].rstrip() + "…"


def name(axes: "Axes", place: tuple[float, float], text: str, room: float, fontsize: float, **font: Any) -> None:
    """A name in its column, ``room`` in inches: in one line, or in two of small letters, before any is cut off."""
    weight = font.get("fontweight", "normal")
    shown, size = fitting(text, room, fontsize, weight), fontsize
    if shown.endswith("…"):
        size, whole = TINY, words.visible(text[:LONGEST]).strip()
        shown = fitting(whole, room, TINY, weight)
        if shown.endswith("…"):
            first = len(shown) - 1
            gap = whole.rfind(" ", 0, first + 1)
            first = gap if gap > first // 2 else first
            lines = whole[:first], whole[first:]
            shown = "\n".join(fitting(line, room, TINY, weight) for line in lines)
    write(axes, *place, shown, fontsize=size, linespacing=1.0, **font)


def legend(figure: "Figure", handles: Sequence["Line2D | Patch"], notes: Sequence[str] = ()) -> None:
    """What the shapes in a figure mean, in one line at its foot, below its notes."""
    made: list[Artist] = [*handles]
    figure.legend(
        handles=made,
        loc="lower center",
        ncols=max(1, len(handles)),
        fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handletextpad=0.4,
        columnspacing=1.4,
        bbox_to_anchor=(0.5, 0),
        borderaxespad=0.3,
    )
    height = figure.get_figheight()
    for line, note in enumerate(reversed(notes)):
        y = (LEGEND + (line + 0.5) * NOTE) / height
        figure.text(EDGE / WIDTH, y, note, va="center", fontsize=SMALL, color=QUIET, parse_math=False)


def decision_handle(decision: Decision | None) -> "Line2D":
    """The shape of a decision in a legend."""
    from matplotlib.lines import Line2D

    marker, colour, fill = SHAPES[decision]
    label = decision or "reported"
    return Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor=fill, label=label)


def interval_handle() -> "Line2D":
    """The line of an interval in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=QUIET, linewidth=1.6, label="95 % interval")


def margin_handle(index: Index) -> "Patch":
    """The band of the margin in a legend."""
    from matplotlib.patches import Patch

    label = "margin" if index.margins_differ else f"margin ± {index.margin}"
    return Patch(facecolor=BAND, edgecolor=QUIET, linewidth=0.5, label=label)


def png(figure: "Figure") -> bytes:
    """A figure in pixels, without the time and the library that made it."""
    made = BytesIO()
    figure.savefig(made, format="png", metadata={"Software": None})
    return made.getvalue()


def svg(figure: "Figure", name: str) -> str:
    """A figure as an SVG element; ``name`` tells its ids from those of other figures on a page."""
    made = StringIO()
    figure.savefig(made, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return compact(made.getvalue(), name)
