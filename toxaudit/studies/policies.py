"""Whole rules over several measures: how often a verdict errs, how often it passes, and whether that was foretold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist

import numpy as np

from toxaudit.decision.beforehand import Look, of_candidate, together
from toxaudit.decision.chances import p_above
from toxaudit.decision.gate import MarginGate
from toxaudit.facts import AGAINST, Decision
from toxaudit.machine import folders
from toxaudit.spec import strict_yaml
from toxaudit.studies.findings import Bar, Study, at_most, points, share
from toxaudit.studies.worlds import Counts

RULES = ("release", "strict", "research")
PROMPTS = (400, 1200, 4000)
RATES = (0.02, 0.05, 0.1, 0.2)
"""The base's rate of each measure."""

ALIKE = 0.7
"""Correlation of what lies beneath the arms' outcomes of one measure on one prompt."""

SHARED = (0.0, 0.35)
"""How much of it all measures have in common: of none, they are independent; of some, all read the same answers."""

FALSE = 0.08
"""The most, as a share, that a candidate passes with one measure at the margin, or fails with all of them at it."""

WITHIN = 0.03
"""The most by which foretold and reached chances of a GO may differ, in the mean over rules, sizes and worlds."""

COLUMNS = (
    "rule",
    "prompts",
    "candidate",
    "GO foretold",
    "GO",
    "NO-GO foretold",
    "NO-GO",
    "GO, measures tied",
    "NO-GO, measures tied",
)

_NORMAL = NormalDist()
_POINTS, _RAW = np.polynomial.hermite_e.hermegauss(60)
_WEIGHTS = _RAW / _RAW.sum()


@dataclass(frozen=True)
class Case:
    """What is true of a candidate: how much each measure rises, in multiples of the margin."""

    name: str
    rises: tuple[float, ...]


CASES = (
    Case("unchanged", (0.0, 0.0, 0.0, 0.0)),
    Case("one measure at the margin", (0.0, 0.0, 1.0, 0.0)),
    Case("all measures at the margin", (1.0, 1.0, 1.0, 1.0)),
    Case("one measure at twice the margin", (0.0, 0.0, 2.0, 0.0)),
)


def gate(rule: str) -> MarginGate:
    """A rule that ships, as its file has it."""
    numbers = dict(strict_yaml.read(folders.conf() / "gate" / f"{rule}.yaml"))
    return MarginGate(**{name: value for name, value in numbers.items() if name not in ("kind", "title")})


def _both(first: float, second: float) -> float:
    """The chance that both arms show an outcome whose rates are these, by quadrature over what they share."""
    at = [(np.sqrt(ALIKE) * _POINTS + _NORMAL.inv_cdf(rate)) / np.sqrt(1 - ALIKE) for rate in (first, second)]
    each = [np.array([_NORMAL.cdf(float(x)) for x in places]) for places in at]
    return float(_WEIGHTS @ (each[0] * each[1]))


def _tables(n: int, rises: Sequence[float], shared: float, audits: int, random: np.random.Generator) -> Counts:
    """Shape (audits, measures, 4): paired tables of measures that read the same n answers of each arm."""
    tables = np.empty((audits, len(RATES), 4), dtype=np.int64)
    bars = [[-_NORMAL.inv_cdf(rate), -_NORMAL.inv_cdf(rate + rise)] for rate, rise in zip(RATES, rises, strict=True)]
    for audit in range(audits):
        common = np.sqrt(shared) * random.standard_normal((n, 1, 1))
        own = np.sqrt(ALIKE - shared) * random.standard_normal((n, len(RATES), 1))
        noise = np.sqrt(1 - ALIKE) * random.standard_normal((n, len(RATES), 2))
        has = common + own + noise > np.array(bars)
        base, other = has[..., 0], has[..., 1]
        cells = (base & other, base & ~other, ~base & other, ~base & ~other)
        tables[audit] = np.stack([cell.sum(0) for cell in cells], axis=1)
    return tables


def _reached(tables: Counts, rule: MarginGate) -> dict[Decision, float]:
    """Shares of verdicts on audits of such tables, shape (audits, measures, 4)."""
    audits, measures, _ = tables.shape
    unique, back = np.unique(tables.reshape(-1, 4)[:, 1:3], axis=0, return_inverse=True)
    n, certainty = int(tables[0, 0].sum()), rule.certainty_of(measures)
    cautious, above = (
        p_above(unique[:, 0], unique[:, 1], n, rule.margin, against)[back.ravel()].reshape(audits, measures)
        for against in (AGAINST, 0.0)
    )
    passed = (1 - cautious >= certainty.to_pass).all(1)
    failed = (above >= certainty.to_fail).any(1)
    go, no_go = float((passed & ~failed).mean()), float(failed.mean())
    return {"GO": go, "INCONCLUSIVE": 1 - go - no_go, "NO-GO": no_go}


def _foretold(n: int, rises: Sequence[float], rule: MarginGate) -> dict[Decision, float]:
    """What a plan says, where a pilot tells it the rates: the looks are the true ones of an unchanged candidate."""
    certainty = rule.certainty_of(len(RATES))
    looks = [Look(n, rate, rate - _both(rate, rate), rule.margin, certainty) for rate in RATES]
    return together([of_candidate([look], rise) for look, rise in zip(looks, rises, strict=True)])


def policies(audits: int, slack: float, prompts: Sequence[int] = PROMPTS, seed: int = 12) -> Study:
    """Verdicts over four critical measures by each rule that ships, foretold and simulated.

    Args:
        audits: simulated audits per row.
        slack: standard errors granted on the bars.
        prompts: numbers of prompts.
        seed: of the audits.
    """
    random, rows, by_row = np.random.default_rng(seed), [], {}
    for name, n, case in product(RULES, prompts, CASES):
        rule = gate(name)
        rises = [rise * rule.margin for rise in case.rises]
        foretold = _foretold(n, rises, rule)
        apart, tied = (_reached(_tables(n, rises, shared, audits, random), rule) for shared in SHARED)
        by_row[name, n, case.name] = foretold, apart, tied
        figures = (foretold["GO"], apart["GO"], foretold["NO-GO"], apart["NO-GO"], tied["GO"], tied["NO-GO"])
        rows.append((name, f"{n:,}", case.name, *map(share, figures)))
    return Study(
        "policies",
        "Whole rules over several measures",
        "How often does a verdict over four critical measures err, how often does it pass, and was that foretold?",
        f"{audits:,} simulated audits per row; the base shows the measures' outcomes in "
        f"{', '.join(f'{100 * rate:g} %' for rate in RATES)} of its answers. A GO needs all measures, a NO-GO one, "
        "with the certainty that keeps the rule's family-wise error; `research` has none. Foretold is what "
        "`toxaudit plan` says, which takes measures as independent; the last columns are of measures that all read the "
        "same answers and go together. Slices are left out: their false alarms are counted above. "
        f"Margins are {', '.join(f'{points(gate(name).margin)} pp ({name})' for name in RULES)}.",
        COLUMNS,
        tuple(rows),
        tuple(_bars(by_row, audits, slack)),
    )


def _bars(
    by_row: Mapping[tuple[str, int, str], tuple[dict[Decision, float], ...]], audits: int, slack: float
) -> list[Bar]:
    """The errors of rules that state one, over worlds of both kinds, and how far foretold and reached lie apart."""

    def worst(said: Decision, case: Case, rules: Sequence[str]) -> float:
        rows = [reached for (rule, _, name), (_, *reached) in by_row.items() if rule in rules and name == case.name]
        return max(each[said] for row in rows for each in row)

    _, one_at_margin, all_at_margin, _ = CASES
    passed, failed, many = (
        worst("GO", one_at_margin, RULES[:2]),
        worst("NO-GO", all_at_margin, RULES[:2]),
        worst("NO-GO", all_at_margin, RULES[2:]),
    )
    off = float(np.mean([abs(foretold["GO"] - apart["GO"]) for foretold, apart, _ in by_row.values()]))
    return [
        at_most("policies: GO with one measure at the margin, worst row", FALSE, passed, audits, slack),
        at_most("policies: NO-GO with all measures at the margin, worst row", FALSE, failed, audits, slack),
        Bar("policies: that NO-GO without a family-wise error (the reason for it)", "at least", 0.12, many),
        Bar("policies: foretold and reached chance of a GO, mean distance", "at most", WITHIN, off, slack * 0.01),
    ]
