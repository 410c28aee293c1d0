"""A chat model behind an OpenAI-compatible server, as a judge: what it says to each question, or why nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Event, Lock
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.remote.at_once import all_at_once
from toxaudit.remote.problem import NO_KEY_STATUSES, NOT_THERE_STATUSES, Problem, Stopped
from toxaudit.remote.server import Server

IN_A_ROW = 3
"""Questions that may fail one after another, all retries spent, before a server that still answers counts as away."""


@dataclass(frozen=True)
class Unanswered:
    """Why a question got no answer."""

    reason: str


@dataclass
class Endpoint:
    """A served model, asked greedily, several questions at once.

    Attributes:
        server: that serves it.
        model: its name there.
        max_tokens: of an answer.
        concurrency: questions asked at once.
    """

    server: Server
    model: str
    max_tokens: int
    concurrency: int

    def __post_init__(self) -> None:
        self._lock, self._over = Lock(), Event()
        self._failed_in_a_row = 0
        self._away: str | None = None  # why the server was given up, if it was

    @property
    def served(self) -> tuple[str, str, str]:
        """What tells this model from others: host, path, name."""
        return self.server.host, self.server.path, self.model

    @property
    def settings(self) -> dict[str, Any]:
        """How it decodes."""
        return {"max_tokens": self.max_tokens, "temperature": 0, "seed": 0}

    @cached_property
    def reached(self) -> bool:
        """True, once it was seen that the server is there and, where it lists its models, serves this one.

        Raises:
            ToxauditError: if the server can't be asked, or lists models and not this one.
        """
        listed = self.server.models("The judge")
        if listed and self.model not in listed:
            nearest = self.server.nearest(self.model, listed)
            raise ToxauditError(f"The server at {self.server.host} has no model '{self.model}'.{nearest}")
        return True

    def answer(self, questions: Sequence[str]) -> list[str | Unanswered]:
        """What the model says to each question, or why it says nothing.

        Once all retries for one question are spent on a server that can't be reached, those still open fail at once
        with the same reason. A later call sends it one request, and asks on if that is answered.

        Raises:
            ToxauditError: if the server wants another key or has no such model, which only the user can mend.
        """
        if self._away and (still := self._still_away()):
            return [Unanswered(still)] * len(questions)
        self._away, self._failed_in_a_row = None, 0
        self._over.clear()
        places = range(len(questions))
        batches = all_at_once(lambda place: self._ask(questions[place]), places, self.concurrency, self._over)
        said = dict(answered for batch in batches for answered in batch)
        return [said[place] for place in places]

    def _still_away(self) -> str | None:
        """Why the server still can't be reached, if so."""
        try:
            self.server.send("/models")
        except Problem as problem:
            return self._unreached(problem) if problem.away else None
        return None

    def _ask(self, question: str) -> str | Unanswered:
        body = {"model": self.model, "messages": [{"role": "user", "content": question}]} | self.settings
        try:
            said = self.server.ask("/chat/completions", body, _content, self._over)
        except Problem as problem:
            if problem.status in NO_KEY_STATUSES + NOT_THERE_STATUSES:
                raise self._user_s(problem) from problem
            if not problem.may_pass:
                return Unanswered(f"the judge at {self.server.host} refuses the question: {problem}")
            return self._unanswered(problem)
        self._failed_in_a_row = 0
        return said

    def _unanswered(self, problem: Problem) -> Unanswered:
        """The reason for a question whose retries are spent, or which is not asked any more."""
        with self._lock:
            if self._away or isinstance(problem, Stopped):
                return Unanswered(self._away or str(problem))
            reason = self._unreached(problem)
            self._failed_in_a_row += 1
            if problem.away or self._failed_in_a_row >= IN_A_ROW:
                self._away = reason
                self._over.set()
            return Unanswered(reason)

    def _unreached(self, problem: Problem) -> str:
        fails = "can't be reached" if problem.away else "gives no answer"
        return f"the judge at {self.server.host} {fails}: {problem}"

    def _user_s(self, problem: Problem) -> ToxauditError:
        """The sentence for what only the user can mend."""
        if problem.status in NO_KEY_STATUSES:
            return self.server.key_refused("The judge", problem)
        return ToxauditError(
            f"The judge '{self.model}' is not at {self.server.host}{self.server.path} (status {problem.status}): "
            "check endpoint and model."
        )


def _content(reply: Any) -> str:
    """What the model says in a chat completion."""
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise Problem("what it answers is no chat completion", 200) from None
    if not isinstance(content, str | None):
        raise Problem("what it answers is no text", 200)
    return content or ""
