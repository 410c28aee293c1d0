"""What a spec names -> files on this machine and the digest by which all that is made with them is keyed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Literal

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import ModelFacts
from toxaudit.models import adapter_file, declared, number_format, within
from toxaudit.models.capacity import check_memory, memory_needed, stored_in
from toxaudit.models.declared import Declared, Kind
from toxaudit.models.gguf import as_safetensors
from toxaudit.models.number_format import NumberFormat
from toxaudit.models.other_template import OtherTemplate
from toxaudit.models.refusing import refusing
from toxaudit.models.view import view
from toxaudit.records import digest
from toxaudit.sources import Fetched, HubSource, RepositoryFacts, Source, parse, pinned
from toxaudit.sources.base import TOLD, WEIGHTS, wanted
from toxaudit.sources.configured import check_counts
from toxaudit.spec.schema import CandidateSpec, ModelSpec, WeightsSpec
from toxaudit.store.shelves import Store

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
        batch_size: for a control, the batch size at which it is generated.
        expect: the decision a declared control must get.
        declared: what its repository says of itself.
        notes: what a reader must know of it, in phrases.
        system_instruction: the system prompt that it gets where it is asked in its chat template; None leaves that to
            the suite. No part of ``identity``.
        template: the chat template that it is asked in, where that is not its own. No part of ``identity``.
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
    batch_size: int | None = None
    expect: Literal["GO", "NO-GO"] | None = None
    declared: Declared = Declared()
    notes: tuple[str, ...] = ()
    system_instruction: str | None = None
    template: OtherTemplate | None = None

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
        reference = "the base itself, generated again" if self.kind == "control" else source.reference
        return ModelFacts(
            name=self.name,
            kind=self.kind,
            reference=reference,
            digest=self.identity,
            dtype=f"{self.dtype}, weights in {self.bits} bits" if self.bits else self.dtype,
            revision=source.revision,
            training=self.training,
            batch_size=self.batch_size,
            expect=self.expect,
            notes=self.notes,
            system_instruction=self.system_instruction,
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
    name: str, spec: CandidateSpec, base: ResolvedModel, device: str, store: Store, any_base: bool = False
) -> ResolvedModel:
    """Fetch and pin a candidate that is not tuned within the audit.

    Args:
        name: the candidate's.
        spec: what it is.
        base: the audit's.
        device: torch's name of the device that it will run on.
        store: of finished work.
        any_base: whether it is audited although it declares another base, even if ``spec`` doesn't allow it.

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
            return replace(under, expect=spec.expect, notes=under.notes + _relation(name, under, base, any_base))
    if adapter is None:
        source = parse(spec.peft or "", spec.peft_revision, subfolder=spec.subfolder)
        adapter = source.fetch(WEIGHTS)
        within.check_adapter(f"candidates.{name}", source, adapter.files.keys())
    found = replace(under, name=name, kind="adapter", adapter=adapter, declared=declared.read(adapter.path), notes=())
    notes = _relation(name, found, under, any_base)
    if under.loaded_as != base.loaded_as:
        notes = under.notes + _relation(name, under, base, any_base) + notes
    words, about_words = (None, ()) if spec.pretrained and spec.peft else _tokenizer(spec, store)
    found = replace(found, adapter=view(adapter, store), tokenizer=words or under.tokenizer)
    return replace(found, expect=spec.expect, notes=notes + about_words)


def tuned(name: str, spec: CandidateSpec, base: ResolvedModel, folder: Path, sentence: str) -> ResolvedModel:
    """A candidate whose adapter was tuned within the audit and lies in ``folder``."""
    adapter = pinned(f"tuned in this audit ({name})", None, folder, WEIGHTS)
    return replace(base, name=name, kind="trained", adapter=adapter, training=sentence, expect=spec.expect, notes=())


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
    weights, said = _weights(source, fetched, root, spec.gguf_file), declared.read(root)
    check_counts(f"{fetched.reference} can't be loaded", root)
    kind = declared.kind(root, weights.path, said)
    words, about_words = _tokenizer(spec, store)
    notes, linked = tuple(_code_notes(weights.reference, root, spec)), view(weights, store)
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


def _weights(source: Source, fetched: Fetched, root: Path, gguf_file: str | None) -> Fetched:
    """The weights among what was fetched: a folder of safetensors, or one GGUF file."""
    if (root / "adapter_config.json").is_file():  # transformers would load the model that it names instead
        raise ToxauditError(
            f"{fetched.reference} holds an adapter_config.json beside the weights: name an adapter by 'peft', or take "
            "that file away."
        )
    if gguf_file:
        if gguf_file not in fetched.files:
            beside = [file.name for file in fetched.path.glob("*.gguf")] if fetched.path.is_dir() else []
            raise ToxauditError(f"{fetched.reference} holds no {gguf_file}.{did_you_mean(gguf_file, beside)}")
        name, sha = f"{fetched.reference}/{gguf_file}", fetched.files[gguf_file]
        return Fetched(name, fetched.revision, fetched.path / gguf_file, sha, {gguf_file: sha})
    if fetched.path.is_file():
        if fetched.path.suffix != ".gguf":
            raise ToxauditError(f"{fetched.reference} is a single file but no .gguf: name the model's folder.")
    elif not any(name.endswith(".safetensors") for name in fetched.files):
        within.suggest(source, "*.safetensors")
        raise ToxauditError(
            f"{fetched.reference} holds no *.safetensors: weights in pickles (*.bin, *.pt) are never loaded; "
            "of GGUF files, name one by gguf_file."
        )
    elif "config.json" not in fetched.files:
        raise ToxauditError(f"{fetched.reference} holds no config.json: it is no transformers model.")
    return fetched


def _tokenizer(spec: WeightsSpec, store: Store) -> tuple[Fetched | None, tuple[str, ...]]:
    """A tokenizer that is named apart, and what is to be said of it; its code never runs."""
    if not spec.tokenizer:
        return None, ()
    fetched = parse(spec.tokenizer).fetch(TOKENIZER)
    return view(fetched, store), tuple(_code_notes(fetched.reference, fetched.path, spec, runs=False))


def _code_notes(reference: str, root: Path, spec: WeightsSpec, runs: bool = True) -> list[str]:
    """What is to be said of code that comes with weights, where it can run, or with a tokenizer, where it can't.

    Raises:
        ToxauditError: if there is such code and the spec doesn't say what to do, or if it lies in another repository.
    """
    found = declared.foreign_code(root)
    if not found:
        return []
    file, code = found[0]
    if spec.trust_remote_code is None:
        raise ToxauditError(
            f"{reference}: {file} names code of its own ({code}), which is not run: set trust_remote_code: "
            "false to read the weights with transformers' own class, or true to run that code."
        )
    elsewhere = [(file, code) for file, code in found if "--" in code]
    if elsewhere and spec.trust_remote_code:
        file, code = elsewhere[0]
        raise ToxauditError(f"{reference}: {file} names code of another repository ({code}), which isn't run.")
    if not spec.trust_remote_code or not runs:
        return [f"its {file} names code of its own ({code}), which was not run: read with transformers' own class"]
    return [f"code that came with the weights was run ({code})"]


def _relation(name: str, found: ResolvedModel, base: ResolvedModel, any_base: bool) -> tuple[str, ...]:
    """What is to be said of a candidate's own words about its base and its kind.

    Raises:
        ToxauditError: if it declares another base, and that is not allowed by ``any_base``.
    """
    weights, said, notes = base.weights, found.declared, []
    kind = said.found or "adapter"
    if said.kind and said.kind != kind:
        notes.append(f"its card calls it {_a(said.kind)}, its files are those of {_a(kind)}")
    matches = (declared.is_base(each, weights.reference, weights.revision is not None) for each in said.bases)
    if not said.bases:
        notes.append("it declares no base")
    elif not any(matches) and not any(_renamed(each, weights) for each in said.bases):
        named, reference = (
            " and ".join(_told(each, weights.reference) for each in said.bases),
            (found.adapter or found.weights).reference,
        )
        if not any_base:
            raise ToxauditError(
                f"candidates.{name}: {reference} declares the base {named}, not {weights.reference}: name its own "
                "base, or set allow_base_mismatch: true to audit it all the same."
            )
        notes.append(f"it declares the base {named}, and was audited against {weights.reference} all the same")
    return tuple(notes)


def _told(name: str, other: str) -> str:
    """A declared name, with the signs that are not seen where these alone tell it from another."""
    return ascii(name) if "".join(filter(str.isprintable, name)) == other else name


def _renamed(declared_base: str, base: Fetched) -> bool:
    """Whether the Hub knows the base by that name, too: a former one. Where it can't be asked, it does not."""
    if base.revision is None or declared_base.count("/") != 1:
        return False
    reference = "/".join(base.reference.split("/")[:2])
    try:
        one, other = (HubSource(each).facts(timeout=10).name for each in (declared_base, reference))
    except ToxauditError:
        return False
    return one == other


def _a(kind: Kind) -> str:
    return f"an {kind}" if kind == "adapter" else f"a {kind} model" if kind == "quantized" else f"a {kind}"
