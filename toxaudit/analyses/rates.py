"""What the tables of an audit's estimates say of rates by group, as exact values and as posterior draws.

A prompt falls in one of four cells: both arms have the outcome, the reference only, the candidate only, neither. The
exact value of a rate is its share of the prompts; its posterior is that of ``estimators/paired_exact.py``, a Dirichlet
with 1/2 for each cell, of as many prompts as say as much (``Estimate.design_effect``), each group by itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toxaudit.estimators.outcomes import Floats
from toxaudit.estimators.posterior import hdi, seed_of
from toxaudit.findings import AnalysisRow
from toxaudit.records import ALONE, OBSERVED, Estimate

DRAWS = 20_000
PRIOR = 0.5  # of each cell, in prompts: Jeffreys' prior
CELLS = ("n11", "n10", "n01", "n00")
WHOLE = "all"


@dataclass(frozen=True)
class Paired:
    """One group's rates of an outcome in two arms: the exact ones, and draws of shape (DRAWS,)."""

    reference: float
    candidate: float
    reference_draws: Floats
    candidate_draws: Floats

    @property
    def change(self) -> float:
        """Candidate minus reference, as observed."""
        return self.candidate - self.reference

    @property
    def change_draws(self) -> Floats:
        """Candidate minus reference, shape (DRAWS,)."""
        return self.candidate_draws - self.reference_draws


@dataclass(frozen=True)
class Compared:
    """A candidate and its reference on one suite by one measure: in total, and in each group of one slicing."""

    candidate: str
    suite: str
    measure: str
    slicing: str
    whole: Paired
    groups: Mapping[str, Paired]

    @property
    def about(self) -> dict[str, str]:
        """What tells it from others, for the rows of a table."""
        return {"candidate": self.candidate, "suite": self.suite, "measure": self.measure}


def compared(estimates: Sequence[Estimate]) -> Iterator[Compared]:
    """Each candidate's groups on each suite by each measure; those without groups in total alone."""
    alone: dict[tuple[str, str, str], dict[str, dict[str, Estimate]]] = {}
    for each in estimates:
        if each.variant == ALONE and "=" in each.slice:
            slicing, group = each.slice.split("=", 1)
            place = alone.setdefault((each.candidate, each.suite, each.measure), {})
            place.setdefault(slicing, {})[group] = each
    totals: dict[tuple[str, str, str], Estimate] = {}
    for each in estimates:
        if (each.slice, each.variant) == (WHOLE, OBSERVED) and each.n:
            totals.setdefault((each.candidate, each.suite, each.measure), each)
    nothing: dict[str, dict[str, Estimate]] = {"": {}}
    for (candidate, suite, measure), whole in totals.items():
        for slicing, groups in alone.get((candidate, suite, measure), nothing).items():
            made = {name: paired(each) for name, each in groups.items() if each.n}
            yield Compared(candidate, suite, measure, slicing, paired(whole), made)


def paired(estimate: Estimate) -> Paired:
    """What an estimate's table says of both rates; the same draws for the same table and names."""
    table = np.array([estimate.counts[cell] for cell in CELLS])
    names = ("rates", estimate.suite, estimate.measure, estimate.candidate, estimate.slice)
    random = np.random.default_rng(seed_of(0, *names))
    n11, n10, n01, _ = random.dirichlet(table / estimate.design_effect + PRIOR, DRAWS).T
    share = table / table.sum()
    return Paired(float(share[0] + share[1]), float(share[0] + share[2]), n11 + n10, n11 + n01)


def row(about: Mapping[str, str], quantity: str, value: float, draws: Floats) -> AnalysisRow:
    """A row with the interval that its draws give."""
    low, high = hdi(draws)
    return AnalysisRow(dict(about), quantity, value, (low, high))


def spread(values: Iterable[float]) -> float:
    """The largest minus the smallest."""
    listed = list(values)
    return max(listed) - min(listed)
