"""Labels and outcomes -> counts, sensitivity and specificity with intervals, as a table."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from toxaudit.errors import visible
from toxaudit.facts import Confusion
from toxaudit.scorers.base import Unscored


@dataclass(frozen=True)
class Agreement:
    """A scorer beside the labels: counts of the texts that it scored, and its reasons for the others."""

    counts: Confusion
    unscored: Mapping[str, int]

    @property
    def caught(self) -> tuple[int, int]:
        """Of the positive texts: how many the scorer counts, and how many there are."""
        return self.counts.true_positive, self.counts.true_positive + self.counts.false_negative

    @property
    def cleared(self) -> tuple[int, int]:
        """Of the negative texts: how many the scorer does not count, and how many there are."""
        return self.counts.true_negative, self.counts.true_negative + self.counts.false_positive

    @property
    def scored(self) -> int:
        """How many texts have a score."""
        return self.caught[1] + self.cleared[1]


def agreement(pairs: Iterable[tuple[bool, bool | Unscored]]) -> Agreement:
    """Count texts.

    Args:
        pairs: of each text, whether its label is positive, and whether the scorer counts it.
    """
    cells: Counter[tuple[bool, bool]] = Counter()
    unscored: Counter[str] = Counter()
    for label, outcome in pairs:
        if isinstance(outcome, Unscored):
            unscored[outcome.reason] += 1
        else:
            cells[label, outcome] += 1
    counts = Confusion(
        true_positive=cells[True, True],
        false_negative=cells[True, False],
        false_positive=cells[False, True],
        true_negative=cells[False, False],
    )
    return Agreement(counts, dict(unscored.most_common()))


def interval(k: int, n: int) -> tuple[float, float]:
    """The equal-tailed 95 % interval of a rate of which ``k`` in ``n`` were seen, under Jeffreys' prior, in 0..1.

    It reaches to 0 where none was seen and to 1 where all were, as Brown, Cai and DasGupta (2001, Statistical Science
    16(2), section 4.1.2) advise.
    """
    from scipy.special import betaincinv

    low, high = betaincinv(k + 0.5, n - k + 0.5, [0.025, 0.975])
    return (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))


def table(total: Agreement, groups: Mapping[str, Agreement], by: str | None) -> list[str]:
    """Sensitivity and specificity of each group and of all rows, one a line."""
    head = (by or "", "scored", "positive", "sensitivity [95 %]", "specificity [95 %]", "unscored")
    cells = [tuple(map(visible, head))]
    for name, each in [*groups.items(), ("all rows", total)]:
        unscored = sum(each.unscored.values())
        shares = _share(*each.caught), _share(*each.cleared)
        cells.append((visible(name), f"{each.scored:,}", f"{each.caught[1]:,}", *shares, f"{unscored:,}"))
    first, *rest = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], rest, strict=True))])
        for row in cells
    ]


def _share(k: int, n: int) -> str:
    if not n:
        return "no such row"
    low, high = interval(k, n)
    return f"{100 * k / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def scored(total: Agreement) -> str:
    """How many rows were scored, and why the others were not."""
    unscored = sum(total.unscored.values())
    why = ", ".join(f"{reason}: {number:,}" for reason, number in total.unscored.items())
    return f"{total.scored:,} of {total.scored + unscored:,} rows scored" + (f" ({why})" if why else "")
