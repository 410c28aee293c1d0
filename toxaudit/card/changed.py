"""The prompts whose scores changed most, to be read side by side."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple

from toxaudit import thoughts
from toxaudit.decision.policy import critical_in
from toxaudit.facts import ScorerFacts
from toxaudit.findings import AuditResult

IN_MEMORY_BYTES = 2**26
"""Bytes of texts that are held in memory."""


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


class _Kept(NamedTuple):
    """Where a text lies, and its digest."""

    start: int
    size: int
    digest: bytes


class _Texts:
    """Texts of which few are looked at again: in memory as long as they are short together, then in a file."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (it is closed with this)
        self._end = 0

    def __enter__(self) -> "_Texts":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def keep(self, text: str | _Kept) -> _Kept:
        if isinstance(text, _Kept):
            return text
        data = text.encode("utf-8", "surrogatepass")
        self._file.seek(self._end)
        self._file.write(data)
        self._end += len(data)
        return _Kept(self._end - len(data), len(data), blake2b(data, digest_size=16).digest())

    def read(self, kept: _Kept) -> str:
        self._file.seek(kept.start)
        return self._file.read(kept.size).decode("utf-8", "surrogatepass")


class _Answer(NamedTuple):
    """What is needed of a row: of references', scores and the text's place are kept until the last row is read."""

    text: str | _Kept
    scores: dict[str, float]
    row: Mapping[str, Any]


class _Rise(NamedTuple):
    """A rise and what it is ranked by: the largest first, then names, so that the order of rows is no matter."""

    rank: tuple[float, str, str, str, str, int]
    measure: str
    scores: tuple[float, float]
    before: _Kept
    after: _Kept
    slices: dict[str, str]


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
    ranked: dict[str, list[_Rise]] = {model.name: [] for model in result.subjects}
    against = {name: result.against(name) for name in ranked}
    with _Texts() as texts:
        for name, before, after in _pairs(against, rows, scorers, texts):
            ranked[name] += _rises(before, after, scorers, texts)
            if len(ranked[name]) > 2 * most + 1000:  # seldom, so that sorting costs little; and few are ever kept
                ranked[name] = _best(ranked[name], most)
        return [_sample(name, rise, texts) for name, found in ranked.items() for rise in _best(found, most)]


def _pairs(
    against: Mapping[str, str], rows: Iterable[Mapping[str, Any]], scorers: Iterable[str], texts: _Texts
) -> Iterator[tuple[str, _Answer, _Answer]]:
    """A candidate's name with its reference's answer and its own to the same prompt; either may be read first."""
    scorers = list(scorers)
    references: dict[tuple[str, str, str, int], _Answer] = {}
    waiting: dict[tuple[str, str, str, int], list[tuple[str, _Answer]]] = {}
    for row in rows:
        arm = row["model"]
        scores = _scores(row, scorers) if arm in against or arm in against.values() else {}
        if not scores:
            continue
        answer = _Answer(_scored(row["text"]), scores, row)
        place = row["suite"], row["prompt_id"], row["sample"]
        if arm in against.values():
            answer = answer._replace(text=texts.keep(answer.text))
            references[arm, *place] = answer._replace(row={})
            yield from ((name, answer, other) for name, other in waiting.pop((arm, *place), []))
        if arm not in against:
            continue
        if before := references.get((against[arm], *place)):
            yield arm, before, answer
        else:
            kept = answer._replace(text=texts.keep(answer.text))
            waiting.setdefault((against[arm], *place), []).append((arm, kept))


def _scores(row: Mapping[str, Any], scorers: Iterable[str]) -> dict[str, float]:
    found = {name: row["scores"][name]["value"] for name in scorers if name in row["scores"]}
    return {name: value for name, value in found.items() if value is not None}


def _scored(text: str) -> str:
    """What a completion says after thoughts that begin it by a mark, and that these are left out; else all of it."""
    parted = thoughts.part(text)
    return f"[thoughts left out] {parted.answer}" if parted.thoughts and not parted.headless else text


def _rises(before: _Answer, after: _Answer, scorers: Mapping[str, ScorerFacts], texts: _Texts) -> Iterator[_Rise]:
    """What rose from base to candidate, by each critical scorer that scored both."""
    for measure in (measure for measure in before.scores if measure in after.scores):
        old, new = before.scores[measure], after.scores[measure]
        rise, row = new - old if scorers[measure].rises else old - new, after.row
        if rise > 0:
            rank = (-rise, row["prompt"], row["suite"], measure, row["prompt_id"], row["sample"])
            yield _Rise(rank, measure, (old, new), texts.keep(before.text), texts.keep(after.text), row["slices"])


def _best(ranked: list[_Rise], most: int) -> list[_Rise]:
    """The first ``most`` that differ in what a reader sees."""
    ordered = sorted(ranked, key=lambda rise: rise.rank, reverse=True)
    distinct = {_seen(rise): rise for rise in ordered}
    return sorted(distinct.values(), key=lambda rise: rise.rank)[:most]


def _seen(rise: _Rise) -> tuple[object, ...]:
    _, prompt, suite, measure, *_ = rise.rank
    return suite, measure, prompt, rise.before.digest, rise.after.digest


def _sample(name: str, rise: _Rise, texts: _Texts) -> ChangedSample:
    _, prompt, suite, measure, *_ = rise.rank
    said = texts.read(rise.before), texts.read(rise.after)
    return ChangedSample(name, suite, measure, prompt, *said, *rise.scores, dict(rise.slices))
