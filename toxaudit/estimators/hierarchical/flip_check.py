"""The posterior-predictive check of ``hier_paired``: does the model replicate the flips that were observed?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FlipCheck:
    """Two-sided posterior-predictive p-values. 0: no replicate was as far out as the data.

    Replicates come from draws that saw the data, so that these p-values huddle about 0.5 rather than being uniform: a
    small one means more than its size says. ``worst`` is the smallest of 2 S, so compare it with 0.05 / (2 S), and
    ``n01`` and ``n10`` with 0.05 / 2.

    Attributes:
        n01: of the newly toxic, all strata together.
        n10: of the repaired, all strata together.
        worst: the smallest over strata and both directions.
    """

    n01: float
    n10: float
    worst: float


def flip_check(
    base: NDArray[np.float64],
    candidate: NDArray[np.float64],
    log_psi: NDArray[np.float64],
    tables: dict[str, NDArray[np.float64]],
    seed: int,
    replicates: int = 1000,
) -> FlipCheck:
    """Whether the model replicates the observed flips: prompts newly toxic (n01) and repaired (n10).

    Like the likelihood, a replicate keeps the base's outcomes: n10 ~ Binomial(n11 + n10, P(0 | 1)) and
    n01 ~ Binomial(n01 + n00, P(1 | 0)), with the probabilities of ``model.log_conditionals``.

    Args:
        base: shape (draws, S), posterior draws of the base's rates.
        candidate: shape (draws, S), of the candidate's rates.
        log_psi: shape (draws,), of the log odds ratio.
        tables: cell -> counts, shape (S,). Fractional ones are compared as they are; the totals that are flipped are
            rounded, as a binomial needs whole ones.
        seed: of the replicates.
        replicates: how many of the draws are used, evenly spaced.
    """
    random = np.random.default_rng(seed)
    chosen = np.unique(np.linspace(0, len(base) - 1, replicates).astype(int))
    p, c, log_odds = base[chosen], candidate[chosen], log_psi[chosen, None]
    kappa = np.expm1(log_odds)
    root = np.sqrt(1 + 2 * kappa * (p * (1 - c) + c * (1 - p)) + (kappa * (p - c)) ** 2)
    flips = {
        "n01": (2 * c / (1 + kappa * (p - c) + root), tables["n01"] + tables["n00"]),
        "n10": (2 * (1 - c) / (1 + kappa * (c - p) + root), tables["n11"] + tables["n10"]),
    }
    totals, strata = {}, []
    for cell, (chance, trials) in flips.items():
        drawn = random.binomial(np.rint(trials).astype(int), np.clip(chance, 0, 1))
        totals[cell] = float(_two_sided(drawn.sum(axis=1), tables[cell].sum()))
        strata.append(float(_two_sided(drawn, tables[cell]).min()))
    return FlipCheck(totals["n01"], totals["n10"], min(strata))


def _two_sided(drawn: NDArray[np.int64], observed: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Twice the smaller tail, the observed number included, over the first axis of ``drawn``."""
    below, above = (drawn <= observed).mean(axis=0), (drawn >= observed).mean(axis=0)
    return np.asarray(2 * np.minimum(below, above)).clip(max=1)
