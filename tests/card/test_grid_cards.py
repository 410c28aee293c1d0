"""Cards of many candidates: a grid as a table, and only the worst in every detail."""

from harder import HARDER, grid

from toxaudit.card.facts import DETAILED, gather
from toxaudit.card.grids import tables
from toxaudit.card.index import indexed
from toxaudit.card.section import render_card


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
