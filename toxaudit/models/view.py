"""Folders that hold nothing but the files that were hashed: what is loaded from there is what is known."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.sources import Fetched
from toxaudit.store import identities
from toxaudit.store.shelves import Store

INDEX = "model.safetensors.index.json"


def view(fetched: Fetched, store: Store) -> Fetched:
    """The same files by links in a folder of their own, beyond which nothing can be reached.

    Libraries read what they find beside a file: a tokenizer beside a GGUF file, an adapter beside a model, code.

    Raises:
        ToxauditError: if a configuration names weights that are none of these files.
    """
    root = fetched.path if fetched.path.is_dir() else fetched.path.parent
    _check_named(fetched, root)
    identity = identities.View(str(root), dict(fetched.files))
    folder = store.folder(identity, lambda empty: link(root, list(fetched.files), empty))
    return replace(fetched, path=folder if fetched.path.is_dir() else folder / fetched.path.name)


def link(root: Path, names: list[str], folder: Path) -> None:
    """Make links in a folder to these files under ``root``, or copies where a system has no links."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.symlink((root / name).resolve(), folder / name)
        except OSError:  # a system without links, or that keeps them to administrators
            shutil.copyfile(root / name, folder / name)


def _check_named(fetched: Fetched, root: Path) -> None:
    """Refuse weights that a configuration names outside of what was hashed."""
    named: set[str] = set()
    for file, key in ((INDEX, "weight_map"), ("config.json", "transformers_weights")):
        if file in fetched.files:
            try:
                found = json.loads((root / file).read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise ToxauditError(f"{fetched.reference} can't be loaded: {file} is damaged: {error}.") from error
            found = found.get(key) if isinstance(found, dict) else None
            named |= set(map(str, found.values())) if isinstance(found, dict) else {str(found)} if found else set()
    known = {name for name in fetched.files if name.endswith(".safetensors")}
    if strange := sorted(named - known):
        raise ToxauditError(
            f"{fetched.reference} names weights in {strange[0]}, which is no *.safetensors at the repository's top."
        )
