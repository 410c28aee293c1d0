"""A chat model behind an OpenAI-compatible server: questions go out; answers, or why there is none, come back."""

import json
import os
import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPException, IncompleteRead
from ipaddress import ip_address
from threading import Event, Lock
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from toxaudit import __version__
from toxaudit.errors import ToxauditError, did_you_mean, one_line

BACKOFF = 1.0
"""Seconds before the first retry, on average; each further one comes after twice as long."""

LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is not waited for."""

IN_A_ROW = 3
"""Questions that may fail one after another, all retries spent, before a server that still answers counts as away."""

LARGEST = 2**20
"""Bytes of a reply that are read."""

NOT_NOW = (408, 425, 429, 502, 503, 504)
"""Statuses by which a server says that it, or what stands before it, can't answer for the time being."""

NO_KEY = (401, 403)
NOT_THERE = (301, 302, 303, 307, 308, 404, 405)
"""Statuses that the user must mend."""


@dataclass(frozen=True)
class Unanswered:
    """Why a question got no answer."""

    reason: str


class _Problem(Exception):
    """Why a request came to nothing.

    ``status`` is the server's, or None where it did not answer; ``wait`` is how many seconds it asks to be left alone.
    """

    def __init__(self, said: str, status: int | None = None, wait: float = 0.0) -> None:
        super().__init__(said)
        self.status, self.wait = status, wait

    @property
    def away(self) -> bool:
        """Whether the server can't be reached, rather than that it fails at this question."""
        return self.status is None or self.status in NOT_NOW

    @property
    def may_pass(self) -> bool:
        """Whether the same question may be answered another time."""
        return self.away or self.status == 200 or (self.status or 0) >= 500


class _NoRedirect(request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass
class Endpoint:
    """A served model, asked greedily, several questions at once.

    It speaks HTTP by the standard library: the Hub's client refuses every server while HF_HUB_OFFLINE is set, follows
    redirects, and sends a saved Hub token to any server for which no key is named.

    Attributes:
        url: up to the version: ``http://HOST:PORT/v1``.
        model: its name there.
        key_env: the name of the environment variable that holds the key, if any; the key itself stands in the header
            of a request, and nowhere else.
        max_tokens: of an answer.
        concurrency: questions asked at once.
        timeout: seconds for which the server may be silent.
        retries: of a question that the server could not answer for the time being.
    """

    url: str
    model: str
    key_env: str | None
    max_tokens: int
    concurrency: int
    timeout: float
    retries: int

    def __post_init__(self) -> None:
        self._lock, self._over = Lock(), Event()
        self._failed_in_a_row = 0
        self._away: str | None = None  # why the server was given up, if it was

    def check(self, where: str) -> None:
        """Refuse an address or a key that can't be used. Nothing is asked over the network.

        Args:
            where: the scorer, for the sentence.

        Raises:
            ToxauditError: naming the field.
        """
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or not re.fullmatch(r"[!-~]+", self.url) or parts.query or parts.fragment:
            raise ToxauditError(f"{where}: endpoint must be an address such as http://127.0.0.1:8000/v1.")
        if parts.username or parts.password:
            raise ToxauditError(
                f"{where}: endpoint holds a user's name or password: name the key's variable in api_key_env instead."
            )
        if self._key and parts.scheme == "http" and not self._loopback:
            raise ToxauditError(
                f"{where}: the key in {self.key_env} would travel to {self.host} unencrypted: use https, or set "
                "api_key_env to null where the server needs no key."
            )

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    @property
    def served(self) -> tuple[str, str, str]:
        """What tells this model from others: host, path, name."""
        return self.host, urlsplit(self.url).path.rstrip("/"), self.model

    @property
    def settings(self) -> dict[str, Any]:
        """How it decodes."""
        return {"max_tokens": self.max_tokens, "temperature": 0, "seed": 0}

    @cached_property
    def reached(self) -> bool:
        """True, once it was seen that the server is there and, where it lists its models, serves this one.

        Raises:
            ToxauditError: it is not so.
        """
        try:
            listed = _names(self._send("/models"))
        except _Problem as problem:
            if problem.status in NO_KEY:
                raise self._user_s(problem) from problem
            if problem.away or problem.status == 200:
                raise ToxauditError(f"The judge at {self.host} can't be reached: {problem}.") from problem
            listed = []  # a server need not list its models
        if listed and self.model not in listed:
            raise ToxauditError(
                f"The server at {self.host} has no model '{self.model}'.{did_you_mean(self.model, listed)}"
            )
        return True

    def answer(self, questions: Sequence[str]) -> list[str | Unanswered]:
        """What the model says to each question, or why it says nothing.

        Once all retries for one question are spent on a server that can't be reached, those still open fail at once
        with the same reason. A later call sends it one request, and asks on if that is answered.

        Raises:
            ToxauditError: the server wants another key, or has no such model: the user's to mend.
        """
        if self._away and (still := self._look()):
            return [Unanswered(still)] * len(questions)
        self._away, self._failed_in_a_row = None, 0
        self._over.clear()
        with ThreadPoolExecutor(self.concurrency) as pool:
            asked = [pool.submit(self._ask, question) for question in questions]
            try:
                return [each.result() for each in asked]
            except BaseException:
                self._over.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _look(self) -> str | None:
        """Why the server still can't be reached, if so."""
        try:
            self._send("/models")
        except _Problem as problem:
            return self._unreached(problem) if problem.away else None
        return None

    def _ask(self, question: str) -> str | Unanswered:
        problem = None
        for attempt in range(self.retries + 1):
            if self._over.is_set():
                break
            try:
                said = self._complete(question)
            except _Problem as found:
                problem = found
                if problem.status in NO_KEY + NOT_THERE:
                    raise self._user_s(problem) from problem
                if not problem.may_pass:
                    return Unanswered(f"the judge at {self.host} refuses the question: {problem}")
                if attempt == self.retries or problem.wait > LONGEST_WAIT:
                    break
                pause = BACKOFF * 2**attempt * random.uniform(0.5, 1.5)  # apart, lest all come back at once
                self._over.wait(max(pause, problem.wait))
            else:
                self._failed_in_a_row = 0
                return said
        return self._unanswered(problem)

    def _unanswered(self, problem: _Problem | None) -> Unanswered:
        """The reason for a question whose retries are spent, or which is not asked any more."""
        with self._lock:
            if self._away or problem is None:
                return Unanswered(self._away or "the run was stopped")
            reason = self._unreached(problem)
            self._failed_in_a_row += 1
            if problem.away or self._failed_in_a_row >= IN_A_ROW:
                self._away = reason
                self._over.set()
            return Unanswered(reason)

    def _unreached(self, problem: _Problem) -> str:
        fails = "can't be reached" if problem.away else "gives no answer"
        return f"the judge at {self.host} {fails}: {problem}"

    def _user_s(self, problem: _Problem) -> ToxauditError:
        """The sentence for what only the user can mend."""
        if problem.status not in NO_KEY:
            return ToxauditError(
                f"The judge '{self.model}' is not at {self.host}{urlsplit(self.url).path} (status {problem.status}): "
                "check endpoint and model."
            )
        if not self.key_env:
            return ToxauditError(
                f"The judge at {self.host} wants a key (status {problem.status}): set api_key_env to the name of the "
                "environment variable that holds it."
            )
        state = "refuses the key in" if self._key else "wants a key, but none stands in"
        return ToxauditError(
            f"The judge at {self.host} {state} the environment variable {self.key_env} (status {problem.status})."
        )

    def _complete(self, question: str) -> str:
        reply = self._send(
            "/chat/completions",
            {"model": self.model, "messages": [{"role": "user", "content": question}]} | self.settings,
        )
        try:
            content = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise _Problem("what it answers is no chat completion", 200) from None
        if not isinstance(content, str | None):
            raise _Problem("what it answers is no text", 200)
        return content or ""

    @property
    def _key(self) -> str:
        """The key, or nothing where none is named or set.

        Raises:
            ToxauditError: the variable holds what no header can.
        """
        key = os.environ.get(self.key_env, "").strip() if self.key_env else ""
        if not re.fullmatch(r"[!-~]*", key):
            raise ToxauditError(f"The environment variable {self.key_env} holds no key: it has spaces or other signs.")
        return key

    @property
    def _loopback(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    @cached_property
    def _opener(self) -> request.OpenerDirector:
        return request.build_opener(_NoRedirect, *([request.ProxyHandler({})] if self._loopback else []))

    def _send(self, path: str, body: Any = None) -> Any:
        """The JSON that the server answers to a request: all that goes over the network goes through here.

        Raises:
            _Problem: it answers none.
        """
        headers = {"User-Agent": f"toxaudit/{__version__}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = None if body is None else json.dumps(body).encode()
        asked = request.Request(self.url.rstrip("/") + path, data, headers)
        try:
            with self._opener.open(asked, timeout=self.timeout) as reply:
                content = reply.read(LARGEST)
                if reply.length and len(content) < LARGEST:  # more was announced, but reading some says nothing of it
                    raise IncompleteRead(content)
        except HTTPError as error:
            with error:
                raise _Problem(self._told(error), error.code, _wait(error.headers.get("Retry-After", ""))) from None
        except (OSError, HTTPException) as error:
            raise _Problem(self._cause(error)) from None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):  # the latter from lists in lists without end
            raise _Problem("what answers there is no OpenAI-compatible server", 200) from None

    def _told(self, error: HTTPError) -> str:
        """What the server says of its refusal, without the key, should it repeat it."""
        try:
            text = error.read(LARGEST).decode(errors="replace")
        except (OSError, HTTPException):
            text = ""
        try:
            told = json.loads(text)
            told = told.get("error", told.get("detail", told.get("message", text)))
            text = str(told.get("message", told) if isinstance(told, dict) else told)
        except (ValueError, AttributeError, RecursionError):
            pass  # no JSON object, or one too deep: it is shown as it is
        text = text.replace(self._key, "***") if self._key else text
        shown = one_line(" ".join(text.split()))[:200].rstrip(". ")
        return f"status {error.code} ({shown})" if shown else f"status {error.code}"

    def _cause(self, error: Exception) -> str:
        """What broke a request off, in words."""
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, TimeoutError):
            return f"no answer within {self.timeout:g} s"
        if isinstance(cause, ConnectionError | HTTPException) and not isinstance(cause, ConnectionRefusedError):
            return "the connection broke off"
        said = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        return one_line(said)[:200].rstrip(". ").lower()


def _names(reply: Any) -> list[str]:
    """The models that a server lists, none where it says something else."""
    rows = reply.get("data") if isinstance(reply, dict) else None
    return [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row] if isinstance(rows, list) else []


def _wait(asked: str) -> float:
    """The seconds that a ``Retry-After`` asks for, which is a number or a date; 0 where it is neither."""
    if re.fullmatch(r"\d{1,9}", asked.strip()):
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
