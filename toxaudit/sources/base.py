"""What every source can do, and the digests by which fetched files are known."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

WEIGHTS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model", "*.gguf")
"""The only files ever fetched for a model: no pickles, no code."""


@dataclass(frozen=True)
class Fetched:
    """Files on this machine, pinned.

    Attributes:
        reference: what the spec named, fit for publishing (a local path is shortened to its last two parts).
        revision: the Hub commit, where there is one.
        path: the file or folder.
        digest: SHA-256 identity of the content.
    """

    reference: str
    revision: str | None
    path: Path
    digest: str


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
            ToxauditError: one sentence saying why they can't be had.
        """


def file_digest(file: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def manifest_digest(path: Path, patterns: tuple[str, ...] = ()) -> str:
    """SHA-256 over the concatenated SHA-256s of a folder's files in the order of their names (OpenSSF model signing).

    A single file's is its own SHA-256. ``patterns`` limit which files of a folder count.
    """
    if path.is_file():
        return file_digest(path)
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and (not patterns or any(file.match(pattern) for pattern in patterns))
    )
    return hashlib.sha256(b"".join(bytes.fromhex(file_digest(file)) for file in files)).hexdigest()
