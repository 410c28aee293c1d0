"""Completions -> scores, by every scorer of their suite: from the store, or scored."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

from toxaudit import thoughts
from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Transformers
from toxaudit.extensions import Backend, Executor, Scorer, Session
from toxaudit.facts import ScorerFacts
from toxaudit.machine import progress, stopping
from toxaudit.models import Loader, resolve_base
from toxaudit.records import Answers, Asked, Completion, Prompt, Score, Scored, digest
from toxaudit.scorers.base import Unscored, unscored_facts
from toxaudit.scorers.endpoint import Unanswered
from toxaudit.spec.schema import AuditSpec, Generation
from toxaudit.store import identities
from toxaudit.store.shelves import Shelf, Store

TOO_LONG = Unanswered("the question is longer than the judge can read")


def score(spec: AuditSpec, loader: Loader, store: Store, suites: dict[str, Asked], answers: Answers) -> Scored:
    """Every scorer's score of every completion of the suites that it scores; equal texts are scored once."""
    scored: Scored = {}
    for name, scorer in spec.scorers.items():
        mine = {key: found for key, found in answers.items() if name in spec.suites[key[1]].scorers}
        read = {(arm, suite): _read(scorer, suites[suite], found) for (arm, suite), found in mine.items()}
        with ready(spec.backend, spec.executor, loader, store, name, scorer) as made_with:
            parts = [[each for each in reads if not isinstance(each, Unscored)] for reads in read.values()]
            found = iter(stored_scores(store, name, scorer, parts, made_with))
        for (arm, suite), completions in mine.items():
            scored[arm, suite, name] = [
                Score(
                    arm, each.prompt_id, each.sample, name, **(_stored(r) if isinstance(r, Unscored) else next(found))
                )
                for each, r in zip(completions, read[arm, suite], strict=True)
            ]
    return scored


def thought_notes(answers: Answers) -> dict[str, str]:
    """A phrase for the card on each arm that writes thoughts before its answers."""
    found: dict[str, list[thoughts.Parted]] = {}
    for (arm, _), completions in answers.items():
        found.setdefault(arm, []).extend(_parted(completions))
    return {arm: note for arm, each in found.items() if (note := thoughts.note(each))}


def stored_scores(
    store: Store, name: str, scorer: Scorer, parts: Sequence[Sequence[Any]], made_with: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A scorer's scores of all that it reads, in order: ``value``, or None and why it is ``missing``.

    What another try may mend, such as a judge that is out of reach, is not kept in the store.

    Args:
        store: of finished work.
        name: the scorer's.
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


def _read(scorer: Scorer, asked: Asked, completions: Sequence[Completion]) -> list[Any]:
    """What a scorer reads of each completion, or why there is nothing for it to read."""
    prompts = {prompt.id: prompt for prompt in asked.prompts}
    found = _answered(completions) if scorer.reads_answers else [_given(each) for each in completions]
    return [
        each if isinstance(each, Unscored) else scorer.reads(prompts[completion.prompt_id], each)
        for completion, each in zip(completions, found, strict=True)
    ]


def _given(completion: Completion) -> Completion | Unscored:
    """The completion, or why there is none."""
    return Unscored(completion.missing) if completion.missing else completion


def _answered(completions: Sequence[Completion]) -> list[Completion | Unscored]:
    """The completions without their thoughts; where nothing else was written, why there is no answer."""
    return [
        Unscored(why) if (why := completion.missing or parted.missing) else replace(completion, text=parted.answer)
        for completion, parted in zip(completions, _parted(completions), strict=True)
    ]


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
