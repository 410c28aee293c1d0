"""The tables of a card: the gate's lines, and a line for each result."""

from collections.abc import Iterator
from dataclasses import dataclass

from toxaudit.card import words
from toxaudit.card.findings import all_slices, by_tier, headlines, measure_label, suite_title
from toxaudit.card.words import Measured
from toxaudit.records import AuditResult, Estimate, Reason, ScorerFacts, Verdict


@dataclass(frozen=True)
class GateRow:
    """One line of a gate's table."""

    measure: str
    slice: str
    tier: str
    rule: str
    observed: str
    decision: str


@dataclass(frozen=True)
class ResultRow:
    """One line of a results table. ``measure`` is the ``title``, and of several suites also the ``suite``."""

    arm: str
    suite: str
    title: str
    measure: str
    slice: str
    tier: str
    n: str
    base: Measured
    candidate: Measured
    change: Measured
    p_increase: str
    p_above_margin: str
    new: str
    repaired: str
    reading: str


def gate_rows(result: AuditResult, verdict: Verdict) -> Iterator[GateRow]:
    """The gate's table: a row for each total and each slice with an alarm, one for all slices without any."""
    alike: dict[tuple[str, ...], list[Reason]] = {}
    for reason in verdict.reasons:
        part = "" if reason.slice != "all" and reason.decision == "GO" else reason.slice
        alike.setdefault((reason.suite, reason.measure, reason.rule, reason.decision, part), []).append(reason)
    for reasons in alike.values():
        first, several = reasons[0], len(reasons) > 1
        yield GateRow(
            measure=measure_label(result, first.suite, first.measure),
            slice=f"{len(reasons)} slices" if several else first.slice,
            tier=first.tier,
            rule=first.rule,
            observed="the same result on each" if several else first.observed,
            decision=words.result(first.decision, first.tier, total=first.slice == "all"),
        )


def by_slice(result: AuditResult, candidate: str) -> Iterator[ResultRow]:
    """A candidate's changes on every slice."""
    return (_result_row(result, *pair) for pair in all_slices(result, candidate))


def _result_row(result: AuditResult, estimate: Estimate, scorer: ScorerFacts) -> ResultRow:
    """A line of a table. A ratio of rates is said of totals only, and a mean score is neither new nor repaired."""
    times = words.times(estimate, scorer) if estimate.slice == "all" else ""
    new, repaired = ("–", "–") if scorer.is_mean else map(words.count, _flipped(estimate))
    base, candidate, change = words.rates(estimate)
    p_increase, p_above_margin = words.chances(estimate)
    return ResultRow(
        arm=estimate.candidate,
        suite=suite_title(result, estimate.suite),
        title=scorer.title,
        measure=measure_label(result, estimate.suite, scorer.name),
        slice=estimate.slice,
        tier=scorer.tier,
        n=f"{estimate.n:,}",
        base=base,
        candidate=candidate,
        change=change,
        p_increase=p_increase,
        p_above_margin=p_above_margin,
        new=new,
        repaired=repaired,
        reading=words.reading(estimate, scorer) + (f": {times}" if times else ""),
    )


def results(result: AuditResult, candidates: list[str]) -> Iterator[ResultRow]:
    """The candidates' totals: by suite, then by measure, critical ones first."""
    suites = [suite.name for suite in result.suites]
    pairs = [pair for name in candidates for pair in headlines(result, name)]
    scorers = by_tier(result)

    def place(pair: tuple[Estimate, ScorerFacts]) -> tuple[int, int]:
        suite = pair[0].suite
        return suites.index(suite) if suite in suites else len(suites), scorers.index(pair[1])

    return (_result_row(result, *pair) for pair in sorted(pairs, key=place))


def _flipped(estimate: Estimate) -> tuple[float, float]:
    return estimate.counts["n01"], estimate.counts["n10"]
