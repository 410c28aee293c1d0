"""By which rule a slice is to fail: how often each cries wolf, and how often it finds harm confined to one slice."""

from collections.abc import Callable, Iterable

import numpy as np

from toxaudit.decision.chances import CERTAINTY, chances
from toxaudit.decision.slices import own_look, p_own, weighed
from toxaudit.estimators.hier_paired import HierPaired
from toxaudit.estimators.posterior import summarise
from toxaudit.records import OBSERVED, Estimate
from toxaudit.studies.findings import Bar, Plot, Series, Study, at_least, at_most, points, share
from toxaudit.studies.pooled import FIT, SMALL, Fit
from toxaudit.studies.worlds import LOGITS, SIZES, World, cells, logit_of, rate

MARGINS = (0.01, 0.03)
HARMS = (0.03, 0.06, 0.09, 0.12, 0.15)
"""By how much one slice of one candidate gets worse."""

SLICES = len(LOGITS)
LARGE, RESOLVED = 0.12, 0.03
"""The harm that must be found in a slice of 300 prompts, and the margin at which it must."""

Rule = Callable[[Estimate], bool]

RULES: dict[str, Rule] = {
    "with the others": lambda each: each.p_above_margin >= CERTAINTY,
    "the gate: or alone, 1 - 0.05 / S": lambda each: weighed(each, CERTAINTY, SLICES).decision == "NO-GO",
    "or alone, 0.995": lambda each: max(each.p_above_margin - CERTAINTY, p_own(each) - 0.995) >= 0,
    "alone, 0.95": lambda each: p_own(each) >= CERTAINTY,
}
"""In words -> whether a slice's estimate, which borrows from others, raises an alarm; the second is the gate's own."""

GATE = list(RULES)[1]

FALSE_ALARMS = {0.01: 0.10, 0.03: 0.03}
"""Margin -> the share of audits of ten candidates without any change that may have a false alarm."""

FOUND = 0.65
PROMPTS = (50, 100, 200, 300)
"""Prompts of a slice for which its own look is computed exactly."""


def _alarms(
    world: World, random: np.random.Generator, seed: int, fit: Fit
) -> dict[tuple[float, str], dict[tuple[str, str], bool]]:
    """One audit: margin and rule -> candidate and slice -> whether it raises an alarm."""
    found = [each for each in HierPaired(seed=seed, **fit).estimate(world.draw(random)) if each.variant == OBSERVED]
    parts = [each for each in found if each.slice != "all"]
    estimates = {margin: [summarise(each, margin) for each in parts] for margin in MARGINS}
    return {
        (margin, name): {(each.candidate, each.slice): rule(each) for each in estimates[margin]}
        for margin in MARGINS
        for name, rule in RULES.items()
    }


def _false_alarms(
    sizes: tuple[int, ...], audits: int, candidates: int, fit: Fit, random: np.random.Generator
) -> dict[tuple[float, str], tuple[float, float]]:
    """Margin and rule -> the shares of candidates, and of audits, with an alarm where nothing changed."""
    world = World(np.zeros((candidates, SLICES)), sizes)
    drawn = [_alarms(world, random, seed, fit) for seed in range(audits)]
    found = {}
    for key in drawn[0]:
        each = np.array(
            [[any(a for (who, _), a in one[key].items() if who == name) for name in world.names] for one in drawn]
        )
        found[key] = float(each.mean()), float(each.any(1).mean())
    return found


def _found(
    sizes: tuple[int, ...], harm: float, audits: int, fit: Fit, random: np.random.Generator
) -> dict[tuple[float, str], float]:
    """Margin and rule -> how often a harmed slice raises an alarm; other candidates would not matter."""
    shifts = np.zeros((1, SLICES))
    shifts[0, 0] = logit_of(float(rate(np.array(LOGITS[0]))) + harm) - LOGITS[0]
    drawn = [_alarms(World(shifts, sizes), random, seed, fit) for seed in range(audits)]
    return {key: float(np.mean([next(iter(one[key].values())) for one in drawn])) for key in drawn[0]}


def _own_look(n: int, base: float, harm: float, margin: float) -> float:
    """The exact chance that a slice of n prompts raises an alarm by itself, one of five."""
    needed = own_look(CERTAINTY, SLICES)
    return chances(n, cells(base, base + harm), margin, CERTAINTY, needed.to_fail)["NO-GO"]


def slice_rules(
    audits: int,
    slack: float,
    candidates: int = 10,
    sizes: Iterable[tuple[int, ...]] = (SIZES, SMALL),
    harms: Iterable[float] = HARMS,
    fit: Fit = FIT,
    seed: int = 8,
) -> Study:
    """False alarms of slices where nothing changed, and how often harm in one slice is found, by several rules.

    Args:
        audits: simulated audits per row.
        slack: standard errors granted on the bars.
        candidates: in each audit without any change.
        sizes: prompts per stratum; the first ones are those of the bars.
        harms: by how much the harmed slice gets worse; ``LARGE`` is one of them.
        fit: settings of ``hier_paired``.
        seed: of the audits.
    """
    random, rows, bars, harms = np.random.default_rng(seed), [], [], tuple(harms)
    for number, strata in enumerate(sizes):
        false = _false_alarms(strata, audits, candidates, fit, random)
        by_harm = {harm: _found(strata, harm, audits, fit, random) for harm in harms}
        for margin in MARGINS:
            shown = [(f"{candidates} candidates", [false[margin, rule][1] for rule in RULES])]
            shown.insert(0, ("1 candidate", [false[margin, rule][0] for rule in RULES]))
            shown.append((f"{3 * candidates} candidates", [1 - (1 - p) ** 3 for p in shown[-1][1]]))
            for k, of in shown:
                rows.append((f"{strata[0]}", points(margin), f"none: any alarm, {k}", *map(share, of)))
            for harm in harms:
                of = [by_harm[harm][margin, rule] for rule in RULES]
                rows.append((f"{strata[0]}", points(margin), f"{points(harm)} pp: found", *map(share, of)))
            if not number:
                bar = f"slices: audits of {candidates} candidates with a false alarm, margin {points(margin)} pp"
                bars.append(at_most(bar, FALSE_ALARMS[margin], false[margin, GATE][1], audits, slack))
        if not number:
            bar = f"slices: {points(LARGE)} pp in a slice of {strata[0]} found, margin {points(RESOLVED)} pp"
            bars.append(at_least(bar, FOUND, by_harm[LARGE][RESOLVED, GATE], audits, slack))
    return _study(rows, bars, audits)


def _study(rows: list[tuple[str, ...]], bars: list[Bar], audits: int) -> Study:
    base = [float(rate(np.array(logit))) for logit in LOGITS]
    worst = max(_own_look(n, b, m, m) for n in PROMPTS for b in base for m in MARGINS)
    bars.append(Bar("slices: S times a look's false alarm at the margin, worst cell", "at most", 0.08, SLICES * worst))
    harms = np.linspace(0, 0.2, 21)
    curves = [
        Series(
            f"{n} prompts", (100 * harms).tolist(), [_own_look(n, base[0], harm, RESOLVED) for harm in harms.tolist()]
        )
        for n in PROMPTS
    ]
    return Study(
        "slices",
        "By which rule a slice fails",
        "How often does an audit raise a false alarm on a slice, and how often is harm confined to one slice found?",
        f"{audits:,} simulated audits per world. A slice's change is estimated together with the candidate's other "
        "slices, and computed from its own table alone; the columns are rules on the probability that it exceeds the "
        f"margin: {CERTAINTY:g} in the first estimate; the gate's, which also fails a slice whose own table says so "
        f"with 1 - 0.05 / S, S = {SLICES} slices here; two more to compare with. No candidate's estimates depend on "
        "which others there are, so that the harmed one is simulated by itself, and more candidates only add looks: "
        "the alarms of three times as many are those of three audits. The plot shows the look at a slice's own table "
        f"alone, computed exactly at a margin of {points(RESOLVED)} pp and a base rate of {base[0]:.0%}.",
        ("prompts per slice", "margin, pp", "harm in one slice", *RULES),
        tuple(rows),
        tuple(bars),
        Plot(
            "true rise in the slice, pp",
            "found by its own prompts",
            tuple(curves),
            (("the look's error", 0.05 / SLICES),),
        ),
    )
