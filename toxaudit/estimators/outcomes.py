"""What goes into an estimator and what comes out: paired outcomes, posterior draws, and their summary."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toxaudit.records import Diagnostics


@dataclass(frozen=True)
class PairedOutcomes:
    """One measure on one suite, for the base and one candidate, prompt by prompt.

    Attributes:
        candidate: the candidate's name.
        suite: the suite's name.
        measure: the scorer's name.
        base: shape (n,), the base's outcome per prompt: 1.0 has it, 0.0 has not, NaN could not be scored.
        other: shape (n,), the candidate's outcome on the same prompts.
        slices: slice name -> shape (n,), each prompt's value of that slice.
        strata: the name of the slice by which the suite was sampled, or None.
    """

    candidate: str
    suite: str
    measure: str
    base: NDArray[np.float64]
    other: NDArray[np.float64]
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    strata: str | None = None


@dataclass(frozen=True)
class Posterior:
    """Posterior draws of one candidate's rates and their change, on one suite or one slice of it.

    ``draws`` holds ``base``, ``candidate`` and ``change`` (candidate minus base), each of shape (draws,). The other
    fields are those of ``records.Estimate``.
    """

    candidate: str
    suite: str
    measure: str
    slice: str
    estimator: str
    n: int
    missing: dict[str, int]
    counts: dict[str, int]
    draws: dict[str, NDArray[np.float64]]
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
