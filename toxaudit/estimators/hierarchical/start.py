"""What the counts say of the effects of ``hier_paired``'s model: how they are best sampled, and where chains start."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

Effects = list[NDArray[np.float64]]
"""One number for each effect: base (S), by stratum (S), by both (K S), odds (K); K candidates, S strata."""


def known(data: dict[str, NDArray[np.float64]]) -> tuple[Effects, Effects]:
    """Rough estimates of the effects, and their weights, which decide how fast chains move and not where they go.

    An effect's weight is the square of the share of its own data in its precision, tau^2 / (tau^2 + noise), squared
    because chains suffer more from too large a weight than from too small a one. The noise in large samples is
    1 / (n p (1 - p)) for a logit, that of a difference of two paired logits for a shift, and 1/n11 + 1/n10 + 1/n01 +
    1/n00 for a log odds ratio.

    Args:
        data: ``base_has``, ``base_has_not`` of shape (S,) and the cells of shape (K, S), numbers of prompts.

    Returns:
        Estimates and weights, the latter in 0..1.
    """
    has, has_not = data["base_has"] + 0.5, data["base_has_not"] + 0.5
    n11, n10, n01, n00 = (data[cell] + 0.5 for cell in ("n11", "n10", "n01", "n00"))
    base = np.log(has / has_not)
    shift = np.log((n11 + n01) / (n10 + n00)) - np.log((n11 + n10) / (n01 + n00))
    rate = (n11 + (n10 + n01) / 2) / (n11 + n10 + n01 + n00)
    noise = (n10 + n01) / ((n11 + n10 + n01 + n00) * rate * (1 - rate)) ** 2
    of_odds = 1 / (1 / n11 + 1 / n10 + 1 / n01 + 1 / n00)
    odds = np.average(np.log(n11 * n00 / (n10 * n01)), axis=1, weights=of_odds)
    candidates, strata = shift.shape
    by_stratum = shift.mean(axis=0)
    both = shift - by_stratum - shift.mean(axis=1, keepdims=True) + shift.mean()
    weights = [
        _weight(base - base.mean(), 1 / has + 1 / has_not, strata - 1, 1.0),
        # With several candidates, the effects by both stand between those by stratum and the data.
        _weight(by_stratum - shift.mean(), noise[0], strata - 1, 0.3) if candidates == 1 else np.zeros(strata),
        _weight(both.ravel(), noise.ravel(), (candidates - 1) * (strata - 1), 0.3),
        _weight(odds - odds.mean(), 1 / of_odds.sum(axis=1), candidates - 1, 0.5),
    ]
    return [base, by_stratum, shift.ravel(), odds], weights


def _weight(apart: NDArray[np.float64], noise: NDArray[np.float64], freedom: int, scale: float) -> NDArray[np.float64]:
    """The weights of effects that lie ``apart`` from their mean.

    tau^2 is what they surely (with probability 0.975) vary by beyond their noise, and at most the square of ``scale``,
    that of tau's own prior. Where it is nothing, so is the weight: a tau near 0 mixes only if effects are sampled by
    their standard scores.
    """
    variance = float(np.sum(apart**2) / chdtri(max(freedom, 1), 0.025) - np.mean(noise))
    variance = min(max(variance, 0.0), scale**2)
    return (variance / (variance + noise)) ** 2


def starts(estimates: Effects, weights: Effects) -> NDArray[np.float64]:
    """Where chains start, give or take 1: effects where the data see them, the rest at the priors' centres."""
    base, by_stratum, by_both, odds = (weight * each for weight, each in zip(weights, estimates, strict=True))
    start = [np.array([-3, 0]), base, np.array([0, np.log(0.3)]), by_stratum, np.array([2])]
    if len(odds) > 1:
        start += [np.log([0.7]), np.zeros(len(odds)), np.log([0.3]), by_both, np.log([0.5]), odds]
    return np.concatenate(start, dtype=float)
