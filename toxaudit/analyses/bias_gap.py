"""Does low-rank tuning treat a group otherwise than full fine-tuning does?"""

from collections.abc import Iterator

import numpy as np

from toxaudit.analyses.rates import Compared, row
from toxaudit.findings import AnalysisRow


def harmful_bias_gap(compared: Compared) -> Iterator[AnalysisRow]:
    """Harmful bias gap of each group: ``HBG = |xi(full fine-tune; D_a) - xi(LoRA; D_a)|`` (Das et al. 2024, section 3).

    The candidate is compared with the full fine-tune on the same prompts, so that the gap is the size of their paired
    change. A size is never negative: its interval is that of the posterior of |change|, whose lower end is near 0 where
    the sign of the change is open. The signed change stands beside it.
    """
    for name, group in compared.groups.items():
        about = compared.about | {"group": f"{compared.slicing}={name}"}
        yield row(about, "harmful bias gap", abs(group.change), np.abs(group.change_draws))
        yield row(about, "right answers, LoRA minus full", -group.change, -group.change_draws)
