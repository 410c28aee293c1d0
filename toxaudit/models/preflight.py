"""The checks that need loaded weights, on every arm, before any prompt is generated."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, its, the
from toxaudit.findings import Check
from toxaudit.models import chat_template, effect, tokenizer
from toxaudit.models.load import LoadedModel, Loader, probe
from toxaudit.models.resolve import ResolvedModel
from toxaudit.models.told_by import Words, differences, digest_of, words_of
from toxaudit.records import digest
from toxaudit.spec.references import in_order
from toxaudit.store.finished_checks import FinishedChecks
from toxaudit.store.shelves import Shelf

if TYPE_CHECKING:
    from torch import Tensor

Refused = Callable[[Checklist, ToxauditError], None]
"""Is told of each candidate that may not be audited, by its checks, and why. It may raise."""

LIMITS = "its tokenizer reads within limits of time and memory"
TEMPLATE = "its chat template can be rendered"
BROUGHT = "a tokenizer that it brings along"
ASKED_BY_CHAT = "chat, keeping what is said"
"""Is part of the name of a finished check; another word checks anew."""


@dataclass(frozen=True)
class ProbeResult:
    """What a probe of a loaded arm shows: its logits, (tokens, vocabulary), and its words."""

    logits: "Tensor"
    words: Words


class Preflight:
    """Looks at every arm once: those over other weights than the base's first, so that no two models are in memory."""

    def __init__(
        self,
        loader: Loader,
        shelf: Shelf,
        chats: Sequence[str],
        refused: Refused,
        takes: Mapping[str, Any] | None = None,
    ) -> None:
        """Take what the checks work with.

        Args:
            loader: holds the base at the end, where any arm had to be looked at.
            shelf: finished checks of arms over this base.
            chats: the system prompts, empty for none, of the suites that ask in the chat template.
            refused: see ``Refused``.
            takes: what chat templates are given besides.
        """
        self._takes = dict(takes or {}) if chats else {}
        self._loader, self._finished, self._chats = loader, FinishedChecks(shelf), chats
        self._refused = refused
        self._rendered: set[tuple[str, str]] = set()  # templates, with system prompts, that came to an end
        self._tried: set[Path] = set()  # folders of tokenizers that stayed within limits
        self._words: dict[int, tuple[Any, Words]] = {}  # tokenizers by their ids, which the loader reads once

    def run(self, arms: Sequence[ResolvedModel], done: Callable[[], object]) -> dict[str, tuple[Check, ...]]:
        """The checks of each arm that may be audited, by its name.

        Args:
            arms: the base first.
            done: called after each arm.

        Raises:
            ToxauditError: if the base may not be audited.
        """
        base, named = arms[0], {arm.name: arm for arm in arms}
        checks = {arm.name: Checklist(arm.name) for arm in arms}
        results: dict[str, ProbeResult] = {}
        keys = {arm.name: self._name(arm, named) for arm in arms}
        wanted = [arm for arm in arms if arm.kind != "control" and keys[arm.name] not in self._finished]
        besides = (named.get(name) for name in dict.fromkeys(arm.against for arm in wanted))
        looked_at = [*wanted, *(arm for arm in besides if arm and arm not in (base, *wanted))]
        apart = [arm for arm in looked_at if arm.loaded_as != base.loaded_as]
        for arm in sorted(apart, key=lambda arm: arm.loaded_as):  # those over the same weights one after another
            with self._refusal(checks[arm.name]):
                results[arm.name] = self._probed(arm, checks[arm.name])
            done()
        if wanted:
            results[base.name] = self._probed(base, checks[base.name])
            self._finished.add(keys[base.name], checks[base.name])
            done()
            order = in_order({arm.name: arm.against for arm in looked_at if arm is not base})
            for arm in map(named.__getitem__, order):
                with self._refusal(checks[arm.name]):
                    if arm.loaded_as == base.loaded_as:
                        results[arm.name] = self._hung(arm, base, results[base.name], checks[arm.name])
                        done()
                    if arm.name in results and arm in wanted:
                        self._require_change(arm, named, results, checks[arm.name])
                        self._finished.add(keys[arm.name], checks[arm.name])
        return {arm.name: found for arm in arms if (found := self._passed(arm, keys[arm.name]))}

    def _passed(self, arm: ResolvedModel, key: str) -> tuple[Check, ...]:
        """The finished checks of an arm; none where it did not pass them."""
        if arm.kind == "control":
            return (again(arm.name, arm.against),)
        return self._finished.of(key, arm.name) if key in self._finished else ()

    def _require_change(
        self,
        arm: ResolvedModel,
        named: Mapping[str, ResolvedModel],
        results: Mapping[str, ProbeResult],
        checks: Checklist,
    ) -> None:
        """Refuse an arm that changes nothing of its reference, or whose reference may not be audited."""
        if arm.against not in results:
            raise ToxauditError(f"{arm.name}: its reference {arm.against} is not audited, as its own checks failed.")
        if arm.identity == named[arm.against].identity:
            effect.not_asked(checks, "logits and tokenizers", arm.against)
        else:
            self._compare(arm, results, checks)

    def _name(self, arm: ResolvedModel, named: Mapping[str, ResolvedModel]) -> str:
        """The name of an arm's finished checks: its reference is part of it, where that is not the shelf's base."""
        reference = named.get(arm.against)
        return self._key(arm) + (digest(self._key(reference)) if reference and arm.against != BASE_ARM else "")

    def _key(self, arm: ResolvedModel) -> str:
        key = arm.identity + ASKED_BY_CHAT * bool(self._chats)
        key += arm.template.digest if self._chats and arm.template else ""
        key += json.dumps(self._takes, sort_keys=True) * bool(self._takes)
        return key + digest(*systems) if any(systems := self._systems(arm)) else key

    def _systems(self, arm: ResolvedModel) -> list[str]:
        """The system prompts that the arm will get."""
        if self._chats and arm.system_instruction is not None:
            return [arm.system_instruction]
        return sorted(self._chats)

    @contextmanager
    def _refusal(self, checks: Checklist) -> Iterator[None]:
        try:
            yield
        except ToxauditError as error:
            self._refused(checks, error)

    def _probed(self, arm: ResolvedModel, checks: Checklist) -> ProbeResult:
        where = f"{arm.name}: {(arm.tokenizer or arm.weights).reference}"
        if arm.run_code:
            checks.not_applicable(LIMITS, "its code is let run anyway")
        else:
            with checks.check(LIMITS):
                self._try(where, tokenizer.folder_of(arm))
                if arm.template and arm.template.folder and not arm.template.run_code:
                    self._try("base: its tokenizer", arm.template.folder)
        with self._loader.open(arm, checks, lay_by=True) as loaded:
            words = self._words_of(loaded.tokenizer)
            self._check_template(where, arm, loaded, words.template, checks)
            with checks.check("outputs are finite"):
                logits = probe(loaded) if loaded.probed is None else loaded.probed
                _check_finite(arm, logits)
            return ProbeResult(logits, replace(words, stops=digest_of(sorted(loaded.stops))))

    def _words_of(self, read: Any) -> Words:
        if id(read) not in self._words:
            self._words[id(read)] = read, words_of(read)
        return self._words[id(read)][1]

    def _check_template(
        self, where: str, arm: ResolvedModel, loaded: LoadedModel, template: str, checks: Checklist
    ) -> None:
        if not loaded.tokenizer.chat_template and not self._chats:
            checks.not_applicable(TEMPLATE, "it has none, and no suite asks in it")
            return
        with checks.check(TEMPLATE):
            if not loaded.tokenizer.chat_template:
                whose = "the base" if arm.template else arm.name
                raise ToxauditError(f"{whose} has no chat template: set ask: raw in the suite.")
            where += f", asked in {arm.template.shown}" if arm.template else ""
            for system in self._systems(arm) or [""]:
                self._render(where, loaded.tokenizer, template, system)
        if arm.template:
            own = tokenizer.read(replace(arm, template=None)).chat_template
            unused = f"its own chat template ({digest_of(own):.12}) was not used" if own else ""
            checks.passed("its own chat template", unused * (own != loaded.tokenizer.chat_template))
        for name in chat_template.ignores(loaded.tokenizer, self._takes):
            checks.passed(f"its chat template takes {name}", f"its chat template makes nothing of {name}")

    def _hung(self, arm: ResolvedModel, base: ResolvedModel, of_base: ProbeResult, checks: Checklist) -> ProbeResult:
        """Probe an arm over the base's weights, and check that these are as before once it is gone."""
        try:
            return self._probed(arm, checks)
        finally:
            with checks.check("the base is as before once it is gone"):
                self._check_unchanged(arm, base, of_base)

    def _check_unchanged(self, arm: ResolvedModel, base: ResolvedModel, of_base: ProbeResult) -> None:
        import torch

        with self._loader.open(base) as loaded:
            unchanged = torch.equal(probe(loaded), of_base.logits)
        if not unchanged:
            self._loader.close()  # the next to come gets it anew
            raise ToxauditError(
                f"{arm.name}: {(arm.adapter or arm.weights).reference} leaves the base changed when it is taken "
                "off: merge it into a copy of the base, and audit that by 'pretrained'."
            )

    def _compare(self, arm: ResolvedModel, results: Mapping[str, ProbeResult], checks: Checklist) -> None:
        """Note the differences that a reader must know of.

        Raises:
            ToxauditError: if there are none in what it answers, or if a tokenizer that it brings does harm.
        """
        import torch

        result, other = results[arm.name], results[arm.against]
        words = min(result.logits.shape[-1], other.logits.shape[-1])  # a vocabulary may be filled up
        alike = torch.equal(result.logits[:, :words], other.logits[:, :words])
        if alike and (result.words != other.words or result.logits.shape != other.logits.shape):
            why = f"its outputs are {its(arm.against)}, but not what it reads or writes by"
            effect.undecided(checks, "logits and tokenizers", why)
        else:
            named = (arm.adapter or arm.weights).reference
            nothing = ToxauditError(f"{arm.name}: {named} changes nothing: it answers as {the(arm.against)} does.")
            effect.require(checks, "logits and tokenizers", [alike], nothing)
        for name, note in differences(result.words, other.words, arm.against).items():
            checks.passed(name, note)
        if (folder := _unused_tokenizer(arm)) is None:
            checks.not_applicable(BROUGHT, "it brings none beside an adapter")
        else:
            self._compare_brought(arm, folder, results[BASE_ARM].words, checks)

    def _compare_brought(self, arm: ResolvedModel, folder: Path, base: Words, checks: Checklist) -> None:
        """Note a tokenizer beside an adapter's weights, which is not used, where it differs from the base's."""
        try:
            self._try(arm.name, folder)
            brought = tokenizer.read_folder(arm.name, folder)
        except ToxauditError:
            checks.passed(BROUGHT, "it brings a tokenizer that can't be read, which was not used: the base's was")
            return
        own, note = words_of(brought), ""
        if any(differences(own, base, BASE_ARM).values()):
            note = "it brings a tokenizer or chat template of its own, which was not used: the base's was"
        if brought.chat_template:
            with checks.check("the chat template that it brings along can be rendered"):
                self._render(f"{arm.name}: {arm.adapter and arm.adapter.reference}", brought, own.template)
        checks.passed(BROUGHT, note)

    def _try(self, where: str, folder: Path) -> None:
        if folder not in self._tried:
            tokenizer.attempt(where, folder)
            self._tried.add(folder)

    def _render(self, where: str, words: Any, template: str, system: str = "") -> None:
        """Refuse a template that doesn't come to an end; where suites ask in it, one that loses what is said."""
        if (template, system) not in self._rendered:
            if self._chats:
                chat_template.render(where, words, tokenizer.PROBES[:1], system or None, self._takes)
            else:
                chat_template.attempt(where, words)
            self._rendered.add((template, system))


def again(control: str, against: str = BASE_ARM) -> Check:
    """The record that stands for all checks of a control."""
    return Check(control, "all checks of an arm", "not applicable", f"it is {the(against)} itself, generated again")


def _unused_tokenizer(arm: ResolvedModel) -> Path | None:
    """The folder of a tokenizer beside an adapter's weights, which is not used."""
    if arm.adapter is None or arm.tokenizer or not (arm.adapter.path / "tokenizer_config.json").is_file():
        return None
    return arm.adapter.path


def _check_finite(arm: ResolvedModel, logits: "Tensor") -> None:
    import torch

    if not torch.isfinite(logits).all():
        raise ToxauditError(f"{arm.name}: {arm.weights.reference} gives outputs that are not finite.")
