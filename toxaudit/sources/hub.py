"""Repositories on the Hugging Face Hub, read at one commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from toxaudit.errors import ToxauditError
from toxaudit.records import digest
from toxaudit.sources.base import Fetched


@dataclass(frozen=True)
class HubSource:
    """A repository by its id and revision (branch, tag or commit; none means the default branch)."""

    reference: str
    revision: str | None = None
    repo_type: str = "model"

    @property
    def shown(self) -> str:
        """The id."""
        return self.reference

    def resolve(self) -> str:
        """The commit that the revision stands for now.

        Raises:
            ToxauditError: the Hub is out of reach, or has no such repository or revision, or guards it.
        """
        from huggingface_hub import HfApi

        with _sentences(self.reference, self.revision):
            resolved = HfApi().resolve_revision(self.reference, repo_type=self.repo_type, revision=self.revision)
        return resolved.resolved

    def cached(self, patterns: tuple[str, ...] = ()) -> bool:
        """Whether the files of the revision that match ``patterns`` lie in the Hub cache."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            snapshot_download(
                self.reference,
                repo_type=self.repo_type,
                revision=self.revision,
                allow_patterns=list(patterns) or None,
                local_files_only=True,
            )
        except (LocalEntryNotFoundError, HFValidationError):
            return False
        return True

    def fetch(self, patterns: tuple[str, ...] = ()) -> Fetched:
        """Download the files that match ``patterns`` at the resolved commit.

        Raises:
            ToxauditError: as ``resolve``.
        """
        from huggingface_hub import snapshot_download

        commit = self.resolve()
        with _sentences(self.reference, self.revision):
            path = snapshot_download(
                self.reference, repo_type=self.repo_type, revision=commit, allow_patterns=list(patterns) or None
            )
        return Fetched(self.reference, commit, Path(path), digest(self.repo_type, self.reference, commit))


@contextmanager
def _sentences(reference: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub client raises into one sentence with the mend."""
    from huggingface_hub import errors, is_offline_mode

    # what breaks off a download comes through as the HTTP library raised it
    http_error = cast(type[Exception], errors.HfHubHTTPError.__bases__[0])
    try:
        yield
    except errors.GatedRepoError as error:  # a subclass of RepositoryNotFoundError, so it comes first
        raise ToxauditError(
            f"{reference} is gated: accept its terms on its Hub page, then run `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ToxauditError(
            f"The Hub has no repository {reference}, or it is private: check the name, or run `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ToxauditError(f"{reference} has no revision '{revision}' on the Hub.") from error
    except errors.HFValidationError as error:
        raise ToxauditError(f"'{reference}' is neither a Hub id (ORG/NAME) nor an existing path.") from error
    except (http_error, errors.LocalEntryNotFoundError, errors.RevisionResolutionError, OSError) as error:
        if is_offline_mode():
            raise ToxauditError(
                f"{reference} is not in the Hub cache, and HF_HUB_OFFLINE forbids to fetch it: unset it."
            ) from error
        raise ToxauditError(
            f"{reference} could not be had from the Hugging Face Hub ({type(error).__name__}): "
            "check the connection, or set HF_HUB_OFFLINE=1 to use what is cached."
        ) from error
