"""Repositories on the Hugging Face Hub, read at one commit."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from glob import escape
from json import JSONDecodeError
from pathlib import Path
from typing import Any, cast

from toxaudit.errors import ToxauditError
from toxaudit.machine import folders, progress
from toxaudit.machine.folders import write_atomically
from toxaudit.records import digest
from toxaudit.sources.base import DOUBLES, LARGE_BYTES, Fetched, file_digest, pinned, wanted


@dataclass(frozen=True)
class RepositoryFacts:
    """What the Hub says of a repository at one commit, before any of its files is fetched.

    Attributes:
        name: its id now; a repository that was renamed answers to its former name, too.
        commit: the commit.
        sizes: file -> bytes.
        tags: as on its page, e.g. ``base_model:adapter:ORG/NAME``.
        licence: by its Hub name, where the card states one.
        gated: whether its terms must be accepted first.
        parameters: how many its safetensors hold, where the Hub has counted them.
        kinds: a kind of number in safetensors, such as ``BF16`` -> how many of the parameters are of it.
    """

    name: str
    commit: str
    sizes: dict[str, int]
    tags: tuple[str, ...]
    licence: str | None
    gated: bool
    parameters: int | None
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class HubSource:
    """A repository, or a folder in it, by its id and revision: branch, tag or commit; none means the default branch."""

    reference: str
    revision: str | None = None
    repo_type: str = "model"
    subfolder: str = ""

    @property
    def shown(self) -> str:
        """The id, and the folder within, if one is meant."""
        return f"{self.reference}/{self.subfolder}" if self.subfolder else self.reference

    def commit_of(self, path: Path) -> str:
        """The commit whose files lie at ``path``, which is one of ``snapshot``'s."""
        return [path, *path.parents][len(Path(self.subfolder).parts)].name

    def resolve(self) -> str:
        """The commit that the revision stands for now.

        Raises:
            ToxauditError: if the Hub is out of reach, has no such repository or revision, or guards it.
        """
        from huggingface_hub import HfApi

        with sentences(self.reference, self.revision, self.repo_type):
            resolved = HfApi().resolve_revision(self.reference, repo_type=self.repo_type, revision=self.revision)
            return _commit(resolved.resolved)

    def facts(self, timeout: float | None = None) -> RepositoryFacts:
        """What the Hub says of the repository; ``timeout`` in seconds.

        Raises:
            ToxauditError: if ``resolve`` would refuse; a cached repository is of no help where the Hub is out of reach.
        """
        from huggingface_hub import HfApi

        with sentences(self.reference, self.revision, self.repo_type):
            info: Any = HfApi().repo_info(
                self.reference, repo_type=self.repo_type, revision=self.revision, files_metadata=True, timeout=timeout
            )
            return self._told(info)

    def _told(self, info: Any) -> RepositoryFacts:
        """What stands in the Hub's answer; where that is of another form, whatever Python raises of it."""
        counted = None if self.subfolder else getattr(info, "safetensors", None)
        inside = f"{self.subfolder}/" if self.subfolder else ""
        sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or ()}
        return RepositoryFacts(
            name=str(info.id),
            commit=_commit(info.sha),
            sizes={name.removeprefix(inside): size for name, size in sizes.items() if name.startswith(inside)},
            tags=tuple(map(str, info.tags or ())),
            licence=_licence(info),
            gated=bool(info.gated),
            parameters=int(counted.total) if counted else None,
            kinds={str(kind): int(number) for kind, number in counted.parameters.items()} if counted else {},
        )

    def cached(self, patterns: tuple[str, ...] = ()) -> bool:
        """Whether all files of the revision that match ``patterns`` are known to lie in the Hub cache."""
        return self.snapshot(patterns) is not None

    def snapshot(self, patterns: tuple[str, ...] = ()) -> Path | None:
        """The revision's folder in the Hub cache, if all files that match ``patterns`` are known to lie there."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            path = Path(
                snapshot_download(
                    self.reference,
                    repo_type=self.repo_type,
                    revision=self.revision,
                    **_filters(patterns, self.subfolder),
                    local_files_only=True,
                )
            )
        except (LocalEntryNotFoundError, HFValidationError):
            return None
        known = _listed(path) and (not self.subfolder or (path / self.subfolder).is_dir())
        return path / self.subfolder if known else None

    def fetch(self, patterns: tuple[str, ...] = ()) -> Fetched:
        """Download the files that match ``patterns`` at the resolved commit.

        Raises:
            ToxauditError: if ``resolve`` refuses, or if the disk has no room for them.
        """
        from huggingface_hub import snapshot_download

        at = replace(self, revision=self.resolve())
        if not at.cached(patterns):
            at.check_disk(patterns)
        with sentences(self.reference, self.revision, self.repo_type):
            chosen = _filters(patterns, self.subfolder)
            bars = progress.of_downloads(f"fetching {self.shown}")
            path = Path(
                snapshot_download(
                    self.reference, repo_type=self.repo_type, revision=at.revision, **chosen, tqdm_class=bars
                )
            )
        if not _listed(path):
            raise ToxauditError(
                f"{self.reference} may lack files in the Hub cache, which holds no list of them: run once with the Hub "
                "in reach."
            )
        if self.subfolder and not (path / self.subfolder).is_dir():
            raise ToxauditError(f"{self.reference} has no folder '{self.subfolder}' with files that are read.")
        return pinned(self.shown, at.revision, path / self.subfolder, patterns, _digest_once)

    def check_disk(self, patterns: tuple[str, ...] = ()) -> None:
        """Refuse a download for which the Hub cache's disk has no room.

        Raises:
            ToxauditError: if the disk has no room, or if ``facts`` can't be had.
        """
        from huggingface_hub import constants

        needed = sum(size for name, size in self.facts().sizes.items() if wanted(name, patterns))
        cache = Path(constants.HF_HUB_CACHE)
        free = shutil.disk_usage(next(path for path in (cache, *cache.absolute().parents) if path.exists())).free
        if needed > free:
            raise ToxauditError(
                f"{self.reference} is {needed / 1e9:.1f} GB to download, but {cache} has {free / 1e9:.1f} GB left: "
                "free some, or set HF_HOME to a larger disk."
            )


def _listed(snapshot: Path) -> bool:
    """Whether the Hub client knows which files the snapshot should have; else it takes any part of it for the whole."""
    return (snapshot.parents[1] / "trees" / f"{snapshot.name}.json").is_file()


def _filters(patterns: tuple[str, ...], subfolder: str = "") -> dict[str, Any]:
    """Arguments by which the Hub client, whose ``*`` matches slashes too, chooses the same files as ``wanted``."""
    inside = f"{escape(subfolder)}/" if subfolder else ""
    if not patterns:
        return {"allow_patterns": [f"{inside}*"]} if subfolder else {}
    shallow = not any("/" in pattern for pattern in patterns)
    ignored = [DOUBLES, *(["*/*"] if shallow else [])]
    chosen = {"allow_patterns": patterns, "ignore_patterns": ignored}
    return {name: [f"{inside}{pattern}" for pattern in found] for name, found in chosen.items()}


def _commit(told: Any) -> str:
    """The commit itself.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(told, str) or not re.fullmatch("[0-9a-f]{40}", told):
        raise TypeError("it names no commit")
    return told


def _licence(info: Any) -> str | None:
    card = info.card_data.to_dict() if info.card_data else {}
    return next((str(card[key]) for key in ("license_name", "license") if card.get(key)), None)


def _digest_once(file: Path) -> str:
    """The file's SHA-256; that of a large file is kept for later runs: files of the Hub cache never change."""
    blob = file.resolve()
    found = blob.stat()
    if found.st_size < LARGE_BYTES:
        return file_digest(blob)
    kept = folders.home() / "digests" / digest(str(blob), *map(str, (found.st_ino, found.st_size, found.st_ctime_ns)))
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, file_digest(blob))
    return kept.read_text()


def page(reference: str, repo_type: str = "model") -> str:
    """The address of a repository's page on the Hub, where the terms of a gated one are accepted."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' * (repo_type == 'dataset')}{reference}"


NOT_READ = (AttributeError, KeyError, IndexError, TypeError, RecursionError, JSONDecodeError)
"""What the Hub client raises of an answer that is no JSON, or JSON of another form than the Hub's."""


@contextmanager
def sentences(reference: str, revision: str | None, repo_type: str = "model") -> Iterator[None]:
    """Turn what the Hub client raises into one sentence that says what to do."""
    from huggingface_hub import constants, errors, is_offline_mode

    # what breaks off a download comes through as the HTTP library raised it
    http_error = cast(type[Exception], errors.HfHubHTTPError.__bases__[0])
    try:
        yield
    except errors.GatedRepoError as error:  # a subclass of RepositoryNotFoundError, so it comes first
        raise ToxauditError(
            f"{reference} is gated: accept its terms at {page(reference, repo_type)}, then run `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ToxauditError(
            f"The Hub has no repository {reference}, or it is private: check the name, or run `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ToxauditError(f"{reference} has no revision '{revision}' on the Hub.") from error
    except errors.HFValidationError as error:
        raise ToxauditError(f"'{reference}' is neither a Hub id (ORG/NAME) nor an existing path.") from error
    except NOT_READ as error:
        raise ToxauditError(
            f"{reference} could not be had: what {constants.ENDPOINT} answers is not what the Hugging Face Hub would: "
            "check HF_ENDPOINT and the network, which may ask for a login."
        ) from error
    except (http_error, errors.LocalEntryNotFoundError, errors.RevisionResolutionError, OSError, ValueError) as error:
        if is_offline_mode():
            raise ToxauditError(
                f"{reference} is not in the Hub cache, and HF_HUB_OFFLINE forbids to fetch it: unset it."
            ) from error
        silent = isinstance(error, errors.LocalEntryNotFoundError | errors.RevisionResolutionError)
        raise ToxauditError(
            f"{reference} could not be had from the Hugging Face Hub "
            f"({'it did not answer' if silent else type(error).__name__}): "
            "check the connection, or set HF_HUB_OFFLINE=1 to use what is cached."
        ) from error


HUB_ID = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
