"""Which files an audit reads: fetched and pinned before anything is loaded, and held against an earlier run's lock.

Without a lock: ``references.pin``, then ``entries`` and ``lock_file.write``. With one: ``lock_file.read``, ``pin``,
``verify``, and then ``lock_file.write``.
"""

from collections.abc import Container, Iterator, Mapping

from toxaudit.errors import ToxauditError
from toxaudit.models import served
from toxaudit.pinning.lock_file import COMMIT, ORIGINS, Entry, Lock, Origin
from toxaudit.pinning.references import Pinned, at_commits, references
from toxaudit.records import digest
from toxaudit.sources import Fetched, HubSource, PackageSource, Source, WebSource
from toxaudit.spec.schema import AuditSpec


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


def _name(source: Source) -> tuple[Origin, str]:
    """Where a source leads and its name, fit for publishing."""
    if isinstance(source, PackageSource):
        return "package", source.reference
    if isinstance(source, WebSource):
        return "web", f"{source.shown}#sha256={source.sha256}"
    return "hub" if isinstance(source, HubSource) else "local", source.shown


def _named(source: Source) -> str:
    origin, name = _name(source)
    return ORIGINS[origin].format(name)


def _check_same(key: str, source: Source, locked: Entry) -> None:
    """Refuse another reference than the lock's; a local path may lie elsewhere, since its content is compared."""
    origin, name = _name(source)
    if origin != locked.source or (origin != "local" and name != locked.reference):
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


def _check_files(key: str, entry: Entry, locked: Entry) -> None:
    """Refuse files that differ from the lock's; the digest alone would tell that, but not which files."""
    mend = "restore it" if entry.source == "local" else "clear it from the cache"
    for name, sha in locked.files.items():
        if name not in entry.files:
            raise ToxauditError(f"{key}: {name}, which the lock has, is missing: {mend}, or run without lock=.")
        if entry.files[name] != sha:
            raise ToxauditError(
                f"{key}: {name} is not the file of the lock (SHA-256 {entry.files[name][:12]}, "
                f"the lock has {sha[:12]}): {mend}, or run without lock=."
            )
    if new := [name for name in entry.files if name not in locked.files]:
        raise ToxauditError(f"{key}: {new[0]} is not in the lock: take it away, or run without lock=.")
    if entry.digest != locked.digest:  # a folder in place of its only file, or a lock that was edited
        raise ToxauditError(
            f"{key}: the files are those of the lock, but not their digest (SHA-256 {entry.digest[:12]}, the lock "
            f"has {locked.digest[:12]}): restore the lock and what {key} names, or run without lock=."
        )
