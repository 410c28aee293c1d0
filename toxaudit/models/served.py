"""Arms that a server answers for: known by the names it gives them, since nobody here sees their weights."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, Expectation, ModelFacts, the
from toxaudit.records import digest
from toxaudit.sources import LocalSource
from toxaudit.spec.schema import OWN, AuditSpec, CandidateSpec, ModelSpec
from toxaudit.training_facts import GridPlace

ABOUT_FILES = (
    *("revision", "peft_revision", "subfolder", "gguf_file", "tokenizer"),
    *("trust_remote_code", "load_in_4bit", "load_in_8bit", "train"),
)
"""Fields that say how weights are had or read."""


@dataclass(frozen=True)
class ServedModel:
    """One arm of the audit, as a server has it.

    Attributes:
        name: ``base`` or the candidate's name.
        kind: as in ``facts.ModelFacts``.
        server: the server's host and path.
        model: the model's name there.
        expect: what a declared control must come out as.
        notes: what a reader must know of it, in phrases.
        system_instruction, against, grid: as in ``ResolvedModel``.
    """

    name: str
    kind: Literal["base", "served", "control"]
    server: str
    model: str
    expect: Expectation | None = None
    notes: tuple[str, ...] = ()
    system_instruction: str | None = None
    against: str = BASE_ARM
    grid: GridPlace | None = None

    @property
    def loaded_as(self) -> str:
        """SHA-256 over the server: its arms are asked together."""
        return digest("served", self.server)

    @property
    def identity(self) -> str:
        """SHA-256 over all that is known to decide the model's outputs; and which control it is, if one."""
        return digest("served", self.server, self.model, self.name if self.kind == "control" else "")

    @property
    def batch_size(self) -> None:
        """A server forms its own batches."""

    def facts(self) -> ModelFacts:
        """What a card may say of it."""
        return ModelFacts(
            name=self.name,
            kind=self.kind,
            reference=f"{the(self.against)} itself, generated again" if self.kind == "control" else shown(self.model),
            digest=self.identity,
            dtype="not known",
            expect=self.expect,
            notes=self.notes,
            system_instruction=self.system_instruction,
            server=self.server,
            against=self.against,
            grid=self.grid,
        )


def served_base(spec: ModelSpec, server: str) -> ServedModel:
    """The base of an audit, as the server at ``server`` has it. Nothing is asked over the network."""
    return ServedModel("base", "base", server, spec.pretrained)


def served_candidate(name: str, spec: CandidateSpec, base: ServedModel) -> ServedModel:
    """A candidate, as the server of the base has it; a control is ``base`` again. Nothing is asked over the network."""
    if spec.control:
        return replace(base, name=name, kind="control", expect=spec.expect or "GO")
    return ServedModel(name, "served", base.server, spec.pretrained or spec.peft or "", spec.expect)


def names(spec: AuditSpec) -> Iterator[tuple[str, str | None, str]]:
    """Every field that holds a served model's name: its key, the candidate whose it is, and that name."""
    yield "base.pretrained", None, spec.base.pretrained
    for name, candidate in spec.candidates.items():
        for field in ("pretrained", "peft"):
            if model := getattr(candidate, field):
                yield f"candidates.{name}.{field}", name, model


def check(spec: AuditSpec) -> None:
    """Refuse what a spec says of files and weights, of which a server knows nothing.

    Raises:
        ToxauditError: if a field says such a thing; the sentence names it.
    """
    if spec.base.dtype != "auto":
        raise _meaningless("base.dtype")
    if spec.chat_template != OWN:
        raise _meaningless("chat_template")
    arms: dict[str, Any] = {"base": spec.base, **{f"candidates.{name}": each for name, each in spec.candidates.items()}}
    for where, arm in arms.items():
        for field in ABOUT_FILES:
            if getattr(arm, field, None):
                raise _meaningless(f"{where}.{field}")
    for name, candidate in spec.candidates.items():
        if candidate.batch_size:
            raise _meaningless(f"candidates.{name}.batch_size")
        if candidate.pretrained and candidate.peft:
            raise ToxauditError(
                f"candidates.{name} is both '{candidate.pretrained}' and '{candidate.peft}', but a server knows it by "
                "one name: write 'pretrained: NAME' in YAML, where the name may hold a colon."
            )


def shown(model: str) -> str:
    """A served model's name, fit for publishing: some servers name models by their paths."""
    return LocalSource(model).shown if model.startswith(("/", "~", ".")) else model


def _meaningless(key: str) -> ToxauditError:
    return ToxauditError(
        f"{key} means nothing to a server, which is asked for a model by its name alone: leave it out, or set "
        "backend=transformers."
    )
