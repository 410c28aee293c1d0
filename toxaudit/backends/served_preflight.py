"""The checks of arms that a server answers for, before any prompt is asked: each is there and isn't the base again."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from math import inf
from typing import Any

from toxaudit.backends.openai import NotServed, OpenAI, Session
from toxaudit.backends.request import Request
from toxaudit.checks import Checklist
from toxaudit.facts import BASE_ARM
from toxaudit.findings import Check
from toxaudit.models import Loader, effect
from toxaudit.models.preflight import Refused, again
from toxaudit.models.served import ServedModel
from toxaudit.models.tokenizer import PROBES
from toxaudit.records import Prompt, digest
from toxaudit.spec.schema import Generation
from toxaudit.store.finished_checks import FinishedChecks
from toxaudit.store.shelves import Shelf

PROBE = Generation(max_new_tokens=16)
LISTED = "the server lists its model"
LIKELIHOODS: effect.Evidence = "likelihoods of a server's answers"

Likelihoods = tuple[tuple[float, ...], ...]
"""To each probe, how likely the tokens of the answer were, as far as the server tells."""

TIMES = 5
"""How often base and arm are asked, by turns, where their likelihoods differ."""

BEYOND_NOISE = 2.0
"""How many times farther an arm must lie from the base than either lies from itself when it is asked again.

Where one model answers for both, that hardly ever happens: if all its answers to the probes are one of two by the toss
of a coin, 1 time in 512, else less often.
"""

RULE = "by turns"
"""Is part of the name of a finished check of a server's model; another word checks anew."""


def probes(
    suites: Iterable[tuple[str, str, bool]], chats: Collection[str], takes: Mapping[str, Any] | None = None
) -> list[Request]:
    """A request for each way in which suites ask.

    Args:
        suites: of each its name, how it asks, and whether it offers choices.
        chats: the system prompts, empty for none, of the suites that ask in the chat template.
        takes: what the chat template is given besides.
    """
    found: dict[tuple[str, bool, str], Request] = {}
    for name, ask, chooses in suites:
        prompt = Prompt("", name, PROBES[1], choices=("here", "there") if chooses else ())
        for system in chats if ask == "chat" else ("",):
            given = (takes or {}) if ask == "chat" else {}
            found.setdefault((ask, chooses, system), Request("base", prompt, ask, system or None, takes=given))
    return [found[key] for key in sorted(found)]


def preflight(
    backend: OpenAI,
    loader: Loader,
    shelf: Shelf,
    asked: Sequence[Request],
    arms: Sequence[ServedModel],
    refused: Refused,
    done: Callable[[], object],
) -> dict[str, tuple[Check, ...]]:
    """The checks of each arm that may be audited, by its name.

    Args:
        backend: that will ask for answers.
        loader: for ``backend.open``.
        shelf: finished checks of arms beside this base.
        asked: as by ``probes``.
        arms: the base first.
        refused: see ``Refused``.
        done: called after each arm that is looked at.

    Raises:
        ToxauditError: if the base may not be audited, or if the server can't be asked, for which no arm is to blame.
    """
    base, finished, named = arms[0], FinishedChecks(shelf), {arm.name: arm for arm in arms}
    keys = {arm.name: _key(arm, asked, named.get(arm.against)) for arm in arms}
    wanted = [arm for arm in arms if arm.kind != "control" and keys[arm.name] not in finished]
    if wanted:
        with backend.open(loader, arms) as session:
            listed = backend.models()
            checks = Checklist(base.name)
            base_chances = _probed(session, asked, base, listed, checks)
            other_again = cache(lambda name, system, time: _under(session, asked, named[name], system))
            finished.add(keys[base.name], checks)
            done()
            for arm in wanted[1 if wanted[0] is base else 0 :]:
                checks = Checklist(arm.name)
                try:
                    chances = _probed(session, asked, arm, listed, checks)
                    reference = named[arm.against]
                    if arm.identity == reference.identity:
                        effect.not_asked(checks, LIKELIHOODS, arm.against)
                    else:
                        again_as = partial(other_again, arm.against, system := arm.system_instruction)
                        known = reference is base and system == base.system_instruction
                        turns = _by_turns(again_as, partial(_chances, session, asked, arm))
                        _require_change(arm, reference, chances, base_chances if known else again_as(0), turns, checks)
                    finished.add(keys[arm.name], checks)
                except NotServed as error:
                    refused(checks, error)
                done()
    return {
        arm.name: finished.of(keys[arm.name], arm.name) if arm.kind != "control" else (again(arm.name, arm.against),)
        for arm in arms
        if arm.kind == "control" or keys[arm.name] in finished
    }


def _key(arm: ServedModel, asked: Sequence[Request], reference: ServedModel | None) -> str:
    """The name of an arm's finished checks: its reference is part of it, where that is not the shelf's base."""
    ways = (f"{each.ask}, {len(each.prompt.choices)} choices, {each.system}" for each in _own(asked, arm))
    taken = [json.dumps(dict(each.takes), sort_keys=True) for each in asked if each.takes]
    other = [reference.identity] if reference and arm.against != BASE_ARM else []
    return digest(arm.identity, RULE, *ways, *taken[:1], *other)


def _own(asked: Sequence[Request], arm: ServedModel) -> list[Request]:
    """The probes for one arm, under its own system prompt where it has one."""
    system = arm.system_instruction
    found = [replace(request, arm=arm.name) for request in asked]
    if system is None:
        return found
    return [replace(each, system=(system or None) if each.ask == "chat" else None) for each in found]


def _probed(
    session: Session, asked: Sequence[Request], arm: ServedModel, listed: Sequence[str], checks: Checklist
) -> Likelihoods:
    if not listed:
        checks.not_applicable(LISTED, "it lists none")
    else:
        with checks.check(LISTED):
            _check_listed(session, arm, listed)
    with checks.check("the server answers for it in every way in which suites ask"):
        return _chances(session, asked, arm)


def _chances(session: Session, asked: Sequence[Request], arm: ServedModel) -> Likelihoods:
    return tuple(session.probe(request, PROBE) for request in _own(asked, arm))


def _under(session: Session, asked: Sequence[Request], other: ServedModel, system: str | None) -> Likelihoods:
    """A reference's likelihoods under an arm's system prompt, whose effect must not be taken for that of weights."""
    return _chances(session, asked, replace(other, system_instruction=system))


def _check_listed(session: Session, arm: ServedModel, listed: Sequence[str]) -> None:
    if arm.model not in listed:
        raise NotServed(
            f"{arm.name}: the server at {arm.server} has no model '{arm.model}'.{session.nearest(arm.model, listed)}"
        )


def _by_turns(
    other: Callable[[int], Likelihoods], own: Callable[[], Likelihoods]
) -> Iterator[tuple[Likelihoods, Likelihoods]]:
    """Reference and arm asked again, one after the other, which a server that changes with time must not tell apart."""
    for time in range(1, TIMES):
        yield other(time), own()


def _require_change(
    arm: ServedModel,
    reference: ServedModel,
    own_chances: Likelihoods,
    other_chances: Likelihoods,
    again: Iterator[tuple[Likelihoods, Likelihoods]],
    checks: Checklist,
) -> None:
    """Refuse an arm whose answers are exactly as likely as its reference's: no other weights give that.

    Others prove other weights only if they differ by more than those of one model that is asked ``again``.
    """
    same = [own == its for own, its in zip(own_chances, other_chances, strict=True) if any(own) and any(its)]
    if same and not all(same):
        others, owns = zip((other_chances, own_chances), *again, strict=True)
        between = min(_apart(own, its) for own in owns for its in others)
        within = max(_apart(*two) for asked in (others, owns) for two in combinations(asked, 2))
        if not between > BEYOND_NOISE * within:
            effect.undecided(checks, LIKELIHOODS, "the server tells others each time that it is asked")
            return
    nothing = NotServed(
        f"{arm.name}: the server at {arm.server} answers as '{arm.model}' exactly as it does as '{reference.model}': "
        "either it serves one model under both names, or the adapter changes nothing."
    )
    effect.require(checks, LIKELIHOODS, same, nothing)


def _apart(one: Likelihoods, other: Likelihoods) -> float:
    """How far two answers to the probes lie apart: the largest difference, without end where texts have other lengths.

    A probe of which either tells nothing is passed over.
    """
    told = [(mine, its) for mine, its in zip(one, other, strict=True) if mine and its]
    if any(len(mine) != len(its) for mine, its in told):
        return inf
    return max((abs(x - y) for mine, its in told for x, y in zip(mine, its, strict=True)), default=0.0)
