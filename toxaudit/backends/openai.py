"""Any OpenAI-compatible server as a backend: arms are models that it serves by name, and it is asked for answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import ClassVar

from toxaudit.backends import protocol
from toxaudit.backends.reading import DELIMITER
from toxaudit.backends.request import Answered, Done, Request, Wrote
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader
from toxaudit.models.served import ServedModel
from toxaudit.records import Completion
from toxaudit.registry import register
from toxaudit.remote.at_once import all_at_once
from toxaudit.remote.problem import BUSY_STATUS, NO_KEY_STATUSES, NOT_THERE_STATUSES, Problem
from toxaudit.remote.server import Server
from toxaudit.spec.schema import Generation

REFUSALS = (400, 422)
"""Statuses of servers that are asked for what they don't know, such as likelihoods."""


class NotServed(ToxauditError):
    """One arm can't be audited, though others may: the server has no such model, or none but the base."""


@register("backend", "openai")
class OpenAI:
    """Any OpenAI-compatible server (vLLM's, llama.cpp's, a commercial one), asked for models by name.

    Attributes:
        base_url: the server's address, up to the version: http://HOST:PORT/v1.
        api_key_env: the name of the environment variable that holds the server's key, where it wants one.
        concurrency: requests under way at once. Answers that are stored are found whatever it is.
        timeout: seconds for which the server may be silent; an answer must be whole after twice as many.
        retries: of a request that the server could not answer for the time being.
    """

    base_url: str | None = None
    api_key_env: str | None = "OPENAI_API_KEY"
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 4

    batch_size: ClassVar[None] = None
    """A server forms its own batches."""

    numerics = "openai-1"
    """Names how completions are asked for; those of another are not reused."""

    def check(self) -> None:
        """Refuse an address, a key or numbers that can't be used. Nothing is asked over the network.

        Raises:
            ToxauditError: if one can't be used; the sentence names its field.
        """
        if not self.base_url:
            raise ToxauditError("backend=openai asks a server: set backend.base_url, such as http://127.0.0.1:8000/v1.")
        for name, least in {"concurrency": 1, "retries": 0}.items():
            if getattr(self, name) < least:
                raise ToxauditError(f"backend.{name} is {getattr(self, name)}: it must be at least {least}.")
        if not self.timeout > 0:
            raise ToxauditError(f"backend.timeout is {self.timeout:g}: it must be above 0.")
        self._api.check("backend", "base_url")
        if self._api.path.endswith("/completions"):
            raise ToxauditError("backend.base_url goes up to the version, such as /v1: leave out what follows it.")

    @property
    def server(self) -> str:
        """Host and path of what answers."""
        return self._api.host + self._api.path

    @property
    def here(self) -> bool:
        """Whether it answers on this machine."""
        return self._api.loopback

    @property
    def _api(self) -> Server:
        return Server(self.base_url or "", self.api_key_env, self.timeout, self.retries)

    @contextmanager
    def open(self, loader: Loader, arms: Sequence[ServedModel]) -> Iterator["Session"]:
        """Be ready to ask for arms of one server; ``loader`` loads nothing."""
        yield Session(self._api, {arm.name: arm.model for arm in arms}, self.concurrency)

    def models(self) -> list[str]:
        """The names of the models that the server lists; none where it lists none, which it need not.

        Raises:
            ToxauditError: if the server can't be reached, or wants another key.
        """
        return self._api.models("The server")


class Session:
    """Asks a server for answers of several models, many at once."""

    def __init__(self, server: Server, models: Mapping[str, str], concurrency: int) -> None:
        """Ask nothing yet.

        Args:
            server: that is asked.
            models: arm -> its name there.
            concurrency: requests under way at once.
        """
        self._server, self._models, self._concurrency = server, models, concurrency

    def generate(
        self, requests: Sequence[Request], generation: Generation, done: Done, wrote: Wrote = lambda tokens: None
    ) -> Iterator[list[Answered]]:
        """Answer every request that is not ``done``, and yield those that were answered meanwhile together.

        Where one can't be answered, no more are sent; those under way are awaited and yielded first. An answer that was
        ended by something else than the model or the limit, such as a filter, is missing.

        Args:
            requests: of any arms, in any order.
            generation: token limit, temperature, seed.
            done: whether a request's completion is stored already.
            wrote: is told nothing, since a server tells of tokens when all of an answer's are there.

        Raises:
            ToxauditError: if the server can't be reached, or refuses a prompt.
        """

        def write(request: Request, over: Event) -> Completion:
            body = protocol.question(self._models[request.arm], request, generation)
            try:
                said = self._server.ask(protocol.PATHS[request.ask], body, protocol.written, over)
            except Problem as problem:
                raise self._sentence(request, problem) from problem
            how = protocol.finish(said.finish)
            made = Completion(request.arm, request.prompt.id, request.sample, said.text, said.tokens, how)
            if how != "other":
                return made
            if said.finish is None:
                return replace(made, missing="the server does not say why the answer ended")
            return replace(made, missing=f"the server ended the answer by '{self._server.shown(said.finish, 50)}'")

        return self._each(requests, done, write)

    def choose(self, requests: Sequence[Request], done: Done) -> Iterator[list[Answered]]:
        """Choose the likeliest of each prompt's choices, by what the server says of each token's probability.

        A prompt is sent alone, and with each of its choices: what tokens the latter has more are those of the choice.

        Args:
            requests: of any arms, in any order, whose prompts have choices.
            done: whether a request's completion is stored already.

        Raises:
            ToxauditError: if the server doesn't tell probabilities of what it reads, if a request asks in the chat
                template, in which no server can tell them, or if ``generate`` would refuse.
        """
        return self._each(requests, done, self._choice)

    def fits(self, arm: str, texts: Sequence[str], ask: str, new: int) -> list[bool]:
        """True of every text: the server refuses what is too long when it is asked."""
        return [True] * len(texts)

    def nearest(self, model: str, listed: Sequence[str]) -> str:
        """The phrase that suggests one of the models that the server lists, where it has none of this name."""
        return self._server.nearest(model, listed)

    def probe(self, request: Request, generation: Generation) -> tuple[float, ...]:
        """How likely the tokens of an answer are, as far as the server tells; of a prompt with choices, its own tokens.

        Raises:
            NotServed: if the server has no such model.
            ToxauditError: if the request can't be answered.
        """
        if request.prompt.choices:
            self._check_choices(request)
            return tuple(self._likelihoods(request, request.prompt.text, Event()))
        body = protocol.question(self._models[request.arm], request, generation)
        path, likely = protocol.PATHS[request.ask], {"logprobs": True if request.ask == "chat" else 1}
        try:
            return self._server.ask(path, body | likely, protocol.written, Event()).chances
        except Problem as problem:
            if problem.status not in REFUSALS:
                raise self._sentence(request, problem) from problem
        try:
            return self._server.ask(path, body, protocol.written, Event()).chances
        except Problem as problem:
            raise self._sentence(request, problem) from problem

    def _each(
        self,
        requests: Sequence[Request],
        done: Done,
        answer: Callable[[Request, Event], Completion],
    ) -> Iterator[list[Answered]]:
        places = {arm: place for place, arm in enumerate(self._models)}
        left = [request for request in requests if not done(request)]
        left.sort(key=lambda request: places[request.arm])  # some servers hold one model at a time
        over = Event()
        yield from all_at_once(lambda request: answer(request, over), left, self._concurrency, over)

    def _choice(self, request: Request, over: Event) -> Completion:
        self._check_choices(request)
        text, kept = request.prompt.text, request.prompt.text.rstrip()
        before = len(self._likelihoods(request, kept, over))
        found = []
        for choice in request.prompt.choices:
            own = self._likelihoods(request, text + DELIMITER["raw"] + choice, over)[before:]
            if not own:
                raise ToxauditError(
                    f"The server at {self._server.host} makes no token of choice '{choice}' of {_named(request)}."
                )
            found.append(sum(own))
        likeliest = request.prompt.choices[found.index(max(found))]
        return Completion(request.arm, request.prompt.id, request.sample, likeliest, 0, "stop", tuple(found))

    def _check_choices(self, request: Request) -> None:
        if request.ask == "chat":
            raise ToxauditError(
                f"Suite '{request.prompt.suite}' offers choices in the chat template, in which a server doesn't tell "
                f"how likely they are: set suites.{request.prompt.suite}.ask=raw, or backend=transformers."
            )
        if not request.prompt.text.strip():
            raise ToxauditError(
                f"The server at {self._server.host} can't tell how likely the choices of {_named(request)} are, which "
                "is empty: leave it out."
            )

    def _likelihoods(self, request: Request, text: str, over: Event) -> list[float]:
        """The log-probability of each token of a text but the first."""
        body = protocol.reading(self._models[request.arm], text)
        try:
            found = self._server.ask("/completions", body, protocol.likelihoods, over)
        except Problem as problem:
            raise self._sentence(request, problem) from problem
        if found is None:
            raise ToxauditError(
                f"The server at {self._server.host} doesn't tell how likely the tokens of a text are (echo with "
                f"logprobs), by which suite '{request.prompt.suite}' chooses: ask a server that does, such as vLLM's, "
                "or set backend=transformers."
            )
        return found

    def _sentence(self, request: Request, problem: Problem) -> ToxauditError:
        """The one for a request that came to nothing."""
        host, again = self._server.host, "run the audit again"
        if problem.status in NO_KEY_STATUSES:
            return self._server.key_refused("The server", problem, _named(request))
        model = self._models[request.arm]
        if problem.status in NOT_THERE_STATUSES:
            return NotServed(
                f"The server at {host} has no model '{model}' at {self._server.path}{protocol.PATHS[request.ask]} "
                f"({problem}): check backend.base_url and what {request.arm} is called there."
            )
        kept = "what it has answered is kept, so "
        if problem.away:
            mend = "later, or with a lower backend.concurrency, " if problem.status == BUSY_STATUS else "start it and "
            return ToxauditError(f"The server at {host} {problem.fails} ({problem}): {kept}{mend}{again}.")
        fails = "gives no answer to" if problem.may_pass else "refuses"
        mend = f"{kept}mend it there or leave that prompt out, and" if request.prompt.id else "mend it there and"
        return ToxauditError(
            f"The server at {host} {fails} {_named(request)} for {request.arm}, there '{model}' ({problem}): "
            f"{mend} {again}."
        )


def _named(request: Request) -> str:
    """A prompt in words; that of a probe has no id, since no suite has it."""
    if not request.prompt.id:
        return f"the question that is asked before the prompts of suite '{request.prompt.suite}'"
    return f"prompt '{request.prompt.id}' of suite '{request.prompt.suite}'"
