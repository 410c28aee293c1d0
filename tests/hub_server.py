"""A Hugging Face Hub as small as can be, answering the calls by which huggingface_hub reads repositories."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """Revision (branch or tag) -> files.

    ``refused`` maps a kind of call (info, tree, file, or list of its variants) to a status and code; where ``torn``,
    the connection breaks off within every file. ``about`` is what the Hub says of it beside: tags, gated, downloads,
    cardData, safetensors.
    """

    revisions: dict[str, dict[str, bytes]]
    kind: str = "models"
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    torn: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    def commit(self, revision: str) -> str:
        """The hash that stands for a revision's content."""
        return hashlib.sha1(repr(self.revisions[revision]).encode()).hexdigest()

    def files(self, revision: str) -> dict[str, bytes] | None:
        """The files at a branch, tag or commit."""
        return next((files for name, files in self.revisions.items() if revision in (name, self.commit(name))), None)


@dataclass
class Hub:
    """A running server: its address, what it holds, and what it was asked, as ``METHOD path``."""

    url: str
    repositories: dict[str, Repository]
    asked: list[str] = field(default_factory=list)

    @property
    def downloaded(self) -> list[str]:
        """The names of the files it gave away."""
        found = (FILE.fullmatch(request.removeprefix("GET ")) for request in self.asked)
        return sorted(match[4] for match in found if match)


@contextmanager
def serve(**repositories: Repository) -> Iterator[Hub]:
    """Serve ``org/<name>`` for every name given, on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            if path == "/api/models":
                self.listing(parse_qs(urlsplit(self.path).query))
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
                listed = [{"type": "file", "path": p, "oid": etag(d), "size": len(d)} for p, d in files.items()]
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
            headers = {"ETag": f'"{etag(data)}"', "X-Repo-Commit": revision}
            if found[0].torn and self.command == "GET":
                self.close_connection = True
                self.reply(data[:1], headers | {"Content-Length": str(len(data))})
            else:
                self.reply(data, headers)

        def found(self, kind: str, name: str, revision: str, call: str) -> tuple[Repository, dict[str, bytes]] | None:
            repository = hub.repositories.get(name)
            if repository is None or repository.kind != kind:
                return self.refuse(404, "RepoNotFound")
            if call in repository.refused:
                return self.refuse(*repository.refused[call])
            files = repository.files(revision)
            return self.refuse(404, "RevisionNotFound") if files is None else (repository, files)

        def refuse(self, status: int, code: str) -> None:
            self.reply(b"{}", {"X-Error-Code": code, "X-Error-Message": code}, status)

        def reply(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
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
    siblings = [{"rfilename": path, "size": len(data), "blobId": etag(data)} for path, data in files.items()]
    about = {"downloads": 0, "tags": [], "gated": False, "private": False, "cardData": {}} | repository.about
    return {"id": name, "modelId": name, "siblings": siblings} | about


def etag(data: bytes) -> str:
    """A file's identity, as git has it."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
