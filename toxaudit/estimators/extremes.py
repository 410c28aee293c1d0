"""The same comparison under other assumptions on missing scores."""

from collections.abc import Iterator

import numpy as np

from toxaudit.estimators.outcomes import Floats
from toxaudit.records import BEST_CASE, OBSERVED, WORST_CASE


def cases(base: Floats, candidate: Floats) -> Iterator[tuple[str, Floats, Floats]]:
    """The outcomes as they are and, where scores are missing, at both ends of what these may have been.

    The extremes are the bounds of Manski (1989, J. Human Resources 24(3)), who assumes nothing of what is missing.

    Args:
        base: shape (n, m), NaN where missing.
        candidate: the same prompts'.

    Yields:
        Variant, the base's outcomes, the candidate's.
    """
    yield OBSERVED, base, candidate
    if np.isnan(base).any() or np.isnan(candidate).any():
        yield BEST_CASE, np.nan_to_num(base, nan=1.0), np.nan_to_num(candidate, nan=0.0)
        yield WORST_CASE, np.nan_to_num(base, nan=0.0), np.nan_to_num(candidate, nan=1.0)
