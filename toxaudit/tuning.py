"""The candidates that an audit would make itself, made alone: what ``toxaudit train`` does.

They come from the store, or go there, so that the audit finds them.
"""

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM
from toxaudit.machine.folders import room_for, writing
from toxaudit.models import Loader, ResolvedModel
from toxaudit.pinning.references import pin
from toxaudit.spec import references
from toxaudit.spec.schema import AuditSpec, CandidateSpec
from toxaudit.stages import arms
from toxaudit.store.shelves import Store


def tuned(spec: AuditSpec, out: Path) -> dict[str, Path]:
    """Make every candidate that is tuned or merged within the audit, and copy each into a folder of its name.

    Args:
        spec: composed and checked.
        out: the folder for these folders; none of them may be there yet.

    Returns:
        Candidate -> its folder: an adapter as PEFT reads it, or whole weights with their tokenizer.

    Raises:
        ToxauditError: if no candidate is made within the audit, if one can't be, or if a folder is there already.
    """
    made = [name for name, each in spec.candidates.items() if (each.train or each.merge) and not each.control]
    if not made:
        raise ToxauditError(f"audit '{spec.name}' has no candidate with train or merge: there is nothing to train.")
    folders = {name: out / name for name in made}
    if taken := next((folder for folder in folders.values() if folder.exists()), None):
        raise ToxauditError(f"{taken} is there already: remove it, or set out=FOLDER.")
    needed = _needed(spec.candidates, made)
    alone = replace(spec, candidates=needed, suites={}, scorers={}, on_candidate_error="stop", lock=None)
    store = Store(Path(spec.store).expanduser())
    with store.in_use(), closing(spec.executor):
        found = arms.assemble(pin(alone), Loader(spec.executor.start()), store, ())
    for arm in found.audited:
        if arm.name in folders and isinstance(arm, ResolvedModel):
            _copied(arm, folders[arm.name])
    return folders


def _needed(candidates: Mapping[str, CandidateSpec], made: list[str]) -> dict[str, CandidateSpec]:
    """These candidates and all that they are made of; none is compared with another."""
    wanted = list(made)
    for name in wanted:  # which grows
        others = references.rests_on(replace(candidates[name], against=BASE_ARM))
        wanted += [other for other in others if other in candidates and other not in wanted]
    return {name: replace(each, against=BASE_ARM) for name, each in candidates.items() if name in wanted}


def _copied(arm: ResolvedModel, folder: Path) -> None:
    """Copy an arm's adapter or its weights, whole or not at all."""
    source = arm.adapter.path if arm.adapter else arm.folder
    part = folder.with_name(folder.name + ".unfinished")
    with writing(folder), room_for(folder):
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part)
        part.rename(folder)
