"""A Hugging Face Hub as small as can be: it answers the calls by which huggingface_hub reads and writes."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_writing import DISCUSSIONS, PullRequest, Writing, blob

API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree)/(.+))?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """Revision (branch or tag) -> files.

    ``refused`` maps a kind of call (info, tree, file, or list of its variants) to a status and code; where ``torn``,
    the connection breaks off within every file; ``breaks`` is how often at first it does so in the middle, and
    ``ranges`` which part of which file was asked for each time. ``about`` is what the Hub says of it beside: tags,
    gated, downloads, cardData, safetensors. ``writers`` may commit to its main branch, others with a token that may
    write open pull requests, and where it is private only they know of it; ``before_commit`` is called as soon as a
    commit comes in. Of what was written, ``history`` maps a commit to its parent and files.
    """

    revisions: dict[str, dict[str, bytes]]
    kind: str = "models"
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    torn: bool = False
    breaks: int = 0
    ranges: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    writers: tuple[str, ...] = ("alice",)
    before_commit: Callable[[], object] | None = None
    pull_requests: list[PullRequest] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)
    history: dict[str, tuple[str, dict[str, bytes]]] = field(default_factory=dict)

    def commit(self, revision: str) -> str:
        """The commit of a branch or tag; the first one's hash stands for its content."""
        return self.heads.get(revision) or hashlib.sha1(repr(self.revisions[revision]).encode()).hexdigest()

    def files(self, revision: str) -> dict[str, bytes] | None:
        """The files at a branch, tag or commit."""
        if revision in self.history:
            return self.history[revision][1]
        return next((files for name, files in self.revisions.items() if revision in (name, self.commit(name))), None)

    def write(self, branch: str, files: dict[str, bytes]) -> str:
        """Put a commit with these files on top of a branch; its hash."""
        parent = self.commit(branch)
        oid = hashlib.sha1(f"{parent} {files!r}".encode()).hexdigest()
        self.history.setdefault(parent, ("", self.files(parent) or {}))
        self.history[oid] = (parent, files)
        self.revisions[branch], self.heads[branch] = files, oid
        return oid

    def visible_to(self, user: tuple[str, str] | None) -> bool:
        """Whether somebody, by name and role, may know of it."""
        return not self.about.get("private") or (user is not None and user[0] in self.writers)


@dataclass
class Hub:
    """A running server: its address, what it holds, and what it was asked, as ``METHOD path``.

    ``tokens`` maps a token to its owner's name and role, ``renamed`` a repository's former name to that of today;
    ``refused`` is as a repository's; ``unaccepted`` is what it finds wrong with every card; ``large`` are the files
    that were uploaded apart, by SHA-256; ``odd`` maps a path to what is answered instead of the truth.
    """

    url: str
    repositories: dict[str, Repository]
    asked: list[str] = field(default_factory=list)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    unaccepted: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    odd: dict[str, bytes] = field(default_factory=dict)
    lock: Any = field(default_factory=RLock)

    @property
    def downloaded(self) -> list[str]:
        """The names of the files it gave away."""
        found = (FILE.fullmatch(request.removeprefix("GET ")) for request in self.asked)
        return sorted(match[4] for match in found if match)


@contextmanager
def serve(**repositories: Repository) -> Iterator[Hub]:
    """Serve ``org/<name>`` for every name given, on a free port of this machine."""

    class Handler(Writing, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else every answer waits 40 ms

        @property
        def hub(self) -> Hub:
            return hub

        def do_GET(self) -> None:
            path, self.query = unquote(urlsplit(self.path).path), parse_qs(urlsplit(self.path).query)
            hub.asked.append(f"{self.command} {path}")
            if self.redirected(path):
                return
            if path in hub.odd:
                self.reply(hub.odd[path])
            elif path == "/api/whoami-v2":
                self.whoami()
            elif found := DISCUSSIONS.fullmatch(path):
                self.discussions(found[1])
            elif path == "/api/models":
                self.listing(self.query)
            elif call := API.fullmatch(path):
                self.api(*call.groups())
            elif call := FILE.fullmatch(path):
                self.file(*call.groups())
            else:
                self.refuse(404, "EntryNotFound")

        do_HEAD = do_GET

        def api(self, kind: str, name: str, what: str | None, revision: str | None) -> None:
            revision = revision or "main"
            if (found := self.found(kind, name, revision, "tree" if what == "tree" else "info")) is None:
                return
            repository, files = found
            if what == "tree":
                listed = [{"type": "file", "path": p, "oid": blob(d), "size": len(d)} for p, d in files.items()]
                self.reply(json.dumps(listed).encode())
            else:
                sha = revision if revision not in repository.revisions else repository.commit(revision)
                self.reply(json.dumps(described(name, repository, files) | {"sha": sha}).encode())

        def listing(self, query: dict[str, list[str]]) -> None:
            """What carries all tags asked for, told of as far as it was wanted."""
            base = hub.repositories.get(query.get("filter", [""])[0].split(":")[-1])
            if base and "list" in base.refused:
                return self.refuse(*base.refused["list"])
            rows = [
                {"sha": repository.commit("main")} | described(name, repository, repository.revisions["main"])
                for name, repository in hub.repositories.items()
                if repository.kind == "models" and set(query.get("filter", [])) <= set(repository.about.get("tags", []))
            ]
            if query.get("sort") == ["downloads"]:
                rows.sort(key=lambda row: -row["downloads"])
            if wanted := query.get("expand"):
                rows = [{key: row[key] for key in row if key in {"id", *wanted}} for row in rows]
            self.reply(json.dumps(rows[: int(query.get("limit", ["1000"])[0])]).encode())

        def file(self, kind: str | None, name: str, revision: str, path: str) -> None:
            found = self.found("datasets" if kind else "models", name, revision, "file")
            if found is None:
                return
            if path not in found[1]:
                return self.refuse(404, "EntryNotFound")
            data = found[1][path]
            headers = {"ETag": f'"{blob(data)}"', "X-Repo-Commit": revision}
            if found[0].torn and self.command == "GET":
                return self.broken_off(data[:1], headers | {"Content-Length": str(len(data))})
            status = 200
            if self.command == "GET" and (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
                headers["Content-Range"] = f"bytes {asked[1]}-{len(data) - 1}/{len(data)}"
                data, status = data[int(asked[1]) :], 206
            if self.command == "GET":
                found[0].ranges.append(f"{path} {self.headers.get('Range')}")
                if len(found[0].ranges) <= found[0].breaks:
                    return self.broken_off(data[: len(data) // 2], headers | {"Content-Length": str(len(data))}, status)
            self.reply(data, headers, status)

        def broken_off(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
            self.close_connection = True
            self.reply(body, headers, status)

        def found(self, kind: str, name: str, revision: str, call: str) -> tuple[Repository, dict[str, bytes]] | None:
            repository = hub.repositories.get(name)
            if repository is None or repository.kind != kind or not repository.visible_to(self.user()):
                return self.refuse(404, "RepoNotFound")
            if call in repository.refused:
                return self.refuse(*repository.refused[call])
            files = repository.files(revision)
            return self.refuse(404, "RevisionNotFound") if files is None else (repository, files)

        def refuse(self, status: int, code: str, message: str = "") -> None:
            headers = {"X-Error-Code": code, "X-Error-Message": message or code}
            self.reply(b"{}", headers | ({"Retry-After": "30"} if status == 429 else {}), status)

        def reply(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub = Hub(f"http://127.0.0.1:{server.server_port}", {f"org/{name}": r for name, r in repositories.items()})
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def described(name: str, repository: Repository, files: dict[str, bytes]) -> dict[str, Any]:
    """A repository as the Hub's API tells of it."""
    siblings = [{"rfilename": path, "size": len(data), "blobId": blob(data)} for path, data in files.items()]
    about = {"downloads": 0, "tags": [], "gated": False, "private": False, "cardData": {}} | repository.about
    return {"id": name, "modelId": name, "siblings": siblings} | about
