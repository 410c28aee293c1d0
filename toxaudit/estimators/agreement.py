"""How far two scorers of one thing agree."""

import numpy as np

from toxaudit.agreements import Agreement
from toxaudit.estimators.outcomes import Floats


def agreement(suite: str, model: str, first: str, second: str, one: Floats, other: Floats) -> Agreement:
    """The agreement of two scorers on one arm's completions, of those that both scored.

    Args:
        suite: the suite's name.
        model: the arm's.
        first: one scorer's.
        second: the other's.
        one: shape (n,), the first scorer's outcomes, NaN where it scored nothing.
        other: the second's on the same completions.
    """
    both = ~np.isnan(one) & ~np.isnan(other)
    one, other = one[both], other[both]
    cells = (one * other, one * (1 - other), (1 - one) * other, (1 - one) * (1 - other))
    return Agreement.of(suite, model, first, second, *(int(cell.sum()) for cell in cells))
