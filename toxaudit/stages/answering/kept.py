"""Completions that are kept: what names them, how they are stored, and which are there already."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from toxaudit.backends.request import Request
from toxaudit.facts import SuiteFacts
from toxaudit.models import Arm, ServedModel
from toxaudit.records import Completion, Completions
from toxaudit.spec.schema import AuditSpec
from toxaudit.store import identities
from toxaudit.store.shelves import Shelf, Store

HANDED_OVER = {"content": "as text, or in parts where it would be lost"}
"""How a chat template on this machine is given what the user says."""

TOLD = {"thoughts": "in the text, between their marks"}
"""How thoughts are kept of what was asked in a chat template."""

Way = tuple[str, str, str | None, bool]
"""An arm, how it is asked, its system prompt, whether it chooses: what has a shelf."""

Part = tuple[str, str]
"""An arm and a suite, whose answers are on one shelf."""


class Found:
    """The answers that are there already, of those that are wanted; the store holds them, and the memory their names.

    Attributes:
        whole: the parts of which no answer is lacking, with all their answers.
    """

    def __init__(self, shelves: Mapping[Way, Shelf], wanted: Mapping[Part, Callable[[], Iterator[Request]]]) -> None:
        """Take the shelves, and what is wanted of them: for each part that has any, what gives its requests."""
        self.whole: dict[Part, Completions] = {}
        self._shelves, self._wanted = shelves, wanted
        self._names: dict[str, set[str]] = {shelf.place: set() for shelf in shelves.values()}
        self._passing: dict[tuple[str, str], dict[str, Any]] = {}

    def __contains__(self, request: Request) -> bool:
        return key_of(request) in self._names[self.shelf(request).place]

    def __len__(self) -> int:
        return sum(map(len, self._names.values()))

    @property
    def wanted(self) -> int:
        """How many answers are, whether they are there or not."""
        names: dict[str, set[str]] = {place: set() for place in self._names}
        for requests in self._wanted.values():
            for request in requests():
                names[self.shelf(request).place].add(key_of(request))
        return sum(map(len, names.values()))

    def requests(self) -> Iterable[Request]:
        """What is asked, once where two suites ask an arm for the same."""
        every = chain.from_iterable(requests() for requests in self._wanted.values())
        return {(self.shelf(request).place, key_of(request)): request for request in every}.values()

    def shelf(self, request: Request) -> Shelf:
        """Where the answer to a request is kept."""
        return self._shelves[way_of(request)]

    def lacking(self) -> list[str]:
        """The shelves that lack an answer, now that those are here which the store has got meanwhile."""
        left = dict[str, None]()
        for part, requests in self._wanted.items():
            if part not in self.whole:
                shelf = self.shelf(next(requests()))
                if not self._took(part, requests, shelf):
                    left[shelf.place] = None
        return list(left)

    def keep(self, made: Iterable[tuple[Request, Completion]]) -> None:
        """Store answers, each shelf's in one go, but for those that another try may bring."""
        records: dict[Shelf, dict[str, dict[str, Any]]] = {}
        for request, completion in made:
            shelf, key = self.shelf(request), key_of(request)
            if completion.missing:
                self._passing[shelf.place, key] = _stored(completion)
            else:
                records.setdefault(shelf, {})[key] = _stored(completion)
            self._names[shelf.place].add(key)
        for shelf, answers in records.items():
            shelf.add(answers)

    def _took(self, part: Part, requests: Callable[[], Iterator[Request]], shelf: Shelf) -> bool:
        """Whether a part is whole, and so all of it was taken from the store."""
        keys = {key_of(request) for request in requests()}
        found = shelf.found(keys)
        found |= {key: self._passing[shelf.place, key] for key in keys if (shelf.place, key) in self._passing}
        self._names[shelf.place] -= keys - found.keys()  # which were damaged since they were kept
        self._names[shelf.place] |= found.keys()
        if len(found) < len(keys):
            return False
        self.whole[part] = Completions(
            Completion(request.arm, request.prompt.id, request.sample, **restored(found[key_of(request)]))
            for request in requests()
        )
        return True


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
