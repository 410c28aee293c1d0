"""How fast a server on this machine answers: it is asked a little, since nothing else tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from time import perf_counter

from toxaudit.backends.openai import OpenAI, Session
from toxaudit.backends.request import Request
from toxaudit.backends.served_preflight import PROBE
from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM
from toxaudit.machine import progress
from toxaudit.models import Loader
from toxaudit.models.served import served_base
from toxaudit.records import Asked
from toxaudit.spec.schema import AuditSpec, Generation

SHORT, LONG = 4, 16
"""Tokens of the answers that are timed: what the longer take more is what tokens take."""

MOST_AT_ONCE = 16
"""Requests that are timed together, at most."""

LONGEST_WAIT = 30.0
"""Seconds for an answer, after which the server is taken for silent and its speed is not told."""


@dataclass(frozen=True)
class ServedSpeed:
    """How fast a server answers as many requests at once as an audit has under way.

    Attributes:
        beginning: seconds for each answer before its first token.
        token: seconds for each token of an answer.
        tells: whether it tells how likely the tokens of an answer are.
    """

    beginning: float
    token: float
    tells: bool

    def answer(self, tokens: float) -> float:
        """Seconds for each answer of so many tokens."""
        return self.beginning + tokens * self.token


def measure(spec: AuditSpec, suites: Mapping[str, Asked]) -> ServedSpeed | None:
    """Time some answers of the base, after one that is not timed, as the model may have to be loaded for it.

    Args:
        spec: composed and checked.
        suites: those whose prompts are here.

    Returns:
        None where no server on this machine answers, or no suite has answers to write. Another machine's is not asked:
        that may cost money.
    """
    if not isinstance(spec.backend, OpenAI) or not spec.backend.here:
        return None
    backend = replace(spec.backend, retries=0, timeout=min(spec.backend.timeout, LONGEST_WAIT))
    if not (requests := _requests(spec, suites, min(backend.concurrency, MOST_AT_ONCE))):
        return None
    try:
        with backend.open(Loader("cpu"), [served_base(spec.base, backend.server)]) as session:
            tells = bool(session.probe(requests[0], PROBE))
            short, long = (_timed(session, requests, replace(spec.generation, max_new_tokens=n)) for n in (SHORT, LONG))
    except ToxauditError as error:
        progress.say(f"The server is not timed: {error}")
        return None
    (few, early), (many, late) = short, long
    token = max(0.0, (late - early) / (many - few)) if many > few else late / many
    return ServedSpeed(max(0.0, late - many * token), token, tells)


def _requests(spec: AuditSpec, suites: Mapping[str, Asked], number: int) -> list[Request]:
    """So many of the first suite that wants answers to be written; none where there is no such suite."""
    for name, asked in suites.items():
        suite = spec.suites[name]
        if asked.prompts and not suite.choices:
            prompts = islice(cycle(asked.prompts), number)
            chat = suite.ask == "chat"
            system, takes = (suite.system_instruction, spec.generation.chat_template_kwargs) if chat else (None, {})
            return [Request(BASE_ARM, prompt, suite.ask, system, n, takes) for n, prompt in enumerate(prompts)]
    return []


def _timed(session: Session, requests: Sequence[Request], generation: Generation) -> tuple[float, float]:
    """Tokens of each answer, and seconds for each, where all are asked for at once."""
    begun = perf_counter()
    answers = [answer for batch in session.generate(requests, generation, lambda request: False) for _, answer in batch]
    took = perf_counter() - begun
    limit = generation.max_new_tokens
    return sum(limit if each.tokens is None else each.tokens for each in answers) / len(answers), took / len(answers)
