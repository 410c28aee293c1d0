"""The findings as a page: a verdict, the table of all bars, then each study with its table and plot."""

from collections.abc import Sequence
from io import BytesIO

from toxaudit.studies.findings import Bar, Plot, Study

INK, QUIET = "#1f2328", "#57606a"
COLOURS = ("#0072b2", "#b3420a", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#57606a", "#1f2328")
MARKERS = "oDs^vPX*"
"""Series are told apart by marker and by colours that the colour-blind tell apart."""

WORLDS = (
    "Where nothing else is said, a simulated suite has five strata of 300, 300, 300, 300 and 1,200 prompts, in which "
    "the base's rate lies between 4 and 20 %. Each prompt has a trait of its own, normal with a standard deviation of "
    "2 on the logit scale; four fifths of its variance are common to all arms, which is what pairing gains from. "
    "Rates are those of the population of such prompts, so the truth is known without simulating it."
)


def markdown(studies: Sequence[Study], facts: Sequence[tuple[str, str]], plots: str) -> str:
    """The whole page.

    Args:
        studies: in the order of the page.
        facts: what the figures were made with, name and value.
        plots: the folder of the plots, relative to the page.
    """
    bars = [bar for study in studies for bar in study.bars]
    parts = [
        "# Calibration: are the statistics right?",
        verdict(bars),
        "Every figure below comes from simulated audits whose truth is known, or is computed exactly for such audits. "
        "`toxaudit calibrate-statistics` makes this page; the same versions and the same machine give the same "
        "figures.",
        "## Bars",
        _table(("bar", "required", "reached", "met"), [_bar(bar) for bar in bars]),
    ]
    if any(bar.allowance for bar in bars):
        parts.append("'±' is what a short study grants to luck: two standard errors. A full study grants nothing.")
    parts.append(WORLDS)
    for study in studies:
        parts += [f"## {study.title}", f"**{study.asks}** {study.says}"]
        if study.plot:
            parts.append(f"![{study.title}: {study.plot.y_label}]({plots}/{study.name}.png)")
        parts.append(_table(study.columns, study.rows))
    parts += ["## Made with", _table(("what", "value"), facts)]
    return "\n\n".join(parts) + "\n"


def verdict(bars: Sequence[Bar]) -> str:
    """One sentence: whether all bars were met, or which were missed."""
    missed = [bar for bar in bars if not bar.met]
    if not missed:
        return f"**Every bar is met: {len(bars)} of {len(bars)}.**"
    named = "; ".join(f"{bar.name}: {_figure(bar.reached)}, {bar.sense} {_figure(bar.required)}" for bar in missed)
    return f"**Missed: {len(missed)} of {len(bars)} bars.** {named}."


def _bar(bar: Bar) -> tuple[str, ...]:
    granted = f" ± {_figure(bar.allowance)}" if bar.allowance else ""
    return (
        bar.name,
        f"{bar.sense} {_figure(bar.required)}{granted}",
        _figure(bar.reached),
        "yes" if bar.met else "**no**",
    )


def _figure(value: float) -> str:
    return f"{value:.0f}" if value == int(value) and abs(value) != 1 else f"{value:.3f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw(plot: Plot) -> bytes:
    """A PNG, 6 inches wide on white, that reads well on 600 pixels."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(6, 3.6), dpi=150, facecolor="white", layout="constrained")
        axes = figure.add_subplot()
        for number, series in enumerate(plot.series):
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            many = len(series.x) > 30 and series.line
            style = "-" if series.line else ""
            (line,) = axes.plot(series.x, series.y, color=colour, label=series.name, linewidth=1.2, linestyle=style)
            line.set(marker="" if many else marker, markersize=4)
        for name, level in plot.levels:
            axes.axhline(level, color=QUIET, linestyle="--", linewidth=1, label=name)
        if plot.diagonal:
            axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1, label="as it should be")
        if plot.log_x:
            axes.set_xscale("log")
        if plot.ticks:
            axes.set_xticks([place for place, _ in plot.ticks], [name for _, name in plot.ticks])
            axes.minorticks_off()
        axes.set_xlabel(plot.x_label, color=INK)
        axes.set_ylabel(plot.y_label, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
        png = BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()
