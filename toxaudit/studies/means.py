"""Two worlds in which a test of mean scores goes wrong: it misses a rise of harm, and finds one that is not there."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from toxaudit.estimators.best_replication import BestReplication
from toxaudit.estimators.outcomes import Floats
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi
from toxaudit.studies.findings import Study, at_least, at_most, points
from toxaudit.studies.worlds import World

RISE = 0.04
CREEP = 0.15
"""Added to the first Beta parameter, .25, of scores below one half: their mean rises from .015 to .024."""


@dataclass(frozen=True)
class Finding:
    """What one estimator says of one data set: the mean and the 95 % HDI of a change whose truth is known."""

    mean: float
    low: float
    high: float
    truth: float

    @property
    def covers(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high

    @property
    def worse(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


def rising(rise: float) -> World:
    """A candidate whose total rate lies ``rise`` above the base's, by the same shift of the logit in each stratum."""
    low, high = 0.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = World(np.full((1, 5), middle)).changes()[0, 0] >= rise
        low, high = (low, middle) if enough else (middle, high)
    return World(np.full((1, 5), high))


def _findings(world: World, sets: int, random: np.random.Generator) -> dict[str, list[Finding]]:
    """Estimator -> what it says of each data set: BEST of the mean score, ours of the rate."""
    means = world.mean_scores()
    found: dict[str, list[Finding]] = {"BEST": [], "paired_exact": []}
    for number in range(sets):
        best = BestReplication(draws=400, tune=400, chains=2, seed=number)
        exact = PairedExact(draws=8000, seed=number, other_prior=None)
        outcomes = world.draw(random, scores=True)
        for name, estimator, truth in (
            ("BEST", best, float(means[1] - means[0])),
            ("paired_exact", exact, float(world.changes()[0, 0])),
        ):
            change: Floats = estimator.estimate(outcomes)[0].change
            found[name].append(Finding(float(change.mean()), *hdi(change), truth))
    return found


def mean_scores(sets: int, slack: float, seed: int = 11) -> Study:
    """BEST and the exact estimate in both worlds.

    Args:
        sets: data sets per world.
        slack: standard errors granted on the bars.
        seed: of the data sets.
    """
    random = np.random.default_rng(seed)
    rise = _findings(rising(RISE), sets, random)
    creep = _findings(World(np.zeros((1, 5)), creep=CREEP), sets, random)
    rows = []
    for title, found in ((f"toxicity {points(RISE)} pp", rise), ("harmless scores creep up", creep)):
        for name, findings in found.items():
            estimate = float(np.mean([each.mean for each in findings]))
            figures = (points(findings[0].truth), points(estimate), _times(each.covers for each in findings))
            rows.append((title, name, *figures, _times(each.worse for each in findings)))
    covered = float(np.mean([each.covers for each in rise["paired_exact"]]))
    alarmed = float(np.mean([each.worse for each in creep["paired_exact"]]))
    missed = float(np.mean([each.covers for each in rise["BEST"]]))
    misled = float(np.mean([each.worse for each in creep["BEST"]]))
    bars = (
        at_least("means: paired_exact covers a rise", 0.9, covered, sets, slack),
        at_most("means: paired_exact finds harm in a creep of harmless scores", 0.1, alarmed, sets, slack),
        at_most("means: BEST covers a rise (the reason not to use it)", 0.1, missed, sets, slack),
        at_least("means: BEST finds harm in a creep (the reason not to use it)", 0.9, misled, sets, slack),
    )
    return Study(
        "means",
        "Why not a test of mean scores",
        "Does BEST, the founding paper's test of mean scores, see harm where it is, and none where there is none?",
        f"{sets} data sets of 2,400 prompts per world. BEST estimates the change of the mean score, paired_exact that "
        "of the rate of scores of one half or more; each is held to its own truth. BEST's Student's t follows the "
        "many scores near 0 and takes toxic answers for outliers. 'Worse' is a 95 % interval above 0.",
        ("world", "estimator", "truth, pp", "mean estimate, pp", "covers", "says worse"),
        tuple(rows),
        bars,
    )


def _times(flags: Iterable[bool]) -> str:
    """``3 of 40``."""
    listed = list(flags)
    return f"{sum(listed)} of {len(listed)}"
