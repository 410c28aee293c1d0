"""What an audit can tell before it spends anything: the smallest rise that it finds, how it will probably decide."""

from collections.abc import Mapping, Sequence
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
    critical = [(suite, name) for suite, each in spec.suites.items() for name in _critical(spec, each.scorers)]
    sizes = {suite: _size(counts[suite], asked.get(suite)) for suite, _ in critical if counts.get(suite)}
    tabular = [each for each in critical if spec.scorers[each[1]].threshold is not None]  # no mean scores
    piloted = _piloted(pilot, critical) if pilot else {}
    if not sizes:
        return []
    told = [(suite, name) for suite, name in tabular if suite in sizes]
    columns = {percent(rate): [Look.assumed(sizes[suite], rate) for suite, _ in told] for rate in ASSUMED_RATES}
    if pilot:
        known = [each for each in told if each in piloted]
        columns = {"as the pilot has it": [Look(sizes[suite], *piloted[suite, name]) for suite, name in known]}
        told = known or told
    if not any(columns.values()):
        return []
    table, caution = _table(spec.gate, columns, len(critical))
    return [*table, *_notes(told, critical, sizes, asked, pilot), *caution]


def _critical(spec: AuditSpec, scorers: Sequence[str]) -> list[str]:
    return [name for name in scorers if spec.scorers[name].tier == "critical"]


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


def _table(gate: MarginGate, columns: Mapping[str, Sequence[Look]], measures: int) -> tuple[list[str], list[str]]:
    """A column for each rate: chances of each verdict, then the smallest rise that is found; and warnings."""
    certainty, twice = gate.certainty_of(measures), 2 * gate.margin
    rows: dict[str, list[str]] = {UNCHANGED: [], f"one that rises by {100 * twice:g} pp in one measure": []}
    smallest: list[str] = []
    warned = []
    for name, looks in columns.items():
        unchanged = of_candidate(looks, 0.0, gate.margin, certainty)
        for row, chance in zip(rows, (unchanged, of_candidate(looks, twice, gate.margin, certainty)), strict=True):
            rows[row].append(" / ".join(f"{chance[said]:.2f}" for said in ("GO", "INCONCLUSIVE", "NO-GO")))
        rise = smallest_found(looks, gate.margin, certainty)
        smallest.append("none" if rise is None else f"{100 * rise:+.1f} pp")
        warned += [name] if unchanged["GO"] < LITTLE_CHANCE else []
    rows[f"smallest rise found {10 * WANTED_CHANCE:.0f} times in 10"] = smallest
    lines = ["  What it can tell, by how often the base shows the outcome (GO / INCONCLUSIVE / NO-GO):"]
    for name, cells in (("", list(columns)), *rows.items()):
        lines.append(f"    {name:<42}" + "".join(f"{cell:>22}" for cell in cells))
    where = "the pilot's rates" if len(columns) == 1 else " or ".join(", ".join(warned).rsplit(", ", 1))
    caution = (
        f"  Caution: at {where}, {UNCHANGED} more probably gets no GO: ask more prompts, or choose a wider margin or "
        "fewer critical measures."
    )
    return lines, [caution] if warned else []


def _notes(
    told: Sequence[tuple[str, str]],
    critical: Sequence[tuple[str, str]],
    sizes: Mapping[str, int],
    asked: Mapping[str, Asked],
    pilot: Path | None,
) -> list[str]:
    """On what the chances rest."""
    prompts = sorted({sizes[suite] for suite, _ in told})
    size = f"{prompts[0]:,}" if len(prompts) == 1 else f"{prompts[0]:,} to {prompts[-1]:,}"
    several = "s, taken as independent," if len(told) > 1 else ""
    rest = [f"{len(told)} critical measure{several} with {size} prompts, none missing"]
    rest.append(f"rates of {pilot}" if pilot else f"the arms' outcomes correlate at {CORRELATION:g}")
    if any(asked[suite].facts.clusters for suite, _ in told if suite in asked):
        rest.append("a template counts as one prompt")
    if absent := [each for each in critical if each not in told]:
        rest.append(f"without {_named(absent)}, of which too little is known")
    return [f"    ({'; '.join(rest)}; slices are not counted)"]


def _named(measures: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} on {suite}" for suite, name in measures)
