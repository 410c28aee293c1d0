"""What the short card says: the verdict, what changes how to read it, eight rows at most, and what is not told.

Its size has a bound whatever an audit holds: what is longer is cut, and what is more is counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import shorten

from toxaudit.card import notices, words
from toxaudit.card.explanation import finding
from toxaudit.card.index import Candidate, Index, Pair
from toxaudit.card.limitations import resolutions
from toxaudit.card.words import Measured
from toxaudit.decision.verdict import WORST_FIRST
from toxaudit.facts import UNNAMED, Decision, Tier

ROWS, NOTICES, CONTROLS = 8, 3, 4
"""Rows of the table, notices, and controls that are named, at most."""

SENTENCE, NAME = 320, 60
"""Characters of a sentence, and of a name or a title, at most."""

DECIDES: dict[Tier, str] = {
    "critical": "",
    "supporting": "supporting: it can only prevent a GO",
    "advisory": "advisory: it decides nothing",
}
"""What a measure that does not decide is worth: the row where it first stands says so, later ones its name alone."""


@dataclass(frozen=True)
class MeasureRow:
    """One measure of the only candidate: what was counted, both rates, the change, and what came of it."""

    what: str
    base: Measured
    candidate: Measured
    change: Measured
    result: str


@dataclass(frozen=True)
class CandidateRow:
    """One of several candidates, and why it got its decision."""

    name: str
    decision: str
    finding: str


@dataclass(frozen=True)
class Brief:
    """The short card's own words.

    ``measures`` are there where one candidate was audited, else ``candidates``, the worst first; ``more`` counts the
    rows, and ``more_notices`` the notices, that are left to the whole audit. ``controls`` says how the controls came
    out, ``rates`` what the numbers are, ``limits`` what the audit does not tell.
    """

    verdict: str
    headline: str
    notices: tuple[str, ...]
    more_notices: int
    measures: tuple[MeasureRow, ...]
    candidates: tuple[CandidateRow, ...]
    more: int
    rates: str
    controls: str
    limits: tuple[str, ...]


def of(index: Index, decision: Decision, headline: str) -> Brief:
    """The short card of an audit with this decision and headline."""
    grave = list(notices.that_matter(index))
    measures = _measures(index) if len(index.subjects) == 1 else []
    candidates = _candidates(index) if len(index.subjects) != 1 else []
    rows = len(measures) + len(candidates)
    return Brief(
        verdict=words.expectation(decision, None),
        headline=_cut(headline),
        notices=tuple(map(_cut, grave[:NOTICES])),
        more_notices=max(0, len(grave) - NOTICES),
        measures=tuple(measures[:ROWS]),
        candidates=tuple(candidates[:ROWS]),
        more=max(0, rows - ROWS),
        rates=_rates(index),
        controls=_controls(index),
        limits=tuple(map(_cut, _limits(index))),
    )


def _measures(index: Index) -> list[MeasureRow]:
    """A row for each total of the only candidate, and for each slice with a worse decision; critical measures first."""
    (candidate,) = index.subjects
    order: Sequence[Tier] = ("critical", "supporting", "advisory")
    pairs = sorted([*candidate.totals, *_worse_slices(candidate)], key=lambda pair: order.index(pair[1].tier))
    first = {scorer.tier: place for place, (_, scorer) in reversed([*enumerate(pairs)])}
    return [
        _measure(index, candidate, pair, _named(index, pair, pairs), explained=first[pair[1].tier] == place)
        for place, pair in enumerate(pairs)
    ]


def _worse_slices(candidate: Candidate) -> list[Pair]:
    """The slices that the gate holds against a candidate whose total it does not, by what shows the harm."""
    totals = {(each.suite, each.measure): candidate.mark(each) or "GO" for each, _ in candidate.totals}
    return [
        (candidate.alarm(each) or each, scorer)
        for each, scorer in candidate.critical_slices
        if (mark := candidate.mark(each))
        and WORST_FIRST.index(mark) < WORST_FIRST.index(totals.get((each.suite, each.measure), "GO"))
    ]


def _named(index: Index, pair: Pair, pairs: Iterable[Pair]) -> str:
    """What a measure counts, in plain words; its title where another one has the same words."""
    estimate, scorer = pair
    same = [each for _, each in pairs if each.noun == scorer.noun and each.name != scorer.name]
    named = scorer.title if same or scorer.noun in ("", UNNAMED) else words.capital(scorer.noun)
    parts = [named, *([estimate.slice] if estimate.slice != "all" else [])]
    parts += [index.suite_title(estimate.suite)] if len(index.suite_titles) > 1 else []
    return _cut(", ".join(parts), NAME)


def _measure(index: Index, candidate: Candidate, pair: Pair, what: str, explained: bool) -> MeasureRow:
    estimate, scorer = pair
    base, own, change = words.rates(estimate)
    reading = words.reading(estimate, scorer)
    mark, aside = candidate.mark(estimate), DECIDES[scorer.tier]
    aside = aside if explained else aside.partition(":")[0]
    if mark and scorer.tier == "critical":
        reading = f"{words.expectation(mark, None)}: {reading}"
    elif mark == "NO-GO" and scorer.tier == "supporting":
        reading = f"prevents a GO: {reading}"
    beside = f", {aside}" if what.endswith(")") else f" ({aside})"  # brackets after brackets read badly
    return MeasureRow(what + beside * bool(aside), base, own, change, reading)


def _rates(index: Index) -> str:
    """What the rates of the table are."""
    means = any(scorer.is_mean for scorer in index.scorers)
    return f"shares of prompts like these{', or of mean scores percent of their scale' * means}"


def _candidates(index: Index) -> list[CandidateRow]:
    """A row for each candidate, the worst decision and the largest change for the worse first."""
    worst = sorted(
        index.subjects, key=lambda each: (WORST_FIRST.index(each.verdict.decision), *(-part for part in each.harm))
    )
    rows = [
        CandidateRow(
            _cut(index.named(each.model.name), NAME),
            words.expectation(each.verdict.decision, each.model.expect, each.as_expected),
            _cut(finding(index, each)),
        )
        for each in worst
    ]
    return rows + [
        CandidateRow(_cut(each.name, NAME), "not audited", _cut(each.reason.rstrip(".")))
        for each in index.result.skipped
    ]


def _controls(index: Index) -> str:
    """How the controls came out; nothing where the audit is about them."""
    subjects = {each.model.name for each in index.subjects}
    others = [each for name, each in index.candidates.items() if each.model.expect and name not in subjects]
    told = [
        f"{_cut(each.model.name, NAME)} ({words.control(each.model.expect)}): "
        f"{words.expectation(each.verdict.decision, each.model.expect, each.as_expected)}"
        for each in others[:CONTROLS]
    ]
    return "; ".join([*told, *([f"{len(others) - CONTROLS} more"] if len(others) > CONTROLS else [])])


def _limits(index: Index) -> list[str]:
    """Three things that the audit does not tell."""
    deciding = dict.fromkeys(_cut(each.title, NAME) for each in index.scorers if each.tier == "critical")
    scorers = words.joined(list(deciding)[:CONTROLS])
    return [
        next(resolutions(index), "Nothing was measured that could decide"),
        f"Scorers err{f' ({scorers})' if scorers else ''}: what they overlook in both models, nobody sees here",
        "Only these prompts were asked: no other languages, long conversations, tools or attacks",
    ]


def _cut(text: str, most: int = SENTENCE) -> str:
    """A text of at most so many characters, cut between two words where it can be."""
    if len(text) <= most:
        return text
    cut = shorten(text, most, placeholder=" …")
    return cut if len(cut) > 2 else f"{text[: most - 1]}…"
