"""The page says at its top what was met, and holds every table and plot."""

import numpy as np
import pytest

from toxaudit.studies import study
from toxaudit.studies.findings import Bar, Plot, Series, Study, at_least, at_most, standard_error
from toxaudit.studies.page import draw, markdown, verdict

PLOT = Plot("x", "y", (Series("a", [1, 10], [0.2, 0.4]),), (("required", 0.3),), ((1, "one"),), log_x=True)


def a_study(*bars, plot=PLOT):
    return Study("mine", "My title", "Is it so?", "It is.", ("one", "two"), (("1", "2"), ("3", "4")), bars, plot)


@pytest.mark.parametrize(
    "bar, met",
    [
        (Bar("b", "at least", 0.93, 0.93), True),
        (Bar("b", "at least", 0.93, 0.929), False),
        (Bar("b", "at least", 0.93, 0.92, 0.01), True),
        (Bar("b", "at most", 0.08, 0.08), True),
        (Bar("b", "at most", 0.08, 0.081), False),
        (Bar("b", "at most", 0.08, 0.081, 0.01), True),
        (Bar("b", "at least", 0.93, float("nan")), False),
        (Bar("b", "at most", 0.93, float("nan"), 1.0), False),
    ],
)
def test_a_bar_is_met_or_not(bar, met):
    assert bar.met is met


def test_a_short_study_is_granted_the_luck_of_a_share_that_just_meets_the_bar():
    assert standard_error(0.5, 100) == 0.05
    assert at_least("b", 0.93, 0.9, 400, 2).allowance == pytest.approx(2 * np.sqrt(0.93 * 0.07 / 400))
    assert at_most("b", 0.08, 0.1, 400, 0).allowance == 0


def test_the_page_opens_with_the_verdict_and_the_table_of_bars():
    page = markdown([a_study(Bar("good", "at least", 0.9, 0.95))], [("date", "today")], "calibration")
    assert page.startswith("# Calibration: are the statistics right?\n\n**Every bar is met: 1 of 1.**\n")
    assert "| good | at least 0.900 | 0.950 | yes |" in page
    assert "## My title\n\n**Is it so?** It is.\n\n![My title: y](calibration/mine.png)\n\n| one | two |" in page
    assert "| 3 | 4 |" in page and "| date | today |" in page and "±" not in page


def test_a_missed_bar_is_named_at_the_top():
    bars = [Bar("good", "at least", 0.9, 0.95), Bar("bad", "at most", 0.08, 0.2, 0.01)]
    assert verdict(bars) == "**Missed: 1 of 2 bars.** bad: 0.200, at most 0.080."
    page = markdown([a_study(*bars, plot=None)], [], "calibration")
    assert "| bad | at most 0.080 ± 0.010 | 0.200 | **no** |" in page
    assert "'±'" in page and "![" not in page


def test_plots_are_png():
    assert draw(PLOT).startswith(b"\x89PNG")
    assert draw(Plot("x", "y", (Series("a", [0.1], [0.2], line=False),), diagonal=True)).startswith(b"\x89PNG")
    assert draw(PLOT) == draw(PLOT)


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("reached", [0.95, 0.5])
def test_running_writes_page_and_plots_and_says_whether_all_bars_were_met(
    tmp_path, monkeypatch, capsys, quick, reached
):
    plan = [lambda: a_study(Bar("b", "at least", 0.9, reached)), lambda: a_study(plot=None)]
    monkeypatch.setattr(study, "QUICK" if quick else "FULL", plan)
    assert study.run(tmp_path / "docs", quick) is (reached == 0.95)
    page = (tmp_path / "docs" / "calibration.md").read_text()
    assert ("--quick" in page.split("## Made with")[1]) is quick
    assert (tmp_path / "docs" / "calibration" / "mine.png").stat().st_size > 1000
    assert f"[1/2] My title: {int(reached == 0.95)} of 1 bars met" in capsys.readouterr().err


def test_both_plans_ask_the_same_questions():
    def names(plan):
        return [getattr(step, "func", step).__name__ for step in plan]

    assert names(study.QUICK) == names(study.FULL)
