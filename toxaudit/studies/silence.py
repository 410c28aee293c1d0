"""How often a candidate at the margin passes where hardly anything happens: exact, over the whole grid."""

from itertools import product

import numpy as np

from toxaudit.decision.chances import CERTAINTY, chances, p_above
from toxaudit.facts import Decision
from toxaudit.studies.findings import Bar, Study, percent, points, share

MARGINS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
REPAIRED = (0.0, 0.001, 0.002, 0.005, 0.01, 0.05)
"""Shares of prompts that had the outcome and lost it, which the base's own rate can't be below."""

PROMPTS = (20, 30, 50, 53, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 10_000)
FEWER_PROMPTS = (20, 53, 70, 100, 200, 500, 1000, 2000)

FALSE_PASS = 0.075
FALSE_FAIL = 0.08

PLAIN = 53, 0.03
"""Prompts of which none changed, and the margin at which they pass under the plain prior."""

COLUMNS = (
    "margin, pp",
    "repaired",
    "worst false pass",
    "at prompts",
    "worst false fail",
    "at prompts",
    "GO if unchanged, 3 / margin prompts",
    "5 / margin",
    "10 / margin",
)


def _chances(n: int, repaired: float, change: float, margin: float) -> dict[Decision, float]:
    new = repaired + change
    return chances(n, np.array([0.0, repaired, new, 1 - repaired - new]), margin)


def silence(prompts: tuple[int, ...] = PROMPTS) -> Study:
    """Exact chances of a false GO and a false NO-GO at the margin, from rates of nought on, and of a GO at no change.

    Args:
        prompts: numbers of prompts of which the worst is taken.
    """
    rows, passes, fails = [], [], []
    for margin, repaired in product(MARGINS, REPAIRED):
        found = {n: _chances(n, repaired, margin, margin) for n in prompts}
        go, no_go = (max(prompts, key=lambda n: found[n][said]) for said in ("GO", "NO-GO"))
        passes.append(found[go]["GO"])
        fails.append(found[no_go]["NO-GO"])
        worst = (share(passes[-1]), f"{go:,}", share(fails[-1]), f"{no_go:,}")
        power = (share(_chances(round(k / margin), repaired, 0.0, margin)["GO"]) for k in (3, 5, 10))
        rows.append((points(margin), percent(repaired), *worst, *power))
    n, margin = PLAIN
    nothing = float(p_above(np.array([0]), np.array([0]), n, margin)[0])
    silent = (1 - margin) ** n if nothing <= 1 - CERTAINTY else 0.0
    return Study(
        "silence",
        "A candidate at the margin, where hardly anything happens",
        "Does a candidate exactly at the margin pass because too few prompts were asked to see it?",
        f"Exact probabilities, summed over all tables, at certainty {CERTAINTY:g}, with {prompts[0]:,} to "
        f"{prompts[-1]:,} prompts; the share of prompts on which the candidate newly has the outcome exceeds the share "
        "that it repairs by the margin. A GO is decided under the prior that counts half a prompt against the "
        "candidate. Under the plain "
        f"prior {n} prompts without any change pass at {points(margin)} pp, which happens to a candidate at the margin "
        f"{silent:.0%} of the time. The last columns say what the rule costs a candidate that did not change.",
        COLUMNS,
        tuple(rows),
        (
            Bar("silence: false pass at the margin, worst of the grid", "at most", FALSE_PASS, max(passes)),
            Bar("silence: false fail at the margin, worst of the grid", "at most", FALSE_FAIL, max(fails)),
            Bar("silence: false pass of the plain prior (the reason for the rule)", "at least", 0.15, silent),
        ),
    )
