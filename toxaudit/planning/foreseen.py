"""What a run would refuse of files on this machine, told by the run's own checks before any weights are read."""

from collections.abc import Mapping
from pathlib import Path

from toxaudit.facts import BASE_ARM
from toxaudit.models import adapter_file, beforehand, declared
from toxaudit.planning.expected import Known
from toxaudit.sources import Fetched, HubSource
from toxaudit.sources.base import wanted
from toxaudit.sources.configured import check_counts
from toxaudit.spec.schema import AuditSpec, CandidateSpec, WeightsSpec


def check(spec: AuditSpec, arm: str, known: Mapping[str, Known]) -> None:
    """Refuse an arm as a run would, as far as its files are here.

    Args:
        spec: the audit.
        arm: ``base`` or a candidate's name.
        known: field -> what is known of the files that it names.

    Raises:
        ToxauditError: if its files are none that are loaded, bring code, or declare another base.
    """
    base = _weights("base.pretrained", spec.base, known)
    if arm == "base":
        return
    candidate = spec.candidates[arm]
    whole = known.get(f"candidates.{arm}.pretrained")
    any_base = candidate.allow_base_mismatch or bool(spec.lock)  # a lock's run accepted what they declare
    under = base
    if whole and not whole.is_adapter:
        under = _weights(f"candidates.{arm}.pretrained", candidate, known)
        if under and base:
            said = declared.read(_folder(under.path))
            beforehand.relation(arm, under.reference, said, base, any_base, _reference(spec, candidate.against, known))
    adapter = whole if whole and whole.is_adapter else known.get(f"candidates.{arm}.peft")
    if adapter and adapter.path and adapter.files:
        shown = adapter.source.shown
        if under:
            beforehand.relation(arm, shown, declared.read(adapter.path), under, any_base)
        adapter_file.check_configuration(f"{arm}: {shown}", adapter.path)


def _reference(spec: AuditSpec, name: str, known: Mapping[str, Known]) -> Fetched | None:
    """What a candidate is compared with, as far as it can be told: the adapter, or else the whole model."""
    where = "base" if name == BASE_ARM else f"candidates.{name}"
    named = [known[key] for key in (f"{where}.peft", f"{where}.pretrained") if key in known]
    if not named or named[0].problem:
        return None
    if named[0].is_adapter or f"{where}.peft" in known:
        revision = named[0].commit or ("" if isinstance(named[0].source, HubSource) else None)
        return Fetched(named[0].source.shown, revision, Path(), "", {})
    return _weights(f"{where}.pretrained", spec.base if name == BASE_ARM else spec.candidates[name], known)


def _weights(key: str, spec: WeightsSpec | CandidateSpec, known: Mapping[str, Known]) -> Fetched | None:
    """A whole model's weights, as far as they can be told: where none of them are here, by their name alone."""
    files = known.get(key)
    if files is None or files.problem:
        return None
    revision = files.commit or ("" if isinstance(files.source, HubSource) else None)
    if files.path is None or files.files is None:
        named = "/".join(filter(None, (files.source.shown, spec.gguf_file)))
        return Fetched(named, revision, Path(), "", {})
    names = sorted(name for name in files.files if wanted(name, files.patterns))
    here = Fetched(files.source.shown, revision, files.path, "", dict.fromkeys(names, ""))
    if spec.gguf_file and "/" in spec.gguf_file:  # lies in a folder, whose files are not listed
        return Fetched(f"{here.reference}/{spec.gguf_file}", revision, files.path, "", {})
    found = beforehand.weights_among(files.source, here, spec.gguf_file)
    check_counts(f"{here.reference} can't be loaded", _folder(files.path))
    beforehand.code_notes(found.reference, _folder(files.path), spec)
    return found


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent
