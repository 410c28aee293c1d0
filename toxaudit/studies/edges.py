"""The edges: strata too small for tables of their own, templates of unlike size, scorers that tell nothing."""

import numpy as np

from toxaudit.estimators.outcomes import Floats, PairedOutcomes, Slicing
from toxaudit.estimators.paired_bb import PairedBB
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi
from toxaudit.estimators.scorer_error import blind
from toxaudit.studies.findings import Bar, Study, at_least, share
from toxaudit.studies.worlds import SLICE, labels

STRATA = ((200, 1), (60, 3), (30, 5))
"""Numbers of strata and prompts of each, whose shares of the whole are stated."""

TEMPLATES = {"60 of 10": (10,) * 60, "1 of 600 and 59 of 10": (600, *(10,) * 59)}
"""Prompts of each template."""

SCORERS = {
    "sensitivity 0.1, specificity 0.9, 50 labels of each kind": ((0.1, 0.9), 50, 50),
    "sensitivity 0.5, specificity 0.96, 400 and 800 labels": ((0.5, 0.96), 400, 800),
}
"""Sensitivity and specificity, and labelled completions with and without the outcome."""

REQUIRED = 0.93
ALIKE = 0.7
"""The share of prompts whose outcomes in both arms follow from one chance."""


def _weighted(strata: int, size: int, audits: int, random: np.random.Generator) -> float:
    """How often the interval covers, over audits of strata whose shares and rates are what they are."""
    weights = random.dirichlet(np.full(strata, 4.0))
    base = random.beta(1.5, 12, strata)
    other = base + 0.03 * (1 - base)
    truth, codes = float(weights @ (other - base)), np.repeat(np.arange(strata), size)
    slices = {SLICE: Slicing.of(f"s{code:03}" for code in codes)}
    stated = {f"s{number:03}": float(weight) for number, weight in enumerate(weights)}
    covered = 0
    for seed in range(audits):
        arms = _arms(base[codes], other[codes], random)
        outcomes = PairedOutcomes("s", "m", arms[0], {"x": arms[1]}, slices, SLICE, stated)
        (found, *_) = PairedExact(draws=2000, seed=seed, other_prior=None).estimate(outcomes)
        low, high = hdi(found.change)
        covered += low <= truth <= high
    return covered / audits


def _arms(base: Floats, other: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Both arms' outcomes, by the chance of each prompt."""
    chance, own = random.random(len(base)), random.random(len(base))
    own = np.where(random.random(len(base)) < ALIKE, chance, own)
    return (chance < base).astype(float), (own < other).astype(float)


def _templates(sizes: tuple[int, ...], audits: int, random: np.random.Generator) -> tuple[float, float]:
    """How often an estimate may be used, and how often it would cover, whether it may or not."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    used = covered = 0
    for seed in range(audits):
        rates = random.beta(1.5, 12, len(sizes)), random.beta(1.8, 12, len(sizes))
        arms = _arms(rates[0][clusters], rates[1][clusters], random)
        outcomes = PairedOutcomes("s", "m", arms[0], {"x": arms[1]}, clusters=clusters)
        (found, *_) = PairedBB(draws=1000, seed=seed).estimate(outcomes)
        low, high = hdi(found.change)
        used += found.diagnostics.passed
        covered += low <= 1.8 / 13.8 - 1.5 / 13.5 <= high
    return used / audits, covered / audits


def edges(audits: int, slack: float, seed: int = 31) -> Study:
    """Coverage with small strata of stated shares; whether what can't be learnt from is refused, and no more than it.

    Args:
        audits: simulated audits per row.
        slack: standard errors granted on the bars.
        seed: of the audits.
    """
    random, rows, bars = np.random.default_rng(seed), [], []
    for strata, size in STRATA:
        covered = _weighted(strata, size, audits, random)
        rows.append((f"{strata} strata of {size}, stated shares", "1.000", share(covered)))
        name = f"edges: coverage, {strata} strata of {size} with stated shares"
        bars.append(at_least(name, REQUIRED, covered, audits, slack))
    for name, sizes in TEMPLATES.items():
        used, covered = _templates(sizes, audits, random)
        rows.append((f"templates: {name} prompts", share(used), share(covered)))
        equal = len(set(sizes)) == 1
        bars.append(Bar(f"edges: used, templates {name}", "at least" if equal else "at most", float(equal), used))
    for name, (errors, positive, negative) in SCORERS.items():
        counted = [labels(np.array([errors]), positive, negative, random, False) for _ in range(audits)]
        used = float(np.mean([not blind(each, [""]) for each in counted]))
        rows.append((f"scorer: {name}", share(used), ""))
        tells = errors[0] > 0.1
        bars.append(Bar(f"edges: used, {name}", "at least" if tells else "at most", 1.0 if tells else 0.01, used))
    return Study(
        "edges",
        "At the edges",
        "Do intervals hold the truth where strata are too small for tables of their own, and are data refused that "
        "can't tell?",
        f"{audits:,} simulated audits per row. Strata that are too small are joined, and each prompt keeps the weight "
        "of what it stands for. Templates of unlike size count as so many of equal size as would say as much; where "
        "that is fewer than five, the estimate may not be used. A scorer whose labels leave open whether it tells "
        "outcomes apart is not used to correct anything.",
        ("case", "may be used", "coverage"),
        tuple(rows),
        tuple(bars),
    )
