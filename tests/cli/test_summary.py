"""A terminal's last table has one line a measure, in columns that fit."""

import pytest
from results import RESULTS

from toxaudit.card.index import indexed
from toxaudit.cli.summary import table


@pytest.mark.parametrize("name", sorted(RESULTS))
@pytest.mark.parametrize("columns", [0, 50, 80, 120])
def test_one_aligned_line_for_each_measure_of_each_candidate(name: str, columns: int) -> None:
    result = RESULTS[name]
    lines = table(result, columns)
    totals = [total for each in indexed(result).candidates.values() for total in each.totals]
    assert len(lines) == (len(totals) + 1 if totals else 0)
    assert not columns or all(len(line) <= columns for line in lines)
    measured = [line for line in lines[1:] if line.endswith("]")]
    assert len({len(line) for line in measured}) <= 1


def test_a_line_names_candidate_measure_change_and_interval() -> None:
    heads, first, *_ = table(RESULTS["go"], 0)
    assert heads.split() == ["base", "->", "candidate", "change", "95", "%", "HDI"]
    assert first.startswith(f"  {RESULTS['go'].candidates[0].name}: ") and " pp  " in first and first.endswith("]")
