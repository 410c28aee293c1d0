"""Whether the chance of a decision that a card foretells, with so many more prompts, is the one that comes true."""

from itertools import product

import numpy as np

from toxaudit.decision.assurance import chance_of_decision
from toxaudit.decision.chances import CERTAINTY, PRIOR
from toxaudit.decision.gate import MarginGate
from toxaudit.estimators.outcomes import Floats
from toxaudit.studies.decisions import MARGIN, audit, p_above_of, verdicts
from toxaudit.studies.findings import Bar, Plot, Series, Study, percent, points, share
from toxaudit.studies.worlds import Counts, cells

WITHIN = 0.07
"""The most by which foretold and reached may differ, in the mean over worlds."""

BASES, PILOTS, TIMES = (0.02, 0.05), (300, 1000), (1, 4)
CHANGES = (-0.01, 0.03)
"""The true changes of the worlds on which the bar is set."""

OTHERS = ((0.0, 0.02), (-0.018, 0.06))
"""True changes that lie nearer to the margin and farther from it, shown beside."""


def _foretold(table: Counts, more: int, gate: MarginGate) -> float:
    """What ``assurance`` says after a pilot, from the summary that a card holds."""
    estimate = audit(table, gate)
    change = estimate.quantities["change"]
    return chance_of_decision(change.mean, change.sd, estimate.n, more, gate.margin, gate.certainty_of(1))


def _decided(tables: Counts) -> Floats:
    """Whether the gate decides, 1.0 or 0.0, on tables of shape (R, 4)."""
    return np.asarray(verdicts(p_above_of(tables)) != "INCONCLUSIVE", dtype=float)


def _world(
    base: float, changes: tuple[float, float], n: int, more: int, pilots: int, random: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Pilots of n prompts with true changes of their own, even between two, and what ``more`` prompts bring.

    Returns:
        The foretold chances; whether the true world brings a decision; whether one drawn from the pilot's own
        posterior does. Each of shape (pilots,).
    """
    gate = MarginGate(margin=MARGIN, certainty=CERTAINTY)
    steps = np.linspace(*changes, 17)
    worlds = np.stack([cells(base, base + float(change)) for change in steps])[random.integers(17, size=pilots)]
    first = np.stack([random.multinomial(n, world) for world in worlds])
    foretold = np.array([_foretold(table, more, gate) for table in first])
    true = first + np.stack([random.multinomial(more, world) for world in worlds])
    own = first + np.stack([random.multinomial(more, random.dirichlet(table + PRIOR)) for table in first])
    return foretold, _decided(true), _decided(own)


def foresight(pilots: int, slack: float, seed: int = 6) -> Study:
    """Foretold and reached chances of a decision, over base rates, sizes of a pilot and numbers of further prompts.

    Args:
        pilots: simulated pilots per world.
        slack: standard errors granted on the bars.
        seed: of the pilots.
    """
    random = np.random.default_rng(seed)
    rows, said, true = [], [], []
    apart: list[float] = []
    for changes, base, n, times in product((CHANGES, *OTHERS), BASES, PILOTS, TIMES):
        foretold, reached, own = _world(base, changes, n, times * n, pilots, random)
        means = [float(values.mean()) for values in (foretold, reached, own)]
        truths = f"{points(changes[0])} to {points(changes[1])}"
        rows.append((truths, percent(base), f"{n:,}", f"{times * n:,}", *map(share, means)))
        if changes == CHANGES:
            apart.append(abs(means[0] - means[2]))
            said.append(foretold)
            true.append(reached)
    by_formula = float(np.mean(apart))
    luck = slack * 0.5 / float(np.sqrt(pilots * len(apart)))
    return Study(
        "foresight",
        "How many more prompts",
        "When a card says that so many more prompts give a chance of 80 % of a decision, is that what happens?",
        f"{pilots:,} pilots per row, each with a true change of its own, even over the first column's range; the "
        f"margin is {points(MARGIN)} pp. From the pilot alone, a closed form foretells the chance that more "
        "prompts bring a decision, as the card does; then these are asked. The last column asks them of a world drawn "
        "from the pilot's own posterior instead, and it is this column that must meet the bar: the closed form is "
        "right where the truth is as uncertain as the pilot leaves it, and promises too much where true changes all "
        f"lie near the margin. The plot groups the pilots of {points(CHANGES[0])} to {points(CHANGES[1])} pp by what "
        "was foretold.",
        ("true changes, pp", "base rate", "pilot", "further prompts", "foretold", "reached", "reached, own posterior"),
        tuple(rows),
        (Bar("foresight: closed form, mean distance, own posterior", "at most", WITHIN, by_formula, luck),),
        _plot(np.concatenate(said), np.concatenate(true)),
    )


def _plot(foretold: Floats, reached: Floats) -> Plot:
    """How often pilots of like foretold chances, in fifths, came to a decision; both of shape (pilots,)."""
    fifth = np.minimum((foretold * 5).astype(int), 4)
    groups = [fifth == number for number in np.unique(fifth)]
    x, y = ([float(values[group].mean()) for group in groups] for values in (foretold, reached))
    return Plot("chance of a decision, foretold", "share decided", (Series("pilots", x, y),), diagonal=True)
