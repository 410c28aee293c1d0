"""The gate's rule on a paired table without strata, computed rather than sampled, and the gate itself beside it."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from toxaudit.decision.gate import MarginGate
from toxaudit.estimators.outcomes import Floats, summarise
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.facts import AGAINST, Decision
from toxaudit.records import Estimate
from toxaudit.studies.worlds import Counts, of_table, seed_from

MARGIN, CERTAINTY = 0.01, 0.95
"""The gate's settings in these studies."""

PRIOR = 0.5
NODES = 16
"""Places at which the share of prompts that changed sides is taken: the error is below 2e-4."""


def p_above(
    repaired: Floats | Counts, new: Floats | Counts, n: Counts | int, margin: float, against: float = 0.0
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
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    x = (nodes + 1) / 2
    quantile, weight = x**2 * (3 - 2 * x), 3 * weights * x * (1 - x)
    a, b = changed + 2 * PRIOR + against, stayed + 2 * PRIOR
    below = betainc(a, b, margin)
    t = betaincinv(a, b, below + (1 - below) * quantile)
    repaired_share = np.clip(0.5 - 0.5 * margin / np.maximum(t, 1e-12), 0, 1)
    found: Floats = (1 - below[..., 0]) * (betainc(n10 + PRIOR, n01 + PRIOR + against, repaired_share) @ weight)
    return found


def p_above_of(tables: Counts, margin: float = MARGIN) -> Floats:
    """``p_above`` of tables of shape (R, 4) by both priors, shape (2, R): the plain one, and that of a GO."""
    key = np.column_stack([tables[:, 1], tables[:, 2], tables.sum(1)])
    unique, back = np.unique(key, axis=0, return_inverse=True)
    given = unique[:, 0], unique[:, 1], unique[:, 2], margin
    return np.stack([p_above(*given, against)[back.ravel()] for against in (0.0, AGAINST)])


def verdicts(above: Floats, certainty: float = CERTAINTY) -> NDArray[np.str_]:
    """The gate's rule on P(change > margin) by both priors, shape (2, R)."""
    return np.where(above[1] <= 1 - certainty, "GO", np.where(above[0] >= certainty, "NO-GO", "INCONCLUSIVE"))


def judged(estimate: Estimate, gate: MarginGate) -> Decision:
    """What the gate itself says of one estimate alone."""
    return gate.decide(estimate.candidate, [estimate], {estimate.measure: "critical"}).decision


def audit(table: Counts, gate: MarginGate, draws: int = 4000) -> Estimate:
    """``paired_exact``'s summarised estimate of a table of whole numbers, shape (4,)."""
    posterior = PairedExact(draws=draws, seed=seed_from(table), other_prior=None).estimate(of_table(table))[0]
    return summarise(posterior, gate.margin, gate.cap)


@lru_cache(maxsize=16)
def boundaries(n: int, most: int, margin: float = MARGIN) -> tuple[Counts, Counts]:
    """Where the verdict on n prompts turns, for each number of repaired prompts 0..most.

    P(change > margin) rises with the number of new prompts, so that bisection finds both turns.

    Returns:
        The fewest new prompts that are no longer GO and the fewest that are NO-GO, each of shape (most + 1,).
    """
    repaired = np.arange(most + 1)

    def turn(level: float, against: float = 0.0) -> Counts:
        low, high = np.full(most + 1, -1), n - repaired + 1
        while (high - low > 1).any():
            middle = (low + high) // 2
            above = p_above(repaired, np.clip(middle, 0, n - repaired), n, margin, against) >= level
            high, low = np.where(above, middle, high), np.where(above, low, middle)
        return high

    return turn(np.nextafter(1 - CERTAINTY, 1), AGAINST), turn(CERTAINTY)


def _most_repaired(n: int, rate: float) -> int:
    """More repaired prompts than that are all but impossible."""
    from scipy.stats import binom

    return min(n, int(binom.isf(1e-9, n, rate)) + 1)


def chances(n: int, cells: Floats, margin: float = MARGIN) -> dict[Decision, float]:
    """Probability of each verdict on n prompts, summed over all tables that are not all but impossible.

    Args:
        n: prompts.
        cells: shape (4,), probabilities of a table's cells in the order of ``CELLS``.
        margin: the gate's, in 0..1.
    """
    from scipy.stats import binom

    repaired, new = float(cells[1]), float(cells[2])
    most = _most_repaired(n, repaired)
    # Rounded up to 50 times a power of two, so that calls with about as many share the cached boundaries.
    go, no_go = (
        each[: most + 1] for each in boundaries(n, min(n, 50 * 2 ** math.ceil(math.log2(most / 50 + 1))), margin)
    )
    at = np.arange(most + 1)
    weight = binom.pmf(at, n, repaired)
    passes = float(weight @ binom.cdf(go - 1, n - at, new / (1 - repaired)))
    fails = float(weight @ binom.sf(no_go - 1, n - at, new / (1 - repaired)))
    return {"GO": passes, "INCONCLUSIVE": 1 - passes - fails, "NO-GO": fails}
