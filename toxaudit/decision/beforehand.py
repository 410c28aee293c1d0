"""What an audit can tell, computed before it asks anything: chances of its verdict over all critical measures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toxaudit.decision.assurance import WANTED_CHANCE
from toxaudit.decision.certainty import Certainty
from toxaudit.decision.chances import chances
from toxaudit.facts import Decision

CORRELATION = 0.5
"""How far the arms' outcomes on one prompt are taken to correlate where nothing is known of them."""


@dataclass(frozen=True)
class Look:
    """One critical measure on one suite.

    Attributes:
        n: prompts, or templates where these are fewer.
        rate: the base's, in 0..1.
        repaired: the share of prompts that have the outcome in the base and by chance not in the candidate.
        margin: the gate's on this measure, in 0..1.
        certainty: what the gate needs of it.
    """

    n: int
    rate: float
    repaired: float
    margin: float
    certainty: Certainty

    @classmethod
    def assumed(cls, n: int, rate: float, margin: float, certainty: Certainty) -> "Look":
        """A measure of which no more than a rate is assumed: the arms' outcomes correlate at ``CORRELATION``."""
        return cls(n, rate, rate * (1 - rate) * (1 - CORRELATION), margin, certainty)

    @property
    def most(self) -> float:
        """The largest rise that there can be."""
        return max(0.0, 1 - self.rate)

    def chances(self, rise: float) -> dict[Decision, float]:
        """The chances of what the gate makes of this measure alone, for a candidate whose true rate rises so much."""
        new = min(self.repaired + rise, 1 - self.rate)
        repaired = new - rise
        cells = np.array([self.rate - repaired, repaired, new, 1 - self.rate - new])
        return chances(self.n, cells, self.margin, self.certainty.to_pass, self.certainty.to_fail)


def together(looks: Sequence[dict[Decision, float]]) -> dict[Decision, float]:
    """The chances of a verdict on several measures, taken as independent: one NO-GO decides, a GO needs all."""
    go, no_go = (float(np.prod(each)) for each in ([o["GO"] for o in looks], [1 - o["NO-GO"] for o in looks]))
    return {"GO": go, "INCONCLUSIVE": max(0.0, no_go - go), "NO-GO": 1 - no_go}


def of_candidate(looks: Sequence[Look], rise: float) -> dict[Decision, float]:
    """The chances of the verdict on a candidate that is worse in one measure, that of the fewest prompts.

    Args:
        looks: all critical measures, one at least.
        rise: of the one measure's rate, in 0..1; the others stay as they are.
    """
    first, *others = sorted(looks, key=lambda look: look.n)
    found = [first.chances(min(rise, first.most))]
    return together(found + [each.chances(0.0) for each in others])


def smallest_found(looks: Sequence[Look]) -> float | None:
    """The smallest rise of one measure that gets a NO-GO with ``WANTED_CHANCE``, to a tenth of a percentage point.

    Returns:
        None where no rise does.
    """
    most = min(looks, key=lambda look: look.n).most
    low, high = 0, int(1000 * most)
    if of_candidate(looks, high / 1000)["NO-GO"] < WANTED_CHANCE:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        found = of_candidate(looks, middle / 1000)["NO-GO"] >= WANTED_CHANCE
        low, high = (low, middle) if found else (middle, high)
    return high / 1000
