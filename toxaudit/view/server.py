"""The page of all runs, served to browsers of this machine alone, and the report of each run that it lists."""

import hmac
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

from toxaudit.errors import ToxauditError
from toxaudit.records import digest
from toxaudit.view.found import REPORT, Run

LOOPBACK = "127.0.0.1"

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

OF_REPORTS = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""What a report may do, whoever wrote it: nothing that reads another page of this server, or reaches any other."""

Page = Callable[[], tuple[str, dict[str, Path]]]
"""Makes the page anew: it, and the file of each report by the name that the page links to."""


def linked(run: Run) -> str:
    """The report of a run as the served page links to it; empty where it has none."""
    return f"run/{digest(str(run.folder))[:24]}/{REPORT}" if run.has_report else ""


def reports(runs: Iterable[Run]) -> dict[str, Path]:
    """The file of each report by the name that the served page links to."""
    return {linked(run): run.folder / REPORT for run in runs if run.has_report}


@contextmanager
def serving(page: Page, reports: dict[str, Path], port: int) -> "Iterator[tuple[str, ThreadingHTTPServer]]":
    """The address of the page, and what serves it by ``serve_forever`` until it is interrupted.

    The address holds a token, which no other user of the machine and no page on the web can guess.

    Args:
        page: is asked whenever the page is opened, so that loading it again shows new runs.
        reports: the file of each report by its name, until the page is opened.
        port: to listen at; 0 for any that is free.

    Raises:
        ToxauditError: if the port can't be listened at.
    """
    token = secrets.token_urlsafe(18)
    try:
        server = _Server((LOOPBACK, port), _Handler)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ToxauditError(f"Port {port} can't be listened at: {why}. Leave out --port for a free one.") from error
    server.page, server.token, server.reports = page, token, reports
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/{token}/", server
    finally:
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    page: Page
    token: str
    reports: dict[str, Path]

    def server_bind(self) -> None:
        """Listen, without asking the network for this machine's name, as the library's own does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that went away."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "toxaudit", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the page, with a report that it lists, or with nothing."""
        token, _, name = self.path.partition("?")[0].removeprefix("/").partition("/")
        known = {f"{host}:{self.server.server_port}" for host in (LOOPBACK, "localhost")}
        if self.headers.get("Host") not in known or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._answer(HTTPStatus.NOT_FOUND, b"Open the whole address that toxaudit view printed.")
        elif name:
            self._report(self.server.reports.get(name))
        else:
            self._page()

    def _page(self) -> None:
        try:
            text, self.server.reports = self.server.page()
        except (ToxauditError, OSError) as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error).encode())
        else:
            self._answer(HTTPStatus.OK, text.encode())

    def _report(self, file: Path | None) -> None:
        try:
            data = file.read_bytes() if file and file.is_file() else None
        except OSError:
            data = None
        if data is None:
            self._answer(HTTPStatus.NOT_FOUND, b"There is no such report any more: go back, and load the page again.")
        else:
            self._answer(HTTPStatus.OK, data, {"Content-Security-Policy": OF_REPORTS})

    def _answer(self, status: HTTPStatus, data: bytes, more: dict[str, str] | None = None) -> None:
        kind = {} if status is HTTPStatus.OK else {"Content-Type": "text/plain; charset=utf-8"}
        self.send_response(status)
        for name, value in (HEADERS | kind | (more or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep standard error for what a person must know."""
