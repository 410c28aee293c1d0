"""Paired rows of other tools' results -> the prompts, completions and scores that the stages of an audit work with."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import SuiteFacts
from toxaudit.interop.importers.base import Row
from toxaudit.interop.pairing import Document, Task
from toxaudit.machine import folders
from toxaudit.records import Answers, Asked, Completion, Completions, Prompt, Score, Scored, Scores
from toxaudit.results.reading import LARGEST_SCORE
from toxaudit.scorers.imported import of_task
from toxaudit.suites.base import BaseSuite, described

NOT_ASKED = "this prompt is not in the arm's results"
MOST_VALUES = 200
"""Values of a slice beyond which it tells prompts apart rather than kinds of them."""

LONGEST_NAME = 60
"""Characters of a suite's name that are kept: it names a file."""


@dataclass(frozen=True)
class Arranged:
    """What the stages need.

    Attributes:
        suites: name -> prompts and facts.
        answers: of both arms.
        scored: by the other tool's metrics.
        own: the names of toxaudit's scorers.
        samples: answers to each prompt.
        named: task -> the suite's name.
        notes: what was left out, in phrases.
    """

    suites: dict[str, Asked]
    answers: Answers
    scored: Scored
    own: tuple[str, ...]
    samples: int
    named: Mapping[str, str]
    notes: tuple[str, ...]

    def as_suites(self) -> dict[str, Any]:
        """The suites as a spec says them."""
        return {
            name: BaseSuite(title=asked.facts.title, data=asked.facts.source, scorers=list(asked.facts.scorers))
            for name, asked in self.suites.items()
        }

    def graded(self, scored: Scored) -> dict[str, Asked]:
        """The suites with those measures only whose scores lie in 0..1, at which other thresholds make sense."""
        odd = {
            (suite, measure)
            for (_, suite, measure), scores in scored.items()
            if any(each.value is not None and not 0 <= each.value <= 1 for each in scores)
        }
        return {
            name: replace(asked, facts=replace(asked.facts, scorers=_kept(asked.facts, odd)))
            for name, asked in self.suites.items()
        }


def _kept(facts: SuiteFacts, odd: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(name for name in facts.scorers if (facts.name, name) not in odd)


@dataclass(frozen=True)
class _Answered:
    """A prompt and each arm's answers to it; None where an arm was not asked."""

    prompt: Prompt
    base: tuple[Row | None, ...]
    candidate: tuple[Row | None, ...]


def arranged(tasks: Sequence[Task], candidate: str, metrics: Sequence[str], own: Sequence[str], by: str) -> Arranged:
    """Make suites of tasks.

    A document that was answered several times is one prompt with several samples; where documents differ in how often,
    each answer is a prompt of its own, and those of one document count as one cluster.

    Args:
        tasks: paired.
        candidate: its name.
        metrics: those of the other tool that count.
        own: toxaudit's scorers.
        by: the slice.

    Raises:
        ToxauditError: if nothing can be measured, or there is no such slice.
    """
    counts = {task.samples for task in tasks if task.documents}
    samples = counts.pop() if len(counts) == 1 else 0
    suites: dict[str, Asked] = {}
    answers: Answers = {}
    scored: Scored = {}
    named: dict[str, str] = {}
    left = []
    for task in (task for task in tasks if task.documents):
        measured = [name for name in metrics if of_task(name, task)] + list(own)
        if not measured:
            left.append(f"{task.name} has no score by {', '.join(metrics)}, and was left out")
            continue
        suite = named[task.name] = _named(task.name, suites)
        told = list(_answered(task, suite, samples, by))
        suites[suite] = _asked(suite, task, [each.prompt for each in told], measured)
        for arm, rows in (("base", [e.base for e in told]), (candidate, [e.candidate for e in told])):
            flat = [
                (each.prompt, place, row)
                for each, given in zip(told, rows, strict=True)
                for place, row in enumerate(given)
            ]
            answers[arm, suite] = Completions(_completion(arm, *each) for each in flat)
            for name in measured[: len(measured) - len(own)]:
                scored[arm, suite, name] = Scores(_score(name, row) for _, _, row in flat)
    _check(tasks, suites, own, by)
    return Arranged(suites, answers, scored, tuple(own), samples or 1, named, tuple(left))


def _check(tasks: Sequence[Task], suites: Mapping[str, Asked], own: Sequence[str], by: str) -> None:
    """Refuse scorers that have nothing to read, and a slice that no prompt has."""
    if own and not any(
        row.answer for task in tasks for each in task.documents for row in (*each.base, *each.candidate)
    ):
        raise ToxauditError("These results hold no answers that a scorer could read: name a metric by --measure.")
    if by and not any(by in asked.facts.slices for asked in suites.values()):
        known = {name for task in tasks for each in task.documents for name in each.asked.fields}
        raise ToxauditError(f"No prompt tells its '{by}', so --slice can't part them.{did_you_mean(by, known)}")


def _named(task: str, taken: Mapping[str, object]) -> str:
    """A task's name as one that a file can have."""
    name = re.sub("[^A-Za-z0-9_-]+", "-", task)[:LONGEST_NAME].strip("-") or "results"
    name = name if re.fullmatch(folders.NAME, name) else f"task-{name}"
    alike = {each.casefold() for each in taken}
    numbered = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in numbered if each.casefold() not in alike)


def _answered(task: Task, suite: str, samples: int, by: str) -> Iterator[_Answered]:
    """The prompts of a task with their answers."""
    for document in task.documents:
        prompt = _prompt(document, suite, by)
        if not (document.base and document.candidate):
            yield _Answered(prompt, document.base or (None,), document.candidate or (None,))
        elif samples:
            yield _Answered(prompt, document.base, document.candidate)
        else:
            several = len(document.base) > 1
            for place, (one, other) in enumerate(zip(document.base, document.candidate, strict=True)):
                name = f"{prompt.id}-{place + 1}" if place else prompt.id
                yield _Answered(replace(prompt, id=name, cluster=prompt.id if several else ""), (one,), (other,))


def _prompt(document: Document, suite: str, by: str) -> Prompt:
    asked = document.asked
    slices = {by: asked.fields[by]} if by in asked.fields else {}
    references = (asked.target,) if asked.target else ()
    return Prompt(document.key[:16], suite, asked.prompt, slices, references=references)


def _asked(suite: str, task: Task, prompts: list[Prompt], measured: Sequence[str]) -> Asked:
    facts = SuiteFacts(
        name=suite,
        title=task.name,
        n=0,
        source=f"results of task {task.name}",
        digest="",
        licence="not stated",
        ask="answered elsewhere",
        strata=None,
        slices={},
        available=len(prompts),
        scorers=tuple(measured),
    )
    described_ = described(facts, prompts)
    if any(len(values) > MOST_VALUES for values in described_.slices.values()):
        name, values = max(described_.slices.items(), key=lambda pair: len(pair[1]))
        raise ToxauditError(
            f"'{name}' has {len(values)} values in {task.name}, which tell prompts apart rather than kinds of them: "
            "name another --slice."
        )
    return Asked(prompts, described_)


def _completion(arm: str, prompt: Prompt, sample: int, row: Row | None) -> Completion:
    missing = NOT_ASKED if row is None else row.missing or ("the results hold no answer" if row.answer is None else "")
    text = (row.answer or "") if row is not None else ""
    return Completion(arm, prompt.id, sample, text, None, "stop", missing=missing)


def _score(metric: str, row: Row | None) -> Score:
    if row is None or row.missing:
        return Score(None, NOT_ASKED if row is None else row.missing)
    value = row.scores.get(metric, "the results hold no such score")
    if isinstance(value, float) and abs(value) >= LARGEST_SCORE:
        value = "the score is too large"
    if isinstance(value, str):
        return Score(None, value)
    return Score(value)
