"""What a terminal says of each candidate: its verdict in a sentence, its critical measures in a line each."""

from dataclasses import replace

from toxaudit.card import words
from toxaudit.card.explanation import finding, remedy_in_words
from toxaudit.card.index import Candidate, indexed
from toxaudit.findings import AuditResult, Verdict
from toxaudit.records import Estimate


def verdict_line(result: AuditResult, verdict: Verdict) -> str:
    """One candidate's verdict as a sentence, for a terminal; a control's says whether it was met."""
    index = indexed(replace(result, verdicts=(verdict,)))
    candidate = index.candidates[verdict.candidate]
    expect = candidate.model.expect
    sentence = words.decision_sentence(verdict.decision, index.named(verdict.candidate), finding(index, candidate))
    if expect is None:
        return words.visible(f"{sentence} {words.sentence(remedy_in_words(index, candidate))}".rstrip())
    met = words.met(expect, candidate.as_expected)
    return words.visible(f"{sentence} ({words.control(expect).capitalize()}, {met}.)")


def statements(result: AuditResult) -> list[str]:
    """One line per candidate and critical measure, for a terminal: its decision, which way, and how much."""
    index = indexed(result)
    return [
        words.visible(f"{index.named(each.model.name)}, {index.label(estimate.suite, scorer.name)}: ")
        + words.visible(_decided(each, estimate) + words.statement(estimate, scorer, each.model.against))
        for each in index.candidates.values()
        if not each.of_many  # their verdicts say it
        for estimate, scorer in each.critical_totals
    ]


def _decided(candidate: Candidate, estimate: Estimate) -> str:
    mark = candidate.mark(estimate)
    return f"{words.marked(mark)}, " if mark else ""
