"""A server as small as can be that speaks the OpenAI protocol: it answers by rules, or misbehaves as told."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from zlib import crc32


@dataclass(frozen=True)
class Reply:
    """Bytes to answer instead of a completion.

    Where ``torn``, the connection breaks off within them; where ``drips``, a byte of the body, or of a header before
    it, comes every few hundredths of a second, without end.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    torn: bool = False
    drips: str = ""


HANG = Reply(status=0)
"""No answer for as long as the server lives."""


@dataclass(frozen=True)
class Said:
    """What a model answers, why it ended, and whether the server counts its tokens."""

    text: str | None
    finish: Any = "stop"
    counted: bool = True


Rule = Callable[[str], "str | None | Said | Reply"]
"""What the user says, or the text to continue -> what the model answers, or how the server misbehaves."""


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: Any = None

    @property
    def question(self) -> str:
        """What the user says, or the text to continue."""
        return str(self.body["prompt"] if "prompt" in self.body else self.body["messages"][-1]["content"])

    @property
    def chat(self) -> bool:
        return self.path.endswith("/chat/completions")


@dataclass
class Server:
    """A running server: its address, how it behaves now, what it was asked, and how much of it at once."""

    url: str
    rule: Rule | Mapping[str, Rule]
    models: Sequence[str] | Reply | Callable[[], Reply]
    die: Callable[[], None]
    likelihoods: bool = True
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

    def answer(self, asked: Asked) -> Reply:
        """What one request gets."""
        if asked.path not in ("/v1/chat/completions", "/v1/completions"):
            return Reply(404)
        model = asked.body["model"]
        rule = self.rule.get(model) if isinstance(self.rule, Mapping) else self.rule
        if rule is None:
            return refusal(404, f"The model `{model}` does not exist.")
        said = rule(asked.question)
        if isinstance(said, Reply):
            return said
        said = said if isinstance(said, Said) else Said(said)
        return completion(said, asked, self.likelihoods)


@contextmanager
def serve(
    rule: Rule | Mapping[str, Rule], models: Sequence[str] | Reply | None = None, port: int = 0
) -> Iterator[Server]:
    """Serve completions on a port of this machine, a free one unless named.

    Args:
        rule: of every model, or of each by its name: then there are no others.
        models: those it lists, or what it answers to who asks for them.
        port: to listen at.
    """
    lock, over = Lock(), Event()
    if models is None:
        models = tuple(rule) if isinstance(rule, Mapping) else ("judge-1",)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(Asked(self.path, dict(self.headers)))
            models = served.models() if callable(served.models) else served.models
            if isinstance(models, Reply):
                self.reply(models)
            elif self.path == "/v1/models":
                listed = [{"id": name, "object": "model"} for name in models]
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
                reply = served.answer(asked)
            finally:
                with lock:
                    served.at_once -= 1  # before the answer, after which the next question may come at once
            self.reply(reply)

        def reply(self, reply: Reply) -> None:
            self.close_connection = True
            if reply is HANG:
                over.wait()
            if over.is_set():
                return
            if reply.drips:
                self.drip(reply)
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body) + reply.torn), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def drip(self, reply: Reply) -> None:
            start = "HTTP/1.0 200 OK\r\n" + ("\r\n" if reply.drips == "body" else "X-More: ")
            with suppress(OSError):  # the other end hangs up
                self.wfile.write(start.encode())
                while not over.wait(0.03):
                    self.wfile.write(b" ")

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


def refusal(status: int, message: str, **headers: str) -> Reply:
    """An error, as the protocol has it."""
    return Reply(status, json.dumps({"error": {"message": message}}).encode(), headers)


def tokens(text: str) -> list[str]:
    """A text in words, each with the white space before it."""
    return re.findall(r"\s*\S+|\s+", text)


def chances(model: str, words: Sequence[str]) -> list[float]:
    """The log-probability that a model gives each word after those before it."""
    heads = ("".join(words[: end + 1]) for end in range(len(words)))
    return [-1 - crc32(f"{model}\0{head}".encode("utf-8", "surrogatepass")) % 997 / 100 for head in heads]


def completion(said: Said, asked: Asked, likelihoods: bool) -> Reply:
    """A completion, as the protocol has it: by chat or not, with the prompt and with likelihoods if so asked."""
    words = tokens(said.text or "")
    choice: dict[str, Any] = {"index": 0, "finish_reason": said.finish}
    before = [] if asked.chat else tokens(asked.question)
    found = chances(asked.body["model"], before + words)[len(before) :]
    if asked.chat:
        choice["message"] = {"role": "assistant", "content": said.text}
        if asked.body.get("logprobs") and likelihoods:
            rows = zip(words, found, strict=True)
            choice["logprobs"] = {"content": [{"token": word, "logprob": each} for word, each in rows]}
    else:
        choice["text"] = said.text
        if asked.body.get("echo"):
            words = [*before, *words[: asked.body["max_tokens"]]]
            found = [None, *chances(asked.body["model"], words)[1:]]
            choice["text"] = "".join(words)
        if asked.body.get("logprobs") and likelihoods:
            choice["logprobs"] = {"tokens": words, "token_logprobs": found}
    content = {"object": "chat.completion" if asked.chat else "text_completion", "choices": [choice]}
    if said.counted:
        new = len(words) - len(before) * bool(asked.body.get("echo"))
        content["usage"] = {"prompt_tokens": len(before), "completion_tokens": new}
    return Reply(body=json.dumps(content).encode())
