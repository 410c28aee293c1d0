"""How candidates were tuned: the loss, and the learning rate, step by step."""

from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from toxaudit.card.index import Index
from toxaudit.card.plots import style, subjects
from toxaudit.card.plots.style import INK, QUIET, SMALL
from toxaudit.card.plots.subjects import Draws
from toxaudit.facts import ModelFacts
from toxaudit.training_facts import TrainedStage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LEFT, RIGHT, PANEL = 0.62, 0.62, 1.2
"""Inches: the columns of the two axes, and how tall a panel is."""
PANELS = 8
"""Candidates that are drawn: beyond them the first ones."""
LOSS, RATE = "#0072b2", "#b3420a"


def describe(index: Index) -> str:
    """Of each tuned candidate the loss at the beginning and at the end, and the steps between."""
    tuned = _tuned(index)
    if not tuned:
        return ""
    return f"The loss in tuning by optimiser step: {subjects.listed([_said(each) for each in tuned])}"


def _said(model: ModelFacts) -> str:
    steps = sum(stage.steps for stage in model.stages)
    first, last = model.stages[0].loss[0], model.stages[-1].last
    return f"{subjects.short(model.name)} from {first:.3g} to {last:.3g} in {steps:,} step{'s' * (steps != 1)}"


def draw(index: Index, draws: Draws) -> "Figure":
    """A panel for each candidate that was tuned within the audit; stages follow each other."""
    tuned = _tuned(index)
    shown = tuned[:PANELS]
    notes = [f"The first {PANELS} of {len(tuned)} candidates that were tuned."] if len(tuned) > PANELS else []
    figure, panels = style.stacked([PANEL] * len(shown), LEFT, RIGHT, notes=len(notes))
    for axes, model in zip(panels, shown, strict=True):
        _draw(axes, model)
    style.legend(figure, [_handle("loss", LOSS, "-"), _handle("learning rate", RATE, ":")], notes)
    return figure


def _tuned(index: Index) -> list[ModelFacts]:
    models = [each.model for each in index.candidates.values()]
    return [model for model in models if any(stage.loss for stage in model.stages)]


def _draw(axes: "Axes", model: ModelFacts) -> None:
    starts = [0, *accumulate(stage.steps for stage in model.stages)]
    losses = [loss for stage in model.stages for loss in stage.loss]
    axes.set(xlim=(0, max(1, starts[-1])), ylim=style.limits([*losses, min(losses) - 0.01, max(losses) + 0.01]))
    style.bare(axes, "optimiser step")
    axes.tick_params(axis="y", labelsize=SMALL, colors=QUIET)
    axes.locator_params(axis="y", nbins=4, prune="upper")
    axes.set_ylabel("loss", fontsize=SMALL, color=LOSS)
    style.title(axes, model.name)
    rates = axes.twinx()
    rates.spines[["top", "left", "right", "bottom"]].set_visible(False)
    highest = max(rate for stage in model.stages for rate in stage.learning_rate)
    rates.set_ylim(0, (highest or 1.0) * 1.08)
    rates.tick_params(axis="y", labelsize=SMALL, colors=QUIET)
    rates.locator_params(axis="y", nbins=3, prune="upper")
    rates.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}" if value else "0")
    for start, stage in zip(starts, model.stages, strict=False):
        _curve(axes, rates, start, stage)


def _curve(axes: "Axes", rates: "Axes", start: int, stage: TrainedStage) -> None:
    places = [start + at for at in stage.at]
    axes.plot(places, stage.loss, color=LOSS, linewidth=1.2, marker="o" if len(places) == 1 else "", markersize=3)
    rates.plot(places, stage.learning_rate, color=RATE, linewidth=0.9, linestyle=":")
    if start:
        axes.axvline(start, color=INK, linewidth=0.6)


def _handle(label: str, colour: str, line: Literal["-", ":"]) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linewidth=1.2, linestyle=line, label=label)
