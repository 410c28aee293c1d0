"""What a backend is asked: a prompt, put to one arm in one way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toxaudit.records import Completion, Prompt


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for one arm.

    Attributes:
        arm: the arm's name.
        prompt: what is asked.
        ask: ``raw`` (continue the text) or ``chat`` (answer it as a user's turn).
        system: the system prompt before the user's turn, where ``ask`` is ``chat``.
        sample: which of the prompt's samples this is; each has a random stream of its own.
        takes: what the chat template is given besides, where ``ask`` is ``chat``.
    """

    arm: str
    prompt: Prompt
    ask: str = "raw"
    system: str | None = None
    sample: int = 0
    takes: Mapping[str, Any] = field(default_factory=dict)


Answered = tuple[Request, Completion]
"""A request and what was answered to it."""

Done = Callable[[Request], bool]
"""Whether a request's completion is stored already."""

Wrote = Callable[[int], object]
"""Is told how many tokens were written, as they are; fewer than none where some are written anew."""
