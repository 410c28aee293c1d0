"""Arms that are made without training: the weights of one arm, moved by what others differ from the base.

``merged = into + sum(weight * (arm - base))``: task arithmetic (Ilharco et al. 2023, "Editing models with task
arithmetic", section 2); with ``into`` the base and one arm it is linear interpolation between the two.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.models import ResolvedModel, adapter_file, load, quiet_peft
from toxaudit.models.declared import json_object
from toxaudit.models.merging import merged
from toxaudit.models.refusing import refusing
from toxaudit.models.tensors import WEIGHTS, Weights, check_alike, check_shapes
from toxaudit.sources import pinned
from toxaudit.sources.base import WEIGHTS as TUNED
from toxaudit.store import identities
from toxaudit.store.shelves import Store

Moved = Sequence[tuple[ResolvedModel, float]]
"""Arms, each with the weight that its difference from the base gets."""


def stays_adapter(base: ResolvedModel, into: ResolvedModel, moved: Moved) -> bool:
    """Whether the merged arm is an adapter over the base's weights, too: exact, small, and generated beside others."""
    return into.adapter is None and all(
        arm.adapter is not None and arm.loaded_as == base.loaded_as == into.loaded_as and _plain(arm.adapter.path)
        for arm, _ in moved
    )


def write(base: ResolvedModel, into: ResolvedModel, moved: Moved, store: Store, folder: Path) -> None:
    """Write the merged arm into ``folder``: an adapter where ``stays_adapter``, else whole weights.

    Whole weights are stored in the widest number format that any of the arms is stored in, and computed in float32.

    Raises:
        ToxauditError: if an arm is quantised, or its weights have other names or shapes than the base's.
    """
    if stays_adapter(base, into, moved):
        _concatenate(base, moved, folder)
        return
    arms = (base, into, *(arm for arm, _ in moved))
    for arm in arms:
        if arm.bits or "quantization_config" in json_object(arm.folder / "config.json"):
            raise ToxauditError(f"{arm.name} is quantised, and quantised weights can't be merged: name whole weights.")
    whole = {arm.name: merged(replace(arm, dtype="float32"), "cpu", store) for arm in arms}
    with ExitStack() as stack:
        parts = [(Weights(whole[arm.name], stack), weight) for arm, weight in moved]
        _sum(Weights(whole[base.name], stack), Weights(whole[into.name], stack), parts, folder)
    for file in into.folder.iterdir():
        if file.is_file() and not file.match(WEIGHTS):
            shutil.copyfile(file, folder / file.name)


def _plain(folder: Path) -> bool:
    """Whether an adapter is products of two matrices alone, so that two of them add up to one."""
    config = json_object(folder / "adapter_config.json")
    beside = ("use_dora", "modules_to_save", "lora_bias", "trainable_token_indices", "target_parameters")
    bias = config.get("bias", "none") != "none"
    return not bias and not any(config.get(key) for key in beside) and not adapter_file.alters_base(folder)


def _concatenate(base: ResolvedModel, moved: Moved, folder: Path) -> None:
    """One adapter of the arms' ranks together, whose product is the weighted sum of theirs."""
    from peft import PeftModel

    loaded = load(base, "cpu")
    modules = [name for name, _ in loaded.model.named_modules()]
    for arm, _ in moved:  # strangers' adapters, of which none was looked at yet
        where = f"{arm.name}: {arm.adapter.reference if arm.adapter else ''}"
        adapter_file.check(where, _adapter(arm), modules, Checklist(arm.name))
    names = [f"arm{number}" for number, _ in enumerate(moved)]  # PEFT takes no name that is a part of its own
    with quiet_peft(), refusing(f"{' and '.join(arm.name for arm, _ in moved)} can't be merged"):
        model: Any = None
        for name, (arm, _) in zip(names, moved, strict=True):
            path = str(_adapter(arm))
            if model is None:
                model = PeftModel.from_pretrained(loaded.model, path, adapter_name=name, use_safetensors=True)
            else:
                model.load_adapter(path, adapter_name=name, use_safetensors=True)
        model.add_weighted_adapter(names, [weight for _, weight in moved], "merged", combination_type="cat")
        config = model.peft_config["merged"]
        config.target_modules, config.base_model_name_or_path = sorted(config.target_modules), base.weights.reference
        model.save_pretrained(folder, selected_adapters=["merged"], save_embedding_layers=False)
    for file in (folder / "merged").iterdir():  # where PEFT puts adapters of other names than its default
        file.rename(folder / file.name)
    (folder / "merged").rmdir()


def _adapter(arm: ResolvedModel) -> Path:
    if arm.adapter is None:
        raise ValueError(f"{arm.name} has no adapter")
    return arm.adapter.path


def _sum(base: Weights, into: Weights, parts: Sequence[tuple[Weights, float]], folder: Path) -> None:
    """Write ``into`` moved by the arms, file by file as ``into`` is divided."""
    from safetensors.torch import save_file

    check_alike([into, base, *(part for part, _ in parts)])
    for name, tensors in into.files.items():
        made = {tensor: _moved(tensor, base, into, parts) for tensor in tensors}
        save_file(made, folder / name, metadata={"format": "pt"})


def _moved(name: str, base: Weights, into: Weights, parts: Sequence[tuple[Weights, float]]) -> Any:
    """One tensor of the merged arm; interpolation gives exactly either end at weights 0 and 1."""
    import torch

    own, start = base[name], into[name]
    found, stored = start.float(), start.dtype
    for weights, weight in parts:
        other = weights[name]
        check_shapes(name, {into.arm.name: start, base.arm.name: own, weights.arm.name: other})
        stored = torch.promote_types(stored, other.dtype)
        if into.arm.name == base.arm.name and len(parts) == 1:
            found = torch.lerp(found, other.float(), weight)
        else:
            found += weight * (other.float() - own.float())
    return found.to(stored) if start.is_floating_point() else start


def merge(name: str, base: ResolvedModel, into: ResolvedModel, moved: Moved, store: Store) -> ResolvedModel:
    """An arm that is ``into``, moved by others' differences from the base, made or found in the store.

    Where all weights are 0 it is ``into`` itself, and where one arm is moved into the base with weight 1 that arm.

    Raises:
        ToxauditError: if an arm is quantised, or its weights have other names or shapes than the base's.
    """
    moved = [(arm, weight) for arm, weight in moved if weight]
    if not moved:
        return into
    if into.identity == base.identity and len(moved) == 1 and moved[0][1] == 1:
        return moved[0][0]
    small = stays_adapter(base, into, moved)
    done = identities.Sum(
        base=base.identity,
        into=into.identity,
        moved=[[arm.identity, weight] for arm, weight in moved],
        made_with=identities.versions("torch", "transformers", "peft"),
    )
    folder = store.folder(done, partial(write, base, into, moved, store))
    files = pinned(f"merged in this audit ({name})", None, folder, TUNED)
    if small:
        return replace(into, adapter=files)
    return replace(into, weights=files, folder=folder, adapter=None)


def sentence(into: str, moved: Mapping[str, float]) -> str:
    """How the arm was made, for the card."""
    parts = [f"{'+' if weight >= 0 else '-'} {abs(weight):g} x ({name} - base)" for name, weight in moved.items()]
    return f"merged without training: {into} {' '.join(parts)}"
