"""An adapter's changes put into the weights below it, and whole weights written as a model's folder."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models.attach import quiet_peft
from toxaudit.models.load import LoadedModel, load
from toxaudit.models.resolve import ResolvedModel
from toxaudit.sources import pinned
from toxaudit.sources.base import WEIGHTS
from toxaudit.store import identities
from toxaudit.store.shelves import Store

WRITTEN = ("*.safetensors", "*.safetensors.index.json", "config.json")
"""What is written anew; all else in a model's folder is copied."""

_ALONE = Lock()
"""Whole weights are in the memory of one thread at a time."""


def merged(arm: ResolvedModel, device: str, store: Store) -> ResolvedModel:
    """An arm without its adapter, whose changes stand in the weights; without an adapter, the arm.

    Raises:
        ToxauditError: if the weights are quantised while loading, or can't be loaded.
    """
    if arm.adapter is None:
        return arm
    done = identities.Merged(
        weights=arm.weights.identity,
        adapter=arm.adapter.identity,
        stored_in=arm.dtype,
        made_with=identities.versions("torch", "transformers", "peft"),
    )
    with _ALONE:
        folder = store.folder(done, partial(_merge, arm, device))
    files = pinned(f"{arm.adapter.reference}, merged", None, folder, WEIGHTS)
    return replace(arm, weights=files, folder=folder, adapter=None)


def _merge(arm: ResolvedModel, device: str, folder: Path) -> None:
    write_whole(in_memory(replace(arm, dtype="float32"), device).model, arm, folder)


def in_memory(arm: ResolvedModel, device: str) -> LoadedModel:
    """An arm's weights in memory, with those of its adapter in them: transformers' model, and nothing of PEFT's.

    Raises:
        ToxauditError: if the weights are quantised while loading, or can't be loaded.
    """
    if arm.bits:
        raise ToxauditError(
            f"{arm.name}: its weights are held in {arm.bits} bits, in which they can't be changed: leave out "
            f"load_in_{arm.bits}bit."
        )
    loaded = load(arm, device)
    if arm.adapter is None:
        return loaded
    with quiet_peft():
        return replace(loaded, model=loaded.model.merge_and_unload())


def write_whole(model: Any, arm: ResolvedModel, folder: Path) -> None:
    """Write a model's weights in the number format of the arm that they are made of, beside that arm's other files."""
    import torch

    folder.mkdir(exist_ok=True)
    for file in arm.folder.iterdir():
        if file.is_file() and not any(file.match(pattern) for pattern in WRITTEN):
            shutil.copyfile(file, folder / file.name)
    stated = folder / "generation_config.json"
    said = stated.read_bytes() if stated.is_file() else None
    model.to(getattr(torch, arm.dtype)).save_pretrained(folder)
    if said is None:  # the loaded model's own decides nothing, and would say so
        stated.unlink(missing_ok=True)
    else:
        stated.write_bytes(said)
