"""A grid of candidates as one table: the change of each critical measure by the values that were swept."""

from collections.abc import Iterator
from dataclasses import dataclass

from toxaudit.card import words
from toxaudit.card.index import Candidate, Index
from toxaudit.decision.headline import usable
from toxaudit.facts import Decision
from toxaudit.records import Quantity


def sentences(index: Index) -> Iterator[str]:
    """Of each grid, how many candidates were compared and what that means for one that is chosen among them."""
    of = {each.model.grid.grid: each.model.grid for each in index.candidates.values() if each.model.grid}
    shown = [each.model.grid.grid for each in index.candidates.values() if each.model.grid]
    for grid, place in of.items():
        only = shown.count(grid) == 1 < place.of
        values = ", ".join(f"{key} {value}" for key, value in place.values.items())
        told = (
            f"this is one of {place.of:,} candidates, that with {values}" if only else f"it has {place.of:,} candidates"
        )
        yield (
            f"Grid {grid}: {told}. Each has a verdict of its own, by a rule that bounds the error for one candidate: "
            "the more there are, the likelier one passes by chance, and that which looks best of them looks better "
            "than it is"
        )


@dataclass(frozen=True)
class GridCell:
    """One candidate of a grid: its change, where it may be used, and the decision on it; or it was not audited."""

    candidate: str
    change: Quantity | None
    decision: Decision | None
    audited: bool = True

    @property
    def shown(self) -> str:
        """The change with its interval, and the decision's mark."""
        if self.change is None:
            return "not usable" if self.audited else "not audited"
        mark = f" {words.MARKS[self.decision]}" if self.decision else ""
        return f"{words.change(self.change)}{mark}"


@dataclass(frozen=True)
class GridTable:
    """A grid by one measure: ``rows`` are the values of all swept keys but the last, and ``columns`` those of the last.

    ``cells`` holds a line for each row and in it a cell for each column; None where no candidate is.
    """

    grid: str
    measure: str
    row_key: str
    column_key: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[GridCell | None, ...], ...]
    margin: float


def tables(index: Index) -> Iterator[GridTable]:
    """A table for each grid and critical measure of it, in the order of the audit; none where one alone is told."""
    grids: dict[str, list[Candidate]] = {}
    for candidate in index.candidates.values():
        if candidate.model.grid:
            grids.setdefault(candidate.model.grid.grid, []).append(candidate)
    for grid, members in grids.items():
        if len(members) == 1 < (members[0].model.grid.of if members[0].model.grid else 1):
            continue  # a card of its own
        places = dict.fromkeys((e.suite, e.measure) for member in members for e, _ in member.critical_totals)
        for suite, measure in places:
            yield _table(index, grid, members, (suite, measure))


def _table(index: Index, grid: str, members: list[Candidate], place: tuple[str, str]) -> GridTable:
    *first, last = members[0].model.grid.values if members[0].model.grid else ("",)
    cells: dict[tuple[str, str], GridCell] = {}
    margin = index.result.gate.margin
    for member in members:
        values = member.model.grid.values if member.model.grid else {}
        row, column = ", ".join(values.get(key, "") for key in first), values.get(last, "")
        for estimate, _ in member.critical_totals:
            if (estimate.suite, estimate.measure) == place:
                margin = estimate.margin
                known = estimate.quantities["change"] if usable(estimate) else None
                cells[row, column] = GridCell(member.model.name, known, member.mark(estimate))
    for skipped in (each for each in index.result.skipped if each.grid and each.grid.grid == grid):
        values = skipped.grid.values if skipped.grid else {}
        place_of = ", ".join(values.get(key, "") for key in first), values.get(last, "")
        cells[place_of] = GridCell(skipped.name, None, None, audited=False)
    rows, columns = (tuple(dict.fromkeys(key[side] for key in cells)) for side in (0, 1))
    return GridTable(
        grid=grid,
        measure=index.label(*place),
        row_key=", ".join(first),
        column_key=last,
        rows=rows,
        columns=columns,
        cells=tuple(tuple(cells.get((row, column)) for column in columns) for row in rows),
        margin=margin,
    )
