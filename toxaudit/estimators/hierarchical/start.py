"""What the counts say of the effects of ``hier_paired``'s model: how they are best sampled, and where chains start."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from toxaudit.estimators.hierarchical import priors

Effects = list[NDArray[np.float64]]
"""One number for each effect: middle (S), shift (S), of S strata."""


def known(data: dict[str, NDArray[np.float64]]) -> tuple[Effects, Effects]:
    """Rough estimates of the effects, and their weights, which decide how fast chains move and not where they go.

    An effect's weight is the square of the share of its own data in its precision, tau^2 / (tau^2 + noise), squared
    because chains suffer more from too large a weight than from too small a one. The noise in large samples is
    1 / (n p (1 - p)) for a logit, and that of a difference of two paired logits for a shift.

    Args:
        data: ``base_has``, ``base_has_not`` and the cells, each of shape (S,), numbers of prompts.

    Returns:
        Estimates and weights, the latter in 0..1.
    """
    has, has_not = data["base_has"] + 0.5, data["base_has_not"] + 0.5
    n11, n10, n01, n00 = (data[cell] + 0.5 for cell in ("n11", "n10", "n01", "n00"))
    shift = np.log((n11 + n01) / (n10 + n00)) - np.log((n11 + n10) / (n01 + n00))
    middle = np.log(has / has_not) + shift / 2
    rate = (n11 + (n10 + n01) / 2) / (n11 + n10 + n01 + n00)
    noise = (n10 + n01) / ((n11 + n10 + n01 + n00) * rate * (1 - rate)) ** 2
    freedom = len(shift) - 1
    weights = [
        _weight(middle - middle.mean(), 1 / has + 1 / has_not, freedom, priors.SA),
        _weight(shift - shift.mean(), noise, freedom, priors.TS),
    ]
    return [middle, shift], weights


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
    middle, shift = (weight * each for weight, each in zip(weights, estimates, strict=True))
    centre = [np.array([priors.A[0], np.log(priors.SA)]), np.array([0, np.log(priors.TS)])]
    return np.concatenate([centre[0], middle, centre[1], shift, [priors.LOG_PSI[0]]], dtype=float)
