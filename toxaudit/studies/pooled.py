"""Whether pooled slices cover the truth, and how much pooling gains."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toxaudit.estimators.hier_paired import HierPaired
from toxaudit.estimators.outcomes import Floats, PairedOutcomes
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi
from toxaudit.records import OBSERVED
from toxaudit.studies.findings import Bar, Study, points, share
from toxaudit.studies.worlds import SIZES, SLICE, World

Fit = Mapping[str, Any]

FIT: Fit = {"draws": 500, "tune": 300, "chains": 4}
"""Settings of a fit: shorter than an audit's, whose intervals have less Monte Carlo error."""

COVERAGE_COLUMNS = ("suite", "candidates", "estimate", "coverage", "SE", "mean width, pp", "RMSE, pp")
SMALL = (50,) * 5
BARS: dict[tuple[int, ...], tuple[str, dict[str, float | None]]] = {
    SIZES: ("5 strata, 2,400 prompts", {"total": 0.93, "slices": 0.93, "slices, each alone": None}),
    SMALL: ("5 strata of 50", {"total": 0.90, "slices": 0.93, "slices, each alone": None}),
}
"""Sizes -> in words, and what coverage is required of what."""


@dataclass(frozen=True)
class Interval:
    """One estimate of one change beside its truth: mean and 95 % HDI."""

    mean: float
    low: float
    high: float
    truth: float

    @classmethod
    def of(cls, change: Floats, truth: float) -> "Interval":
        """From posterior draws of the change."""
        return cls(float(change.mean()), *hdi(change), truth)

    @property
    def covers(self) -> bool:
        """Whether the truth lies inside."""
        return self.low <= self.truth <= self.high


def pooled_changes(outcomes: PairedOutcomes, seed: int, fit: Fit) -> dict[tuple[str, str], Floats]:
    """(candidate, slice) -> draws of the change by ``hier_paired``; the slice is ``all`` for the total."""
    found = HierPaired(seed=seed, **fit).estimate(outcomes)
    return {(each.candidate, each.slice): each.change for each in found if each.variant == OBSERVED}


def unpooled_changes(outcomes: PairedOutcomes, seed: int) -> dict[tuple[str, str], Floats]:
    """(candidate, slice) -> draws of the change by ``paired_exact`` on that slice's prompts alone."""
    slicing = outcomes.slices[SLICE]
    found = {}
    for number, value in enumerate(slicing.values):
        part = outcomes.only(slicing.codes == number)
        for each in PairedExact(draws=2000, seed=seed, other_prior=None).estimate(part):
            found[each.candidate, f"{SLICE}={value}"] = each.change
    return found


def beside_truth(world: World, changes: dict[tuple[str, str], Floats]) -> dict[str, list[Interval]]:
    """Intervals of the total, under ``all``, and of slices, under ``slices``."""
    found: dict[str, list[Interval]] = {"all": [], "slices": []}
    places = {"all": 0} | {f"{SLICE}=s{number}": number + 1 for number in range(len(world.sizes))}
    truths = dict(zip(world.names, world.changes(), strict=True))
    for (candidate, title), change in changes.items():
        interval = Interval.of(change, float(truths[candidate][places[title]]))
        found["all" if title == "all" else "slices"].append(interval)
    return found


def _audit(
    candidates: int, sizes: tuple[int, ...], seed: int, fit: Fit, random: np.random.Generator
) -> dict[str, list[Interval]]:
    """One audit whose candidates differ in their change, and strata within them: intervals by what they are of."""
    shifts = random.choice([0.0, 0.3, 0.6], (candidates, 1)) + 0.2 * random.normal(size=(candidates, len(sizes)))
    world = World(shifts, sizes)
    outcomes = world.draw(random)
    pooled = beside_truth(world, pooled_changes(outcomes, seed, fit))
    alone = beside_truth(world, unpooled_changes(outcomes, seed))["slices"]
    return {"total": pooled["all"], "slices": pooled["slices"], "slices, each alone": alone}


def _summary(audits: list[list[Interval]]) -> tuple[float, float, float, float]:
    """Coverage, its standard error by audit, mean width, and root mean squared error."""
    by_audit = [np.mean([each.covers for each in audit]) for audit in audits]
    error = float(np.std(by_audit)) / np.sqrt(len(audits))
    every = [each for audit in audits for each in audit]
    width = float(np.mean([each.high - each.low for each in every]))
    rmse = float(np.sqrt(np.mean([(each.mean - each.truth) ** 2 for each in every])))
    return float(np.mean(by_audit)), error, width, rmse


def pooled_coverage(
    audits: int,
    slack: float,
    candidates: Iterable[int],
    sizes: Iterable[tuple[int, ...]] = tuple(BARS),
    fit: Fit = FIT,
    seed: int = 7,
) -> Study:
    """Coverage, width and error of ``hier_paired``, beside ``paired_exact`` on each slice alone.

    Args:
        audits: simulated audits per row.
        slack: standard errors granted on the bars.
        candidates: numbers of candidates.
        sizes: prompts per stratum.
        fit: settings of ``hier_paired``.
        seed: of the audits.
    """
    random, rows, bars = np.random.default_rng(seed), [], []
    for each in sizes:
        title, required_of = BARS[each]
        for k in candidates:
            found = [_audit(k, each, number, fit, random) for number in range(audits)]
            for what, required in required_of.items():
                reached, error, width, rmse = _summary([intervals[what] for intervals in found])
                figures = (share(reached), f"{error:.4f}", points(width)[1:], points(rmse)[1:])
                rows.append((title, str(k), what, *figures))
                if required:
                    name = f"hier_paired: coverage of {what}, {title}, {k} candidates"
                    bars.append(Bar(name, "at least", required, reached, slack * error))
    return Study(
        "pooled",
        "Coverage of the pooled slices",
        "Do the pooled intervals of slices and total hold the truth, and are they narrower than each slice's own?",
        f"{audits:,} simulated audits per number of candidates, which differ in their change, as do strata within "
        "them. RMSE is the posterior mean's root mean squared error, SE the coverage's standard error over audits.",
        COVERAGE_COLUMNS,
        tuple(rows),
        tuple(bars),
    )
