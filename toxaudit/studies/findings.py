"""What a study found: a table, a plot, and the bars that it met or missed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Bar:
    """One requirement, fixed before the study ran.

    Attributes:
        name: what was measured, in words.
        sense: whether ``reached`` must be at least or at most ``required``.
        required: the requirement itself.
        reached: what the study found; NaN never meets a bar.
        allowance: what is granted to the luck of a short study, as a distance from ``required``: 0 in a full one.
    """

    name: str
    sense: Literal["at least", "at most"]
    required: float
    reached: float
    allowance: float = 0.0

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        if self.sense == "at least":
            return self.reached >= self.required - self.allowance
        return self.reached <= self.required + self.allowance


@dataclass(frozen=True)
class Series:
    """One line or row of points of a plot: ``x`` and ``y`` of equal length; ``line`` joins the points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    line: bool = True


@dataclass(frozen=True)
class Plot:
    """A plot in data.

    Attributes:
        x_label, y_label: axes, with units.
        series: what is drawn.
        levels: horizontal lines to compare with, by name.
        ticks: places on the x axis and their names; empty for numbers.
        log_x: whether the numeric axis is logarithmic.
        diagonal: whether to draw y = x.
    """

    x_label: str
    y_label: str
    series: tuple[Series, ...]
    levels: tuple[tuple[str, float], ...] = ()
    ticks: tuple[tuple[float, str], ...] = ()
    log_x: bool = False
    diagonal: bool = False


@dataclass(frozen=True)
class Study:
    """One study's findings.

    Attributes:
        name: short, for file names.
        title: its heading.
        asks: the question, in one sentence.
        says: the setting and how to read the table, in a few plain sentences.
        columns: the table's heads.
        rows: its cells, as text.
        bars: what was required.
        plot: a picture of the table, or None.
    """

    name: str
    title: str
    asks: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[Bar, ...]
    plot: Plot | None = None


def standard_error(share: float, trials: float) -> float:
    """Monte Carlo standard error of a share of independent trials, sqrt(p (1 - p) / n)."""
    return math.sqrt(share * (1 - share) / trials) if trials else math.nan


def at_least(name: str, required: float, reached: float, trials: float, slack: float) -> Bar:
    """A bar on a share, granted ``slack`` standard errors of a share that just meets it."""
    return Bar(name, "at least", required, reached, _allowance(required, trials, slack))


def at_most(name: str, required: float, reached: float, trials: float, slack: float) -> Bar:
    """A bar on a share from above, granted ``slack`` standard errors of a share that just meets it."""
    return Bar(name, "at most", required, reached, _allowance(required, trials, slack))


def _allowance(required: float, trials: float, slack: float) -> float:
    return slack * standard_error(required, trials) if slack else 0.0


def share(value: float) -> str:
    """A share with three digits: ``.947``."""
    return f"{value:.3f}"


def points(value: float) -> str:
    """A rate or change in percentage points, with two digits: ``+1.25``."""
    return f"{100 * value:+.2f}"


def percent(value: float) -> str:
    """A rate in percent: ``0.9 %``."""
    return f"{100 * value:.3g} %"
