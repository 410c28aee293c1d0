"""The files of an arm on another machine than the one that pinned them: the very same, or none."""

from contextlib import suppress
from dataclasses import replace
from glob import escape
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.models import ResolvedModel
from toxaudit.models.view import link
from toxaudit.sources import Fetched, file_digest, parse


def found(arm: ResolvedModel, scratch: Path) -> ResolvedModel:
    """The arm as its files lie on this machine: where they did, as on a shared disk, or fetched from the Hub.

    Args:
        arm: as it was resolved elsewhere.
        scratch: a folder for links to what is fetched; it need not be there.

    Raises:
        ToxauditError: if a file is not here and no commit of the Hub names it, or if its digest is another.
    """
    weights = _here(arm, arm.weights, scratch / "weights")
    adapter, tokenizer = (
        files and _here(arm, files, scratch / name)
        for name, files in {"adapter": arm.adapter, "tokenizer": arm.tokenizer}.items()
    )
    folder = weights.path if arm.folder == arm.weights.path else arm.folder
    for needed in (folder, arm.template and arm.template.folder):
        if needed and not needed.is_dir():
            raise _absent(arm, f"what was made of {arm.weights.reference}")
    return replace(arm, weights=weights, folder=folder, adapter=adapter, tokenizer=tokenizer)


def _here(arm: ResolvedModel, files: Fetched, scratch: Path) -> Fetched:
    """The same files on this machine, every digest compared."""
    alone = files.files.get(files.path.name) == files.digest  # it is a file and no folder
    if not all(((files.path.parent if alone else files.path) / name).is_file() for name in files.files):
        if alone or not files.revision:
            raise _absent(arm, files.reference)
        files = _fetched(files, scratch)
    for name, digest in files.files.items():
        file = (files.path.parent if alone else files.path) / name
        if not file.is_file() or file_digest(file.resolve()) != digest:
            raise ToxauditError(
                f"{arm.name}: {files.reference} is not what the audit has pinned: {name} has another digest; remove "
                "it there, or let all nodes share one folder."
            )
    return files


def _fetched(files: Fetched, scratch: Path) -> Fetched:
    """These files at their commit of the Hub, by links in a folder that holds no others."""
    owner, repository, *inside = files.reference.split("/")
    source = parse(f"{owner}/{repository}", files.revision, subfolder="/".join(inside) or None)
    root = source.fetch(tuple(escape(name) for name in files.files)).path
    with suppress(OSError):  # what is missing is told of by its name
        link(root, list(files.files), scratch)
    return replace(files, path=scratch)


def _absent(arm: ResolvedModel, what: str) -> ToxauditError:
    return ToxauditError(
        f"{arm.name}: {what} is not there: let all nodes share the folder of models and the store (store=FOLDER), or "
        "name models by their Hub ids."
    )
