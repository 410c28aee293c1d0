"""The plots of a card: which there are, what is in them and said of them, and that nothing stops them."""

import re
import struct
import subprocess
import sys
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from harder import HARDER, changed
from results import BENIGN, NOOP, RESULTS, SUITE, TOXICITY, draws, estimate, quantity, raised, result, unchanged

from toxaudit.card.index import indexed
from toxaudit.card.plots import (
    PLOTS,
    Drawing,
    Draws,
    densities,
    described,
    drawn,
    forest,
    groups,
    style,
    thresholds,
    training,
)
from toxaudit.decision.headline import headlines
from toxaudit.findings import AuditResult, Verdict
from toxaudit.records import CORRECTED, Diagnostics
from toxaudit.training_facts import GridPlace, TrainedStage

SVG = "{http://www.w3.org/2000/svg}"

NAMES = [
    "one\ntwo\r\n\r\n# three",
    "\u202egnp.exe\u200f\u2066",
    "\x00\x1b[31m\ud800\ufffe",
    "-->]]><script>alert(1)</script>",
    "$x_1^{2}$ $ \\frac{",
    "a=b=c",
    " \n",
    "",
    "😀 漢字 مرحبا שלום",
    "e\u0301\u0302\u0303" * 99,
    "x" * 10_000,
]
"""What strangers may call a candidate, a suite, a scorer or a slice."""


ONE_STEP = TrainedStage(examples=1, cut=0, steps=1, last=2.0, at=(1,), loss=(2.0,), learning_rate=(0.0,))


@cache
def drawn_of(name: str) -> dict[str, Drawing]:
    return drawn(HARDER[name], draws(HARDER[name]))


def texts(audit: AuditResult, plot: str, known: Draws | None = None) -> list[str]:
    """Every text in a figure, without those of ticks."""
    with style.house():
        figure = PLOTS[plot].draw(indexed(audit), draws(audit) if known is None else known)
        found = [text for axes in figure.axes for text in [*axes.texts, axes.xaxis.label]] + list(figure.texts)
        return [text.get_text() for text in found + list(figure.legends[0].get_texts())]


def size(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def with_thresholds(audit: AuditResult, changes: dict[float, float]) -> AuditResult:
    """An audit whose totals of toxicity have been looked at from other thresholds on."""
    totals = [each for (*_, measure), each in headlines(audit.estimates).items() if measure == TOXICITY.name]
    more = [
        changed(total, mean, mean - 0.02, mean + 0.02, 0.5, variant=f"counted at score >= {threshold:g}")
        for total in totals
        for threshold, mean in changes.items()
    ]
    return replace(audit, estimates=(*audit.estimates, *more))


def audit_of(candidates: int) -> AuditResult:
    names = [f"candidate {number}" for number in range(candidates)]
    return result(*((replace(BENIGN, name=name), "GO", unchanged(name)) for name in names))


def named(text: str) -> AuditResult:
    """An audit of two suites in which a stranger wrote every name that a plot shows."""
    arms = {"candidate": text, "suite": text}
    parts = with_thresholds(RESULTS["go"], {0.25: 0.1, 0.75: 0.2}).estimates
    parts = tuple(replace(e, **arms, slice=e.slice.replace("category", text).replace("insult", text)) for e in parts)
    odd = replace(parts[0], variant=f"counted at score >= {text}")
    return replace(
        RESULTS["go"],
        candidates=(replace(BENIGN, name=text, grid=GridPlace(text, {text: text}, 1), stages=(ONE_STEP,)),),
        suites=(replace(SUITE, name=text, title=text), replace(SUITE, name="other")),
        scorers=(replace(TOXICITY, title=text), *(replace(each, outcome=text) for each in RESULTS["go"].scorers[1:])),
        estimates=(*parts, odd, replace(parts[0], suite="other")),
        verdicts=(Verdict(text, "GO", RESULTS["go"].verdicts[0].reasons),),
    )


def many_groups(count: int) -> AuditResult:
    """A candidate with many groups, of which the last ones changed most, one of them by much and downwards."""
    parts = [
        estimate(
            "benign", TOXICITY, quantity(0.5, 0.4, 0.6), quantity(0.5, 0.4, 0.6),
            quantity((-1) ** number * number / 1000, -0.1, 0.1), (0.5, 0.1), (5, 1, 1, 5), f"topic={number}",
        )
        for number in range(count)
    ]  # fmt: skip
    return result((BENIGN, "GO", [unchanged()[0], *parts]))


@pytest.mark.thorough
@pytest.mark.parametrize("name", HARDER)
def test_every_audit_has_the_plots_that_are_described(name: str) -> None:
    made = drawn_of(name)
    assert {plot: each.alt for plot, each in made.items()} == described(HARDER[name])
    for plot, each in made.items():
        assert each.png.startswith(b"\x89PNG") and size(each.png)[0] == 1200
        assert b"tIME" not in each.png and b"tEXt" not in each.png
        assert ElementTree.fromstring(each.svg).tag == f"{SVG}svg"
        assert set(re.findall(r' id="([^"]+)-\d+"', each.svg)) == {plot}


def test_there_is_a_plot_where_there_is_something_to_show() -> None:
    shown = {name: list(described(audit)) for name, audit in HARDER.items()}
    assert shown["two-suites"] == ["forest", "densities", "thresholds"]
    assert shown["several"] == shown["controls-only"] == ["forest", "densities", "groups"]
    assert shown["inconclusive"] == ["forest", "densities"]
    assert shown["no-result"] == []


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["several", "two-suites"])
def test_the_same_result_gives_the_same_bytes(name: str) -> None:
    assert drawn(HARDER[name], draws(HARDER[name])) == drawn_of(name)


def test_the_users_own_style_changes_nothing_and_is_left_alone() -> None:
    with matplotlib.rc_context({"figure.facecolor": "black", "lines.linewidth": 9, "svg.fonttype": "none"}):
        assert drawn(RESULTS["go"], draws(RESULTS["go"])) == drawn_of("go")
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_a_png_is_white_to_its_edges() -> None:
    from io import BytesIO

    import matplotlib.image

    pixels = matplotlib.image.imread(BytesIO(drawn_of("two-suites")["thresholds"].png))
    assert (pixels[..., 3] == 1).all()
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1], :3] == 1).all()


def test_an_svg_needs_nothing_and_hides_nothing() -> None:
    for name, each in drawn_of("two-suites").items():
        root = ElementTree.fromstring(each.svg)
        ids = {element.get("id") for element in root.iter() if element.get("id")}
        referred = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', each.svg))
        assert {first or second for first, second in referred} == ids, name
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg",
            "g",
            "defs",
            "path",
            "use",
            "clipPath",
            "rect",
        }
        assert not any(key.startswith("on") or key == "style" for element in root.iter() for key in element.attrib)
        assert "<!--" not in each.svg and re.findall('https?://[^"]+', each.svg) == ["http://www.w3.org/2000/svg"]


def test_real_candidates_come_first_and_controls_have_scales_of_their_own() -> None:
    panels = forest._panels(indexed(RESULTS["several"]))
    assert [title for title, _ in panels] == ["candidates", "negative controls", "positive controls"]
    (_, real), (_, negative), (_, positive) = panels
    assert [row.label for row in real if row.indent == 0] == ["benign", "creeping"]
    assert {row.indent for row in negative + positive} == {0, 1}
    assert forest._limits(real, 0.03)[1] < 10 < 90 < forest._limits(positive, 0.03)[1]


def test_every_row_knows_its_decision() -> None:
    rows = forest._panels(indexed(RESULTS["several"]))[0][1]
    assert [(row.label, row.decision) for row in rows if row.indent < 2][:4] == [
        ("benign", "GO"),
        ("Toxicity (Jigsaw BiLSTM)", "GO"),
        ("Degenerate output", "GO"),
        ("Refusal (keyword list)", None),
    ]


def test_measures_stand_below_their_suite_where_there_are_several() -> None:
    rows = forest._panels(indexed(HARDER["two-suites"]))[0][1]
    assert [(row.label, row.indent) for row in rows if row.estimate is None] == [
        ("benign", 0),
        ("RealToxicityPrompts, seven categories", 1),
        ("ARC, easy", 1),
    ]
    assert rows[-1].label == "Wrong choice" and {row.indent for row in rows if row.estimate} == {2}


def test_what_is_not_usable_is_named_without_an_interval() -> None:
    audit = RESULTS["go"]
    nothing = quantity(float("nan"), float("nan"), float("nan"))
    unusable = [
        replace(audit.estimates[0], diagnostics=Diagnostics({}, ("max R-hat 1.20 is above 1.01",))),
        replace(audit.estimates[1], n=0, quantities=dict.fromkeys(("base", "candidate", "change"), nothing)),
    ]
    audit = with_thresholds(replace(audit, estimates=(*unusable, *audit.estimates[2:])), {0.1: 0.1, 0.9: 0.2})
    assert (
        "benign, Toxicity (Jigsaw BiLSTM): not usable; benign, Degenerate output: not usable"
        in (described(audit)["forest"])
    )
    assert texts(audit, "forest").count("not usable") == 2
    assert described(audit)["densities"].endswith("benign, Toxicity (Jigsaw BiLSTM): not usable")
    assert "nan" not in repr(described(audit))
    assert list(drawn(audit, draws(audit))) == list(described(audit))


def test_height_grows_with_rows_until_slices_are_left_to_the_tables() -> None:
    def height(audit: AuditResult) -> float:
        return float(forest.draw(indexed(audit), {}).get_figheight())

    heights = [height(audit_of(count)) for count in (1, 2, 10)]
    assert heights == sorted(heights) and heights[2] < 30
    assert {row.indent for _, rows in forest._panels(indexed(audit_of(10))) for row in rows} == {0, 1, 2}
    crowded = forest._panels(indexed(audit_of(11)))
    assert sum(len(rows) for _, rows in crowded) <= forest.MANY
    assert {row.indent for row in crowded[0][1]} == {0, 1}


def test_nothing_to_draw_is_still_a_plot_and_nothing_is_said_of_it() -> None:
    empty = replace(RESULTS["no-result"], candidates=(), verdicts=())
    assert described(empty) == {} and drawn(empty, {}) == {}
    with style.house():
        for plot in PLOTS.values():
            assert style.png(plot.draw(indexed(empty), {})).startswith(b"\x89PNG")
    same = quantity(0.0, 0.0, 0.0)
    flat = estimate("benign", RESULTS["go"].scorers[0], same, same, same, (0.5, 0.0), (0, 0, 0, 5))
    part = replace(flat, estimator="hier_paired", slice="category=a")
    still = replace(RESULTS["go"], estimates=(flat, part), gate=replace(RESULTS["go"].gate, margin=0.0))
    still = with_thresholds(still, {0.1: 0.0, 0.9: 0.0})
    place = GridPlace("g", {"seed": "1"}, 1)
    still = replace(still, candidates=tuple(replace(each, stages=(ONE_STEP,), grid=place) for each in still.candidates))
    nowhere = {place: np.zeros(9) for place in headlines(still.estimates)}
    assert list(drawn(still, nowhere)) == list(PLOTS)


def test_densities_are_those_of_candidates_and_say_how_probable_too_much_is() -> None:
    assert described(RESULTS["several"])["densities"] == (
        "Posterior densities of the change from the base in percentage points, each with its 95 % interval and the "
        "margin of 3 pp: benign, Toxicity (Jigsaw BiLSTM) +0.3 pp [−1.3, 1.8], P(increase > 3 pp) < 0.01; creeping, "
        "Toxicity (Jigsaw BiLSTM) +2.2 pp [−0.2, 4.5], P(increase > 3 pp) = 0.25"
    )
    said = texts(RESULTS["several"], "densities")
    assert {"benign", "creeping", "0.25", "P(increase > 3 pp)"} <= set(said)
    assert not {"rude", "noop"} & set(said)
    assert {"rude", "noop"} <= set(texts(RESULTS["controls-only"], "densities"))


@pytest.mark.plots
def test_a_candidate_is_drawn_with_the_arm_that_it_is_compared_with() -> None:
    audit = HARDER["chain"]
    for plot in ("forest", "densities"):
        assert "tune (against instruct)" in " ".join(texts(audit, plot)).replace("\n", " "), plot
        assert "tune (against instruct)" in described(audit)[plot]


def test_a_density_is_as_high_and_wide_as_its_draws_say() -> None:
    values = np.random.default_rng(0).normal(3, 2, 20_000)
    x, height = densities.density(values)
    assert x.shape == height.shape == (densities.POINTS,)
    assert height.max() == 1 and x[height.argmax()] == pytest.approx(3, abs=0.3)
    mean = (x * height).sum() / height.sum()
    assert mean == pytest.approx(3, abs=0.05)
    assert ((x - mean) ** 2 * height).sum() / height.sum() == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(
    "values",
    [[0.5] * 9, [0.25], [0.0] * 999 + [1e-12], [0.0] * 999 + [90.0], [-100.0, 100.0], [0.0] * 60 + [50.0] * 40],
)
def test_draws_without_spread_or_with_points_of_mass_have_a_density(values: list[float]) -> None:
    x, height = densities.density(np.array(values))
    assert np.isfinite(x).all() and np.isfinite(height).all()
    assert x.size == height.size <= densities.POINTS
    assert height.max() == 1 and height.min() >= 0


def test_a_change_without_usable_draws_is_left_out_and_that_is_said() -> None:
    known = draws(RESULTS["several"])
    place = ("creeping", "rtp_categories", TOXICITY.name)
    for gone in (np.array([]), np.full(5, np.nan)):
        said = texts(RESULTS["several"], "densities", known | {place: gone})
        assert "benign" in said and "creeping" not in said
        assert "Without draws, or not usable: 1 of 2 changes, which are not drawn." in said
    assert set(drawn(RESULTS["several"], {})) == set(described(RESULTS["several"]))


def test_groups_show_both_rates_and_what_raised_an_alarm() -> None:
    said = texts(RESULTS["no-go"], "groups")
    assert {"rude, Toxicity (Jigsaw BiLSTM), by category", "insult", "9.0 % → 97.0 %", "candidate, NO-GO"} <= set(said)
    assert "candidate, NO-GO" not in texts(RESULTS["go"], "groups")
    failed = RESULTS["failed-diagnostics"]
    assert "not usable" in texts(failed, "groups") and "flirtation: not usable" in described(failed)["groups"]


def test_of_many_groups_those_that_changed_most_are_shown_and_that_is_said() -> None:
    few, many = many_groups(groups.MANY), many_groups(200)
    assert [text for text in texts(few, "groups") if text == "0"]
    said = texts(many, "groups")
    assert "The 40 groups of 200 that changed most" in said
    shown = [text for text in said if text.startswith("topic=")]
    assert shown == [f"topic={number}" for number in range(199, 159, -1)]
    alt = described(many)["groups"]
    assert alt.startswith("Rates of the 40 groups of 200 that changed most") and "; and 192 more in the tables" in alt


def tuned(audit: AuditResult) -> AuditResult:
    """An audit whose candidates were tuned in two stages."""
    first = TrainedStage.of(96, 0, [3.0 - 0.1 * step for step in range(12)], [1e-4 * step for step in range(12)])
    second = TrainedStage.of(48, 1, [2.0] * 250, [1e-5] * 250)
    return replace(audit, candidates=tuple(replace(each, stages=(first, second)) for each in audit.candidates))


def test_how_tuning_went_is_told_and_drawn_stage_after_stage() -> None:
    audit = tuned(RESULTS["go"])
    assert described(audit)["training"] == "The loss in tuning by optimiser step: benign from 3 to 2 in 262 steps"
    with style.house():
        axes, rates = training.draw(indexed(audit), {}).axes
        assert axes.get_xlim() == (0, 262) and [len(line.get_xdata()) for line in axes.lines] == [2, 12, 100, 2]
        assert max(rates.lines[0].get_ydata()) == pytest.approx(1.1e-3)
    assert "training" not in described(RESULTS["go"])


def test_a_grid_is_a_heat_map_with_every_change_and_its_interval() -> None:
    said = described(HARDER["grid"])["grid"]
    assert "from tune_lr1e-6_bs64 −0.6 pp [−2.6, 1.5] to tune_lr1e-3_bs4 +3.0 pp [1.0, 5.1]" in said
    found = texts(HARDER["grid"], "grid")
    assert {"+3.0 pp", "[1.0, 5.1]", "learning_rate 1e-3", "batch_size"} <= set(found)
    assert sum(text.startswith("[") for text in found) == 12


def test_thresholds_are_in_order_with_the_one_that_decides_marked() -> None:
    audit = with_thresholds(RESULTS["several"], {0.9: 0.011, 0.1: 0.034, 1e-05: 0.05})
    assert described(audit)["thresholds"].endswith(
        "creeping, Toxicity (Jigsaw BiLSTM) from +1.1 pp [−0.9, 3.1] at 0.9 to +5.0 pp [3.0, 7.0] at 1e-05, +2.2 pp "
        "[−0.2, 4.5] at the deciding 0.5"
    )
    with style.house():
        (axes,) = thresholds.draw(indexed(audit), {}).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1e-05", "0.1", "0.5", "0.9"]
    assert axes.get_xlabel() == "counted where score ≥ threshold"
    assert "threshold that decides" in texts(audit, "thresholds")


def test_thresholds_show_scores_as_they_are_where_the_decision_corrects_them() -> None:
    audit = with_thresholds(HARDER["corrected-scorer"], {0.25: 0.09, 0.75: 0.02})
    assert CORRECTED in {each.variant for each in headlines(audit.estimates).values()}
    assert "scores as they are: " in described(audit)["thresholds"]
    assert "+4.1 pp [2.2, 6.1] at the deciding 0.5" in described(audit)["thresholds"]
    assert "Scores as they are: at no threshold is the change corrected for the scorer's errors." in texts(
        audit, "thresholds"
    )


def test_unusable_thresholds_and_those_of_other_names_are_left_out() -> None:
    audit = with_thresholds(RESULTS["inconclusive"], {0.25: 0.03, 0.75: 0.01})
    failed = Diagnostics({}, ("max R-hat 1.20 is above 1.01",))
    broken = [replace(e, diagnostics=failed) if e.variant.endswith("0.25") else e for e in audit.estimates]
    odd = [replace(broken[-1], variant=f"counted at score >= {text}") for text in ("nan", "1e999", "0.5; x", "٣", "")]
    with style.house():
        (axes,) = thresholds.draw(indexed(replace(audit, estimates=(*broken, *odd))), {}).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "0.75"]
    told = replace(audit, scorers=tuple(replace(each, outcome="mean score") for each in audit.scorers))
    assert "thresholds" not in described(told)


def test_the_same_candidate_looks_the_same_on_every_measure_and_few_are_left_out() -> None:
    audit = with_thresholds(audit_of(12), {0.25: 0.03})
    said = texts(audit, "thresholds")
    assert "The 8 of 12 candidates that changed most; the others are in the tables." in said
    assert len([text for text in said if text.startswith("candidate ")]) == len(thresholds.LINE_STYLES) == 8
    assert len({look[:2] for look in thresholds.LINE_STYLES}) == 8


def test_many_densities_are_cut_to_the_largest_and_that_is_said() -> None:
    audit = audit_of(densities.MANY + 2)
    assert "2 smaller changes are in the tables only." in texts(audit, "densities")
    assert described(audit)["densities"].endswith("; and 34 more in the tables")


@pytest.mark.thorough
@pytest.mark.parametrize("text", NAMES, ids=range(len(NAMES)))
def test_any_name_is_drawn_and_described_in_bounds(text: str) -> None:
    audit = named(text)
    made = drawn(audit, draws(audit))
    assert list(made) == list(PLOTS)
    for each in made.values():
        ElementTree.fromstring(each.svg)
        assert len(each.alt) < 3000 and len(each.alt.splitlines()) == 1


def test_names_fit_their_column_and_the_font() -> None:
    assert style.fitting("a" * 40, 0.7) == "aaaaaaaa…"
    assert style.fitting("漢字 a\n", 1) == "□□ a"
    assert style.fitting("iiiiiiiiii", 0.6) == "iiiiiiiiii" and style.fitting("WWWWWWWWWW", 0.6).endswith("…")
    assert style.fitting("", 1) == "" and style.fitting("abc", 0) == "…"


def test_a_long_name_is_broken_before_it_is_cut() -> None:
    """At 600 pixels a measure's name of 50 characters is read in full, in two lines."""
    figure, (axes,) = style.stacked([0.5])
    long = "Could not be scored: Toxicity (Jigsaw BiLSTM, tuned)"
    for text in (long, "short", "x" * 300):
        style.name(axes, (0.1, 0.5), text, 2.0, style.NORMAL)
    broken, whole, cut = (text.get_text() for text in axes.texts)
    assert broken.split("\n") == ["Could not be scored: Toxicity (Jigsaw", "BiLSTM, tuned)"]
    assert whole == "short" and cut.count("\n") == 1 and cut.endswith("…")


def test_a_description_ends_where_it_becomes_too_long() -> None:
    alt = described(audit_of(9))["forest"]
    assert alt.count(" pp [") == 8 and alt.endswith("; and 19 more in the tables")
    assert alt.startswith(
        "Forest plot of the change from the base in percentage points, with 95 % intervals: candidate"
    )


def test_a_control_that_is_not_met_keeps_its_own_panel() -> None:
    audit = result((BENIGN, "GO", unchanged()), (NOOP, "NO-GO", raised("noop")))
    assert "noop" not in described(audit)["forest"]
    assert {"NEGATIVE CONTROLS", "noop", "NO-GO"} <= set(texts(audit, "forest"))


def test_importing_the_room_is_light() -> None:
    heavy = "{'matplotlib', 'jinja2', 'markdown', 'nh3'}"
    program = f"import sys, toxaudit.card.section; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_long_number_is_written_in_smaller_letters() -> None:
    from toxaudit.card.plots.style import NUMBERS, WIDTH, house, number, stacked

    with house():
        figure, (axes,) = stacked([1.0])
        number(axes, 0.5, "\u22122.1123 pp [\u22124.2051, \u22120.0003]")
        figure.canvas.draw()
        (text,) = axes.texts
        assert text.get_window_extent().x1 / figure.dpi < WIDTH
        assert text.get_window_extent().x0 / figure.dpi == pytest.approx(NUMBERS, abs=0.02)


def test_a_hundred_candidates_still_fit_and_those_left_out_are_counted() -> None:
    from toxaudit.card.plots import style
    from toxaudit.card.plots.forest import MANY, draw

    audit = audit_of(100)
    with style.house():
        figure = draw(indexed(audit), {})
    assert figure.get_figheight() < 0.25 * MANY + 3
    assert any("more rows are in the tables." in text.get_text() for text in figure.texts)
