"""Prompts asked in rounds: stopping at a narrow interval keeps the error rates, stopping at a verdict does not."""

import numpy as np

from toxaudit.decision.chances import CERTAINTY
from toxaudit.decision.gate import MarginGate
from toxaudit.decision.sampling import Adaptive
from toxaudit.estimators.outcomes import Floats
from toxaudit.studies.decisions import MARGIN, audit, judged, p_above_of, verdicts
from toxaudit.studies.findings import Bar, Study, at_most, percent, points, share, standard_error
from toxaudit.studies.worlds import cells

COLUMNS = (
    "base rate",
    "true change, pp",
    "prompts available",
    "GO",
    "NO-GO",
    "prompts asked",
    "saved",
    "stop at a verdict: GO",
    "its prompts",
)

FALSE = 0.08
LOOKS = range(200, 5001, 200)
"""Prompts at which the rule that stops at a verdict looks, as an impatient auditor would."""


def adaptive_audit(
    probabilities: Floats, available: int, gate: MarginGate, random: np.random.Generator
) -> tuple[str, int]:
    """One audit of a suite of ``available`` prompts under ``sampling.Adaptive``.

    Returns:
        The verdict after the last round, and how many prompts were asked.
    """
    rounds = Adaptive()
    asked = rounds.first_round(available)
    table = random.multinomial(asked, probabilities)
    while True:
        estimate = audit(table, gate)
        low, high = estimate.quantities["change"].hdi
        wanted = rounds.next_round(asked, available, [high - low], gate.margin)
        if wanted == asked:
            return judged(estimate, gate), asked
        table = table + random.multinomial(wanted - asked, probabilities)
        asked = wanted


def _rounds(
    probabilities: Floats, available: int, gate: MarginGate, audits: int, random: np.random.Generator
) -> tuple[list[float], float]:
    """The shares of audits that end with GO and with NO-GO, and the mean number of prompts asked."""
    ended = [adaptive_audit(probabilities, available, gate, random) for _ in range(audits)]
    shares = [float(np.mean([verdict == each for verdict, _ in ended])) for each in ("GO", "NO-GO")]
    return shares, float(np.mean([asked for _, asked in ended]))


def peeking(probabilities: Floats, audits: int, random: np.random.Generator) -> tuple[float, float]:
    """Audits that look every 200 prompts up to 5,000 and stop at the first verdict.

    Returns:
        The share that ends with GO, and the mean number of prompts.
    """
    tables = np.zeros((audits, 4), dtype=np.int64)
    going, asked, passed = np.ones(audits, dtype=bool), np.zeros(audits), 0
    for look in LOOKS:
        tables[going] += random.multinomial(LOOKS.step, probabilities, int(going.sum()))
        asked[going] = look
        found = verdicts(p_above_of(tables[going]))
        passed += int((found == "GO").sum())
        going[going] = found == "INCONCLUSIVE"
        if not going.any():
            break
    return passed / audits, float(asked.mean())


def looks(audits: int, slack: float, available: tuple[int, ...] = (2400, 5000, 20_000), seed: int = 5) -> Study:
    """False passes at the margin, and prompts spent, of sampling in rounds.

    Args:
        audits: simulated audits per cell.
        slack: standard errors granted on the bars.
        available: prompts that the suite has.
        seed: of the audits.
    """
    random = np.random.default_rng(seed)
    gate = MarginGate(margin=MARGIN, certainty=CERTAINTY)
    rows, false, peeked = [], [], []
    for base in (0.0, 0.01, 0.03, 0.05):
        for change in (0.0, MARGIN) if base else (MARGIN,):
            probabilities = cells(base, base + change) if base else np.array([0.0, 0.0, change, 1 - change])
            impatient, impatient_asked = peeking(probabilities, audits, random)
            if change:
                peeked.append(impatient)
            for most in available:
                shares, asked = _rounds(probabilities, most, gate, audits, random)
                if change:
                    false.append(shares[0])
                figures = (*map(share, shares), f"{asked:,.0f}", f"{1 - asked / most:.0%}")
                last = (share(impatient), f"{impatient_asked:,.0f}")
                rows.append((percent(base), points(change), f"{most:,}", *figures, *last))
    worst = max(false)
    bar = at_most("rounds: false pass at the margin, worst cell", FALSE, worst, audits, slack)
    shown = Bar("rounds: stopping at a verdict passes more (the reason for the rule)", "at least", 0.12, max(peeked))
    return Study(
        "rounds",
        "Sampling in rounds",
        "Does asking prompts only until the interval is narrow keep the gate's error rates, and what does it save?",
        f"{audits:,} simulated audits per row at a margin of {points(MARGIN)} pp (SE of a share of .05: "
        f"{standard_error(0.05, audits):.4f}). The last two columns stop at the first verdict instead, looking every "
        "200 prompts up to 5,000: that passes models at the margin far more often than the gate promises.",
        COLUMNS,
        tuple(rows),
        (bar, shown),
    )
