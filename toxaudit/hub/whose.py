"""Is a repository that of the candidate that was audited? Weights and the base that it names must be the audit's."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from toxaudit.errors import ToxauditError
from toxaudit.findings import AuditResult
from toxaudit.hub.repository import Repository
from toxaudit.models import declared
from toxaudit.pinning import lock_file

COMPARED = (".safetensors", ".gguf")
"""Endings of weights that an audit reads, and whose digests its ``lock.json`` holds."""

WEIGHTS = (*COMPARED, ".bin", ".pt", ".pth")
"""Endings of all files that may hold a model's weights."""

MEND = "choose the repository of what was audited, or add --any-repository"


def require_audited(repository: Repository, commit: str, run: Path, result: AuditResult, candidate: str) -> str:
    """Refuse a repository of other weights, or of another base, than were audited; one without weights has neither.

    It may as well declare the arm that the candidate was compared with: the step of a chain before it.

    Args:
        repository: the candidate's, as the user says.
        commit: where it is looked at.
        run: the folder of the finished run.
        result: what the run found.
        candidate: the candidate's name.

    Returns:
        A phrase on what could not be compared; empty where nothing was left out.

    Raises:
        ToxauditError: if it holds other weights, or its card or adapter names another base.
    """
    held = [name for name in repository.listed(commit) if name.endswith(WEIGHTS)]
    if not held:
        return ""
    base, bases = result.base, _declared_bases(repository, commit)
    fit = (base, result.reference(candidate))
    if bases and not any(declared.is_base(n, each.reference, each.revision is not None) for n in bases for each in fit):
        raise ToxauditError(
            f"{repository.name} names the base {', '.join(bases)}, and the audit's is {base.reference}: {MEND}."
        )
    audited = _audited(run, candidate)
    if not audited:
        return f"the run does not tell the digests of '{candidate}', so {repository.name}'s weights were not compared"
    there = set(repository.digests(commit, [name for name in held if name.endswith(COMPARED)]).values())
    if lacking := sorted(name for name, digest in audited.items() if digest not in there):
        raise ToxauditError(
            f"{repository.name} holds other weights than the audited candidate '{candidate}' (nothing there is its "
            f"{lacking[0]}): {MEND}."
        )
    return ""


def _audited(run: Path, candidate: str) -> Mapping[str, str]:
    """The files of the candidate's own weights, each with its SHA-256; none where nobody saw them as files."""
    file = run / "lock.json"
    if not file.is_file():
        return {}
    references = lock_file.read(str(file)).references
    entry = references.get(f"candidates.{candidate}.peft") or references.get(f"candidates.{candidate}.pretrained")
    return {name: digest for name, digest in entry.files.items() if name.endswith(COMPARED)} if entry else {}


def _declared_bases(repository: Repository, commit: str) -> tuple[str, ...]:
    """The bases that its adapter's configuration names, or else its card."""
    with TemporaryDirectory() as folder:
        for name in ("README.md", "adapter_config.json"):
            if (data := repository.file(name, commit)) is not None:
                (Path(folder) / name).write_bytes(data)
        return declared.read(Path(folder)).bases
