"""How unequal is an arm across groups? The largest difference of the share of right answers between two groups."""

from collections.abc import Iterator

import numpy as np

from toxaudit.analyses.rates import Compared, row, spread
from toxaudit.estimators.outcomes import Floats
from toxaudit.findings import AnalysisRow


def accuracy_parity(compared: Compared) -> Iterator[AnalysisRow]:
    """Accuracy parity of the reference and of the candidate: ``AP = max_a xi(D_a) - min_a xi(D_a)``.

    ``xi`` is the share without the unwanted outcome; 0 means that all groups are treated alike (Das et al. 2024,
    section 3). A difference of extremes is never negative, so that its interval keeps away from 0 even where all groups
    are alike: compare it with the reference's.
    """
    if len(compared.groups) < 2:
        return
    about = compared.about | {"groups": compared.slicing}

    def arm(name: str) -> tuple[float, Floats]:
        exact = [getattr(group, name) for group in compared.groups.values()]
        draws = np.stack([getattr(group, f"{name}_draws") for group in compared.groups.values()])
        return spread(exact), draws.max(0) - draws.min(0)

    (before, before_draws), (after, after_draws) = arm("reference"), arm("candidate")
    yield row(about | {"arm": "reference"}, "accuracy parity", before, before_draws)
    yield row(about | {"arm": "candidate"}, "accuracy parity", after, after_draws)
    yield row(about | {"arm": "change"}, "accuracy parity", after - before, after_draws - before_draws)
