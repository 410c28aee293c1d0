"""Completions -> scores, by every scorer of their suite: from the store, or scored."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

from toxaudit import thoughts
from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Transformers
from toxaudit.extensions import Backend, Executor, Scorer, Session
from toxaudit.facts import ScorerFacts
from toxaudit.machine import progress, stopping
from toxaudit.models import Loader, resolve_base
from toxaudit.records import Answers, Asked, Completion, Completions, Prompt, Score, Scored, Scores, digest
from toxaudit.scorers.base import Unscored, unscored_facts
from toxaudit.scorers.endpoint import Unanswered
from toxaudit.spec.schema import AuditSpec, Generation
from toxaudit.store import identities
from toxaudit.store.shelves import Shelf, Store

TOO_LONG = Unanswered("the question is longer than the judge can read")

LOT = 50_000
"""Completions of which texts are in memory at a time, but for those of one arm and suite, which are so together."""


def score(spec: AuditSpec, loader: Loader, store: Store, suites: dict[str, Asked], answers: Answers) -> Scored:
    """Every scorer's score of every completion of the suites that it scores; equal texts are scored once."""
    scored: Scored = {}
    for name, scorer in spec.scorers.items():
        lots = _lots({key: found for key, found in answers.items() if name in spec.suites[key[1]].scorers})
        with ready(spec.backend, spec.executor, loader, store, name, scorer) as made_with:
            for number, lot in enumerate(lots, start=1):
                called = f"{name}, {number} of {len(lots)}" if len(lots) > 1 else name
                for (arm, suite), scores in _of_lot(store, called, scorer, suites, lot, made_with):
                    scored[arm, suite, name] = scores
    return scored


def _of_lot(
    store: Store, called: str, scorer: Scorer, suites: dict[str, Asked], lot: Answers, made_with: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, str], Scores]]:
    """A scorer's scores of some arms' and suites' completions, each with these."""
    read = {(arm, suite): _read(scorer, suites[suite], completions) for (arm, suite), completions in lot.items()}
    parts = [[each for each in some if not isinstance(each, Unscored)] for some in read.values()]
    found = iter(stored_scores(store, called, scorer, parts, made_with))
    for key, some in read.items():
        told = (_stored(each) if isinstance(each, Unscored) else next(found) for each in some)
        yield key, Scores(Score(**each) for each in told)


def _lots(answers: Answers) -> list[Answers]:
    """The same in parts, each of which takes in those of further arms and suites until it is large enough."""
    lots: list[Answers] = [{}]
    for key, completions in answers.items():
        if sum(map(len, lots[-1].values())) >= LOT:
            lots.append({})
        lots[-1][key] = completions
    return lots


def thought_notes(answers: Answers) -> dict[str, str]:
    """A phrase for the card on each arm that writes thoughts before its answers."""
    found: dict[str, str] = {}
    for arm in dict.fromkeys(arm for arm, _ in answers):
        parts = (_parted(list(completions)) for (name, _), completions in answers.items() if name == arm)
        if note := thoughts.note(list(chain.from_iterable(parts))):
            found[arm] = note
    return found


def stored_scores(
    store: Store, name: str, scorer: Scorer, parts: Sequence[Sequence[Any]], made_with: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A scorer's scores of all that it reads, in order: ``value``, or None and why it is ``missing``.

    What another try may mend, such as a judge that is out of reach, is not kept in the store.

    Args:
        store: of finished work.
        name: the scorer's, for people.
        scorer: it may be asked, where it is ``ready``.
        parts: what it reads of each completion; of those parts that another process is scoring, its scores are taken.
        made_with: what ``ready`` says that scores depend on besides, by fields of their identity.
    """
    shelf = store.shelf(identities.Scores(scorer.identity(), **made_with))
    keys = [[_key(each) for each in part] for part in parts]
    distinct = {key: each for some, part in zip(keys, parts, strict=True) for key, each in zip(some, part, strict=True)}
    works = {f"{shelf.place}.{digest(*sorted(set(some)))[:24]}": set(some) for some in keys}
    order = sorted(distinct, key=lambda key: (_length(distinct[key]), key))  # those of like length together
    found: dict[str, dict[str, Any]] = {}

    def lacking() -> list[str]:
        found.update(shelf.found(distinct.keys() - found.keys()))
        return [work for work, some in works.items() if some - found.keys()]

    with progress.bar(f"scoring {name}", len(order), "text") as bar:

        def make(mine: Sequence[str]) -> None:
            lacking()  # another process may have been quicker
            wanted = set().union(*(works[work] for work in mine)) - found.keys()
            for start in range(0, len(order), scorer.together):
                if todo := {key: distinct[key] for key in order[start : start + scorer.together] if key in wanted}:
                    with nullcontext() if scorer.asks_server else stopping.finishing():  # a server may keep us waiting
                        found.update(_made(shelf, scorer, todo))
                    bar.update(len(found) - bar.n)

        store.claims.each_once(lacking, make)
        bar.update(len(found) - bar.n)
    return [found[key] for some in keys for key in some]


def _made(shelf: Shelf, scorer: Scorer, todo: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Scores that were not there before; kept are those that no other try can mend."""
    made = dict(zip(todo, scorer.score(list(todo.values())), strict=True))
    shelf.add({k: _stored(each) for k, each in made.items() if not (isinstance(each, Unscored) and each.passing)})
    return {key: _stored(each) for key, each in made.items()}


@contextmanager
def ready(
    backend: Backend, executor: Executor, loader: Loader, store: Store, name: str, scorer: Scorer
) -> Iterator[dict[str, Any]]:
    """Within this context, a judge that is a model on this machine can answer; its first question loads it.

    Where the audit's backend asks a server, transformers answers for the judge.

    Yields:
        What its scores depend on besides its own identity: nothing for any other scorer.
    """
    wanted = scorer.local_judge()
    if wanted is None:
        yield {}
        return
    here: Backend = Transformers() if backend.server else backend
    judge = replace(resolve_base(wanted.model, loader.device, store), name=name)
    with ExitStack() as opened:

        @cache
        def model() -> Session:
            return opened.enter_context(executor.open(here, loader, [judge]))

        def answer(turns: Sequence[str]) -> list[str | Unanswered]:
            generation = Generation(max_new_tokens=wanted.max_new_tokens)
            fits = model().fits(name, turns, "chat", generation.max_new_tokens)
            questions = [Request(name, Prompt(str(i), name, turn), "chat") for i, turn in enumerate(turns) if fits[i]]
            made = {
                completion.prompt_id: completion.text
                for batch in model().generate(questions, generation, lambda _: False)
                for _, completion in batch
            }
            return [made.get(str(i), TOO_LONG) for i in range(len(turns))]

        wanted.take(answer)
        made_with = identities.versions("torch", "transformers")
        yield {"judge": judge.identity, "backend": here.numerics, "made_with": made_with}


def _read(scorer: Scorer, asked: Asked, completions: Completions) -> list[Any]:
    """What a scorer reads of each completion, or why there is nothing for it to read."""
    prompts, given = {prompt.id: prompt for prompt in asked.prompts}, list(completions)
    found = _answered(given) if scorer.reads_answers else map(_given, given)
    return [
        each if isinstance(each, Unscored) else scorer.reads(prompts[completion.prompt_id], each)
        for completion, each in zip(given, found, strict=True)
    ]


def _given(completion: Completion) -> Completion | Unscored:
    """The completion, or why there is none."""
    return Unscored(completion.missing) if completion.missing else completion


def _answered(completions: Sequence[Completion]) -> Iterator[Completion | Unscored]:
    """The completions without their thoughts; where nothing else was written, why there is no answer."""
    for completion, parted in zip(completions, _parted(completions), strict=True):
        why = completion.missing or parted.missing
        yield Unscored(why) if why else replace(completion, text=parted.answer)


def _parted(completions: Sequence[Completion]) -> list[thoughts.Parted]:
    """The completions of one arm and suite in two; an answer that was chosen holds no thoughts."""
    if any(completion.loglikelihoods for completion in completions):
        return [thoughts.Parted("", completion.text) for completion in completions]
    return thoughts.parted([(completion.text, completion.finish) for completion in completions])


def _key(read: Any) -> str:
    """The name under which the score of what was read is stored."""
    return digest(read) if isinstance(read, str) else digest("json", json.dumps(read, ensure_ascii=False))


def _length(read: Any) -> int:
    return len(read if isinstance(read, str) else json.dumps(read, ensure_ascii=False))


def _stored(score: float | Unscored) -> dict[str, Any]:
    if isinstance(score, Unscored):
        return {"value": None, "missing": score.reason}
    return {"value": round(score, 6), "missing": None}


def facts(spec: AuditSpec, measured: Collection[str]) -> list[ScorerFacts]:
    """What measured, and for those with missing scores the measure of these, as far as it is among ``measured``."""
    scorers = [scorer.facts(name, scorer.identity(), scorer.source) for name, scorer in spec.scorers.items()]
    return scorers + [each for scorer in scorers if (each := unscored_facts(scorer)).name in measured]
