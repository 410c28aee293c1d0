"""Prompts that are not independent, prompts asked several times, and scores that are missing for a reason."""

from dataclasses import replace
from typing import Any

import numpy as np

from toxaudit.estimators.outcomes import PairedOutcomes
from toxaudit.estimators.paired_bb import PairedBB
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi
from toxaudit.records import BEST_CASE, OBSERVED, WORST_CASE
from toxaudit.studies.findings import Bar, Study, at_least, points, share, standard_error
from toxaudit.studies.worlds import World

TEMPLATES = 30
REQUIRED, BOUNDS = 0.90, 0.95


def _interval(estimator: Any, outcomes: PairedOutcomes) -> tuple[float, float]:
    return hdi(estimator.estimate(outcomes)[0].change)


def _world(random: np.random.Generator, **settings: Any) -> World:
    """A world whose one candidate shifts by a little, or not at all, and not alike in all strata."""
    return World(random.choice([0.0, 0.3, 0.6]) + 0.2 * random.normal(size=(1, 5)), **settings)


def _bootstrapped(world: World, draws: int, seed: int, random: np.random.Generator) -> tuple[bool, bool, float]:
    """One audit: whether ``paired_bb`` covers, whether it would do so with templates ignored, and its width."""
    outcomes, truth = world.draw(random), float(world.changes()[0, 0])
    low, high = _interval(PairedBB(draws=draws, seed=seed), outcomes)
    if not world.templates:
        return low <= truth <= high, False, high - low
    ignoring = _interval(PairedExact(draws=8000, seed=seed, other_prior=None), replace(outcomes, clusters=None))
    return low <= truth <= high, ignoring[0] <= truth <= ignoring[1], high - low


def templates_and_samples(audits: int, slack: float, draws: int = 1000, seed: int = 12) -> Study:
    """Coverage of ``paired_bb``, with prompts of 30 templates and with four samples per prompt.

    Args:
        audits: simulated audits per row.
        slack: standard errors granted on the bars.
        draws: posterior draws.
        seed: of the audits.
    """
    random = np.random.default_rng(seed)
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    small: dict[str, Any] = {"sizes": (60,) * 5}
    for title, settings in (
        (f"{TEMPLATES} templates, 2,400 prompts", {"templates": TEMPLATES}),
        ("4 samples of 2,400 prompts", {"samples": 4}),
        ("4 samples of 300 prompts", {"samples": 4, **small}),
    ):
        found = np.array([_bootstrapped(_world(random, **settings), draws, number, random) for number in range(audits)])
        reached, ignored, width = (float(value) for value in found.mean(0))
        without = share(ignored) if "templates" in settings else ""
        figures = (share(reached), f"{standard_error(reached, audits):.4f}", without, points(width)[1:])
        rows.append((title, *figures))
        bars.append(at_least(f"paired_bb: coverage, {title}", REQUIRED, reached, audits, slack))
    return Study(
        "dependence",
        "Templates, and several samples per prompt",
        "Do intervals hold the truth where prompts vary a few templates, or where each is asked several times?",
        f"{audits:,} simulated audits per row. Half of the variance of a prompt's trait, common to the arms or an "
        "arm's own, is its template's. Taking such prompts as independent makes intervals far too narrow.",
        ("audit", "coverage", "SE", "templates ignored", "mean width, pp"),
        tuple(rows),
        tuple(bars),
    )


def missing_scores(audits: int, slack: float, seed: int = 13) -> Study:
    """Whether the best and the worst case bracket the truth where scores are missing because of the outcome.

    Args:
        audits: simulated audits per row.
        slack: standard errors granted on the bars.
        seed: of the audits.
    """
    random = np.random.default_rng(seed)
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    for without, having in ((0.01, 0.1), (0.01, 0.3), (0.1, 0.0)):
        naive, inside, width = [], [], []
        for number in range(audits):
            exact = PairedExact(draws=8000, seed=number, other_prior=None)
            world = _world(random, lost=(without, having))
            truth = float(world.changes()[0, 0])
            found = {each.variant: hdi(each.change) for each in exact.estimate(world.draw(random))}
            naive.append(found[OBSERVED][0] <= truth <= found[OBSERVED][1])
            inside.append(found[BEST_CASE][0] <= truth <= found[WORST_CASE][1])
            width.append(found[WORST_CASE][1] - found[BEST_CASE][0])
        title = f"{having:.0%} of toxic, {without:.0%} of harmless answers"
        reached = float(np.mean(inside))
        rows.append((title, share(float(np.mean(naive))), share(reached), points(float(np.mean(width)))[1:]))
        bars.append(at_least(f"missing scores: bounds hold the truth, {title}", BOUNDS, reached, audits, slack))
    return Study(
        "missing",
        "Scores that are missing because of what they would say",
        "Do the best and the worst case that a card shows hold the truth between them?",
        f"{audits:,} simulated audits per row; only the candidate's scores go missing. The bounds reach from the lower "
        "end of the best case's 95 % interval to the upper end of the worst case's.",
        ("missing", "coverage of the observed", "truth within bounds", "mean width of bounds, pp"),
        tuple(rows),
        tuple(bars),
    )
