"""What a spec names -> files on this machine and the digest by which all that is made with them is keyed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Literal

from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, Expectation, ModelFacts, the
from toxaudit.models import adapter_file, beforehand, declared, number_format, within
from toxaudit.models.capacity import check_memory, memory_needed, stored_in
from toxaudit.models.declared import Declared, Kind
from toxaudit.models.gguf import as_safetensors
from toxaudit.models.number_format import NumberFormat
from toxaudit.models.other_template import OtherTemplate
from toxaudit.models.refusing import refusing
from toxaudit.models.view import view
from toxaudit.records import digest
from toxaudit.sources import Fetched, HubSource, RepositoryFacts, parse
from toxaudit.sources.base import TOLD, WEIGHTS, wanted
from toxaudit.sources.configured import check_counts
from toxaudit.spec.schema import CandidateSpec, ModelSpec, WeightsSpec
from toxaudit.store.shelves import Store
from toxaudit.training_facts import GridPlace, TrainedStage

Decide = Callable[[str | None], NumberFormat]
"""What a model is computed in, given the checkpoint's own number format; None where its weights are quantised."""

TOKENIZER = ("*.json", "*.jinja", "*.txt", "tokenizer.model")
"""The files of a tokenizer that is named apart from the weights."""


def weight_files(spec: WeightsSpec) -> tuple[str, ...]:
    """Which files of ``pretrained`` are fetched."""
    if spec.gguf_file:
        return (escape(spec.gguf_file), *TOLD)
    return (*WEIGHTS, "*.py") if spec.trust_remote_code else WEIGHTS


def subfolder_field(spec: WeightsSpec) -> str | None:
    """The field that says which folder of ``pretrained`` is read; none where it says that of an adapter."""
    return None if getattr(spec, "peft", None) else "subfolder"


@dataclass(frozen=True)
class ResolvedModel:
    """One arm of the audit: where its files lie and what they are.

    Attributes:
        name: ``base`` or the candidate's name.
        kind: as in ``facts.ModelFacts``.
        weights: the base's or the full fine-tune's files, as fetched.
        folder: those weights as a folder of safetensors with tokenizer and configuration.
        adapter: the LoRA adapter's files, if any.
        tokenizer: the files of a tokenizer named apart, if any.
        dtype: torch's name of the number format it is run in.
        bits: 4 or 8 where bitsandbytes quantises the weights while loading.
        run_code: whether code that comes with the weights is run.
        training: a sentence on how it was tuned within the audit.
        stages: how each stage of that went.
        batch_size: for a control, the batch size at which it is generated.
        expect: what a declared control must come out as.
        declared: what its repository says of itself.
        notes: what a reader must know of it, in phrases.
        system_instruction: the system prompt that it gets where it is asked in its chat template; None leaves that to
            the suite. No part of ``identity``.
        template: the chat template that it is asked in, where that is not its own. No part of ``identity``.
        against: the name of the arm that a candidate is compared with, its reference. No part of ``identity``.
        grid: where a candidate stands in a grid. No part of ``identity``.
    """

    name: str
    kind: Kind | Literal["base", "trained", "control"]
    weights: Fetched
    folder: Path
    dtype: str
    adapter: Fetched | None = None
    tokenizer: Fetched | None = None
    bits: int | None = None
    run_code: bool = False
    training: str | None = None
    stages: tuple[TrainedStage, ...] = ()
    batch_size: int | None = None
    expect: Expectation | None = None
    declared: Declared = Declared()
    notes: tuple[str, ...] = ()
    system_instruction: str | None = None
    template: OtherTemplate | None = None
    against: str = BASE_ARM
    grid: GridPlace | None = None

    @property
    def loaded_as(self) -> str:
        """SHA-256 over what is loaded without the adapter: arms of one such value share one loaded model."""
        how = f"{self.bits} bits" * bool(self.bits) + "code" * self.run_code
        return digest(self.weights.identity, self.dtype, how)

    @property
    def identity(self) -> str:
        """SHA-256 over all that decides the model's outputs; and a control's batch size."""
        adapter, tokenizer = (files.identity if files else "" for files in (self.adapter, self.tokenizer))
        control = f"control at {self.batch_size}" * bool(self.batch_size)
        drawn = ["drawn from a seed"] if self.adapter and adapter_file.draws(self.adapter.path) else []
        return digest(self.loaded_as, adapter, tokenizer, control, *drawn)

    def facts(self) -> ModelFacts:
        """What a card may say of it."""
        source = self.adapter or self.weights
        again = f"{the(self.against)} itself, generated again"
        reference = again if self.kind == "control" else source.reference
        return ModelFacts(
            name=self.name,
            kind=self.kind,
            reference=reference,
            digest=self.identity,
            dtype=f"{self.dtype}, weights in {self.bits} bits" if self.bits else self.dtype,
            revision=source.revision,
            training=self.training,
            stages=self.stages,
            batch_size=self.batch_size,
            expect=self.expect,
            notes=self.notes,
            system_instruction=self.system_instruction,
            against=self.against,
            grid=self.grid,
        )


def resolve_base(spec: ModelSpec, device: str, store: Store) -> ResolvedModel:
    """Fetch and pin the base.

    Raises:
        ToxauditError: if it can't be had, is too large for this machine, brings code, or has an unknown dtype.
    """
    number_format.check(spec.dtype)  # before anything is fetched

    def decide(its_own: str | None) -> NumberFormat:
        return number_format.chosen(spec.dtype, its_own, device)

    return _full("base", spec.pretrained, spec, decide, device, store)


def resolve_candidate(
    name: str,
    spec: CandidateSpec,
    base: ResolvedModel,
    device: str,
    store: Store,
    any_base: bool = False,
    reference: ResolvedModel | None = None,
) -> ResolvedModel:
    """Fetch and pin a candidate that is not tuned within the audit.

    Args:
        name: the candidate's.
        spec: what it is.
        base: the audit's; of a control, the arm that it is to be again.
        device: torch's name of the device that it will run on.
        store: of finished work.
        any_base: whether it is audited although it declares another base, even if ``spec`` doesn't allow it.
        reference: the arm that it is compared with, which a whole model may declare as its base; None for the base.

    Raises:
        ToxauditError: if it can't be had, is too large for this machine, holds no safetensors, brings code, or
            declares another base.
    """
    any_base = any_base or spec.allow_base_mismatch
    if spec.control:
        control = replace(base, name=name, kind="control", notes=(), batch_size=spec.batch_size or 1)
        return replace(control, expect=spec.expect or "GO")
    under, adapter = base, None

    def decide(its_own: str | None) -> NumberFormat:
        return number_format.as_told(base.dtype, its_own, "as the base is")

    if spec.pretrained:
        under = _full(name, spec.pretrained, spec, decide, device, store)
        if under.adapter and (spec.peft or spec.gguf_file or spec.load_in_4bit or spec.load_in_8bit):
            raise ToxauditError(
                f"candidates.{name}.pretrained {under.adapter.reference} is an adapter: name it by 'peft'."
            )
        if under.adapter:
            adapter, under = under.adapter, base
        elif not spec.peft:
            return replace(
                under, expect=spec.expect, notes=under.notes + _related(name, under, base, reference, any_base)
            )
    if adapter is None:
        source = parse(spec.peft or "", spec.peft_revision, subfolder=spec.subfolder)
        adapter = source.fetch(WEIGHTS)
        within.check_adapter(f"candidates.{name}", source, adapter.files.keys())
    found = replace(under, name=name, kind="adapter", adapter=adapter, declared=declared.read(adapter.path), notes=())
    notes = beforehand.relation(name, adapter.reference, found.declared, under.weights, any_base)
    if under.loaded_as != base.loaded_as:
        notes = under.notes + _related(name, under, base, reference, any_base) + notes
    words, about_words = (None, ()) if spec.pretrained and spec.peft else _tokenizer(spec, store)
    found = replace(found, adapter=view(adapter, store), tokenizer=words or under.tokenizer)
    return replace(found, expect=spec.expect, notes=notes + about_words)


def _related(
    name: str, whole: ResolvedModel, base: ResolvedModel, reference: ResolvedModel | None, any_base: bool
) -> tuple[str, ...]:
    """What is to be said of a whole model's own words about its base; nothing of the reference's very weights."""
    if reference and whole.weights.identity == reference.weights.identity:
        return ()
    other = (reference.adapter or reference.weights) if reference else None
    return beforehand.relation(name, whole.weights.reference, whole.declared, base.weights, any_base, other)


def tuned(
    name: str, spec: CandidateSpec, weights: ResolvedModel, sentence: str, stages: tuple[TrainedStage, ...] = ()
) -> ResolvedModel:
    """A candidate that was tuned within the audit.

    Args:
        name: the candidate's.
        spec: what it is.
        weights: what its recipe made.
        sentence: how it was tuned.
        stages: how each stage went.
    """
    made = replace(weights, name=name, kind="trained", training=sentence, stages=stages)
    return replace(made, expect=spec.expect, notes=(), batch_size=None)


def _full(name: str, reference: str, spec: WeightsSpec, decide: Decide, device: str, store: Store) -> ResolvedModel:
    """A whole model; or, where the reference turns out to be an adapter's, that adapter under ``adapter``."""
    subfolder = spec.subfolder if subfolder_field(spec) else None
    source = parse(reference, spec.revision, subfolder=subfolder)
    bits = 4 if spec.load_in_4bit else 8 if spec.load_in_8bit else None
    if isinstance(source, HubSource) and not source.cached(weight_files(spec)):
        facts = source.facts()
        likely = decide(None if spec.gguf_file else stored_in(facts.kinds)).name
        _check_room(f"{name}: {source.shown}", facts, spec, bits, likely, device)
    fetched = source.fetch(weight_files(spec))
    if name != "base" and within.is_adapter(fetched.files.keys()):
        return ResolvedModel(name, "adapter", fetched, fetched.path, decide(None).name, adapter=fetched)
    root = fetched.path if fetched.path.is_dir() else fetched.path.parent
    weights, said = beforehand.weights_among(source, fetched, spec.gguf_file), declared.read(root)
    check_counts(f"{fetched.reference} can't be loaded", root)
    kind = declared.kind(root, weights.path, said)
    words, about_words = _tokenizer(spec, store)
    notes, linked = tuple(beforehand.code_notes(weights.reference, root, spec)), view(weights, store)
    folder = as_safetensors(linked, store)
    with refusing(f"{name}: {fetched.reference} can't be loaded", linked.path):
        computed = decide(number_format.own(linked.path))
    return ResolvedModel(
        name=name,
        kind="base" if name == "base" else kind,
        weights=linked,
        folder=folder,
        dtype=computed.name,
        tokenizer=words,
        bits=bits,
        run_code=bool(spec.trust_remote_code),
        declared=replace(said, found=kind),
        notes=notes + about_words + computed.notes,
    )


def _check_room(
    where: str, facts: RepositoryFacts, spec: WeightsSpec, bits: int | None, dtype: str, device: str
) -> None:
    """Refuse weights that the memory has no room for, before gigabytes come down in vain.

    Where the Hub has not counted parameters, the files' own size is the least that they will take.
    """
    size = sum(size for name, size in facts.sizes.items() if wanted(name, weight_files(spec)))
    needed = memory_needed(facts.parameters, dtype, bits) if facts.parameters else size
    check_memory(where, needed if facts.parameters or not bits else 0, device, dtype=dtype)


def _tokenizer(spec: WeightsSpec, store: Store) -> tuple[Fetched | None, tuple[str, ...]]:
    """A tokenizer that is named apart, and what is to be said of it; its code never runs."""
    if not spec.tokenizer:
        return None, ()
    fetched = parse(spec.tokenizer).fetch(TOKENIZER)
    return view(fetched, store), tuple(beforehand.code_notes(fetched.reference, fetched.path, spec, runs=False))
