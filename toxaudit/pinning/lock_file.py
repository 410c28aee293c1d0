"""The file ``lock.json``: what each reference of a run stood for, written whole and read back strictly."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from toxaudit import __version__
from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import write_atomically

LOCK = "lock.json"
VERSION = 1
Origin = Literal["hub", "local", "package", "web", "served"]
ORIGINS: dict[Origin, str] = {
    "hub": "the Hub repository {}",
    "local": "the local path {}",
    "package": "{}",
    "web": "{}",
    "served": "the model {}",
}
"""Where a reference leads, each with the words for one that leads there."""

COMMIT, SHA256 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")
EARLIER = "set lock= to the lock.json of an earlier run"


@dataclass(frozen=True)
class Entry:
    """What a reference stood for.

    Attributes:
        source: ``hub``, ``local``, ``package``, ``web`` or ``served``.
        reference: a Hub id, the last two parts of a local path, a whole URL of a package file,
            that of a file on the web, with its digest and without its query, or a model's name at its server.
        revision: the Hub commit, where there is one.
        digest: as ``sources.Fetched`` has it; of a served model, that of its name and its server's.
        files: each file's name and the SHA-256 of its content; none of a served model, whose files nobody saw.
    """

    source: Origin
    reference: str
    revision: str | None
    digest: str
    files: Mapping[str, str]

    @property
    def named(self) -> str:
        """The reference in words."""
        return ORIGINS[self.source].format(self.reference)


@dataclass(frozen=True)
class Lock:
    """What one run audited.

    Attributes:
        audit: its name.
        toxaudit: the version that ran it.
        references: key -> what the reference stood for.
        skipped: candidates that could not be audited, and why.
    """

    audit: str
    toxaudit: str
    references: Mapping[str, Entry]
    skipped: Mapping[str, str]


def read(file: str) -> Lock:
    """Read a lock file.

    Raises:
        ToxauditError: if it can't be read, is no lock, is damaged, or is of a version that this toxaudit can't read.
    """
    try:
        data = Path(os.path.expanduser(file)).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no file can be called so
        problem = getattr(error, "strerror", None) or error
        raise ToxauditError(f"The lock {file} can't be read ({problem}): {EARLIER}.") from error
    try:
        content = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ToxauditError(f"The lock {file} is not valid JSON ({error}): restore it, or {EARLIER}.") from error
    version = content.pop("version", None) if isinstance(content, dict) else None
    if type(version) is not int:
        raise ToxauditError(f"{file} is no lock file: {EARLIER}.")
    if version != VERSION:
        raise ToxauditError(
            f"The lock {file} is of version {version}, and toxaudit {__version__} reads version {VERSION}: "
            "use the toxaudit that wrote it, or run without lock=."
        )
    if wrong := _wrong(content):
        raise ToxauditError(f"The lock {file} is damaged ({wrong}): restore it, or run without lock=.")
    found = {key: Entry(**entry) for key, entry in content.pop("references").items()}
    return Lock(**content, references=found)


def write(folder: Path, audit: str, references: Mapping[str, Entry], skipped: Mapping[str, str]) -> Path:
    """Write ``lock.json`` beside the results, whole or not at all; equal content gives equal bytes.

    Args:
        folder: of the results.
        audit: its name.
        references: what its references stood for.
        skipped: the candidates that were skipped, and why.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(audit, __version__, references, skipped)
    content = {"version": VERSION} | asdict(lock)
    file = folder / LOCK
    write_atomically(file, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return file


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found


def _wrong(content: dict[str, Any]) -> str | None:
    """The first part of a lock's content that is malformed, if any."""
    for key in ("audit", "toxaudit"):
        if not isinstance(content.get(key), str):
            return f"'{key}' is no text"
    if not _texts(content.get("skipped")):
        return "'skipped' holds no texts"
    if unknown := sorted(set(content) - set(Lock.__annotations__)):
        return f"unknown key {unknown[0]!r}"
    if not isinstance(content.get("references"), dict):
        return "'references' is no object"
    for key, entry in content["references"].items():
        if not _is_entry(entry):
            return f"{key!r} is no reference"
    return None


def _is_entry(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != set(Entry.__annotations__) or not _texts(value["files"]):
        return False
    return (
        value["source"] in list(ORIGINS)
        and isinstance(value["reference"], str)
        and (_is(COMMIT, value["revision"]) if value["source"] == "hub" else value["revision"] is None)
        and all(_is(SHA256, digest) for digest in (value["digest"], *value["files"].values()))
    )


def _is(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
