"""The calls by which huggingface_hub writes to repositories, answered as the real Hub does."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

WRITE = re.compile(r"/api/models/([^/]+/[^/]+)/(preupload|commit|paths-info)/(.+)")
BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
UPLOAD = re.compile(r"/_lfs/([0-9a-f]{64})")
DISCUSSIONS = re.compile(r"/api/models/([^/]+/[^/]+)/discussions")
NAMED = re.compile(r"(/api/(?:models|datasets)/|/)([^/]+/[^/]+)(.*)")
FRONT = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)

MOVED = "The branch was updated since you opened this page. Please refresh and try again."
LARGE = (".png", ".safetensors")
"""Endings of files that are stored apart (LFS)."""


@dataclass
class PullRequest:
    number: int
    title: str
    author: str
    description: str
    status: str = "open"


class Writing:
    """Part of a request handler whose ``hub`` is the ``Hub`` it serves."""

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        path, body = unquote(url.path), self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.asked.append(f"POST {path}")
        self.query = parse_qs(url.query)
        if self.redirected(path):
            return
        if path in self.hub.odd:
            self.reply(self.hub.odd[path])
        elif path == "/api/validate-yaml":
            self.validate(json.loads(body)["content"].encode())
        elif found := WRITE.fullmatch(path):
            name, call, revision = found.groups()
            {"preupload": self.preupload, "commit": self.commit, "paths-info": self.paths}[call](name, revision, body)
        elif found := BATCH.fullmatch(path):
            self.batch(found[1], body)
        else:
            self.refuse(404, "EntryNotFound")

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = UPLOAD.fullmatch(urlsplit(self.path).path)
        if found is None or sha256(data).hexdigest() != found[1]:
            return self.refuse(400, "BadRequest")
        self.hub.large[found[1]] = data
        self.reply(b"")

    def redirected(self, path: str) -> bool:
        """Whether the path is that of a repository by a former name: then the new one is told."""
        found = NAMED.fullmatch(path)
        name = found[2].removesuffix(".git") if found else ""
        if name not in self.hub.renamed:
            return False
        target = self.path.replace(name, self.hub.renamed[name], 1)
        self.reply(b"", {"Location": self.hub.url + target}, 307)
        return True

    def user(self) -> tuple[str, str] | None:
        """Name and role of whoever asks."""
        return self.hub.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def whoami(self) -> None:
        if "whoami" in self.hub.refused:
            self.refuse(*self.hub.refused["whoami"])
        elif (user := self.user()) is None:
            self.refuse(401, "", "Invalid credentials in Authorization header")
        else:
            name, role = user
            token = {"displayName": "t", "role": role}
            answer = {"type": "user", "name": name, "auth": {"type": "access_token", "accessToken": token}}
            self.reply(json.dumps(answer).encode())

    def discussions(self, name: str) -> None:
        if (repository := self.writable(name, "discussions")) is None:
            return
        author = self.query.get("author", [""])[0]
        found = [
            {
                "num": each.number,
                "title": each.title,
                "author": {"name": each.author},
                "createdAt": "2026-01-15T01:58:40.000Z",
                "status": each.status,
                "isPullRequest": True,
                "repo": {"name": name, "type": "model"},
            }
            for each in repository.pull_requests
            if each.status in self.query.get("status", [each.status]) and author in ("", each.author)
        ]
        self.reply(json.dumps({"discussions": found, "count": len(found), "start": 0}).encode())

    def validate(self, readme: bytes) -> None:
        errors, warnings = [], []
        found = FRONT.match(readme)
        try:
            if not found or not isinstance(yaml.safe_load(found[1]), dict):
                warnings.append({"message": "empty or missing yaml metadata in repo card"})
        except yaml.YAMLError as error:
            errors.append({"message": str(error)})
        errors += [{"message": text} for text in self.hub.unaccepted]
        answer = json.dumps({"errors": errors, "warnings": warnings}).encode()
        self.reply(answer, status=400 if errors else 200)

    def preupload(self, name: str, revision: str, body: bytes) -> None:
        if (repository := self.writable(name, "preupload", writes=True)) is None:
            return
        there = repository.files(revision) or {}
        files = []
        for each in json.loads(body)["files"]:
            path = each["path"]
            large = path.endswith(LARGE)
            oid = {"oid": identity(path, there[path])} if path in there else {}
            files.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False} | oid)
        self.reply(json.dumps({"files": files, "commitOid": repository.commit(revision)}).encode())

    def paths(self, name: str, revision: str, body: bytes) -> None:
        if (repository := self.writable(name, "paths")) is None:
            return
        if (there := repository.files(revision)) is None:
            return self.refuse(404, "RevisionNotFound")
        found = []
        for path in parse_qs(body.decode())["paths"]:
            if path not in there:
                continue
            data = there[path]
            info: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": blob(data)}
            if path.endswith(LARGE):
                info |= {
                    "oid": blob(b"pointer to " + data),
                    "lfs": {"oid": identity(path, data), "size": len(data), "pointerSize": 130},
                }
            found.append(info)
        self.reply(json.dumps(found).encode())

    def batch(self, name: str, body: bytes) -> None:
        if self.writable(name, "lfs", writes=True) is None:
            return
        objects = []
        for each in json.loads(body)["objects"]:
            href = f"{self.hub.url}/_lfs/{each['oid']}"
            there = each["oid"] in self.hub.large
            objects.append(each | ({} if there else {"actions": {"upload": {"href": href, "header": {}}}}))
        self.reply(json.dumps({"transfer": "basic", "objects": objects}).encode())

    def commit(self, name: str, revision: str, body: bytes) -> None:
        if (repository := self.writable(name, "commit", writes=True)) is None:
            return
        header, *rest = map(json.loads, body.splitlines())
        gone = {line["value"]["path"] for line in rest if line["key"] == "deletedFile"}
        files = dict(self.sent([line for line in rest if line["key"] != "deletedFile"]))
        user, opens = self.user()[0], "create_pr" in self.query
        if not opens and revision == "main" and user not in repository.writers:
            return self.refuse(403, "", "You have read access but not the required permissions for this operation")
        if repository.before_commit:
            repository.before_commit()
        with self.hub.lock:
            parent = header["value"].get("parentCommit") or repository.commit(revision)
            if not opens and parent != repository.commit(revision):
                return self.refuse(412, "", MOVED)
            made = ""
            if opens:
                number = len(repository.pull_requests) + 1
                value = header["value"]
                repository.pull_requests.append(PullRequest(number, value["summary"], user, value["description"]))
                revision = f"refs/pr/{number}"
                repository.revisions[revision] = dict(repository.files(parent))
                repository.heads[revision] = parent
                made = f"{self.hub.url}/{name}/discussions/{number}"
            kept = {path: data for path, data in repository.revisions[revision].items() if path not in gone}
            oid = repository.write(revision, kept | files)
        address = f"{self.hub.url}/{name}/commit/{oid}"
        answer = {"success": True, "commitOid": oid, "commitUrl": address, "hookOutput": ""}
        self.reply(json.dumps(answer | ({"pullRequestUrl": made} if made else {})).encode())

    def sent(self, lines: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                yield value["path"], base64.b64decode(value["content"])
            else:
                yield value["path"], self.hub.large[value["oid"]]

    def writable(self, name: str, call: str, writes: bool = False) -> Any:
        """The repository, if it is there and the call is not refused; else the refusal is sent."""
        repository = self.hub.repositories.get(name)
        if repository is None or not repository.visible_to(self.user()):
            return self.refuse(404, "RepoNotFound")
        if call in repository.refused:
            return self.refuse(*repository.refused[call])
        user = self.user()
        if writes and user is None:
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        if writes and user[1] == "read":
            return self.refuse(403, "", "you must use a write token")
        return repository


def blob(data: bytes) -> str:
    """A file's identity, as git has it."""
    return sha1(b"blob %d\0" % len(data) + data).hexdigest()


def identity(path: str, data: bytes) -> str:
    """What the Hub compares a file by."""
    return sha256(data).hexdigest() if path.endswith(LARGE) else blob(data)
