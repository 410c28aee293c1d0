"""What a few labels of an audit's own answers make of its change: coverage, width and false passes, beside others'."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from toxaudit.estimators.outcomes import Floats, Labelled, PairedOutcomes
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi, summarise
from toxaudit.estimators.two_phase import PLACES, Places, allocation, cells_of
from toxaudit.records import CORRECTED, LABELLED, OBSERVED
from toxaudit.studies.findings import Bar, Study, at_least, at_most, percent, points, share
from toxaudit.studies.worlds import labels as known_errors

PROMPTS = 1000
"""Each is answered by both models: 2,000 answers."""

LABELS = (50, 100, 300)
REQUIRED, FALSE_PASS = 0.93, 0.08
CERTAINTY = 0.95
DRAWS = 3000

WORLDS = ((0.05, 0.05, 0.08, 0.82), (0.02, 0.01, 0.04, 0.93))
"""Shares of prompts by their true pair of outcomes, in the order of ``CELLS``: base rates of 10 and 3 %, +3 pp each."""

SCORERS = {
    "0.5 / 0.96": ((0.5, 0.96), (0.5, 0.96)),
    "0.9 / 0.97": ((0.9, 0.97), (0.9, 0.97)),
    "base 0.9 / 0.97, candidate 0.5 / 0.96": ((0.9, 0.97), (0.5, 0.96)),
}
"""Sensitivity and specificity in the base's answers and in the candidate's."""

ALONE = "labels alone"

Row = tuple[float, float, float, float]
"""Whether the truth is covered, estimate minus truth, width, whether a margin as large as the change is passed."""


def _scored(truth: Floats, errors: tuple[float, float], random: np.random.Generator) -> Floats:
    sensitivity, specificity = errors
    chance = random.random(len(truth))
    return np.where(truth > 0, chance < sensitivity, chance >= specificity).astype(float)


def _drawn(cells: Places, answers: int, random: np.random.Generator) -> Places:
    """The places of prompts to be labelled, by the design of ``toxaudit label``."""
    order = allocation(np.bincount(cells, minlength=len(PLACES)), answers)
    parts = [random.choice(np.flatnonzero(cells == cell), order.count(cell), replace=False) for cell in range(4)]
    return np.concatenate(parts)


def _audit(
    world: Sequence[float],
    errors: tuple[tuple[float, float], ...],
    labels: int,
    number: int,
    random: np.random.Generator,
) -> dict[str, Row]:
    """One simulated audit, by each way of estimating."""
    pair = random.choice(4, p=world, size=PROMPTS)
    true = [np.isin(pair, (0, arm)).astype(float) for arm in (1, 2)]
    base, other = (_scored(truth, each, random) for truth, each in zip(true, errors, strict=True))
    chosen = _drawn(cells_of(base, other), labels, random)
    told = [np.full(PROMPTS, np.nan), np.full(PROMPTS, np.nan)]
    for arm, truth in zip(told, true, strict=True):
        arm[chosen] = truth[chosen]
    calibration = known_errors(np.array([errors[0]]), 400, 800, random, False)
    outcomes = PairedOutcomes("s", "m", base, {"x": other}, labels={"x": Labelled(told[0], told[1])})
    exact = PairedExact(draws=DRAWS, seed=number, other_prior=None)
    made = {each.variant: each for each in exact.estimate(outcomes)}
    made |= {each.variant: each for each in exact.estimate(replace(outcomes, labels={}, calibration=calibration))}
    some = random.choice(PROMPTS, labels // 2, replace=False)
    made[ALONE] = exact.estimate(PairedOutcomes("s", "m", true[0][some], {"x": true[1][some]}))[0]
    change, found = world[2] - world[1], {}
    for variant in (LABELLED, ALONE, OBSERVED, CORRECTED):
        low, high = hdi(made[variant].change)
        mean, p_go = float(made[variant].change.mean()), summarise(made[variant], change).p_go
        passes = p_go is not None and p_go >= CERTAINTY
        found[variant] = float(low <= change <= high), mean - change, high - low, float(passes)
    return found


def labels_of_answers(
    audits: int,
    slack: float,
    worlds: Sequence[Sequence[float]] = WORLDS,
    numbers: Sequence[int] = LABELS,
    seed: int = 23,
) -> Study:
    """Coverage, bias, width and false passes by labels of the audit's own answers.

    Args:
        audits: simulated audits per row.
        slack: standard errors granted on the bars.
        worlds: shares of prompts by their true pairs.
        numbers: how many answers are labelled.
        seed: of the audits.
    """
    random = np.random.default_rng(seed)
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    gains, passes, raw = [], [], []
    for (title, errors), world in product(SCORERS.items(), worlds):
        covered = []
        for labels in numbers:
            done = [_audit(world, errors, labels, number, random) for number in range(audits)]
            mean = {way: np.mean([each[way] for each in done], axis=0) for way in done[0]}
            own, alone, observed, corrected = (mean[way] for way in (LABELLED, ALONE, OBSERVED, CORRECTED))
            covered.append(float(own[0]))
            gains.append(float(own[2] / alone[2]))
            passes.append(float(own[3]))
            raw += [float(observed[0]), float(corrected[0])]
            told = (title, percent(world[0] + world[1]), str(labels), share(own[0]), points(own[1]), points(own[2])[1:])
            rows.append((*told, share(own[3]), points(alone[2])[1:], share(observed[0]), share(corrected[0])))
        name = f"labels: coverage, {title}, base {percent(world[0] + world[1])}"
        bars.append(at_least(name, REQUIRED, min(covered), audits, slack))
    bars.append(at_most("labels: false pass at the margin, worst", FALSE_PASS, max(passes), audits, slack))
    bars.append(Bar("labels: width over that of labels alone, worst", "at most", 1.0, max(gains)))
    bars.append(Bar("labels: coverage without them, worst (the reason for them)", "at most", 0.8, min(raw)))
    return Study(
        "labels",
        "Labels of the audit's own answers",
        "Is the change estimated right by all scores and a few labels of these very answers, however the scorer errs?",
        f"{audits:,} simulated audits per row, {PROMPTS:,} prompts and so {2 * PROMPTS:,} answers, a true change of +3 "
        "pp. Answers are drawn as by `toxaudit label`, both of a prompt. A false pass is a GO where the margin is the "
        "true change. *Alone* are as many labels of prompts drawn at random, without any score; *as scored* is the "
        "change without labels; *known errors* corrects it by 400 and 800 labelled completions like the base's, as if "
        "the candidate's errors were the same.",
        (
            *("sensitivity / specificity", "base rate", "labels", "coverage", "bias, pp", "mean width, pp"),
            *("false pass", "width alone, pp", "coverage as scored", "coverage, known errors"),
        ),
        tuple(rows),
        tuple(bars),
    )
