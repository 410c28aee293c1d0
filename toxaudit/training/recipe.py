"""A candidate's whole recipe: its stages after those that it starts from, with their rows, and what names them."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

from toxaudit.errors import ToxauditError
from toxaudit.machine import speed, threads
from toxaudit.models import ResolvedModel
from toxaudit.records import digest
from toxaudit.spec.recipes import AUTO, FULL, LORA, TrainingStage
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store import identities
from toxaudit.training.rows import Examples, examples

BASE = "base"

_SHAPE = ("r", "lora_alpha", "target_modules", "use_rslora", "use_dora")
"""What two stages must have alike to tune one adapter."""

_ROWS = (
    *("data", "revision", "config", "split", "file", "columns", "filter", "n", "limit", "limit_seed"),
    *("template", "prompt", "completion", "messages", "ask", "completion_only_loss", "replay"),
)
"""Fields that decide only which rows are learnt: in a name, these rows themselves stand."""

_OF_LORA = (*_SHAPE, "lora_dropout", "load_in_4bit")


@dataclass(frozen=True)
class Computed:
    """How a stage is computed, wherever that is: its weights are named by it.

    Attributes:
        device: torch's name of what computes.
        threads: how many do so on a CPU.
        number_format: torch's name of it; what is tuned is held in float32 all the same.
    """

    device: str
    threads: int
    number_format: str

    @classmethod
    def of(cls, stage: TrainingStage, device: str) -> Self:
        """How this process would compute a stage on a device."""
        return cls(device, threads.steady(), precision(stage, device))


@dataclass(frozen=True)
class ReadStage:
    """A stage and its rows.

    Attributes:
        place: where it stands in the spec.
        spec: what it says.
        examples: its rows.
    """

    place: str
    spec: TrainingStage
    examples: Examples

    def content(self, device: str) -> dict[str, Any]:
        """All of it that changes the weights, as JSON values."""
        said = asdict(self.spec)
        left_out = {*_ROWS, *(_OF_LORA if self.spec.method == FULL else ())}
        left_out |= {"epochs"} if self.spec.max_steps else set()
        kept = {key: value for key, value in said.items() if key not in left_out and value is not None}
        rows = [each.content for each in self.examples.all]
        return kept | {"precision": precision(self.spec, device), "rows": rows}


@dataclass(frozen=True)
class Recipe:
    """How a candidate is made.

    Attributes:
        candidate: its name.
        root: the name of the arm that the first stage goes on from.
        stages: all, those of the candidates that it starts from first.
    """

    candidate: str
    root: str
    stages: tuple[ReadStage, ...]


def read(candidates: Mapping[str, CandidateSpec], name: str, known: MutableMapping[str, ReadStage]) -> Recipe:
    """A candidate's recipe.

    Args:
        candidates: all of the audit.
        name: the candidate's.
        known: the stages that were read before, by their places; gets this recipe's.

    Raises:
        ToxauditError: if the rows of a stage can't be had.
    """
    stages = []
    for owner in _owners(candidates, name):
        for number, stage in enumerate(candidates[owner].train):
            place = f"candidates.{owner}.train[{number}]"
            if place not in known:
                known[place] = ReadStage(place, stage, examples(place, stage))
            stages.append(known[place])
    return Recipe(name, root_of(candidates, name), tuple(stages))


def check_device(recipe: Recipe, device: str) -> None:
    """Refuse what this device can't train, before weights are fetched for it.

    Raises:
        ToxauditError: if a stage holds weights in 4 bits and the device is no CUDA GPU.
    """
    for stage in recipe.stages:
        if stage.spec.load_in_4bit and not device.startswith("cuda"):
            raise ToxauditError(
                f"{stage.place}.load_in_4bit needs a CUDA GPU, and this audit runs on the {device}: leave it out."
            )


def root_of(candidates: Mapping[str, CandidateSpec], name: str) -> str:
    """The arm that the first stage of a recipe goes on from: the base, or a candidate that is not tuned here."""
    first = _owners(candidates, name)[0]
    return candidates[first].starts_from or BASE


def _owners(candidates: Mapping[str, CandidateSpec], name: str) -> list[str]:
    """The candidates whose stages make up a recipe, the first ones first."""
    owners = [name]
    while (before := candidates[owners[0]].starts_from) and before in candidates and candidates[before].train:
        owners.insert(0, before)
    return owners


def goes_on(before: TrainingStage, stage: TrainingStage) -> bool:
    """Whether a stage tunes the adapter of the one before, and no new one."""
    return before.method == stage.method == LORA and all(getattr(before, key) == getattr(stage, key) for key in _SHAPE)


def merges(candidates: Mapping[str, CandidateSpec], name: str) -> bool:
    """Whether an adapter's changes are put into the weights below it before a stage of a recipe begins."""
    if not candidates[name].train:
        return False
    stages = [stage for owner in _owners(candidates, name) for stage in candidates[owner].train]
    root = candidates.get(root_of(candidates, name))
    begins = root is not None and bool(root.peft or root.merge) and stages[0].method == LORA
    return begins or any(
        before.method == stage.method == LORA and not goes_on(before, stage) for before, stage in pairwise(stages)
    )


def precision(stage: TrainingStage, device: str) -> str:
    """The number format that a stage computes in.

    What is tuned is held in float32 all the same: steps would be lost in bfloat16.
    """
    if stage.precision != AUTO:
        return stage.precision
    return "bfloat16" if speed.computes_bfloat16(device) else "float32"


def identity(root: ResolvedModel, stages: Sequence[ReadStage], device: str) -> identities.Trained:
    """All that decides the weights that these stages, one after the other, make of the root."""
    files = [each.identity if each else "" for each in (root.weights, root.adapter, root.tokenizer)]
    template = root.template.digest if root.template and any(_in_chat(each.spec) for each in stages) else ""
    how = f"{root.bits} bits" * bool(root.bits) + "code" * root.run_code
    after = zip(stages, stages[1:], strict=False)
    whole = root.adapter or any(each.spec.method == FULL for each in stages)
    whole = whole or not all(goes_on(before.spec, stage.spec) for before, stage in after)
    computed: dict[str, Any] = {"device": device.partition(":")[0]}
    if device == "cpu":
        computed["threads"] = threads.steady()
    return identities.Trained(
        root=digest(*files, template, how),
        stages=[each.content(device) for each in stages],
        computed=computed,
        stored_in=root.dtype if whole else None,
        made_with=identities.versions("torch", "transformers", "peft", "accelerate"),
    )


def _in_chat(stage: TrainingStage) -> bool:
    return stage.in_chat or bool(stage.replay and stage.replay.in_chat)
