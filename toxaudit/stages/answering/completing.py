"""Prompts -> completions, of every arm: from the store, or generated."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from toxaudit.backends import served_again
from toxaudit.backends.reading import Reader
from toxaudit.backends.request import Answered, Done, Request
from toxaudit.errors import ToxauditError
from toxaudit.extensions import Session
from toxaudit.facts import SuiteFacts
from toxaudit.machine import progress
from toxaudit.models import Arm, Loader, ResolvedModel, ServedModel, effect, tokenizer
from toxaudit.records import Answers, Asked, Completions, Prompt, digest
from toxaudit.spec.schema import AuditSpec, Generation
from toxaudit.stages.answering import kept
from toxaudit.store import identities
from toxaudit.store.shelves import Store

ASKED_AGAIN = "asked again"
"""Is part of the name of what was answered again."""


def answer(spec: AuditSpec, loader: Loader, store: Store, audited: Sequence[Arm], suites: dict[str, Asked]) -> Answers:
    """Every arm's completion of every prompt; arms over the same weights together, or all where the executor can.

    Those over the base's weights come first: the checks left it loaded. An answer that is missing is not kept in the
    store, since another try may bring it.
    """
    groups: dict[str, list[Arm]] = {}
    for arm in audited:
        groups.setdefault("" if spec.executor.at_once else arm.loaded_as, []).append(arm)
    answers: Answers = {}
    for arms in groups.values():
        answers |= _of_arms(spec, loader, store, suites, arms)
    return {(arm.name, suite): answers[arm.name, suite] for arm in audited for suite in suites}


def unreadable(
    spec: AuditSpec, loader: Loader, store: Store, audited: Sequence[Arm], suites: dict[str, Asked]
) -> dict[str, ToxauditError]:
    """The arms on this machine that have prompts to answer and can't read one of them, and why.

    All prompts are known before any is generated, and reading them takes no weights.
    """
    refusals, can = {}, set()
    for arm in audited:
        if not isinstance(arm, ResolvedModel):
            continue  # a server refuses what it can't read when it is asked
        requests = [each for name in suites for each in _requests(spec, arm, suites[name])]
        if _stored_of(spec, store, arm, requests) == len(requests):
            continue
        try:
            words, most = loader.tokenizer(arm), tokenizer.limits(arm)
            if (like := (id(words), most, arm.system_instruction)) not in can:
                reader = Reader({arm.name: words}, frozenset(), *most)
                reader.rows([each for each in requests if not each.prompt.choices], spec.generation.max_new_tokens)
                reader.pairs([each for each in requests if each.prompt.choices])
                can.add(like)
        except ToxauditError as error:
            refusals[arm.name] = error
    return refusals


def stored(spec: AuditSpec, store: Store, arms: Sequence[Arm], suites: dict[str, Asked]) -> tuple[int, int]:
    """How many answers of some arms the store holds already, and how many can be asked for in all."""
    before = of = 0
    for arm in arms:
        requests = [each for name in suites for each in _requests(spec, arm, suites[name])]
        before, of = before + _stored_of(spec, store, arm, requests), of + len(requests)
    return before, of


def _stored_of(spec: AuditSpec, store: Store, arm: Arm, requests: Sequence[Request]) -> int:
    """How many of these requests the store holds an answer to."""
    shelves, keys = kept.shelves_of(spec, store, {arm.name: arm}, requests), dict[kept.Way, list[str]]()
    for request in requests:
        keys.setdefault(kept.way_of(request), []).append(kept.key_of(request))
    held = {way: shelves[way].held(some) for way, some in keys.items()}
    return sum(key in held[way] for way, some in keys.items() for key in some)


def asked_again(
    spec: AuditSpec, loader: Loader, store: Store, suites: dict[str, Asked], answers: Answers, base: Arm, arm: Arm
) -> effect.Again:
    """What a server answers for base and candidate when both are asked again, without chance, what they answered apart.

    The base is asked under the candidate's system prompt, unless the candidate is the base under another one.
    """
    like = base if _of_one_model(arm, base) else replace(arm, name=base.name)
    pairs = [
        (theirs, own)
        for name, asked in suites.items()
        for theirs, own, its, mine in zip(
            _requests(spec, like, asked),
            _requests(spec, arm, asked),
            answers[base.name, name],
            answers[arm.name, name],
            strict=True,
        )
        if own.sample == 0 and its.text != mine.text and not its.missing and not mine.missing
    ]
    step = max(1, len(pairs) // served_again.MOST)
    chosen = pairs[::step][: served_again.MOST]
    parts = [digest(own.prompt.digest, own.ask, own.system or "", theirs.system or "") for theirs, own in chosen]
    generation = replace(spec.generation, temperature=0.0)
    shelf = store.shelf(identities.Checks(base.identity, {}))
    key = digest(arm.identity, ASKED_AGAIN, json.dumps(asdict(generation), sort_keys=True), *parts)
    if key not in shelf:
        with spec.backend.open(loader, [base, arm]) as session:
            ask = partial(_texts, session, generation)
            found = served_again.by_turns([each for each, _ in chosen], [each for _, each in chosen], ask)
        shelf.add({key: [found.same, found.others, found.neither]})
    return effect.Again(*shelf[key])


def tokens(
    spec: AuditSpec,
    loader: Loader,
    suites: Mapping[str, Asked],
    arm: ResolvedModel,
    suite: str,
    prompts: Sequence[Prompt],
) -> list[list[int]]:
    """What an arm reads of some of a suite's prompts, one row of tokens for each.

    Raises:
        ToxauditError: if it can't read one.
    """
    facts = suites[suite].facts
    requests = [
        Request(arm.name, prompt, facts.ask, kept.system_of(arm, facts), 0, _takes(spec, facts.ask))
        for prompt in prompts
    ]
    reader = Reader({arm.name: loader.tokenizer(arm)}, frozenset(), *tokenizer.limits(arm))
    return reader.rows(requests, 1)


def _of_one_model(arm: Arm, base: Arm) -> bool:
    """Whether a server is asked for both by one name."""
    return isinstance(arm, ServedModel) and isinstance(base, ServedModel) and arm.model == base.model


def _texts(session: Session, generation: Generation, requests: Sequence[Request]) -> list[str | None]:
    """The answer to each request, None where it is missing."""
    found: dict[tuple[str, str], str] = {}
    for choices in (False, True):
        some = [request for request in requests if bool(request.prompt.choices) == choices]
        for batch in session.choose(some, _never) if choices else session.generate(some, generation, _never):
            found |= {_place(request): completion.text for request, completion in batch if not completion.missing}
    return [found.get(_place(request)) for request in requests]


def _place(request: Request) -> tuple[str, str]:
    return request.prompt.suite, request.prompt.id


def _never(request: Request) -> bool:
    return False


def samples(spec: AuditSpec, facts: SuiteFacts) -> range:
    """The numbers of a prompt's samples: what is chosen by likelihood is chosen once."""
    return range(1 if facts.choices else spec.generation.samples)


def _of_arms(spec: AuditSpec, loader: Loader, store: Store, suites: dict[str, Asked], arms: Sequence[Arm]) -> Answers:
    """The answers of arms that answer together; those that another process is making are waited for."""
    wanted = {
        (arm.name, name): partial(_requests, spec, arm, asked)
        for arm in arms
        for name, asked in suites.items()
        if asked.prompts
    }
    by_name = {arm.name: arm for arm in arms}
    shelves = kept.shelves_of(spec, store, by_name, [next(requests()) for requests in wanted.values()])
    found = kept.Found(shelves, wanted)
    found.lacking()
    what = f"generating {arms[0].name}" if len(arms) == 1 else f"generating {len(arms)} models"
    with progress.Writing(what, found.wanted, len(found), spec.generation.max_new_tokens) as bar:

        def make(mine: Sequence[str]) -> None:
            if not set(mine) & set(found.lacking()):
                return  # another process was quicker
            requests = [each for each in found.requests() if found.shelf(each).place in mine]
            with spec.executor.open(spec.backend, loader, arms) as session:
                for batch in _batches(session, requests, spec, found.__contains__, bar):
                    found.keep(batch)
                    bar.answered(completion for _, completion in batch)

        store.claims.each_once(found.lacking, make)
    if found.lacking():
        raise ToxauditError(f"{store.root} no longer holds answers that were kept there just now: run the same again.")
    return {(arm.name, name): found.whole.get((arm.name, name), Completions([])) for arm in arms for name in suites}


def _batches(
    session: Session, requests: Sequence[Request], spec: AuditSpec, done: Done, bar: progress.Writing
) -> Iterator[list[Answered]]:
    """The completions as they come: first all texts that are written, then all choices."""
    for choices in (False, True):
        some = [request for request in requests if bool(request.prompt.choices) == choices]
        if not all(map(done, some)):
            yield from (
                session.choose(some, done) if choices else session.generate(some, spec.generation, done, bar.wrote)
            )


def _requests(spec: AuditSpec, arm: Arm, asked: Asked) -> Iterator[Request]:
    """What an arm is asked of a suite."""
    system, takes = kept.system_of(arm, asked.facts), _takes(spec, asked.facts.ask)
    for prompt in asked.prompts:
        for sample in samples(spec, asked.facts):
            yield Request(arm.name, prompt, asked.facts.ask, system, sample, takes)


def _takes(spec: AuditSpec, ask: str) -> dict[str, Any]:
    """What the chat template is given besides: a plain dict, of which nothing is shared with the spec."""
    return dict(spec.generation.chat_template_kwargs) if ask == "chat" else {}
