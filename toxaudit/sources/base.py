"""What every source can do, and the digests by which fetched files are known."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Protocol

from toxaudit.machine.folders import sha256
from toxaudit.records import digest as text_digest

TOLD = ("README.md", "mergekit_config.yml")
"""What a repository tells of itself: read, but no part of what is loaded, nor of its digest."""

WEIGHTS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model", *TOLD)
"""The only files ever fetched for a model: no pickles, no code. Only those of the top folder are read."""

DOUBLES = "consolidated*.safetensors"
"""The same weights once more, in a form that transformers does not read."""


LARGE_BYTES = 2**24
"""Bytes of a file whose digest is worth keeping."""


@dataclass(frozen=True)
class FileField:
    """A field of a part of a spec that names files, and what is fetched of what it names.

    Attributes:
        field: the field's name.
        revision_field: the name of the field beside it that holds its revision, where there is one.
        patterns: the files that are fetched; none named means all.
        repo_type: of a Hub repository: ``model`` or ``dataset``.
        subfolder_field: the name of the field beside it that names a folder within, where there is one.
    """

    field: str
    revision_field: str | None = None
    patterns: tuple[str, ...] = ()
    repo_type: str = "model"
    subfolder_field: str | None = None


@dataclass(frozen=True)
class Fetched:
    """Files on this machine, pinned.

    Attributes:
        reference: what the spec named, fit for publishing (a local path is shortened to its last two parts).
        revision: the Hub commit, where there is one.
        path: the file or folder.
        digest: SHA-256 identity of the content: a file's own; of a folder, that over the concatenated SHA-256s of its
            files in the order of their names (the rule of OpenSSF model signing).
        files: each file's name within the folder (a single file's own name) and its SHA-256, in the order of the names.
    """

    reference: str
    revision: str | None
    path: Path
    digest: str
    files: Mapping[str, str] = field(repr=False)

    @property
    def identity(self) -> str:
        """SHA-256 over the names and contents of a folder's files, or over a single file's content.

        ``digest`` follows the rule by which models are signed, which is blind to names: ``chat_template.jinja`` under
        another name would be another model.
        """
        alone = list(self.files.values()) == [self.digest]
        return self.digest if alone else text_digest(*(f"{name}\0{sha}" for name, sha in self.files.items()))


class Source(Protocol):
    """A place that files come from."""

    @property
    def shown(self) -> str:
        """The reference, fit for publishing."""

    def cached(self, patterns: tuple[str, ...] = ()) -> bool:
        """Whether all that ``fetch(patterns)`` would bring is on this machine already."""

    def fetch(self, patterns: tuple[str, ...] = ()) -> Fetched:
        """Bring the files here (only those that match ``patterns``, if any) and pin them.

        Raises:
            ToxauditError: if they can't be had; the sentence says why.
        """


def file_digest(file: Path) -> str:
    """SHA-256 (hex) of a file's bytes; a large file that has not changed is read once in a process."""
    found = file.stat()
    return _digest(file, found.st_mtime_ns) if found.st_size >= LARGE_BYTES else _digest.__wrapped__(file, 0)


@cache
def _digest(file: Path, changed: int) -> str:
    return sha256(file)


def wanted(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a file is one of those that ``patterns`` name; without patterns, every file is.

    ``name`` is relative, with forward slashes. A pattern takes files as deep as itself: ``*.json`` isn't ``a/b.json``.
    """
    if not patterns:
        return True
    fits = (fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns)
    return any(fits) and not fnmatchcase(name, DOUBLES)


def manifest(
    path: Path, patterns: tuple[str, ...] = (), digest_of: Callable[[Path], str] = file_digest
) -> dict[str, str]:
    """The SHA-256 of each file under ``path`` that ``patterns`` name, by its name; names are ordered part by part."""
    if path.is_file():
        return {path.name: digest_of(path)}
    files = {file.relative_to(path): file for file in sorted(path.rglob("*")) if file.is_file()}
    return {
        inside.as_posix(): digest_of(file)
        for inside, file in files.items()
        if inside.name not in TOLD and wanted(inside.as_posix(), patterns)
    }


def pinned(
    reference: str,
    revision: str | None,
    path: Path,
    patterns: tuple[str, ...] = (),
    digest_of: Callable[[Path], str] = file_digest,
) -> Fetched:
    """The files under ``path`` that ``patterns`` name, known by their content."""
    files = manifest(path, patterns, digest_of)
    shas = list(files.values())
    digest = shas[0] if path.is_file() else hashlib.sha256(b"".join(map(bytes.fromhex, shas))).hexdigest()
    return Fetched(reference, revision, path, digest, files)
