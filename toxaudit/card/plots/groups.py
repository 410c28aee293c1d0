"""Rates by group: the base's and the candidate's on every slice of the prompts, for the critical measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toxaudit.card import words
from toxaudit.card.index import Index
from toxaudit.card.plots import style, subjects
from toxaudit.card.plots.style import ALARM, EDGE, INK, LEFT, QUIET, SMALL, TINY
from toxaudit.card.plots.subjects import Draws
from toxaudit.decision.headline import usable
from toxaudit.records import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, TALL_ROW = 0.29, 0.37
"""Inches of one row, and of one whose name has two lines."""
WIDE = 2.75
"""Inches of the column of names that say also whose group it is, and on which measure."""
MANY = 40
"""Groups that are drawn: beyond them those that changed most, in one panel."""
APART = 0.05
"""Inches between the middle of a row and each of its arms."""
BASE, CANDIDATE, WORSE = ("o", QUIET, "white"), ("s", INK, INK), ("D", ALARM, ALARM)
"""Marker, colour and fill of the base, of the candidate, and of the candidate where the group raised an alarm."""


@dataclass(frozen=True)
class Group:
    """One row: a slice's value, whose it is where its panel holds several, its estimate, and whether it is an alarm."""

    value: str
    whose: tuple[str, ...]
    estimate: Estimate
    alarm: bool


@dataclass(frozen=True)
class Panel:
    """Groups below each other, and how far their axis reaches in percent."""

    title: str
    groups: tuple[Group, ...]
    reach: float


def describe(index: Index) -> str:
    """The groups with the largest changes, largest first."""
    found = _found(index)
    if not found:
        return ""
    by_size = sorted(found, key=lambda estimate: -subjects.change_size(estimate))
    listed = subjects.listed([_said(index, estimate) for estimate in by_size])
    room = "" if len(found) <= MANY else f" of the {MANY} groups of {len(found):,} that changed most"
    arms = f"{index.reference} and candidate"
    return f"Rates{room or ' by group'}, of {arms} with 95 % intervals; largest changes first: {listed}"


def _said(index: Index, estimate: Estimate) -> str:
    where = f"{subjects.named(index, estimate)}, {subjects.short(estimate.slice)}"
    return f"{where} {_rates(estimate)}" if usable(estimate) else f"{where}: not usable"


def _rates(estimate: Estimate) -> str:
    return " → ".join(words.percent(estimate.quantities[arm].mean) for arm in ("base", "candidate"))


def draw(index: Index, draws: Draws) -> "Figure":
    """A panel for each candidate, critical measure and slice, in it a row for each of the slice's values.

    Where there are too many values, one panel of those that changed most.
    """
    from matplotlib.lines import Line2D

    found = _found(index)
    crowded = len(found) > MANY
    panels = [_most(index, found)] if crowded else _panels(index, found)
    row, left = (TALL_ROW, WIDE) if crowded else (ROW, LEFT)
    figure, axes = style.stacked([row * len(panel.groups) for panel in panels], left)
    for place, panel in zip(axes, panels, strict=True):
        _draw(place, panel, left, index.reference)
    alarm = any(group.alarm for panel in panels for group in panel.groups)
    kinds = [(index.reference, BASE), ("candidate", CANDIDATE), *([("candidate, NO-GO", WORSE)] if alarm else [])]
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor=fill, label=label)
        for label, (marker, colour, fill) in kinds
    ]
    style.legend(figure, [*handles, style.interval_handle()])
    return figure


def _found(index: Index) -> list[Estimate]:
    return [estimate for candidate in index.pictured for estimate, _ in candidate.critical_slices]


def _panels(index: Index, found: Sequence[Estimate]) -> list[Panel]:
    """The groups by candidate, measure and slice; all panels of a measure have the same axis."""
    groups: dict[tuple[str, str, str, str], list[Group]] = {}
    reach: dict[tuple[str, str], float] = {}
    for each in found:
        name, _, value = each.slice.partition("=")
        of = (each.suite, each.measure)
        groups.setdefault((each.candidate, *of, name), []).append(Group(value, (), each, _alarm(index, each)))
        reach[of] = max(reach.get(of, 0), _reach(each))
    return [
        Panel(f"{index.named(candidate)}, {index.label(suite, measure)}, by {name}", tuple(rows), reach[suite, measure])
        for (candidate, suite, measure, name), rows in groups.items()
    ]


def _most(index: Index, found: Sequence[Estimate]) -> Panel:
    """The groups that changed most, the largest change first."""
    kept = sorted(found, key=lambda estimate: -subjects.change_size(estimate))[:MANY]
    rows = tuple(
        Group(
            each.slice,
            (index.named(each.candidate), index.label(each.suite, each.measure)),
            each,
            _alarm(index, each),
        )
        for each in kept
    )
    return Panel(f"The {MANY} groups of {len(found):,} that changed most", rows, max(map(_reach, kept)))


def _alarm(index: Index, estimate: Estimate) -> bool:
    return index.candidates[estimate.candidate].mark(estimate) == "NO-GO"


def _reach(estimate: Estimate) -> float:
    """The highest rate of an estimate's intervals in percent."""
    if not usable(estimate):
        return 0
    return 100 * max(estimate.quantities[arm].hdi[1] for arm in ("base", "candidate"))


def _draw(axes: "Axes", panel: Panel, left: float, reference: str) -> None:
    """One panel: values on the left, the rates of both arms in the middle, and as numbers on the right."""
    axes.set(xlim=style.limits([0, max(1, panel.reach)]), ylim=(len(panel.groups) - 0.5, -0.5), yticks=[])
    style.bare(axes, "rate, %")
    axes.locator_params(axis="x", nbins=5)
    style.title(axes, panel.title, f"{reference} → candidate")
    apart = APART * style.inch(axes)
    for y, group in enumerate(panel.groups):
        _name(axes, y, group, left - EDGE - 0.08)
        measured = usable(group.estimate)
        if measured:
            shape = WORSE if group.alarm else CANDIDATE
            style.interval(axes, y - apart, group.estimate.quantities["base"], BASE, 4.2)
            style.interval(axes, y + apart, group.estimate.quantities["candidate"], shape, 4.2)
        shown = _rates(group.estimate) if measured else "not usable"
        style.number(axes, y, shown, color=ALARM if group.alarm else INK, fontsize=SMALL)
        if y:
            style.rule(axes, y - 0.5)


def _name(axes: "Axes", y: float, group: Group, room: float) -> None:
    """A group's value, and below it in short whose it is."""
    if not group.whose:
        style.name(axes, (EDGE, y), group.value, room, SMALL, color=INK)
        return
    style.write(axes, EDGE, y - 0.2, style.fitting(group.value, room), color=INK, fontsize=SMALL)
    share = room / max(1, len(group.whose)) - 0.03
    whose = ", ".join(style.fitting(name, share, TINY) for name in group.whose)
    style.write(axes, EDGE, y + 0.22, whose, color=QUIET, fontsize=TINY)
