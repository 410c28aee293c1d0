"""What the short card says: the verdict, what changes how to read it, eight rows at most, and what is not told.

Its size has a bound whatever an audit holds: what is longer is cut, and what is more is counted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from toxaudit.card import notices, words
from toxaudit.card.brief_measures import NAME, MeasureRow, cut, decided, pairs_of, row, worth
from toxaudit.card.explanation import finding
from toxaudit.card.index import Candidate, Index
from toxaudit.card.limitations import unseen
from toxaudit.decision.sentence import by_margin
from toxaudit.decision.verdict import WORST_FIRST
from toxaudit.elsewhere import IMPORTED
from toxaudit.facts import BASE_ARM, Decision, ModelFacts, the
from toxaudit.findings import AuditResult
from toxaudit.gate_facts import GateFacts

ROWS, NOTICES, CONTROLS, SUITES, REFERENCES = 8, 3, 4, 3, 3
"""Rows of the table, notices, controls, suites and arms that are compared with, at most, that are named."""

SENTENCE = 320
"""Characters of a sentence at most."""


@dataclass(frozen=True)
class Weights:
    """An arm of the audit, as far as the short card tells: ``said`` is how it was made, in words or by a reference.

    ``name`` is empty for the base. ``stamp`` says what ``identity`` is: a commit, or the SHA-256 of what was loaded;
    it is empty where ``identity`` says so itself.
    """

    name: str
    said: str
    reference: str
    stamp: str
    identity: str


@dataclass(frozen=True)
class CandidateRow:
    """One of several candidates, the identity of its weights, and why it got its decision."""

    name: str
    identity: str
    decision: str
    finding: str


@dataclass(frozen=True)
class Brief:
    """The short card's own words.

    ``rule`` says what GO, NO-GO and INCONCLUSIVE need. ``candidate`` is there where one candidate was audited, and so
    are ``measures``; else ``candidates``, the worst first. ``compared_with`` are the arms that changes are told from.
    ``more`` counts the rows, and ``more_notices`` the notices, that are left to the whole audit. ``worth`` says which
    measures decide, ``controls`` how the controls came out, ``rates`` what the numbers are, ``asked`` what was asked,
    ``limits`` what the audit does not tell.
    """

    verdict: str
    headline: str
    notices: tuple[str, ...]
    more_notices: int
    rule: str
    candidate: Weights | None
    compared_with: tuple[Weights, ...]
    asked: str
    measures: tuple[MeasureRow, ...]
    candidates: tuple[CandidateRow, ...]
    more: str
    worth: str
    rates: str
    controls: str
    limits: tuple[str, ...]


def of(index: Index, decision: Decision, headline: str) -> Brief:
    """The short card of an audit with this decision and headline."""
    grave = list(notices.that_matter(index))
    only = index.subjects[0] if len(index.subjects) == 1 else None
    pairs = pairs_of(only)[:ROWS] if only else []
    candidates = [] if only else _candidates(index)
    references = dict.fromkeys(each.model.against for each in index.subjects) or {BASE_ARM: None}
    return Brief(
        verdict=words.marked(decision),
        headline=_short(headline),
        notices=tuple(map(_short, grave[:NOTICES])),
        more_notices=max(0, len(grave) - NOTICES),
        rule=_rule(index.result.gate),
        candidate=_weights(only.model) if only else None,
        compared_with=tuple(_weights(index.result.arms[name]) for name in [*references][:REFERENCES]),
        asked=_asked(index.result),
        measures=tuple(row(index, only, pair, pairs) for pair in pairs) if only else (),
        candidates=tuple(candidates[:ROWS]),
        more=_more(index, only, candidates),
        worth=worth(pairs),
        rates=_rates(index),
        controls=_controls(index),
        limits=tuple(map(_short, _limits(index))),
    )


def _rule(gate: GateFacts) -> str:
    """What the three decisions need, in short; of a rule of another kind than a margin, its own words."""
    if not by_margin(gate):
        return f"The rule: {_short(gate.rule.rstrip('.'))}."
    margin, certainty = words.points(gate.margin), f"{gate.certainty:g}"
    more = " There are further limits, which the whole audit tells." if gate.rules or gate.cap is not None else ""
    return (
        f"For a GO, each measure that decides must rise by less than {margin} with probability {certainty} or more. "
        "For a NO-GO, one of them must rise by more, in total or in a slice, with at least that probability. "
        f"INCONCLUSIVE is neither, and no pass: the evidence is too weak, or the audit itself failed.{more}"
    )


def _weights(model: ModelFacts) -> Weights:
    """An arm's name, and what tells its weights from all others."""
    said = {
        "trained": "tuned within this audit",
        "control": f"{the(model.against)} once more",
        "served": "answered by a server, whose weights nobody saw",
        IMPORTED: "answered elsewhere",
    }.get(model.kind, "")
    stamp = "" if model.server or model.kind == IMPORTED else "commit" if model.revision else "SHA-256"
    reference = "" if said else words.reference(model.reference)
    return Weights("" if model.name == BASE_ARM else model.name, said, reference, stamp, words.identity(model))


def _asked(result: AuditResult) -> str:
    """How many prompts of which suites."""
    told = [f"{each.n:,} prompts of “{cut(each.title, NAME)}”" for each in result.suites[:SUITES]]
    rest = len(result.suites) - SUITES
    return words.joined([*told, f"{rest} more suite{'s' * (rest > 1)}"] if rest > 0 else told)


def _more(index: Index, only: Candidate | None, candidates: Sequence[CandidateRow]) -> str:
    """What is left to the whole audit, of measures or of candidates."""
    if only:
        rest = len(pairs_of(only)) - ROWS
        return f"{rest} more measure{'s are' if rest > 1 else ' is'} in the whole audit" if rest > 0 else ""
    left = Counter(each.decision for each in candidates[ROWS:])
    counted = words.joined([f"{n:,} {decision}" for decision, n in left.items()])
    return f"The worst candidates stand here; {left.total():,} more are in the whole audit: {counted}" if left else ""


def _rates(index: Index) -> str:
    """What the rates of the table are."""
    means = any(scorer.is_mean for scorer in index.scorers)
    return f"shares of prompts{', and mean scores are in percent of their scale' * means}"


def _candidates(index: Index) -> list[CandidateRow]:
    """A row for each candidate, the worst decision and the largest change for the worse first."""
    worst = sorted(
        index.subjects, key=lambda each: (WORST_FIRST.index(each.verdict.decision), *(-part for part in each.harm))
    )
    rows = [
        CandidateRow(
            cut(index.named(each.model.name), NAME),
            words.identity(each.model),
            words.expectation(each.verdict.decision, each.model.expect, each.as_expected)
            if each.model.expect
            else decided(index, each.verdict.decision),
            _short(finding(index, each)),
        )
        for each in worst
    ]
    return rows + [
        CandidateRow(cut(each.name, NAME), "", "not audited", _short(each.reason.rstrip(".")))
        for each in index.result.skipped
    ]


def _controls(index: Index) -> str:
    """How the controls came out; nothing where the audit is about them."""
    subjects = {each.model.name for each in index.subjects}
    others = [each for name, each in index.candidates.items() if each.model.expect and name not in subjects]
    told = [
        f"{cut(each.model.name, NAME)} ({words.control(each.model.expect)}): "
        f"{words.expectation(each.verdict.decision, each.model.expect, each.as_expected)}"
        for each in others[:CONTROLS]
    ]
    return "; ".join([*told, *([f"{len(others) - CONTROLS} more"] if len(others) > CONTROLS else [])])


def _limits(index: Index) -> list[str]:
    """Three things that the audit does not tell."""
    deciding = dict.fromkeys(cut(each.title, NAME) for each in index.scorers if each.tier == "critical")
    scorers = words.joined([*deciding][:CONTROLS]) or "a scorer"
    return [
        next(unseen(index), "Everything: nothing was measured that could decide"),
        f"Errors of scorers: harm that is missed by {scorers} does not show here",
        "Anything that was not asked, such as other languages, long conversations, tools and attacks",
    ]


def _short(sentence: str) -> str:
    return cut(sentence, SENTENCE)
