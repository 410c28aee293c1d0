"""What an audit can tell before it spends anything: the smallest rise that it finds, how it will probably decide."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, repeat
from operator import mul
from pathlib import Path

from toxaudit.decision.assurance import WANTED_CHANCE
from toxaudit.decision.beforehand import CORRELATION, Look, of_candidate, smallest_found
from toxaudit.decision.gate import MarginGate
from toxaudit.decision.reasons import percent
from toxaudit.errors import ToxauditError
from toxaudit.records import OBSERVED, Asked, Estimate
from toxaudit.results.reading import read_result
from toxaudit.spec.schema import AuditSpec

ASSUMED_RATES = (0.01, 0.05, 0.2)
"""Rates of the base, in 0..1, for which chances are told where no pilot says how often it shows an outcome."""

LITTLE_CHANCE = 0.5
"""A chance of a GO for a candidate that did not change, below which the plan warns."""

MOST_PROMPTS = 20_000
"""Prompts beyond which no number of them is named."""

UNCHANGED = "a candidate that did not change"


def describe(spec: AuditSpec, asked: Mapping[str, Asked], counts: Mapping[str, int], pilot: Path | None) -> list[str]:
    """Lines of the plan: chances for a candidate that did not change and for a worse one; none where none can be told.

    Args:
        spec: the audit's.
        asked: the suites whose prompts are on this machine.
        counts: suite -> its prompts, as far as they are known.
        pilot: the folder of a finished run whose rates are taken; None to assume rates.

    Raises:
        ToxauditError: if the pilot can't be read, or measured nothing that decides here.
    """
    if not isinstance(spec.gate, MarginGate):
        return []
    asked_of = spec.critical()
    critical = list(asked_of)
    sizes = {suite: _size(counts[suite], asked.get(suite)) for suite, _ in critical if counts.get(suite)}
    tabular = [each for each in critical if spec.scorers[each[1]].threshold is not None]  # no mean scores
    piloted = _piloted(pilot, critical) if pilot else {}
    short = _too_few(spec, counts)
    if not sizes:
        return short
    told = [(suite, name) for suite, name in tabular if suite in sizes]
    looks = sum(limits.looks for limits in asked_of.values())
    needed = {
        place: (limits.margin, spec.gate.certainty_of(looks, limits.certainty)) for place, limits in asked_of.items()
    }
    columns = {
        percent(rate): [Look.assumed(sizes[place[0]], rate, *needed[place]) for place in told] for rate in ASSUMED_RATES
    }
    if pilot:
        known = [each for each in told if each in piloted]
        columns = {"as the pilot has it": [Look(sizes[each[0]], *piloted[each], *needed[each]) for each in known]}
        told = known or told
    if not any(columns.values()):
        return short
    table, caution = _table(columns)
    if caution:
        rate = list(columns)[len(columns) // 2]
        caution += _limiting(dict(zip(told, columns[rate], strict=True)), rate)
    more = any(limits.looks > 1 for limits in asked_of.values())
    return [*table, *_notes(told, critical, sizes, asked, pilot, more), *caution, *short]


def _too_few(spec: AuditSpec, counts: Mapping[str, int]) -> list[str]:
    """A line for each measure that counts and of whose suite fewer prompts are asked than can decide."""
    return [
        f"  Caution: {suite} has {counts[suite]:,} prompts, and {name} needs {limits.min_prompts:,} on it: with fewer, "
        "no candidate can be a GO."
        for (suite, name), limits in spec.counting().items()
        if 0 < counts.get(suite, 0) < limits.min_prompts
    ]


def _size(count: int, asked: Asked | None) -> int:
    """The pairs that prompts are worth: of templates that several prompts vary, each counts once."""
    clusters = asked.facts.clusters if asked else None
    return min(count, clusters or count)


def _piloted(pilot: Path, critical: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[float, float]]:
    """(suite, measure) -> the base's rate and the share of prompts that a candidate repaired, at most, in a pilot."""
    result = read_result(pilot)
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for each in result.estimates:
        if (each.slice, each.variant) == ("all", OBSERVED) and each.n and "n10" in each.counts:
            rate, repaired = _rates(each)
            key = (each.suite, each.measure)
            found[key] = (rate, max(repaired, found.get(key, (0.0, 0.0))[1]))
    if not found.keys() & set(critical):
        raise ToxauditError(
            f"--pilot: {pilot} measured none of what decides here ({_named(critical)}): name a run of this audit with "
            "fewer prompts, or leave the pilot out."
        )
    return found


def _rates(each: Estimate) -> tuple[float, float]:
    """The base's rate, and what was repaired: half a prompt is added, so that neither is nought for want of prompts."""
    repaired = (each.counts["n10"] + 0.5) / (each.n + 1)
    return max((each.counts["n11"] + each.counts["n10"] + 0.5) / (each.n + 1), repaired), repaired


def _table(columns: Mapping[str, Sequence[Look]]) -> tuple[list[str], list[str]]:
    """A column for each rate: chances of each verdict, then the smallest rise that is found; and warnings."""
    fewest = min((look for looks in columns.values() for look in looks), key=lambda look: look.n)
    twice = 2 * fewest.margin
    rows: dict[str, list[str]] = {UNCHANGED: [], f"one that rises by {100 * twice:g} pp in one measure": []}
    smallest: list[str] = []
    warned = []
    for name, looks in columns.items():
        unchanged = of_candidate(looks, 0.0)
        for row, chance in zip(rows, (unchanged, of_candidate(looks, twice)), strict=True):
            rows[row].append(" / ".join(f"{chance[said]:.2f}" for said in ("GO", "INCONCLUSIVE", "NO-GO")))
        rise = smallest_found(looks)
        smallest.append("none" if rise is None else f"{100 * rise:+.1f} pp")
        warned += [name] if unchanged["GO"] < LITTLE_CHANCE else []
    rows[f"smallest rise found {10 * WANTED_CHANCE:.0f} times in 10"] = smallest
    lines = ["  What it can tell, by how often the base shows the outcome (GO / INCONCLUSIVE / NO-GO):"]
    for name, cells in (("", list(columns)), *rows.items()):
        lines.append(f"    {name:<42}" + "".join(f"{cell:>22}" for cell in cells))
    where = "the pilot's rates" if len(columns) == 1 else " or ".join(", ".join(warned).rsplit(", ", 1))
    caution = (
        f"  Caution: at {where}, even {UNCHANGED} will probably get no GO: ask more prompts, or choose a wider margin "
        "or fewer critical measures."
    )
    return lines, [caution] if warned else []


def _limiting(looks: Mapping[tuple[str, str], Look], rate: str) -> list[str]:
    """A line on the measure that most keeps an unchanged candidate from a GO, and how many prompts it needs."""
    chance = {place: look.chances(0.0)["GO"] for place, look in looks.items()}
    (suite, name), passed = min(chance.items(), key=lambda found: found[1])
    if passed >= WANTED_CHANCE:
        return []
    look = looks[suite, name]
    if _passes(look, MOST_PROMPTS):
        sizes = map(round, accumulate(repeat(1.25), mul, initial=float(look.n)))
        more = f"about {_rounded(next(n for n in sizes if n >= MOST_PROMPTS or _passes(look, n))):,} would do"
    else:
        more = f"even {MOST_PROMPTS:,} would not do"
    return [
        f"  Most of that is due to {suite}: with {look.n:,} prompts, {name} passes {UNCHANGED} with probability "
        f"{passed:.2f}; for {WANTED_CHANCE:g} {more} (the base's rate as in the column {rate})."
    ]


def _passes(look: Look, prompts: int) -> bool:
    """Whether a measure with so many prompts passes an unchanged candidate often enough."""
    return replace(look, n=prompts).chances(0.0)["GO"] >= WANTED_CHANCE


def _rounded(number: int) -> int:
    """Up to two digits that count."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit


def _notes(
    told: Sequence[tuple[str, str]],
    critical: Sequence[tuple[str, str]],
    sizes: Mapping[str, int],
    asked: Mapping[str, Asked],
    pilot: Path | None,
    more: bool,
) -> list[str]:
    """On what the chances rest; ``more`` limits than the margin are no part of them."""
    prompts = sorted({sizes[suite] for suite, _ in told})
    size = f"{prompts[0]:,}" if len(prompts) == 1 else f"{prompts[0]:,} to {prompts[-1]:,}"
    several = "s, taken as independent," if len(told) > 1 else ""
    rest = [f"{len(told)} critical measure{several} with {size} prompts, none missing"]
    rest.append(f"rates of {pilot}" if pilot else f"the arms' outcomes correlate at {CORRELATION:g}")
    if more:
        rest.append("caps and ratios are not counted")
    if any(asked[suite].facts.clusters for suite, _ in told if suite in asked):
        rest.append("a template counts as one prompt")
    if absent := [each for each in critical if each not in told]:
        rest.append(f"without {_named(absent)}, of which too little is known")
    return [f"    ({'; '.join(rest)}; slices are not counted)"]


def _named(measures: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} on {suite}" for suite, name in measures)
