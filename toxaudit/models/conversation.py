"""Whole chats in a chat template: what the assistant says in them is told from what it answers to."""

from collections.abc import Iterator, Sequence
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models.chat_template import PARTS, PLAIN, Chat, rendered, squeezed, work_of

Parts = list[tuple[str, bool]]
"""The parts of a text, each with whether the assistant says it."""


def parts(where: str, tokenizer: Any, chats: Sequence[Sequence[tuple[str, str]]]) -> list[Parts]:
    """Each chat as the template puts it, in parts.

    What the assistant says ends where the template ends it, with its mark. As ``chat_template.render`` does, this
    tells templates a fixed date, and hands content over as text, or as a list of parts where a template loses text.

    Args:
        where: the model, for the sentence.
        tokenizer: transformers' tokenizer, which has a chat template.
        chats: turns of ``system``, ``user`` and ``assistant``, and what they say.

    Raises:
        ToxauditError: if the template is broken, takes longer or more memory than any real one, or if what it makes of
            a chat does not go on from what it makes of its beginning.
    """
    work = work_of(where, tokenizer) | {"takes": {}}
    problem = ""
    for way in (PLAIN, PARTS):
        handed = [way.turns(chat) for chat in chats]
        found, refused = rendered(where, work, [begun for chat in handed for begun in _begun(chat)])
        if refused:
            problem = problem or f"can't be rendered: {refused}"
            continue
        made = iter(found)
        told = [_parts(chat, made) for chat in chats]
        if len(whole := [each for each in told if each is not None]) == len(told):
            return whole
        problem = problem or "alters what is said, or puts an answer elsewhere than behind what asks for it"
    raise ToxauditError(f"{where}: its chat template {problem}.")


def _begun(chat: Chat) -> list[Chat]:
    """For each turn of the assistant, the chat up to it and the chat with it."""
    answers = [place for place, turn in enumerate(chat) if turn["role"] == "assistant"]
    return [chat[:end] for place in answers for end in (place, place + 1)]


def _parts(chat: Sequence[tuple[str, str]], made: Iterator[str]) -> Parts | None:
    """One chat's parts by what was made of its beginnings; None where these do not go on from each other."""
    found: Parts = []
    done, fits = "", True
    to_answer: list[str] = []
    for role, content in chat:
        if role != "assistant":
            to_answer.append(content)
            continue
        asked, answered = next(made), next(made)
        question, answer = asked[len(done) :], answered[len(asked) :]
        kept = all(squeezed(each) in squeezed(question) for each in to_answer) and squeezed(content) in squeezed(answer)
        fits = fits and kept and asked.startswith(done) and answered.startswith(asked)
        found += [(question, False), (answer, True)]
        done, to_answer = answered, []
    return found if fits else None
