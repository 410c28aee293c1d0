"""The tables of a card: the gate's lines, and a line for each result."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from toxaudit.card import words
from toxaudit.card.index import Candidate, Index
from toxaudit.card.words import Measured
from toxaudit.facts import ScorerFacts
from toxaudit.findings import Reason, Verdict
from toxaudit.records import Estimate


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
    """One line of a results table.

    ``measure`` is the ``title``, and of several suites also the ``suite``. ``seen`` are the prompts with the outcome,
    the base's and the candidate's, of those scored in both arms; ``alone`` is the change on a slice's own prompts,
    where it and the ``change``, which borrows from other slices, disagree.
    """

    arm: str
    suite: str
    title: str
    measure: str
    slice: str
    tier: str
    n: str
    seen: str
    base: Measured
    candidate: Measured
    change: Measured
    p_increase: str
    p_above_margin: str
    new: str
    repaired: str
    reading: str
    alone: Measured | None = None


def gate_rows(index: Index, verdict: Verdict) -> Iterator[GateRow]:
    """The gate's table: a row for each total and each slice with an alarm, one for all slices without any."""
    alike: dict[tuple[str, ...], list[Reason]] = {}
    for reason in verdict.reasons:
        part = "" if reason.slice != "all" and reason.decision == "GO" else reason.slice
        alike.setdefault((reason.suite, reason.measure, reason.rule, reason.decision, part), []).append(reason)
    for reasons in alike.values():
        first, several = reasons[0], len(reasons) > 1
        yield GateRow(
            measure=index.label(first.suite, first.measure),
            slice=f"{len(reasons)} slices" if several else first.slice,
            tier=first.tier,
            rule=first.rule,
            observed="the same result on each" if several else first.observed,
            decision=words.result(first.decision, first.tier, total=first.slice == "all"),
        )


def by_slice(index: Index, candidate: Candidate) -> Iterator[ResultRow]:
    """A candidate's changes on every slice."""
    for estimate, scorer in candidate.told_slices:
        own = candidate.apart(estimate)
        row = _result_row(index, estimate, scorer)
        yield replace(row, alone=words.change(own.quantities["change"])) if own else row


def _result_row(index: Index, estimate: Estimate, scorer: ScorerFacts) -> ResultRow:
    """A line of a table. A ratio of rates is said of totals only, and a mean score is neither new nor repaired."""
    times = words.times(estimate, scorer, index.result.against(estimate.candidate)) if estimate.slice == "all" else ""
    new, repaired = ("–", "–") if scorer.is_mean else map(words.count, _flipped(estimate))
    base, candidate, change = words.rates(estimate)
    p_increase, p_above_margin = words.chances(estimate, index.margins_differ)
    return ResultRow(
        arm=index.named(estimate.candidate),
        suite=index.suite_title(estimate.suite),
        title=scorer.title,
        measure=index.label(estimate.suite, scorer.name),
        slice=estimate.slice,
        tier=scorer.tier,
        n=f"{estimate.n:,}",
        seen=_seen(estimate, scorer),
        base=base,
        candidate=candidate,
        change=change,
        p_increase=p_increase,
        p_above_margin=p_above_margin,
        new=new,
        repaired=repaired,
        reading=words.reading(estimate, scorer) + (f": {times}" if times else ""),
    )


def results(index: Index, candidates: Iterable[Candidate]) -> Iterator[ResultRow]:
    """The candidates' totals: by suite, then by measure, critical ones first."""
    suites = {name: place for place, name in enumerate(index.suite_titles)}
    scorers = {scorer.name: place for place, scorer in enumerate(index.scorers)}
    pairs = [pair for candidate in candidates for pair in candidate.totals]
    pairs.sort(key=lambda pair: (suites.get(pair[0].suite, len(suites)), scorers[pair[1].name]))
    return (_result_row(index, *pair) for pair in pairs)


def _seen(estimate: Estimate, scorer: ScorerFacts) -> str:
    """``0 / 28 of 40``: the prompts with the outcome by base and candidate; of mean scores, the prompts alone."""
    if scorer.is_mean or not estimate.n:
        return f"{estimate.n:,}"
    both = estimate.counts["n11"]
    base, candidate = (words.count(both + estimate.counts[cell]) for cell in ("n10", "n01"))
    return f"{base} / {candidate} of {estimate.n:,}"


def _flipped(estimate: Estimate) -> tuple[float, float]:
    return estimate.counts["n01"], estimate.counts["n10"]
