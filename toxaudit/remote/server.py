"""HTTP to an OpenAI-compatible server: questions go out as JSON; JSON, or why there is none, comes back."""

import json
import os
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException, IncompleteRead
from ipaddress import ip_address
from threading import Event
from typing import Any, TypeVar
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from toxaudit import __version__
from toxaudit.errors import ToxauditError, did_you_mean, one_line
from toxaudit.remote.problem import FORBIDDEN_STATUS, NO_KEY_STATUSES, Problem, Stopped
from toxaudit.remote.reply import model_names, reason, wait_asked
from toxaudit.remote.whole import TIMES_SILENCE, Http, Https, NotWhole

FIRST_RETRY_SECONDS = 1.0
"""How long the first retry is put off, on average; each further one comes after twice as long."""

LONGEST_WAIT_SECONDS = 120.0
"""A server that asks for a longer wait is not waited for."""

LONGEST_TIMEOUT_SECONDS = 86400.0
"""The longest silence that may be allowed: the system's clocks can't count any number of seconds."""

LARGEST_REPLY_BYTES = 2**24
"""As much of a reply is read, and no more."""

Read = TypeVar("Read")


class _NoRedirect(request.HTTPRedirectHandler):
    """A redirect would carry the key to another host; its address, which may be none, is not looked at."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """Leave the answer as it is: an error."""
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


@dataclass
class Server:
    """An OpenAI-compatible server, asked from any number of threads.

    It speaks HTTP by the standard library: the Hub's client refuses every server while HF_HUB_OFFLINE is set, follows
    redirects, and sends a saved Hub token to any server for which no key is named.

    Attributes:
        url: up to the version: ``http://HOST:PORT/v1``.
        key_env: the name of the environment variable that holds the key, if any; the key itself stands in the header
            of a request, and nowhere else.
        timeout: seconds for which the server may be silent; a reply must be whole after twice as many.
        retries: of a question that the server could not answer for the time being.
    """

    url: str
    key_env: str | None
    timeout: float
    retries: int

    def check(self, where: str, field: str) -> None:
        """Refuse an address, a key or a timeout that can't be used; nothing is asked over the network.

        Args:
            where: the part of the spec that the sentence names.
            field: the field of that part that holds the address.

        Raises:
            ToxauditError: if one of them can't be used; the sentence names the field.
        """
        if self.timeout > LONGEST_TIMEOUT_SECONDS:
            raise ToxauditError(
                f"{where}: timeout is {self.timeout:g}; it must be at most {LONGEST_TIMEOUT_SECONDS:g}, a day."
            )
        try:
            parts = urlsplit(self.url)
            (parts.hostname or "").encode("idna")  # as it is looked up: no label is empty, or longer than 63 characters
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or not re.fullmatch(r"[!-~]+", self.url) or parts.query or parts.fragment:
            raise ToxauditError(f"{where}: {field} must be an address such as http://127.0.0.1:8000/v1.")
        if parts.username or parts.password:
            raise ToxauditError(
                f"{where}: {field} holds a user's name or password: name the key's variable in api_key_env instead."
            )
        if self._key and parts.scheme == "http" and not self.loopback:
            raise ToxauditError(
                f"{where}: the key in {self.key_env} would travel to {self.host} unencrypted: use https, or set "
                "api_key_env to null where the server needs no key."
            )

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        """What follows the host, such as ``/v1``."""
        return urlsplit(self.url).path.rstrip("/")

    def models(self, who: str) -> list[str]:
        """The names of the models that the server lists; a server need not list any.

        Args:
            who: what the sentence calls the server, such as ``The judge``.

        Raises:
            ToxauditError: if the server can't be reached, or wants another key.
        """
        try:
            return self.ask("/models", None, model_names, Event())
        except Problem as problem:
            if problem.status in NO_KEY_STATUSES:
                raise self.key_refused(who, problem) from problem
            if problem.away or problem.status == 200:
                fails = problem.fails if problem.away else "can't be reached"
                raise ToxauditError(f"{who} at {self.host} {fails}: {problem}.") from problem
            return []

    def nearest(self, model: str, listed: Iterable[str]) -> str:
        """The phrase that suggests one of the listed models where the server has none of this name."""
        return did_you_mean(model, map(self._masked, listed))

    def ask(self, path: str, body: Any, read: Callable[[Any], Read], over: Event) -> Read:
        """What ``read`` makes of the reply to a question, which is asked again while that may help.

        Args:
            path: what follows ``url``.
            body: JSON values; None where nothing is sent.
            read: takes the reply's JSON values; raises ``Problem``, with status 200, where they are no answer.
            over: once it is set, nothing is asked any more.

        Raises:
            Problem: if all retries are spent or none would help, the last one; if ``over`` is set, ``Stopped``.
        """
        problem: Problem = Stopped()
        for attempt in range(self.retries + 1):
            if over.is_set():
                break
            try:
                return self._read(self.send(path, body), read)
            except Problem as found:
                problem = found
            if not problem.may_pass or attempt == self.retries or problem.wait > LONGEST_WAIT_SECONDS:
                break
            apart = random.uniform(0.5, 1.5)  # lest all come back at once
            pause = FIRST_RETRY_SECONDS * 2 ** min(attempt, 6) * apart
            over.wait(max(pause, problem.wait))
        raise problem

    def key_refused(self, who: str, problem: Problem, at: str = "") -> ToxauditError:
        """The sentence for a server that wants another key, or may not be asked this.

        Args:
            who: as in ``models``.
            problem: one whose status is among ``NO_KEY_STATUSES``.
            at: in words, what was asked, where that may be the reason.
        """
        said = f"(status {problem.status})"
        if at and problem.status == FORBIDDEN_STATUS:
            said = f"({problem}) at {at}"
        if not self.key_env:
            return ToxauditError(
                f"{who} at {self.host} wants a key {said}: set api_key_env to the name of the "
                "environment variable that holds it."
            )
        state = "refuses the key in" if self._key else "wants a key, but none stands in"
        return ToxauditError(f"{who} at {self.host} {state} the environment variable {self.key_env} {said}.")

    def shown(self, said: object, longest: int = 200) -> str:
        """What a server says, fit for a sentence: one line, cut, and without the key, should it repeat it."""
        return one_line(" ".join(self._masked(str(said)).split()))[:longest].rstrip(". ")

    def _masked(self, text: str) -> str:
        key = self._key
        for form in {key, repr(key)[1:-1]} if key else ():
            text = text.replace(form, "***")
        return text

    @property
    def _key(self) -> str:
        """The key, or nothing where none is named or set.

        Raises:
            ToxauditError: if the variable holds what no header can.
        """
        key = os.environ.get(self.key_env, "").strip() if self.key_env else ""
        if not re.fullmatch(r"[!-~]*", key):
            raise ToxauditError(f"The environment variable {self.key_env} holds no key: it has spaces or other signs.")
        return key

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def sends_key_away(self) -> bool:
        """Whether a request carries a key to another machine."""
        return bool(self._key) and not self.loopback

    @cached_property
    def _opener(self) -> request.OpenerDirector:
        handlers = [_NoRedirect(), Http(), Https(), *([request.ProxyHandler({})] if self.loopback else [])]
        return request.build_opener(*handlers)

    def send(self, path: str, body: Any = None) -> Any:
        """The JSON that the server answers to one request: all that goes over the network goes through here.

        Raises:
            Problem: if the server gives no JSON.
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
                content = reply.read(LARGEST_REPLY_BYTES)
                # reading a part never tells that less came than was announced
                if reply.length and len(content) < LARGEST_REPLY_BYTES:
                    raise IncompleteRead(content)
        except HTTPError as error:
            with error:
                raise Problem(self._told(error), error.code, wait_asked(error.headers.get("Retry-After", ""))) from None
        except (OSError, HTTPException) as error:
            raise Problem(self._cause(error)) from None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):  # the latter from lists in lists without end
            raise Problem("what answers there is no OpenAI-compatible server", 200) from None

    def _read(self, reply: Any, read: Callable[[Any], Read]) -> Read:
        """What ``read`` makes of a reply; where that is nothing, with what the server says of it."""
        try:
            return read(reply)
        except Problem as problem:
            told = reason({"error": reply["error"]}, "") if isinstance(reply, dict) and reply.get("error") else ""
            if shown := self.shown(told):
                raise Problem(f"{problem}: {shown}", problem.status) from None
            raise

    def _told(self, error: HTTPError) -> str:
        """What the server says of its refusal."""
        try:
            text = error.read(LARGEST_REPLY_BYTES).decode(errors="replace")
        except (OSError, HTTPException):
            text = ""
        try:
            shown = self.shown(reason(json.loads(text), text))
        except (ValueError, RecursionError):
            shown = self.shown(text)  # no JSON, or too deep: it is shown as it is
        return f"status {error.code} ({shown})" if shown else f"status {error.code}"

    def _cause(self, error: Exception) -> str:
        """What broke a request off, in words."""
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, NotWhole):
            return f"its answer was not whole after {TIMES_SILENCE * self.timeout:g} s"
        if isinstance(cause, TimeoutError):
            return f"no answer within {self.timeout:g} s"
        if isinstance(cause, ConnectionError | HTTPException) and not isinstance(cause, ConnectionRefusedError):
            return "the connection broke off"
        said = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        return self.shown(said).lower()
