"""A model's repository on the Hub, asked and written to; every refusal is one sentence."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from toxaudit.errors import ToxauditError
from toxaudit.sources.hub import sentences

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HUB_WAIT_SECONDS = 60.0
"""Seconds that the Hub may leave a request unanswered."""

PUSH_TITLE = "toxaudit: safety audit"
"""Title of our pull requests and commits, by which an open one of one's own is known again."""


class Moved(Exception):
    """The branch was changed by somebody else between reading and writing."""


@dataclass(frozen=True)
class Branch:
    """A branch at one commit, that of the main branch, and the address of the pull request whose branch it is."""

    name: str
    commit: str
    main: str
    pull_request: str | None = None


@dataclass(frozen=True)
class Repository:
    """A repository, by its id. What its methods raise are ``ToxauditError``s of one sentence.

    Attributes:
        name: its id.
        doing: the command that asks, for sentences that say to do it again.
    """

    name: str
    doing: str = "push"

    @cached_property
    def _api(self) -> "HfApi":
        from huggingface_hub import HfApi, get_session, set_client_factory
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # what is sent is told in our own words
        client: Any = get_session()  # which would wait for ever
        hooks = client.event_hooks
        set_client_factory(lambda: type(client)(event_hooks=hooks, follow_redirects=True, timeout=HUB_WAIT_SECONDS))
        return HfApi()

    @property
    def page(self) -> str:
        """Its address."""
        return f"{self._api.endpoint}/{self.name}"

    def user(self, writes: bool) -> str:
        """The name of who is logged in; the token is nobody's business but the Hub client's.

        Args:
            writes: whether the token must be one that may write.
        """
        from huggingface_hub import errors, is_offline_mode

        if is_offline_mode():
            raise ToxauditError("HF_HUB_OFFLINE is set, so that nothing can be pushed: unset it.")
        with _sentences(self.name):
            try:
                user = self._api.whoami()
            except errors.LocalTokenNotFoundError as error:
                raise ToxauditError("You are not logged in to the Hub: run `hf auth login` or set HF_TOKEN.") from error
            auth = user.get("auth") or {}
            role, name = (auth.get("accessToken") or {}).get("role"), str(user["name"])
        if writes and role == "read":
            raise ToxauditError("Your Hub token may only read: run `hf auth login` with one that may write.")
        return name

    def branch(self, user: str, direct: bool) -> Branch:
        """Where to write: the main branch, or, unless ``direct``, that of the user's pull request that is open."""
        with _sentences(self.name):
            info = self._api.model_info(self.name)
            if info.id != self.name:
                raise ToxauditError(f"{self.name} is called {info.id} now: push with --repo {info.id}.")
            main = Branch("main", str(info.sha), str(info.sha))
            discussions = self._api.get_repo_discussions(self.name, author=user, discussion_type="pull_request")
            for each in () if direct else discussions:
                if each.author == user and each.title == PUSH_TITLE and each.status in ("open", "draft"):
                    revision = f"refs/pr/{each.num}"
                    commit = self._api.model_info(self.name, revision=revision).sha
                    return Branch(revision, str(commit), main.commit, f"{self.page}/discussions/{each.num}")
            return main

    def commit(self, revision: str | None) -> str:
        """The commit of a branch or tag as it is now, never as it was known to be; None means the main branch.

        Raises:
            ToxauditError: if there is no such revision, or the repository has another name now.
        """
        from huggingface_hub import errors

        with _sentences(self.name, doing=self.doing):
            try:
                info = self._api.model_info(self.name, revision=revision)
            except errors.RevisionNotFoundError as error:
                raise ToxauditError(f"{self.name} has no revision '{revision}' on the Hub.") from error
            if info.id != self.name:
                raise ToxauditError(f"{self.name} is called {info.id} now: {self.doing} that.")
            return str(info.sha)

    def file(self, name: str, commit: str) -> bytes | None:
        """A file's bytes; None where there is none."""
        with _sentences(self.name, doing=self.doing):
            return _download(self.name, name, commit)

    def listed(self, commit: str) -> list[str]:
        """The names of all files."""
        with _sentences(self.name, doing=self.doing):
            return list(self._api.list_repo_files(self.name, revision=commit))

    def digests(self, commit: str, names: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of files, as the Hub tells it; only small ones that are not stored apart are fetched for it."""
        found: dict[str, str] = {}
        with _sentences(self.name, doing=self.doing):
            for info in self._api.get_paths_info(self.name, list(names), revision=commit) if names else ():
                if lfs := getattr(info, "lfs", None):
                    found[info.path] = lfs.sha256
                elif (data := _download(self.name, info.path, commit)) is not None:
                    found[info.path] = sha256(data).hexdigest()
        return found

    def changed(self, commit: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Those of ``files`` that are not there just so."""
        there = {}
        with _sentences(self.name):
            for info in self._api.get_paths_info(self.name, list(files), revision=commit):
                lfs = getattr(info, "lfs", None)
                there[info.path] = lfs.sha256 if lfs else getattr(info, "blob_id", None)
        return {path: data for path, data in files.items() if there.get(path) not in _identities(data)}

    def send(
        self, branch: Branch, files: Mapping[str, bytes], withdrawn: Sequence[str], description: str, direct: bool
    ) -> str:
        """Commit ``files``, and remove those that are ``withdrawn``.

        Returns:
            The address of the commit, where ``direct``, or of the pull request.

        Raises:
            Moved: if the branch is no longer at its commit.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete
        from huggingface_hub.errors import HfHubHTTPError

        added = [CommitOperationAdd(path, data) for path, data in files.items()]
        with _sentences(self.name, writes=True), _moved(HfHubHTTPError):
            sent = self._api.create_commit(
                self.name,
                [*added, *(CommitOperationDelete(path) for path in withdrawn)],
                commit_message=PUSH_TITLE,
                commit_description=description,
                revision=branch.name,
                parent_commit=branch.commit,
                create_pr=not direct and branch.pull_request is None,
            )
            return str(sent.commit_url if direct else branch.pull_request or sent.pr_url)


def benchmark(dataset: str) -> bytes | None:
    """The ``eval.yaml`` by which a dataset is registered as a benchmark; None where it has none that can be seen."""
    from huggingface_hub import errors

    with _sentences(dataset):
        try:
            return _download(dataset, "eval.yaml", kind="dataset")
        except errors.RepositoryNotFoundError:  # it is gone or gated
            return None


def _download(repository: str, name: str, commit: str | None = None, kind: str = "model") -> bytes | None:
    """A file's bytes; None where there is none. Nothing is taken from or left in the Hub cache."""
    from huggingface_hub import errors, hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()

    with TemporaryDirectory() as folder:
        try:
            file = hf_hub_download(repository, name, repo_type=kind, revision=commit, cache_dir=folder)
        except errors.RemoteEntryNotFoundError:
            return None
        return Path(file).read_bytes()


def _identities(data: bytes) -> tuple[str, str]:
    """By what the Hub knows a file: as git names it, or, where it is stored apart, by its SHA-256."""
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest(), sha256(data).hexdigest()


@contextmanager
def _moved(refusal: type[Exception]) -> Iterator[None]:
    """Tell a commit that came too late from what else the Hub refuses."""
    try:
        yield
    except refusal as error:
        found = _refusal(error)
        if found is not None and found.response.status_code == 412:
            raise Moved from error
        raise


@contextmanager
def _sentences(repository: str, writes: bool = False, doing: str = "push") -> Iterator[None]:
    """Turn what the Hub client raises into one sentence."""
    from huggingface_hub import errors

    http_error: Any = errors.HfHubHTTPError.__bases__[0]  # of the HTTP library that the client uses
    with sentences(repository, None):
        try:
            yield
        except (errors.RepositoryNotFoundError, errors.HFValidationError):  # whose sentences fit
            raise
        except errors.RevisionNotFoundError as error:
            raise ToxauditError(f"A branch of {repository} is gone: {doing} again.") from error
        except UnicodeEncodeError as error:
            raise ToxauditError("The Hub token holds characters that no token has: run `hf auth login`.") from error
        except (http_error, OSError, ValueError, RuntimeError) as error:  # RuntimeError: of an upload that failed
            raise ToxauditError(_sentence(repository, error, _refusal(error), writes, doing)) from error
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ToxauditError(
                f"{repository}: the Hub answered something that its client can't read ({type(error).__name__}): see "
                f"what is there, then {doing} again."
            ) from error


def _refusal(error: BaseException | None) -> Any:
    """The Hub's own answer among what led to an error."""
    from huggingface_hub.errors import HfHubHTTPError

    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    return error


def _sentence(repository: str, error: BaseException, refused: Any, writes: bool, doing: str) -> str:
    once = "; what has arrived is not sent twice" if doing == "push" else ""
    if isinstance(error, ValueError) and str(error).startswith("Invalid metadata"):
        return f"The Hub does not accept README.md's metadata: {str(error).partition(chr(10))[2]}: mend them first."
    if refused is None:
        return (
            f"{repository}: the Hub could not be reached, or broke off ({type(error).__name__}): check the connection "
            f"and {doing} again{once}."
        )
    status, said = refused.response.status_code, f": {refused.server_message}" if refused.server_message else ""
    if status == 401:
        return "The Hub does not accept your token: run `hf auth login`, or set another HF_TOKEN."
    if status == 403 and writes:
        return (
            f"The Hub does not let you write to {repository} ({status}{said}): use a token that may, and no --direct "
            "where the repository is somebody else's."
        )
    if status == 403:
        return (
            f"The Hub does not let you read {repository} or its discussions ({status}{said}): use a token that may, or "
            "--direct where pull requests are switched off."
        )
    if status == 429:
        return f"The Hub wants fewer requests for now ({status}): wait some minutes and {doing} again."
    if status >= 500:
        return f"The Hub has failed ({status}): {doing} again later{once}."
    return f"The Hub refuses what was sent to {repository} ({status}{said})."
