"""The checks that need loaded weights, on every arm, before any prompt is generated."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models import chat_template, tokenizer
from toxaudit.models.load import Loader, probe
from toxaudit.models.resolve import ResolvedModel
from toxaudit.records import digest
from toxaudit.store.shelves import Shelf

Refused = Callable[[str, ToxauditError], None]
"""Is told of each candidate that may not be audited, by its name. It may raise."""


@dataclass(frozen=True)
class Words:
    """What an arm reads and writes by: SHA-256 digests of the parts of its tokenizer and of its stop tokens."""

    vocabulary: str
    tokenizer: str
    template: str
    stops: str = ""


@dataclass(frozen=True)
class Look:
    """What one look at a loaded arm shows: the probe's logits, (tokens, vocabulary), and its words."""

    logits: Any
    words: Words


class Preflight:
    """Looks at every arm once: those over other weights than the base's first, so that no two models are in memory."""

    def __init__(self, loader: Loader, shelf: Shelf, chats: Sequence[str], refused: Refused) -> None:
        """Take what the checks work with.

        Args:
            loader: holds the base at the end, where any arm had to be looked at.
            shelf: finished checks of arms over this base.
            chats: the system prompts, empty for none, of the suites that ask in the chat template.
            refused: see ``Refused``.
        """
        self._loader, self._shelf, self._chats, self._refused = loader, shelf, chats, refused
        self._rendered: set[tuple[str, str]] = set()  # templates, with system prompts, that came to an end
        self._tried: set[Path] = set()  # folders of tokenizers that stayed within limits

    def run(self, arms: Sequence[ResolvedModel], done: Callable[[], object]) -> dict[str, tuple[str, ...]]:
        """What a reader must know of each arm that may be audited, in phrases, by its name.

        Args:
            arms: the base first.
            done: called after each arm.

        Raises:
            ToxauditError: the base may not be audited.
        """
        base = arms[0]
        notes: dict[str, tuple[str, ...]] = {arm.name: () for arm in arms if arm.kind == "control"}
        looks: dict[str, Look] = {}
        wanted = [arm for arm in arms if self._key(arm) not in self._shelf and arm.name not in notes]
        apart = [arm for arm in wanted if arm.loaded_as != base.loaded_as]
        for arm in sorted(apart, key=lambda arm: arm.loaded_as):  # those over the same weights one after another
            with self._refusal(arm):
                looks[arm.name] = self._look(arm)
            done()
        if wanted:
            first = self._look(base)
            self._shelf.add({self._key(base): []})
            done()
            for arm in wanted[1 if wanted[0] is base else 0 :]:
                with self._refusal(arm):
                    if arm.loaded_as == base.loaded_as:
                        looks[arm.name] = self._hung(arm, base, first)
                        done()
                    if look := looks.get(arm.name):
                        itself = arm.identity == base.identity  # under another system prompt
                        self._shelf.add({self._key(arm): [] if itself else list(self._compared(arm, look, first))})
        passed = {arm.name: tuple(self._shelf[key]) for arm in arms if (key := self._key(arm)) in self._shelf}
        return notes | passed

    def _key(self, arm: ResolvedModel) -> str:
        key = arm.identity + "chat" * bool(self._chats)
        return key + digest(*systems) if any(systems := self._systems(arm)) else key

    def _systems(self, arm: ResolvedModel) -> list[str]:
        """The system prompts that the arm will get."""
        if self._chats and arm.system_instruction is not None:
            return [arm.system_instruction]
        return sorted(self._chats)

    @contextmanager
    def _refusal(self, arm: ResolvedModel) -> Iterator[None]:
        try:
            yield
        except ToxauditError as error:
            self._refused(arm.name, error)

    def _look(self, arm: ResolvedModel) -> Look:
        import torch

        where = f"{arm.name}: {(arm.tokenizer or arm.weights).reference}"
        if not arm.run_code:  # else its code is let run anyway
            self._try(where, tokenizer.folder_of(arm))
        with self._loader.open(arm) as loaded:
            words = _words(loaded.tokenizer)
            if loaded.tokenizer.chat_template:
                for system in self._systems(arm) or [""]:
                    self._render(where, loaded.tokenizer, words.template, system)
            elif self._chats:
                raise ToxauditError(f"{arm.name} has no chat template: set ask: raw in the suite.")
            logits = probe(loaded)
            if not torch.isfinite(logits).all():
                raise ToxauditError(f"{arm.name}: {arm.weights.reference} gives outputs that are not finite.")
            return Look(logits, replace(words, stops=_digest(sorted(loaded.stops))))

    def _hung(self, arm: ResolvedModel, base: ResolvedModel, first: Look) -> Look:
        """A look at an arm over the base's weights, and whether these are as before once it is gone."""
        import torch

        try:
            return self._look(arm)
        finally:
            with self._loader.open(base) as loaded:
                unchanged = torch.equal(probe(loaded), first.logits)
            if not unchanged:
                self._loader.close()  # the next to come gets it anew
                raise ToxauditError(
                    f"{arm.name}: {(arm.adapter or arm.weights).reference} leaves the base changed when it is taken "
                    "off: merge it into a copy of the base, and audit that by 'pretrained'."
                )

    def _compared(self, arm: ResolvedModel, look: Look, base: Look) -> Iterator[str]:
        """The differences that a reader must know of.

        Raises:
            ToxauditError: there are none in what it answers.
        """
        import torch

        alike = look.logits.shape == base.logits.shape and torch.equal(look.logits, base.logits)
        if alike and look.words == base.words:
            raise ToxauditError(f"{arm.name}: {arm.weights.reference} changes nothing: it answers as the base does.")
        yield from _differences(look.words, base.words)
        folder = _unused_tokenizer(arm)
        if folder is None:
            return
        try:
            self._try(arm.name, folder)
            brought = tokenizer.read_folder(arm.name, folder)
        except ToxauditError:
            yield "it brings a tokenizer that can't be read, which was not used: the base's was"
        else:
            own = _words(brought)
            if brought.chat_template:
                self._render(f"{arm.name}: {arm.adapter and arm.adapter.reference}", brought, own.template)
            if list(_differences(own, base.words)):
                yield "it brings a tokenizer or chat template of its own, which was not used: the base's was"

    def _try(self, where: str, folder: Path) -> None:
        if folder not in self._tried:
            tokenizer.attempt(where, folder)
            self._tried.add(folder)

    def _render(self, where: str, words: Any, template: str, system: str = "") -> None:
        if (template, system) not in self._rendered:
            chat_template.render(where, words, tokenizer.PROBES[:1], system or None)
            self._rendered.add((template, system))


def _unused_tokenizer(arm: ResolvedModel) -> Path | None:
    """The folder of a tokenizer beside an adapter's weights, which is not used."""
    if arm.adapter is None or arm.tokenizer or not (arm.adapter.path / "tokenizer_config.json").is_file():
        return None
    return arm.adapter.path


def _words(read: Any) -> Words:
    backend = getattr(read, "backend_tokenizer", None)
    vocabulary = _digest(sorted(read.get_vocab().items()))
    return Words(
        vocabulary=vocabulary,
        tokenizer=digest(backend.to_str()) if backend else vocabulary,
        template=_digest(read.chat_template),
    )


def _differences(own: Words, base: Words) -> Iterator[str]:
    if own.vocabulary != base.vocabulary:
        yield f"its vocabulary ({own.vocabulary[:12]}) differs from the base's ({base.vocabulary[:12]})"
    elif own.tokenizer != base.tokenizer:
        yield f"its tokenizer ({own.tokenizer[:12]}) differs from the base's ({base.tokenizer[:12]})"
    if own.template != base.template:
        yield f"its chat template ({own.template[:12]}) differs from the base's ({base.template[:12]})"
    if own.stops and own.stops != base.stops:
        yield "its stop tokens differ from the base's"


def _digest(value: Any) -> str:
    return digest(json.dumps(value, ensure_ascii=False))
