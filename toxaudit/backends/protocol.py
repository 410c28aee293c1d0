"""The OpenAI protocol, without the network: what is sent of a request, and what can be read of the reply."""

from dataclasses import dataclass
from typing import Any, Literal

from toxaudit import thoughts
from toxaudit.backends.reading import stream
from toxaudit.backends.request import Request
from toxaudit.remote.problem import Problem
from toxaudit.spec.schema import Generation

PATHS = {"raw": "/completions", "chat": "/chat/completions"}
"""What answers a request, by how it asks."""


FINISHES: dict[str, Literal["stop", "length"]] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "stop_token", "stop_sequence", "stop_string", "end_turn"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_new_tokens", "max_length", "max_output_tokens"), "length"),
}
"""A server's word for why a completion ended, in lower case -> the model ended it, or the limit did."""

APART = ("reasoning_content", "reasoning")
"""Where servers return thoughts apart from the answer."""


@dataclass(frozen=True)
class Written:
    """What a server says that a model wrote.

    Attributes:
        text: without the prompt.
        tokens: how many, as the server counts them; None where it doesn't say.
        finish: why it ended, in the server's word, which may be any JSON value; None where it doesn't say.
        chances: natural logarithms of the tokens' probabilities, where they were asked for and told.
    """

    text: str
    tokens: int | None
    finish: Any
    chances: tuple[float, ...] = ()


def question(model: str, request: Request, generation: Generation) -> dict[str, Any]:
    """What is sent to ``PATHS[request.ask]``; of random numbers only where some are drawn."""
    body: dict[str, Any] = {"model": model}
    if request.ask == "chat":
        system = [{"role": "system", "content": request.system}] if request.system else []
        body["messages"] = [*system, {"role": "user", "content": request.prompt.text}]
        body |= {"chat_template_kwargs": dict(request.takes)} if request.takes else {}
    else:
        body["prompt"] = request.prompt.text
    body |= {"max_tokens": generation.max_new_tokens, "temperature": generation.temperature}
    if generation.temperature:
        body["seed"] = stream(request, generation.seed) >> 29  # 31 bits of 60, which every server takes
    return body


def reading(model: str, text: str) -> dict[str, Any]:
    """What is sent to ``/completions`` to learn how likely each token of a text is.

    One token is to be written after it, since not every server takes none for an answer.
    """
    return {"model": model, "prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}


def written(reply: Any) -> Written:
    """What a model wrote, by either way of asking; nothing is text without a letter.

    Thoughts that come apart from the answer begin the text, between their marks.

    Raises:
        Problem: if the reply is none that the protocol knows.
    """
    try:
        choice = reply["choices"][0]
        said = choice.get("message")
        apart = [said.get(name) for name in APART] if isinstance(said, dict) else []
        text = choice["text"] if said is None else said.get("content") if any(apart) else said["content"]
        why = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Problem("what it answers is no completion", 200) from None
    if not isinstance(text, str | None):
        raise Problem("what it answers is no text", 200)
    thought = next((each for each in apart if isinstance(each, str) and each.strip()), "")
    text = thoughts.joined(thought, text or "", finished=finish(why) != "length")
    return Written(text, _count(reply, "completion_tokens"), why, _chances(choice))


def finish(said: Any) -> Literal["stop", "length", "other"]:
    """Why a completion ended, of a server's word for it."""
    return FINISHES.get(said.strip().lower(), "other") if isinstance(said, str) else "other"


def likelihoods(reply: Any) -> list[float] | None:
    """The natural logarithm of the probability of each of a text's tokens but the first, as ``reading`` asks for it.

    None where the server tells none, only those of what it wrote itself, or not which these are: it must count the
    tokens that it read.

    Raises:
        Problem: if the reply is none that the protocol knows.
    """
    written(reply)
    try:
        found = reply["choices"][0]["logprobs"]["token_logprobs"]
        first, *others = found
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    n = _count(reply, "prompt_tokens")
    read = others if n == len(found) else others[:-1]
    if first is not None or n not in (len(found), len(found) - 1) or not all(map(_is_likelihood, read)):
        return None
    return [float(each) for each in read]


def _chances(choice: Any) -> tuple[float, ...]:
    """Of the tokens that were written, whichever of the two forms they come in."""
    told = choice.get("logprobs")
    if not isinstance(told, dict):
        return ()
    rows = told.get("content")
    found = [row.get("logprob") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None
    found = told.get("token_logprobs") if found is None else found
    return tuple(map(float, found)) if isinstance(found, list) and all(map(_is_likelihood, found)) else ()


def _count(reply: Any, what: str) -> int | None:
    """A number of tokens, where the server tells it."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    count = usage.get(what) if isinstance(usage, dict) else None
    return count if type(count) is int and count >= 0 else None


def _is_likelihood(value: Any) -> bool:
    """Whether it can be a probability's logarithm, which is above 0 by rounding alone; it may be any JSON value."""
    return type(value) in (int, float) and -1e6 < value < 1e-3
