"""A recipe -> weights: each stage goes on from the one before and is kept, so that chains share how they begin."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import write_atomically
from toxaudit.models import LoadedModel, Loader, ResolvedModel, load, quiet_peft
from toxaudit.models.merging import in_memory, merged, write_whole
from toxaudit.sources import pinned
from toxaudit.sources.base import WEIGHTS
from toxaudit.spec.recipes import FULL, TrainingStage
from toxaudit.store.shelves import Store
from toxaudit.training import sentence, trainer
from toxaudit.training.recipe import Computed, ReadStage, Recipe, goes_on, identity
from toxaudit.training.tokens import tokens
from toxaudit.training_facts import TrainedStage

MODEL, COURSE = "model", "training.json"
"""What the folder of a stage holds: the folder of its weights, and how it went."""

HERE = "tuned in this audit"

Tune = Callable[[ResolvedModel, ReadStage, Computed, Path, Path], None]
"""What tunes an arm by one stage: it fills the first folder; the second is kept until the stage is finished."""


@dataclass(frozen=True)
class Made:
    """What a recipe made.

    Attributes:
        arm: the weights, with an adapter over them if the last stage tuned one.
        sentence: how it was tuned, for the card.
        stages: how each stage went.
    """

    arm: ResolvedModel
    sentence: str
    stages: tuple[TrainedStage, ...]


def make(recipe: Recipe, root: ResolvedModel, device: str, store: Store, tune: Tune) -> Made:
    """Tune through all stages, or find them in the store.

    Args:
        recipe: with its rows.
        root: what the first stage goes on from.
        device: torch's name of what computes.
        store: of finished work.
        tune: tunes by one stage after the other, in this process or elsewhere.

    Raises:
        ToxauditError: if the root can't be loaded or tuned so, or if the training diverges.
    """
    arm, went = root, []
    for number, stage in enumerate(recipe.stages):
        before = recipe.stages[number - 1].spec if number else None
        kept = before is not None and goes_on(before, stage.spec)
        if arm.adapter and not kept and stage.spec.method != FULL:
            arm = merged(arm, device, store)
        done = identity(root, recipe.stages[: number + 1], device)
        folder = store.long(done, partial(tune, arm, stage, Computed.of(stage.spec, device)))
        files = pinned(f"{HERE} ({recipe.candidate})", None, folder / MODEL, WEIGHTS)
        if stage.spec.method == FULL:
            arm = replace(arm, weights=files, folder=files.path, adapter=None, bits=None)
        else:
            arm = replace(arm, adapter=files)
        went.append(_course(folder / COURSE))
    return Made(arm, sentence.of(recipe, went), tuple(went))


def tune(loader: Loader, arm: ResolvedModel, stage: ReadStage, computed: Computed, folder: Path, scratch: Path) -> None:
    """Tune an arm by one stage, in this process.

    Args:
        loader: loads what is tuned, on its device.
        arm: what the stage goes on from.
        stage: with its rows.
        computed: how it is computed.
        folder: an empty one, which gets what is made.
        scratch: gets checkpoints, and may hold some.

    Raises:
        Stopped: after a checkpoint, if a signal asks for it.
        ToxauditError: if the arm can't be loaded or tuned so, or if the training diverges.
    """
    import torch

    with _opened(arm, stage, computed, loader) as (loaded, model):
        torch.manual_seed(stage.spec.seed)
        model = model or _with_adapter(loaded.model, arm, stage.spec, stage.place)
        rows = tokens(stage.place, loaded, stage.examples.all, stage.spec)
        went = trainer.train(stage.place, model, rows.rows, stage.spec, computed, scratch)
        if stage.spec.method == FULL:
            write_whole(model, arm, folder / MODEL)
        else:
            trainer.save(model, folder / MODEL)
    told = TrainedStage.of(len(stage.examples.all) - rows.cut, rows.cut, went.loss, went.learning_rate)
    write_atomically(folder / COURSE, json.dumps(asdict(told)))


@contextmanager
def _opened(
    arm: ResolvedModel, stage: ReadStage, computed: Computed, loader: Loader
) -> Iterator[tuple[LoadedModel, Any]]:
    """The model that a stage goes on from, and what of it is tuned: all of it, or None for an adapter that is to come.

    An adapter goes over the weights that the loader holds, which are not read again, and comes off them at the end.
    """
    if stage.spec.method == FULL:
        loader.close()  # the weights are changed, and there is no room for them twice
        loaded = in_memory(replace(arm, dtype="float32"), loader.device)
        yield loaded, loaded.model.requires_grad_(True)
        return
    plain = replace(arm, adapter=None, dtype=computed.number_format)
    if stage.spec.load_in_4bit or arm.bits:
        loader.close()
        yield load(replace(plain, bits=4 if stage.spec.load_in_4bit else arm.bits), loader.device), None
        return
    with loader.open(plain) as loaded:
        try:
            yield loaded, None
        finally:
            loaded.model.eval()


def _with_adapter(model: Any, arm: ResolvedModel, spec: TrainingStage, place: str) -> Any:
    """PEFT's model with a new adapter, or with the one of the stage before."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training, set_peft_model_state_dict
    from safetensors.torch import load_file

    targets = spec.target_modules
    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.lora_alpha,
        target_modules=targets if isinstance(targets, str) else list(targets),
        lora_dropout=spec.lora_dropout,
        use_rslora=spec.use_rslora,
        use_dora=spec.use_dora,
        task_type="CAUSAL_LM",
    )
    try:
        with quiet_peft():
            if getattr(model, "is_quantized", False):
                model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
            model = get_peft_model(model, config)
    except ValueError as error:
        raise ToxauditError(f"{place}.target_modules '{targets}' can't be tuned: {error}") from error
    if arm.adapter:
        set_peft_model_state_dict(model, load_file(arm.adapter.path / "adapter_model.safetensors"))
    model.peft_config["default"].base_model_name_or_path = arm.weights.reference
    return model


def _course(file: Path) -> TrainedStage:
    said: dict[str, Any] = json.loads(file.read_bytes())
    return TrainedStage(**said | {key: tuple(said[key]) for key in ("at", "loss", "learning_rate")})


def copy_model(folder: Path, to: Path) -> None:
    """Copy what a stage tuned to another folder."""
    shutil.copytree(folder / MODEL, to)
