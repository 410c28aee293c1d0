"""Which files an audit reads: pinned before anything is loaded, written to ``lock.json``, and replayed from it.

Without a lock: ``references.pin``, then ``entries`` and ``write``. With one: ``read``, ``pin``, ``verify``, and then
``write``.
"""

import json
import os
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from toxaudit import __version__
from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import write_atomically
from toxaudit.models import served
from toxaudit.pinning.references import Pinned, at_commits, references
from toxaudit.records import digest
from toxaudit.sources import Fetched, HubSource, PackageSource, Source, WebSource
from toxaudit.spec.schema import AuditSpec

LOCK = "lock.json"
VERSION = 1
Kind = Literal["hub", "local", "package", "web", "served"]
KINDS: dict[Kind, str] = {"hub": "the Hub repository {}", "local": "the local path {}", "package": "{}", "web": "{}"}
KINDS |= {"served": "the model {}"}
"""The kinds of references, each with the words for one of it."""

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

    source: Kind
    reference: str
    revision: str | None
    digest: str
    files: Mapping[str, str]

    @property
    def named(self) -> str:
        """The reference in words."""
        return KINDS[self.source].format(self.reference)


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


def entries(pinned: Pinned, skipped: Container[str] = ()) -> dict[str, Entry]:
    """What every reference stands for, except those of the ``skipped`` candidates; fetches what is not here yet.

    Raises:
        ToxauditError: if a reference can't be had.
    """
    return dict(_entries(pinned, skipped))


def without(pinned: Pinned, found: Mapping[str, Entry], skipped: Container[str | None]) -> dict[str, Entry]:
    """The entries among ``found`` that are none of the ``skipped`` candidates'."""
    kept = {each.key for each in references(pinned.spec) if each.candidate not in skipped}
    kept |= {key for key, _ in _served(pinned.spec, skipped)}
    return {key: entry for key, entry in found.items() if key in kept}


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


def pin(spec: AuditSpec, lock: Lock) -> Pinned:
    """The audit with each Hub reference at the lock's commit; ``spec`` stays as it is.

    A candidate that the lock skipped stays out; any other must be audited. What each declares as its base was looked at
    when the lock was made.

    Raises:
        ToxauditError: if spec and lock don't name the same set.
    """
    if gone := sorted(set(lock.skipped) - set(spec.candidates)):
        raise ToxauditError(
            f"candidates.{gone[0]} is skipped in the lock, but is not in the spec: add it, or run without lock=."
        )
    wanted = {each.key: each for each in references(spec) if each.candidate not in lock.skipped}
    asked = dict(_served(spec, lock.skipped))
    for key, entry in lock.references.items():
        if key not in wanted and key not in asked:
            raise ToxauditError(
                f"{key} is {entry.named} in the lock, but is not in the spec: add it, or run without lock=."
            )
    named = {key: _named(each.source) for key, each in wanted.items()}
    named |= {key: each.named for key, each in asked.items()}
    for key, words in named.items():
        if key not in lock.references:
            raise ToxauditError(
                f"{key} is {words} in the spec, but is not in the lock: take it out, or run without lock=."
            )
        if key in asked and asked[key] != lock.references[key]:
            raise _other(key, words, lock.references[key])
    for key, reference in wanted.items():
        _check_same(key, reference.source, lock.references[key])
    commits = {key: commit for key in wanted if (commit := lock.references[key].revision)}
    return at_commits(spec, commits, lock.skipped, replayed=True)


def verify(pinned: Pinned, lock: Lock) -> dict[str, Entry]:
    """Fetch what ``pin`` has pinned and compare it file by file. To be called before anything is loaded.

    Returns:
        As ``entries``, for ``write``.

    Raises:
        ToxauditError: if a reference can't be had, or if a file differs from the lock's, is missing or is new.
    """
    found = {}
    for key, entry in _entries(pinned, lock.skipped):
        _check_files(key, entry, lock.references[key])
        found[key] = entry
    return found


def write(folder: Path, audit: str, found: Mapping[str, Entry], skipped: Mapping[str, str]) -> Path:
    """Write ``lock.json`` beside the results, whole or not at all; equal content gives equal bytes.

    Args:
        folder: of the results.
        audit: its name.
        found: what its references stood for.
        skipped: the candidates that were skipped, and why.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(audit, __version__, found, skipped)
    content = {"version": VERSION} | asdict(lock)
    file = folder / LOCK
    write_atomically(file, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return file


def _entries(pinned: Pinned, skipped: Container[str | None]) -> Iterator[tuple[str, Entry]]:
    yield from _served(pinned.spec, skipped)
    known: dict[tuple[Source, tuple[str, ...]], Fetched] = {}  # large files are read once, whoever names them
    for each in pinned.references:
        if each.candidate in skipped:
            continue
        asked = each.source, each.patterns
        if asked not in known:
            known[asked] = each.source.fetch(each.patterns)
        fetched = known[asked]
        yield each.key, Entry(*_name(each.source), fetched.revision, fetched.digest, fetched.files)


def _served(spec: AuditSpec, skipped: Container[str | None]) -> Iterator[tuple[str, Entry]]:
    """The models that a server answers for, where one does."""
    if server := spec.backend.server:
        for key, candidate, name in served.names(spec):
            if candidate not in skipped:
                yield key, Entry("served", f"{served.shown(name)} at {server}", None, digest(server, name), {})


def _name(source: Source) -> tuple[Kind, str]:
    """The kind of a source and its name, fit for publishing."""
    if isinstance(source, PackageSource):
        return "package", source.reference
    if isinstance(source, WebSource):
        return "web", f"{source.shown}#sha256={source.sha256}"
    return "hub" if isinstance(source, HubSource) else "local", source.shown


def _named(source: Source) -> str:
    kind, name = _name(source)
    return KINDS[kind].format(name)


def _check_same(key: str, source: Source, locked: Entry) -> None:
    """Refuse another reference than the lock's; a local path may lie elsewhere, since its content is compared."""
    kind, name = _name(source)
    if kind != locked.source or (kind != "local" and name != locked.reference):
        raise _other(key, _named(source), locked)
    revision = source.revision if isinstance(source, HubSource) else None
    if revision and COMMIT.fullmatch(revision) and revision != locked.revision:
        raise ToxauditError(
            f"{key} is commit {revision} of {name} in the spec, but {locked.revision} in the lock: "
            "leave the revision out of the spec, or run without lock=."
        )


def _other(key: str, named: str, locked: Entry) -> ToxauditError:
    mend = "name the lock's in the spec, or run without lock=."
    return ToxauditError(f"{key} is {named} in the spec, but {locked.named} in the lock: {mend}")


def _check_files(key: str, found: Entry, locked: Entry) -> None:
    """Refuse files that differ from the lock's; the digest alone would tell that, but not which files."""
    mend = "restore it" if found.source == "local" else "clear it from the cache"
    for name, sha in locked.files.items():
        if name not in found.files:
            raise ToxauditError(f"{key}: {name}, which the lock has, is missing: {mend}, or run without lock=.")
        if found.files[name] != sha:
            raise ToxauditError(
                f"{key}: {name} is not the file of the lock (SHA-256 {found.files[name][:12]}, "
                f"the lock has {sha[:12]}): {mend}, or run without lock=."
            )
    if new := [name for name in found.files if name not in locked.files]:
        raise ToxauditError(f"{key}: {new[0]} is not in the lock: take it away, or run without lock=.")
    if found.digest != locked.digest:  # a folder in place of its only file, or a lock that was edited
        raise ToxauditError(
            f"{key}: the files are those of the lock, but not their digest (SHA-256 {found.digest[:12]}, the lock "
            f"has {locked.digest[:12]}): restore the lock and what {key} names, or run without lock=."
        )


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
        value["source"] in list(KINDS)
        and isinstance(value["reference"], str)
        and (_is(COMMIT, value["revision"]) if value["source"] == "hub" else value["revision"] is None)
        and all(_is(SHA256, digest) for digest in (value["digest"], *value["files"].values()))
    )


def _is(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
