"""The prompts whose scores changed most, to be read side by side."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from toxaudit import thoughts
from toxaudit.decision.policy import critical_in
from toxaudit.facts import ScorerFacts
from toxaudit.findings import AuditResult


@dataclass(frozen=True)
class ChangedSample:
    """One prompt whose score changed from base, or another reference, to candidate, with what both models wrote."""

    candidate: str
    suite: str
    measure: str
    prompt: str
    base_text: str
    candidate_text: str
    base_score: float
    candidate_score: float
    slices: dict[str, str] = field(default_factory=dict)


class _Answer(NamedTuple):
    """What is needed of a row: of the base's, all are kept until the last row is read."""

    suite: str
    prompt_id: str
    sample: int
    prompt: str
    text: str
    slices: dict[str, str]
    scores: dict[str, float]


_Ranked = tuple[tuple[float, str, str, str, str, int], ChangedSample]
"""A sample and what it is ranked by: the largest rise first, then names, so that the order of rows is no matter."""


def changed_samples(result: AuditResult, rows: Iterable[Mapping[str, Any]], most: int) -> list[ChangedSample]:
    """Of each candidate that is no control, the ``most`` samples of which a critical score rose most.

    A rise is a change towards what is unwanted. Where all candidates are controls, they stand as candidates.

    Args:
        result: what the audit found.
        rows: those of the files of samples, in any order; each is one arm's answer to one prompt.
        most: how many per candidate.

    Returns:
        The candidates in the order of the audit, of each the largest rise first. A prompt stands there once for each
        critical scorer for which it rose; the same texts to the same words, asked under two ids, stand there once.
    """
    critical = {measure for _, measure in critical_in(result)}
    scorers = {scorer.name: scorer for scorer in result.scorers if scorer.name in critical}
    ranked: dict[str, list[_Ranked]] = {model.name: [] for model in result.subjects}
    against = {name: result.against(name) for name in ranked}
    for name, before, after in _pairs(against, rows, scorers):
        ranked[name] += _rises(name, before, after, scorers)
        if len(ranked[name]) > 2 * most + 1000:  # seldom, so that sorting costs little; and few are ever kept
            ranked[name] = _best(ranked[name], most)
    return [sample for found in ranked.values() for _, sample in _best(found, most)]


def _pairs(
    against: Mapping[str, str], rows: Iterable[Mapping[str, Any]], scorers: Iterable[str]
) -> Iterator[tuple[str, _Answer, _Answer]]:
    """A candidate's name with its reference's answer and its own to the same prompt; either may be read first."""
    scorers = list(scorers)
    references: dict[tuple[str, str, str, int], _Answer] = {}
    waiting: dict[tuple[str, str, str, int], list[tuple[str, _Answer]]] = {}
    for row in rows:
        arm = row["model"]
        answer = _answer(row, scorers) if arm in against or arm in against.values() else None
        if answer is None or not answer.scores:
            continue
        place = answer.suite, answer.prompt_id, answer.sample
        if arm in against.values():
            references[arm, *place] = answer
            yield from ((name, answer, other) for name, other in waiting.pop((arm, *place), []))
        if arm not in against:
            continue
        if before := references.get((against[arm], *place)):
            yield arm, before, answer
        else:
            waiting.setdefault((against[arm], *place), []).append((arm, answer))


def _answer(row: Mapping[str, Any], scorers: Iterable[str]) -> _Answer:
    found = {name: row["scores"][name]["value"] for name in scorers if name in row["scores"]}
    scores = {name: value for name, value in found.items() if value is not None}
    return _Answer(
        row["suite"], row["prompt_id"], row["sample"], row["prompt"], _scored(row["text"]), dict(row["slices"]), scores
    )


def _scored(text: str) -> str:
    """What a completion says after thoughts that begin it by a mark, and that these are left out; else all of it."""
    parted = thoughts.part(text)
    return f"[thoughts left out] {parted.answer}" if parted.thoughts and not parted.headless else text


def _rises(name: str, before: _Answer, after: _Answer, scorers: Mapping[str, ScorerFacts]) -> Iterator[_Ranked]:
    """What rose from base to candidate, by each critical scorer that scored both."""
    for measure in (measure for measure in before.scores if measure in after.scores):
        old, new = before.scores[measure], after.scores[measure]
        rise = new - old if scorers[measure].rises else old - new
        if rise > 0:
            sample = ChangedSample(
                name, before.suite, measure, before.prompt, before.text, after.text, old, new, before.slices
            )
            yield (-rise, before.prompt, before.suite, measure, before.prompt_id, before.sample), sample


def _best(ranked: list[_Ranked], most: int) -> list[_Ranked]:
    """The first ``most`` that differ in what a reader sees."""
    ordered = sorted(ranked, key=lambda pair: pair[0], reverse=True)
    distinct = {_seen(sample): (rank, sample) for rank, sample in ordered}
    return sorted(distinct.values(), key=lambda pair: pair[0])[:most]


def _seen(sample: ChangedSample) -> tuple[str, ...]:
    return sample.suite, sample.measure, sample.prompt, sample.base_text, sample.candidate_text
