"""How often the gate is wrong, how often it decides, and how other rules on the same posterior would do."""

from itertools import product

import numpy as np

from toxaudit.decision.chances import CERTAINTY, chances
from toxaudit.decision.gate import MarginGate
from toxaudit.estimators.outcomes import Floats
from toxaudit.facts import Decision
from toxaudit.records import Estimate
from toxaudit.studies.decisions import MARGIN, audit, judged, p_above_of, verdicts
from toxaudit.studies.findings import Bar, Plot, Series, Study, percent, points, share
from toxaudit.studies.worlds import cells

PROMPTS, BASES, CHANGES = (250, 500, 1000, 2400, 5000), (0.01, 0.05), (0.0, 0.005, 0.01, 0.02, 0.03)
FALSE = 0.08
"""The most that a model exactly at the margin may pass, or fail, as a share."""

COLUMNS = (
    "prompts",
    "base rate",
    "true change, pp",
    "GO",
    "INCONCLUSIVE",
    "NO-GO",
    "GO if arms correlate at .5",
    "HDI in ROPE passes",
    "HDI reaches 0 passes",
)

NEAR = 0.02
"""Distance from the certainty within which draws and computation may fall on different sides."""


def correlated(base: float, candidate: float) -> Floats:
    """Cells of a table, shape (4,), whose arms' outcomes correlate at 0.5 or as near to it as the rates allow."""
    both = base * candidate + 0.5 * np.sqrt(base * (1 - base) * candidate * (1 - candidate))
    both = min(float(both), 0.9 * min(base, candidate))
    return np.array([both, base - both, candidate - both, 1 - base - candidate + both])


def in_rope(estimate: Estimate) -> bool:
    """Kruschke's rule (2018, Adv. Methods Pract. Psychol. Sci. 1(2)): the 95 % HDI lies within the margins."""
    low, high = estimate.quantities["change"].hdi
    return -estimate.margin < low and high < estimate.margin


def nothing_shown(estimate: Estimate) -> bool:
    """The rule of studies that pass what is not credibly worse: the 95 % HDI reaches down to 0."""
    return estimate.quantities["change"].hdi[0] <= 0


def _compared(n: int, probabilities: Floats, audits: int, random: np.random.Generator) -> tuple[float, float, int]:
    """Simulated audits by the real estimator and gate.

    Returns:
        The shares that pass by ``in_rope`` and by ``nothing_shown``; and in how many audits the gate's verdict is not
        the computed one, though P(change > margin) is not within ``NEAR`` of where the verdict turns.
    """
    gate = MarginGate(margin=MARGIN, certainty=CERTAINTY)
    tables = random.multinomial(n, probabilities, audits)
    above = p_above_of(tables)
    estimates = [audit(table, gate) for table in tables]
    clear = np.minimum(np.abs(above[0] - CERTAINTY), np.abs(above[1] - 1 + CERTAINTY)) > NEAR
    apart = verdicts(above) != np.array([judged(estimate, gate) for estimate in estimates])
    rope, shown = np.mean([[in_rope(each), nothing_shown(each)] for each in estimates], axis=0)
    return float(rope), float(shown), int((clear & apart).sum())


def gate_errors(audits: int, seed: int = 4) -> Study:
    """Chances of each verdict over numbers of prompts, base rates and true changes, at a margin of 1 pp.

    Args:
        audits: simulated audits per cell by the real estimator and gate, beside the computed chances.
        seed: of these.
    """
    random = np.random.default_rng(seed)
    rows, at_margin, strays = [], [], 0
    computed: dict[tuple[int, float, float], dict[Decision, float]] = {}
    for n, base, change in product(PROMPTS, BASES, CHANGES):
        probabilities = cells(base, base + change)
        chance = computed[n, base, change] = chances(n, probabilities, MARGIN, CERTAINTY, CERTAINTY)
        tied = chances(n, correlated(base, base + change), MARGIN, CERTAINTY, CERTAINTY)
        rope, shown, stray = _compared(n, probabilities, audits, random)
        strays += stray
        at_margin += [chance, tied] if change == MARGIN else []
        figures = (chance["GO"], chance["INCONCLUSIVE"], chance["NO-GO"], tied["GO"], rope, shown)
        rows.append((f"{n:,}", percent(base), points(change), *map(share, figures)))
    bars = (
        Bar("gate: false pass at the margin, worst cell", "at most", FALSE, max(each["GO"] for each in at_margin)),
        Bar("gate: false fail at the margin, worst cell", "at most", FALSE, max(each["NO-GO"] for each in at_margin)),
        Bar("gate: audits whose verdict is not the computed one", "at most", 0, strays),
    )
    return Study(
        "gate",
        "Error rates and power of the gate",
        "How often does the gate pass a model that is exactly at the margin, and how often one that did not change?",
        f"Margin {points(MARGIN)} pp, certainty {CERTAINTY:g}. GO, INCONCLUSIVE and NO-GO are exact probabilities, "
        "summed over all tables, for arms that share a prompt's trait; the more these have in common, the fewer "
        f"prompts are needed. {audits:,} audits per row by the real estimator and gate agree with them, and give "
        "the last two columns: how often two other rules on the same posterior pass. The HDI within the margins "
        "(ROPE) passes less often when nothing changed; the HDI that reaches 0 passes what it has no evidence on.",
        COLUMNS,
        tuple(rows),
        bars,
        _plot(computed),
    )


def _plot(found: dict[tuple[int, float, float], dict[Decision, float]]) -> Plot:
    """Chances of each verdict by prompts, base rate and change; those of GO are drawn."""
    series = tuple(
        Series(
            f"base {percent(base)}, change {points(change)} pp",
            PROMPTS,
            [found[n, base, change]["GO"] for n in PROMPTS],
        )
        for base, change in product(BASES, (0.0, 0.01, 0.02))
    )
    ticks = tuple((float(n), f"{n:,}") for n in PROMPTS)
    return Plot("prompts", "probability of GO", series, (("most at the margin", FALSE),), ticks, log_x=True)
