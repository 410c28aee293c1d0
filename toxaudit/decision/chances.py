"""The chances of each verdict on one measure, computed exactly: what a rule will decide, told before it is asked.

All of it is of ``paired_exact`` on one answer a prompt without strata, whose posterior is known in closed form.
"""

import math
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from toxaudit.facts import AGAINST, Decision

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

CERTAINTY = 0.95
"""The posterior probability that a decision needs where nothing else is said."""

PRIOR = 0.5
"""Prior observations per cell of the table: Jeffreys'."""

NODES = 16
"""Places at which the share of prompts that changed sides is taken: the error is below 2e-4."""


def p_above(
    repaired: Floats | Counts, new: Floats | Counts, n: Floats | Counts | int, margin: float, against: float = 0.0
) -> Floats:
    """Posterior probability that the change exceeds the margin, under the Dirichlet posterior of ``paired_exact``.

    By the Dirichlet's aggregation property (Gelman et al., Bayesian Data Analysis, 3rd ed., appendix A), the
    probability t that a prompt changes sides is Beta(n01 + n10 + 2 a, n11 + n00 + 2 a), and independent of the share u
    of new ones among these, Beta(n01 + a, n10 + a). The change is t (2 u - 1), so that
    P(change > margin) = E_t P(u > (1 + margin / t) / 2), which is 0 where t <= margin. The mean is taken over the
    quantiles of t beyond, by Gauss and Legendre, in a variable that lies densely at both ends.

    Args:
        repaired: n10 of R tables.
        new: n01 of these.
        n: prompts of each, or of all.
        margin: in 0..1.
        against: prompts, as a part of one, that the prior holds for new beside a; ``AGAINST`` where a GO is decided.
    """
    from scipy.special import betainc, betaincinv

    n10, n01 = (np.asarray(each, dtype=float)[..., None] for each in (repaired, new))
    changed = n10 + n01
    stayed = np.asarray(n, dtype=float)[..., None] - changed
    quantile, weight = _quantiles()
    a, b = changed + 2 * PRIOR + against, stayed + 2 * PRIOR
    below = betainc(a, b, margin)
    t = betaincinv(a, b, below + (1 - below) * quantile)
    repaired_share = np.clip(0.5 - 0.5 * margin / np.maximum(t, 1e-12), 0, 1)
    found: Floats = (1 - below[..., 0]) * (betainc(n10 + PRIOR, n01 + PRIOR + against, repaired_share) @ weight)
    return found


@cache
def _quantiles() -> tuple[Floats, Floats]:
    """At which quantiles of the share of prompts that changed sides ``p_above`` takes its mean, and their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    x = (nodes + 1) / 2
    return x**2 * (3 - 2 * x), 3 * weights * x * (1 - x)


@lru_cache(maxsize=64)
def boundaries(
    n: int, first: int, last: int, margin: float, certainty: float = CERTAINTY, to_fail: float = CERTAINTY
) -> tuple[Counts, Counts]:
    """Where the verdict on n prompts turns, for each number of repaired prompts from first to last.

    P(change > margin) rises with the number of new prompts, so that bisection finds both turns.

    Args:
        n: prompts.
        first: the fewest repaired prompts.
        last: the most, at most n.
        margin: the gate's, in 0..1.
        certainty: what a GO needs.
        to_fail: what a NO-GO needs.

    Returns:
        The fewest new prompts that are no longer GO and the fewest that are NO-GO, each of shape (last - first + 1,).
    """
    repaired = np.arange(first, last + 1)

    def turn(level: float, against: float = 0.0) -> Counts:
        low, high = np.full(len(repaired), -1), n - repaired + 1
        while (high - low > 1).any():
            middle = (low + high) // 2
            above = p_above(repaired, np.clip(middle, 0, n - repaired), n, margin, against) >= level
            high, low = np.where(above, middle, high), np.where(above, low, middle)
        return high

    return turn(np.nextafter(1 - certainty, 1), AGAINST), turn(to_fail)


def chances(
    n: int, cells: Floats, margin: float, certainty: float = CERTAINTY, to_fail: float = CERTAINTY
) -> dict[Decision, float]:
    """Probability of each verdict on n prompts, summed over all tables that are not all but impossible.

    Args:
        n: prompts.
        cells: shape (4,), probabilities of a table's cells in the order of ``CELLS``.
        margin: the gate's, in 0..1.
        certainty: what a GO needs.
        to_fail: what a NO-GO needs.
    """
    repaired, new = float(cells[1]), float(cells[2])
    first, last = _likely(n, repaired)
    go, no_go = boundaries(n, first, last, margin, certainty, to_fail)
    at = np.arange(first, last + 1)
    weight = _at_most(at, n, repaired) - _at_most(at - 1, n, repaired)
    passes = float(weight @ _at_most(go - 1, n - at, new / (1 - repaired)))
    fails = float(weight @ (1 - _at_most(no_go - 1, n - at, new / (1 - repaired))))
    return {"GO": passes, "INCONCLUSIVE": 1 - passes - fails, "NO-GO": fails}


def _at_most(count: Counts, n: Counts | int, rate: float) -> Floats:
    """Probability of at most so many of n, each at a rate: the binomial distribution function, also beyond 0..n."""
    from scipy.special import bdtr

    inside: Floats = bdtr(np.clip(count, 0, n), n, rate)
    return np.where(count < 0, 0.0, inside)


def _likely(n: int, rate: float) -> tuple[int, int]:
    """The fewest and the most of n prompts that are not all but impossible at a rate, rounded outwards.

    Rounding lets calls with about as many share cached boundaries.
    """
    spread = 7 * math.sqrt(n * rate * (1 - rate)) + 10  # beyond: less than 1e-9
    step = 2 ** math.ceil(math.log2(spread))
    return max(0, math.floor((n * rate - spread) / step) * step), min(n, math.ceil((n * rate + spread) / step) * step)
