"""Replies that come whole within a time: who drips a byte now and then is not silent, and yet never done."""

import io
import socket
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from time import monotonic
from typing import Any
from urllib import request

TIMES_SILENCE = 2
"""A reply must be whole after that many times the seconds for which its server may be silent."""


class NotWhole(TimeoutError):
    """A reply was still coming when its time was over."""


class _Timed(io.RawIOBase):
    """A socket's bytes, as long as there is time left, which begins when this is made."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock, self._silence = raw, sock, sock.gettimeout()
        self._end = monotonic() + TIMES_SILENCE * (self._silence or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._silence is not None:
            left = self._end - monotonic()
            if left <= 0:
                raise NotWhole
            self._sock.settimeout(min(self._silence, left))
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            if self._silence is not None and monotonic() >= self._end:
                raise NotWhole from None
            raise

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reply(HTTPResponse):
    """Its status, headers and body must all come in time."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock))


class _Plain(HTTPConnection):
    response_class = _Reply


class _Encrypted(HTTPSConnection):
    response_class = _Reply


class Http(request.HTTPHandler):
    """For ``urllib``: replies over HTTP."""

    def http_open(self, req: request.Request) -> Any:
        """The reply to one request."""
        return self.do_open(_Plain, req)


class Https(request.HTTPSHandler):
    """For ``urllib``: replies over HTTPS."""

    def https_open(self, req: request.Request) -> Any:
        """The reply to one request; certificates are checked as ever."""
        return self.do_open(_Encrypted, req)
