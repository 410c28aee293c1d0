"""What a spec names -> files on this machine and the digest by which all that is made with them is keyed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.models.gguf import as_safetensors
from toxaudit.records import ModelFacts, digest
from toxaudit.sources import Fetched, manifest, parse
from toxaudit.sources.base import TOLD, WEIGHTS
from toxaudit.spec import CandidateSpec, ModelSpec, WeightsSpec
from toxaudit.store import Store

DTYPES = ("float32", "bfloat16", "float16")
TOKENIZER = ("*.json", "*.jinja", "*.txt", "tokenizer.model")
"""The files of a tokenizer that is named apart from the weights."""


def weight_files(spec: WeightsSpec) -> tuple[str, ...]:
    """Which files of ``pretrained`` are fetched."""
    if spec.gguf_file:
        return (spec.gguf_file, *TOLD)
    return (*WEIGHTS, "*.py") if spec.trust_remote_code else WEIGHTS


@dataclass(frozen=True)
class ResolvedModel:
    """One arm of the audit: where its files lie and what they are.

    Attributes:
        name: ``base`` or the candidate's name.
        kind: as in ``records.ModelFacts``.
        weights: the base's or the full fine-tune's files, as fetched.
        folder: those weights as a folder of safetensors with tokenizer and configuration.
        adapter: the LoRA adapter's files, if any.
        dtype: torch's name of the number format it is run in.
        training: a sentence on how it was tuned within the audit.
        batch_size: for a control, the batch size at which it is generated.
        expect: the decision a declared control must get.
    """

    name: str
    kind: Literal["base", "adapter", "fine-tune", "trained", "control"]
    weights: Fetched
    folder: Path
    dtype: str
    adapter: Fetched | None = None
    training: str | None = None
    batch_size: int | None = None
    expect: Literal["GO", "NO-GO"] | None = None

    @property
    def identity(self) -> str:
        """SHA-256 over all that decides the model's outputs: weights, adapter, dtype; and a control's batch size."""
        adapter = self.adapter.digest if self.adapter else ""
        return digest(self.weights.digest, adapter, self.dtype, f"control at {self.batch_size}" * bool(self.batch_size))

    def facts(self) -> ModelFacts:
        """What a card may say of it."""
        source = self.adapter or self.weights
        reference = "the base itself, generated again" if self.kind == "control" else source.reference
        return ModelFacts(
            name=self.name,
            kind=self.kind,
            reference=reference,
            digest=self.identity,
            dtype=self.dtype,
            revision=source.revision,
            training=self.training,
            batch_size=self.batch_size,
            expect=self.expect,
        )


def resolve_base(spec: ModelSpec, device: str, store: Store) -> ResolvedModel:
    """Fetch and pin the base.

    Raises:
        ToxauditError: it can't be had, or its dtype is unknown.
    """
    weights = _weights(spec.pretrained, spec.revision)
    return ResolvedModel("base", "base", weights, as_safetensors(weights, store), dtype(spec.dtype, device))


def resolve_candidate(name: str, spec: CandidateSpec, base: ResolvedModel, store: Store) -> ResolvedModel:
    """Fetch and pin a candidate that is not tuned within the audit.

    Raises:
        ToxauditError: it can't be had, or the adapter's folder holds no LoRA in safetensors.
    """
    common = replace(base, name=name, expect=spec.expect)
    if spec.control:
        return replace(common, kind="control", batch_size=spec.batch_size or 1, expect=spec.expect or "GO")
    if spec.pretrained:
        weights = _weights(spec.pretrained, spec.revision)
        return replace(common, kind="fine-tune", weights=weights, folder=as_safetensors(weights, store))
    adapter = parse(spec.peft or "", spec.peft_revision).fetch(WEIGHTS)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter.path / file).is_file():
            raise ToxauditError(f"candidates.{name}: {adapter.reference} holds no {file}: it is no PEFT adapter.")
    return replace(common, kind="adapter", adapter=adapter)


def tuned(name: str, spec: CandidateSpec, base: ResolvedModel, folder: Path, sentence: str) -> ResolvedModel:
    """A candidate whose adapter was tuned within the audit and lies in ``folder``."""
    adapter = Fetched(f"tuned in this audit ({name})", None, folder, manifest(folder, WEIGHTS))
    return replace(base, name=name, kind="trained", adapter=adapter, training=sentence, expect=spec.expect)


def dtype(name: str, device: str) -> str:
    """``auto`` made definite: float32 on a CPU, bfloat16 on a GPU.

    Raises:
        ToxauditError: no such dtype.
    """
    if name == "auto":
        return "float32" if device == "cpu" else "bfloat16"
    if name not in DTYPES:
        raise ToxauditError(f"base.dtype '{name}' is unknown.{did_you_mean(name, ('auto', *DTYPES))}")
    return name


def _weights(reference: str, revision: str | None) -> Fetched:
    weights = parse(reference, revision).fetch(WEIGHTS)
    if weights.path.is_file():
        if weights.path.suffix != ".gguf":
            raise ToxauditError(f"{weights.reference} is a single file but no .gguf: name the model's folder.")
    elif not any(weights.path.glob("*.safetensors")):
        raise ToxauditError(
            f"{weights.reference} holds no *.safetensors: weights in pickles (*.bin, *.pt) are never loaded."
        )
    elif not (weights.path / "config.json").is_file():
        raise ToxauditError(f"{weights.reference} holds no config.json: it is no transformers model.")
    return weights
