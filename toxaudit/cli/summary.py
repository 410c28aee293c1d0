"""Tables for a terminal: of a finished audit, one line a measure; of a sweep, one line a job."""

from collections.abc import Sequence

from toxaudit.card import words
from toxaudit.card.compared import headline
from toxaudit.card.index import indexed
from toxaudit.errors import visible
from toxaudit.findings import AuditResult

GAP = "  "
SHORTEST_LABEL = 12
"""Characters of a measure's title that are kept in the narrowest terminal."""


def table(result: AuditResult, columns: int) -> list[str]:
    """Every candidate's totals: who, what, the rate of base and candidate, the change and its 95 % HDI.

    A grid of many has none: its candidates' verdicts say enough.

    Args:
        result: what the run found.
        columns: of the terminal; 0 where its width is unknown.

    Returns:
        Lines of aligned columns; none where nothing was measured.
    """
    index = indexed(result)
    rows: list[tuple[str, ...]] = []
    for name, candidate in ((name, each) for name, each in index.candidates.items() if not each.of_many):
        for estimate, scorer in candidate.totals:
            base, own, change = words.rates(estimate)
            label = visible(f"{index.named(name)}: {index.label(estimate.suite, scorer.name)}")
            rows.append((label, f"{base.value} -> {own.value}", change.value, change.interval))
    if not rows:
        return []
    rows.insert(0, ("", f"{index.reference} -> candidate", "change", "95 % HDI"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = columns - sum(widths[1:]) - len(GAP) * len(widths) if columns else widths[0]
    if left < min(widths[0], SHORTEST_LABEL):  # the change tells more than the rates
        rows, widths = [(row[0], *row[2:]) for row in rows], [widths[0], *widths[2:]]
        left = columns - sum(widths[1:]) - len(GAP) * len(widths)
    widths[0] = min(widths[0], max(left, SHORTEST_LABEL))
    return [_line(row, widths) for row in rows]


def jobs(overrides: Sequence[Sequence[str]], results: Sequence[AuditResult]) -> list[str]:
    """The table of a sweep: what each job's overrides say that not all do, its decision and its headline's change.

    Args:
        overrides: those of each job.
        results: what each found, in the same order.
    """
    shared = set.intersection(*map(set, overrides))
    rows = [
        (str(number), " ".join(word for word in job if word not in shared) or "as all", *headline(result))
        for number, (job, result) in enumerate(zip(overrides, results, strict=True))
    ]
    return aligned([("job", "what differs", "decision", "change [95 % HDI]"), *rows])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns that are as wide as their widest cell."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        GAP + GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    ]


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    label = row[0] if len(row[0]) <= widths[0] else f"{row[0][: widths[0] - 1]}…"
    numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return GAP + GAP.join([label.ljust(widths[0]), *numbers]).rstrip()
