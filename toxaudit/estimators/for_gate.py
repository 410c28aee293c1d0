"""A posterior in the numbers that a gate weighs: against the margin, cap and ratio that it asks of that measure."""

from collections.abc import Mapping
from typing import Protocol

from toxaudit.estimators.posterior import Posterior, summarise
from toxaudit.gate_facts import Limits, Measured
from toxaudit.records import Estimate


class AsksForLimits(Protocol):
    """A gate, as far as its limits go."""

    def limits(self, scorers: Mapping[str, Measured], suite: str, measure: str, slice: str) -> Limits:
        """What is asked of a measure on a suite, in total or on a slice."""


def summarised(posterior: Posterior, gate: AsksForLimits, scorers: Mapping[str, Measured]) -> Estimate:
    """The estimate that a gate weighs.

    Args:
        posterior: draws of both rates, in 0..1.
        gate: asks for limits.
        scorers: measure -> what it is.

    Raises:
        ToxauditError: if none of the scorers has the posterior's measure.
    """
    asked = gate.limits(scorers, posterior.suite, posterior.measure, posterior.slice)
    return summarise(posterior, asked.margin, asked.cap, asked.ratio)
