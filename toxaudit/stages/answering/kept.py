"""Completions that are kept: what names them, how they are stored, and which are there already."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from toxaudit.backends.request import Request
from toxaudit.facts import SuiteFacts
from toxaudit.models import Arm, ServedModel
from toxaudit.records import Completion
from toxaudit.spec.schema import AuditSpec
from toxaudit.store import identities
from toxaudit.store.shelves import Shelf, Store

HANDED_OVER = {"content": "as text, or in parts where it would be lost"}
"""How a chat template on this machine is given what the user says."""

TOLD = {"thoughts": "in the text, between their marks"}
"""How thoughts are kept of what was asked in a chat template."""

Way = tuple[str, str, str | None, bool]
"""An arm, how it is asked, its system prompt, whether it chooses: what has a shelf."""

Place = tuple[str, str]
"""A shelf, and the name of an answer on it."""


class Found:
    """The answers that are there already, of those that are wanted.

    Attributes:
        answers: as they are stored, by their places.
    """

    def __init__(self, shelves: Mapping[str, Shelf], wanted: Sequence[Place]) -> None:
        """Take the shelves by their places, and what is wanted of them."""
        self.answers: dict[Place, dict[str, Any]] = {}
        self._shelves = shelves
        self._left = {shelf: {key for each, key in wanted if each == shelf} for shelf in shelves}

    def lacking(self) -> list[str]:
        """The shelves that lack an answer, now that those are here which the store has got meanwhile."""
        for shelf, keys in self._left.items():
            for key, answer in self._shelves[shelf].found(keys).items():
                self._take(shelf, key, answer)
        return [shelf for shelf, keys in self._left.items() if keys]

    def keep(self, made: Mapping[Place, Completion]) -> None:
        """Take answers, and store those that are none of another try's to give, each shelf's in one go."""
        records: dict[str, dict[str, Any]] = {}
        for (shelf, key), completion in made.items():
            if not completion.missing:
                records.setdefault(shelf, {})[key] = _stored(completion)
        for shelf, answers in records.items():
            self._shelves[shelf].add(answers)
        for (shelf, key), completion in made.items():
            self._take(shelf, key, _stored(completion))

    def _take(self, shelf: str, key: str, answer: dict[str, Any]) -> None:
        self.answers[shelf, key] = answer
        self._left[shelf].discard(key)


def shelves_of(spec: AuditSpec, store: Store, arms: Mapping[str, Arm], requests: Sequence[Request]) -> dict[Way, Shelf]:
    """The shelf of each way in which is asked; ways of one name have the same."""
    named = {way: identity(spec, arms[way[0]], way) for way in {way_of(request) for request in requests}}
    by_key = {each.key: store.shelf(each) for each in named.values()}
    return {way: by_key[each.key] for way, each in named.items()}


def way_of(request: Request) -> Way:
    """The way in which something is asked."""
    return request.arm, request.ask, request.system, bool(request.prompt.choices)


def key_of(request: Request) -> str:
    """The name of a completion on its shelf."""
    return request.prompt.digest + (f"#{request.sample}" if request.sample else "")


def system_of(arm: Arm, facts: SuiteFacts) -> str | None:
    """The system prompt: the arm's own, or the suite's where the arm has none of its own (an empty one is one)."""
    if facts.ask != "chat":
        return None
    return (facts.system_instruction if arm.system_instruction is None else arm.system_instruction) or None


def identity(spec: AuditSpec, arm: Arm, way: Way) -> identities.Completions:
    """The name of the shelf of one arm's completions: all that changes a completion, and nothing else."""
    _, ask, system, choices = way
    generation = asdict(spec.generation)
    del generation["samples"]  # each has a name and a random stream of its own
    del generation["chat_template_kwargs"]  # they are part of the template
    if not spec.generation.temperature:
        del generation["seed"]  # greedy decoding draws no random numbers
    return identities.Completions(
        model=arm.identity,
        backend=spec.backend.numerics,
        generation="choices" if choices else generation,
        ask=ask,
        made_with=None if isinstance(arm, ServedModel) else identities.versions("torch", "transformers", "peft"),
        system=system or None,
        template=_template(spec, arm) if ask == "chat" else None,
    )


def _template(spec: AuditSpec, arm: Arm) -> dict[str, Any]:
    """All that changes a completion of what the chat template is given, and what is kept of it."""
    takes = spec.generation.chat_template_kwargs
    found = TOLD | ({"takes": dict(takes)} if takes else {})
    if isinstance(arm, ServedModel):
        return found
    return found | HANDED_OVER | ({"of": arm.template.digest} if arm.template else {})


def _stored(completion: Completion) -> dict[str, Any]:
    stored = {"text": completion.text, "tokens": completion.tokens, "finish": completion.finish}
    more = {"loglikelihoods": completion.loglikelihoods, "missing": completion.missing}
    return stored | {name: value for name, value in more.items() if value}


def restored(stored: dict[str, Any]) -> dict[str, Any]:
    """The fields of a completion that the store keeps."""
    return stored | {"loglikelihoods": tuple(stored.get("loglikelihoods", ()))}
