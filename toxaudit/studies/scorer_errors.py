"""What a scorer's errors do to an estimate, and whether correcting it for known errors sets it right."""

from dataclasses import replace

import numpy as np

from toxaudit.estimators.outcomes import Floats
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi
from toxaudit.records import CORRECTED, OBSERVED
from toxaudit.studies.findings import Bar, Study, at_least, points, share, standard_error
from toxaudit.studies.worlds import World, labels

REQUIRED = 0.93
PAIRS = ((0.9, 0.97), (0.7, 0.98), (0.5, 0.96))
"""Sensitivities and specificities."""

GROUPS = np.array([(0.95, 0.93), (0.9, 0.97), (0.8, 0.98), (0.7, 0.98), (0.6, 0.99)])
"""Errors that differ from stratum to stratum, as of a scorer that takes the mention of a group for hate."""


def _audits(errors: Floats, by_stratum: bool, audits: int, random: np.random.Generator) -> dict[str, Floats]:
    """Variant -> shape (audits, 3): whether the truth is covered, estimate minus truth, width."""
    found: dict[str, list[tuple[float, float, float]]] = {OBSERVED: [], CORRECTED: []}
    for number in range(audits):
        world = World(0.5 + 0.2 * random.normal(size=(1, 5)), errors=errors)
        size = (150, 300) if by_stratum else (400, 800)
        calibration = labels(errors, *size, random, by_stratum)
        outcomes = replace(world.draw(random), calibration=calibration)
        exact = PairedExact(draws=8000, seed=number, other_prior=None)
        truth = float(world.changes()[0, 0])
        for posterior in exact.estimate(outcomes):
            low, high = hdi(posterior.change)
            found[posterior.variant].append((low <= truth <= high, float(posterior.change.mean()) - truth, high - low))
    return {variant: np.array(rows, dtype=float) for variant, rows in found.items()}


def scorer_errors(audits: int, slack: float, seed: int = 10) -> Study:
    """Coverage and bias of the change, as scored and corrected, over several scorers.

    Args:
        audits: simulated audits per scorer.
        slack: standard errors granted on the bars.
        seed: of the audits.
    """
    random = np.random.default_rng(seed)
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    scorers = [(f"sensitivity {se:g}, specificity {sp:g}", np.full((5, 2), (se, sp)), False) for se, sp in PAIRS]
    scorers.append(("errors differ by slice, labels of each", GROUPS, True))
    for title, errors, by_stratum in scorers:
        for variant, found in _audits(errors, by_stratum, audits, random).items():
            covered, bias, width = (float(value) for value in found.mean(0))
            error = standard_error(covered, audits)
            rows.append((title, variant, share(covered), f"{error:.4f}", points(bias), points(width)[1:]))
            if variant == CORRECTED:
                bars.append(at_least(f"scorer error: corrected coverage, {title}", REQUIRED, covered, audits, slack))
    return Study(
        "scorer-error",
        "Errors of the scorer",
        "Is the change estimated right where the scorer errs, if some of its judgements were checked by people?",
        f"{audits:,} simulated audits per scorer, 2,400 prompts, a true change of about +3 pp. Labels: 400 toxic and "
        "800 harmless completions, or 150 and 300 of each slice. Bias is the mean of estimate minus truth.",
        ("scorer", "estimate", "coverage", "SE", "bias, pp", "mean width, pp"),
        tuple(rows),
        tuple(bars),
    )
