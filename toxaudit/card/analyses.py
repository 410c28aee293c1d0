"""What analyses found, as tables: numbers by what they are of, with intervals where there are any."""

from collections.abc import Sequence
from dataclasses import dataclass

from toxaudit.card import words
from toxaudit.findings import Analysis, AnalysisRow

QUANTITY = "quantity"
DIGITS = 4
"""Significant ones of a number that is no rate."""


@dataclass(frozen=True)
class AnalysisTable:
    """One analysis: ``labels`` and then ``numbers`` head the columns, of which a row has the cells in this order."""

    title: str
    text: str
    labels: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    refusals: tuple[str, ...]


def table(found: Analysis) -> AnalysisTable:
    """An analysis as a table, its rows in the order in which they were found."""
    labels = [key for row in found.rows for key in row.about if key != found.across]
    labels = list(dict.fromkeys(labels))
    if found.across != QUANTITY and len({row.quantity for row in found.rows}) > 1:
        labels.append(QUANTITY)
    numbers = list(dict.fromkeys(_values(row)[found.across] for row in found.rows))
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for row in found.rows:
        values = _values(row)
        place = tuple(values.get(label, "") for label in labels)
        cells.setdefault(place, {})[values[found.across]] = _cell(row, found.unit)
    rows = tuple((*place, *(line.get(number, "") for number in numbers)) for place, line in cells.items())
    refusals = tuple(text.rstrip(".") for text in found.refusals)
    heads = (
        [number.capitalize() for number in numbers] if found.across == QUANTITY else numbers
    )  # arms keep their names
    named = tuple(label.capitalize() for label in labels)
    return AnalysisTable(found.title, found.text.rstrip("."), named, tuple(heads), rows, refusals)


def tables(analyses: Sequence[Analysis]) -> tuple[AnalysisTable, ...]:
    """All of them."""
    return tuple(map(table, analyses))


def _values(row: AnalysisRow) -> dict[str, str]:
    return row.about | {QUANTITY: row.quantity}


def _cell(row: AnalysisRow, unit: str) -> str:
    """A number with its interval and what is said of it."""
    parts = []
    if row.value is not None:
        parts.append(_number(row.value, unit))
    if row.interval:
        parts.append("[" + ", ".join(_bare(bound, unit) for bound in row.interval) + "]")
    if row.note:
        parts.append(words.visible(repr(row.note)) if row.value is not None else row.note)
    return " ".join(parts)


def _number(value: float, unit: str) -> str:
    return f"{words.signed(100 * value, 1)} %" if unit == "rate" else _bare(value, unit)


def _bare(value: float, unit: str) -> str:
    if unit == "rate":
        return words.signed(100 * value, 1)
    return f"{value:.{DIGITS}g}".replace("-", "−")
