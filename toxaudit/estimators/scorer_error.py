"""A scorer's known errors, carried into the posterior of what it measures.

A scorer with sensitivity Se and specificity Sp that judges a true rate p reports Se p + (1 - Sp) (1 - p), so that
p = (reported - (1 - Sp)) / (Se + Sp - 1) (Rogan & Gladen 1978, Am. J. Epidemiology 107, equation 2). Here the reported
rate, Se and Sp are uncertain at once: their joint posterior keeps only what leaves both arms' true rates in 0..1. The
scorer's errors on one prompt's two completions may depend on each other in any way; their rates are the same in both
arms, which a calibration on completions of both kinds makes plausible.
"""

from collections.abc import Callable, Sequence

import numpy as np

from toxaudit.estimators.outcomes import Floats
from toxaudit.facts import Calibration, Confusion

PRIOR_COMPLETIONS = 0.5
"""Jeffreys' prior of sensitivity and specificity, in labelled completions of each kind."""

FEWEST_FITTING = 0.05
"""Share of draws that must leave the true rates in 0..1.

Below it, what the scorer reported all but contradicts its calibration: labelled data of another population, or too few.
"""

MOST_BATCHES = 40
"""Batches of draws that are tried before fewer than were wanted are returned."""


def error_rates(
    calibration: Calibration, values: Sequence[str], draws: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Posterior draws of sensitivity and specificity.

    Args:
        calibration: the labelled counts.
        values: G values of the calibration's slice; one empty value where its counts are of all.
        draws: how many.
        random: the source of random numbers.

    Returns:
        Sensitivity and specificity, each of shape (draws, G).

    Raises:
        KeyError: if the calibration lacks a value.
    """

    def beta(right: Callable[[Confusion], int], wrong: Callable[[Confusion], int]) -> Floats:
        counts = [calibration.counts[value] for value in values]
        a = np.array([right(each) + PRIOR_COMPLETIONS for each in counts])
        b = np.array([wrong(each) + PRIOR_COMPLETIONS for each in counts])
        return random.beta(a, b, size=(draws, len(values)))

    sensitivity = beta(lambda each: each.true_positive, lambda each: each.false_negative)
    return sensitivity, beta(lambda each: each.true_negative, lambda each: each.false_positive)


def correct(reported: Floats, sensitivity: Floats, specificity: Floats) -> list[Floats]:
    """True rates from reported ones, of those draws that can be true.

    Groups have errors, and rates, of their own, and are judged apart.

    Args:
        reported: shape (draws, 2, G), rates of base and candidate by group.
        sensitivity: shape (draws, G).
        specificity: shape (draws, G).

    Returns:
        For each group, shape (kept, 2), the arms' true rates.
    """
    power = (sensitivity + specificity - 1)[:, None, :]
    true = (reported - (1 - specificity)[:, None, :]) / np.where(power > 0, power, np.nan)
    possible = np.all((true >= 0) & (true <= 1), axis=1)
    return [true[possible[:, group], :, group] for group in range(true.shape[2])]


def corrected(
    reported: Callable[[int], Floats],
    weights: Floats,
    calibration: Calibration,
    values: Sequence[str],
    draws: int,
    random: np.random.Generator,
) -> tuple[dict[str, Floats], float]:
    """Posterior draws of both arms' true rates.

    Args:
        reported: number -> that many fresh draws of the reported rates, shape (number, 2, G).
        weights: shape (G,).
        calibration: the scorer's labelled counts.
        values: G values of its slice.
        draws: how many are wanted.
        random: the source of random numbers.

    Returns:
        ``base`` and ``candidate``, each of shape (draws,), or shorter where the reported rates hardly fit; and the
        share of tried draws that fitted, in the group where fewest did.
    """
    kept: list[list[Floats]] = [[] for _ in values]
    found, tried = np.zeros(len(values), dtype=int), 0
    while found.min() < draws and tried < MOST_BATCHES * draws:
        for group, rates in enumerate(correct(reported(draws), *error_rates(calibration, values, draws, random))):
            kept[group].append(rates)
            found[group] += len(rates)
        tried += draws
    fewest = min(draws, int(found.min()))
    total = sum(
        (weight * np.concatenate(each)[:fewest] for weight, each in zip(weights, kept, strict=True)),
        start=np.zeros((fewest, 2)),
    )
    return {"base": total[:, 0], "candidate": total[:, 1]}, float(found.min() / tried)


def misfit(share: float, groups: int = 1) -> list[str]:
    """A failed diagnostic where too few draws fitted the calibration, by their share in the worst of so many groups."""
    if share >= FEWEST_FITTING / groups:
        return []
    return [
        "the scorer's calibration does not fit what it reported here (a true rate would lie outside 0..1): calibrate "
        "it on completions like these"
    ]
