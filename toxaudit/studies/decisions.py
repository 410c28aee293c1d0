"""The gate's rule on paired tables without strata, computed rather than sampled, and the gate itself beside it."""

import numpy as np
from numpy.typing import NDArray

from toxaudit.decision.chances import CERTAINTY, p_above
from toxaudit.decision.gate import MarginGate
from toxaudit.estimators.outcomes import Floats
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import summarise
from toxaudit.facts import AGAINST, Decision
from toxaudit.gate_facts import Measure
from toxaudit.records import Estimate
from toxaudit.studies.worlds import Counts, of_table, seed_from

MARGIN = 0.01
"""The gate's margin in these studies."""


def p_above_of(tables: Counts, margin: float = MARGIN) -> Floats:
    """``p_above`` of tables of shape (R, 4) by both priors, shape (2, R): the plain one, and that of a GO."""
    key = np.column_stack([tables[:, 1], tables[:, 2], tables.sum(1)])
    unique, back = np.unique(key, axis=0, return_inverse=True)
    given = unique[:, 0], unique[:, 1], unique[:, 2], margin
    return np.stack([p_above(*given, against)[back.ravel()] for against in (0.0, AGAINST)])


def verdicts(above: Floats, certainty: float = CERTAINTY) -> NDArray[np.str_]:
    """The gate's rule on P(change > margin) by both priors, shape (2, R)."""
    return np.where(above[1] <= 1 - certainty, "GO", np.where(above[0] >= certainty, "NO-GO", "INCONCLUSIVE"))


def judged(estimate: Estimate, gate: MarginGate) -> Decision:
    """What the gate itself says of one estimate alone."""
    measure = Measure(estimate.measure, "outcomes", "critical")
    return gate.decide(estimate.candidate, [estimate], {estimate.measure: measure}).decision


def audit(table: Counts, gate: MarginGate, draws: int = 4000) -> Estimate:
    """``paired_exact``'s summarised estimate of a table of whole numbers, shape (4,)."""
    posterior = PairedExact(draws=draws, seed=seed_from(table), other_prior=None).estimate(of_table(table))[0]
    return summarise(posterior, gate.margin, gate.cap)
