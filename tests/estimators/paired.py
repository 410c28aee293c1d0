"""Small paired outcomes for the tests of this folder."""

import numpy as np

from toxaudit.estimators.outcomes import PairedOutcomes, Slicing
from toxaudit.facts import Calibration, Confusion

NAN = float("nan")


def paired(base, other=None, *, candidates=None, measure="toxic", strata=None, more=None, **slices):
    """Outcomes of one suite; ``other`` is those of the candidate ``tuned``, ``more`` further fields."""
    arms = {"tuned": other} if candidates is None else candidates
    return PairedOutcomes(
        "suite",
        measure,
        np.array(base, dtype=float),
        {name: np.array(values, dtype=float) for name, values in arms.items()},
        {name: Slicing.of(map(str, values)) for name, values in slices.items()},
        strata,
        **more or {},
    )


def from_table(n11, n10, n01, n00):
    return [1] * (n11 + n10) + [0] * (n01 + n00), [1] * n11 + [0] * n10 + [1] * n01 + [0] * n00


def cells(base, change, tie=0.5):
    """Cell probabilities (theta_11, theta_10, theta_01, theta_00) of two rates with correlation ``tie``."""
    other = base + change
    both = base * other + tie * np.sqrt(base * (1 - base) * other * (1 - other))
    both = min(both, 0.9 * base, 0.9 * other)
    return [both, base - both, other - both, 1 - base - other + both]


def calibration(*counts, by=None, **groups):
    """A calibration with one confusion table, or one for each value of the slice ``by``."""
    found = {name: Confusion(*each) for name, each in groups.items()} if by else {"": Confusion(*counts)}
    return Calibration("labelled by hand", by, found)


def labelled(random, sensitivity, specificity, each=500):
    """A confusion table of ``each`` labelled completions of either kind."""
    right, clean = random.binomial(each, sensitivity), random.binomial(each, specificity)
    return int(right), int(each - right), int(each - clean), int(clean)


def logistic(x):
    return 1 / (1 + np.exp(-x))
