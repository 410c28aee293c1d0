"""A file on the web, pinned by the SHA-256 of its content: the canonical home of many sets is a file on GitHub."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from toxaudit.errors import ToxauditError
from toxaudit.machine import folders
from toxaudit.sources.base import Fetched, pinned

LARGEST_BYTES = 10**9
"""Bytes of the largest file that is fetched."""

SILENCE_SECONDS = 30.0
"""Seconds without a byte after which a server is out of reach."""

PATIENCE_SECONDS = 60.0
SLOWEST = 1000  # bytes per second, below which a file is not waited for any more once patience is over

MOST_REDIRECTS = 5

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts that may be asked without encryption: nothing leaves this machine."""

URL = re.compile(r"https?://([\w-]+(\.[\w-]+)*|\[[\da-f:]+\])(:\d+)?/[!-~]+", re.ASCII)
NAME = re.compile(r"(?!\.{1,2}$)[^\\:\x00-\x1f]{1,200}")
"""What is a URL that names a file, and what a file can be called on every system."""


@dataclass(frozen=True)
class WebSource:
    """``https://host/path#sha256=hex``: a URL with the SHA-256 of the file's content."""

    reference: str
    url: str
    sha256: str

    @classmethod
    def parse(cls, reference: str) -> "WebSource":
        """Read a URL with a digest.

        Raises:
            ToxauditError: if it has no digest, names no file, would be fetched without encryption, or holds a password.
        """
        url, _, fragment = reference.partition("#")
        checksum = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise ToxauditError("A file on the web is named with a user or a password in its URL: leave them out.")
        if not _is_url(url):
            raise ToxauditError(f"'{reference}' is no file on the web: write https://HOST/PATH#sha256=HEX.")
        if not checksum:
            raise ToxauditError(
                f"'{reference}' doesn't say which content is meant: write {url}#sha256=HEX, with the 64 hexadecimal "
                "digits of the file's SHA-256 in lower case."
            )
        _require_encryption(url, url)
        return cls(reference, url, checksum[1])

    @property
    def shown(self) -> str:
        """The URL without its query, which may be a signature and so secret: the content is known by its SHA-256."""
        return _bare(self.url)

    @property
    def path(self) -> Path:
        """Where the file is kept, under the last part of the URL's path."""
        return folders.home() / "web" / self.sha256 / _name(self.url)

    def cached(self, patterns: tuple[str, ...] = ()) -> bool:
        """Whether it was fetched before."""
        return self.path.is_file()

    def fetch(self, patterns: tuple[str, ...] = ()) -> Fetched:
        """Fetch the file and check its digest.

        Raises:
            ToxauditError: if it can't be had, is another file than the pinned one, or is larger than ``LARGEST_BYTES``.
        """
        if not self.cached():
            web = folders.home() / "web"
            web.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=web) as scratch:
                part = Path(scratch) / "part"
                found = self._download(part)
                if found != self.sha256:
                    raise ToxauditError(
                        f"{self.shown} is not the pinned file: its SHA-256 is {found}, not {self.sha256}."
                    )
                self.path.parent.mkdir(exist_ok=True)
                part.replace(self.path)
        fetched = pinned(self.shown, None, self.path)
        if fetched.digest != self.sha256:
            raise ToxauditError(f"{self.path} was changed after it had been fetched: delete it.")
        return fetched

    def _download(self, part: Path) -> str:
        """Write the file's content to ``part``; its SHA-256 (hex)."""
        from huggingface_hub import get_session, is_offline_mode

        if is_offline_mode():
            raise ToxauditError(
                f"{self.shown} is not on this machine, and HF_HUB_OFFLINE forbids to fetch it: unset it."
            )
        url = self.url
        with _sentences(self.shown):
            for _ in range(MOST_REDIRECTS + 1):
                asked = get_session().stream(
                    "GET", url, headers={"Accept-Encoding": "identity"}, follow_redirects=False, timeout=SILENCE_SECONDS
                )
                with asked as answer:
                    if answer.next_request is None:
                        return self._write(answer, part)
                    url = str(answer.next_request.url)
                _require_encryption(url, self.url)
        raise ToxauditError(f"{self.shown} could not be had: it redirects more than {MOST_REDIRECTS} times.")

    def _write(self, answer: Any, part: Path) -> str:
        if answer.status_code != 200:
            said = f"{answer.status_code} {answer.reason_phrase}".strip()
            raise ToxauditError(f"{self.shown} could not be had: {answer.url.host} answers {said}.")
        sha, size, start = hashlib.sha256(), 0, monotonic()
        with part.open("wb") as file:
            for chunk in answer.iter_bytes():
                size += len(chunk)
                if size > LARGEST_BYTES:
                    raise ToxauditError(
                        f"{self.shown} is larger than {LARGEST_BYTES / 1e9:g} GB, the most that is fetched."
                    )
                took = monotonic() - start
                if took > PATIENCE_SECONDS and size < SLOWEST * took:
                    raise ToxauditError(
                        f"{self.shown} could not be had: only {size:,} bytes of it came in {took:.0f} s."
                    )
                sha.update(chunk)
                file.write(chunk)
        return sha.hexdigest()


def _is_url(url: str) -> bool:
    """Whether it is a URL that names a file."""
    try:
        return bool(URL.fullmatch(url) and urlsplit(url).port != 0 and NAME.fullmatch(_name(url)))
    except ValueError:  # the port is no number that a port can have
        return False


def _bare(url: str) -> str:
    return url.partition("?")[0]


def _name(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name


def _require_encryption(url: str, named: str) -> None:
    """Refuse a URL without encryption; the one that was ``named`` may have redirected to it."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        leads = f" leads to {_bare(url)}, which" if url != named else ""
        raise ToxauditError(f"{_bare(named)}{leads} is not encrypted: name a URL that begins with https://.")


@contextmanager
def _sentences(url: str) -> Iterator[None]:
    """Turn what the HTTP client raises into one sentence that says what to do."""
    from huggingface_hub import errors

    http_error = cast(type[Exception], errors.HfHubHTTPError.__bases__[0])
    try:
        yield
    except (http_error, OSError) as error:
        said = str(error).rstrip(".") or type(error).__name__
        raise ToxauditError(f"{url} could not be had ({said}): check the connection and the disk.") from error
