"""A server as small as can be that speaks the OpenAI protocol for chat: it answers by a rule, or misbehaves as told."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any


@dataclass(frozen=True)
class Reply:
    """Bytes to answer instead of a completion; where ``torn``, the connection breaks off within them."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    torn: bool = False


HANG = Reply(status=0)
"""No answer for as long as the server lives."""

Rule = Callable[[str], "str | None | Reply"]
"""What the user says -> what the model answers, or how the server misbehaves."""


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: Any = None

    @property
    def question(self) -> str:
        """What the user says."""
        return str(self.body["messages"][-1]["content"])


@dataclass
class Server:
    """A running server: its address, how it behaves now, what it was asked, and how much of it at once."""

    url: str
    rule: Rule
    models: Sequence[str] | Reply
    die: Callable[[], None]
    asked: list[Asked] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").removesuffix("/v1")

    @property
    def questions(self) -> list[str]:
        """What the model was asked, in the order in which it came."""
        return [each.question for each in self.asked if each.body is not None]


@contextmanager
def serve(rule: Rule, models: Sequence[str] | Reply = ("judge-1",), port: int = 0) -> Iterator[Server]:
    """Serve chat completions on a port of this machine, a free one unless named."""
    lock, over = Lock(), Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(Asked(self.path, dict(self.headers)))
            if isinstance(served.models, Reply):
                self.reply(served.models)
            elif self.path == "/v1/models":
                listed = [{"id": name, "object": "model"} for name in served.models]
                self.reply(Reply(body=json.dumps({"object": "list", "data": listed}).encode()))
            else:
                self.reply(Reply(404))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = Asked(self.path, dict(self.headers), body)
            with lock:
                served.asked.append(asked)
                served.at_once += 1
                served.most_at_once = max(served.most_at_once, served.at_once)
            try:
                said = served.rule(asked.question) if self.path == "/v1/chat/completions" else Reply(404)
            finally:
                with lock:
                    served.at_once -= 1  # before the answer, after which the next question may come at once
            self.reply(said if isinstance(said, Reply) else completion(said))

        def reply(self, reply: Reply) -> None:
            self.close_connection = True
            if reply is HANG:
                over.wait()
            if over.is_set():
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body) + reply.torn), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    def die() -> None:
        """Answer nothing more, not even what was asked already, and refuse every connection."""
        over.set()
        server.shutdown()
        server.server_close()

    class Patient(ThreadingHTTPServer):
        request_queue_size = 64
        block_on_close = False  # it may die within an answer

    server = Patient(("127.0.0.1", port), Handler)
    served = Server(f"http://127.0.0.1:{server.server_port}/v1", rule, models, die)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        die()
        thread.join()


def completion(said: str | None) -> Reply:
    """A chat completion, as the protocol has it."""
    message = {"role": "assistant", "content": said}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return Reply(body=json.dumps({"object": "chat.completion", "choices": choices}).encode())
