"""Chat templates come from strangers: they are rendered under limits, and must keep what the user says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models import limited

RENDER_SECONDS = 10.0  # for the template, beside a hundredth for every text; a real one takes milliseconds

_SAID = 'Why does Zoë say: "Who\'s there?"\n\nIf 7 < 8 & <b>9</b> \\ [2] {3} #5'
PROBES = ("Qzxjkvw", _SAID, " ".join(f"{_SAID} ({number})" for number in range(300)))
"""What a user says: a word that stands in no template, and short and long what a template could alter."""

SYSTEM_PROBE = "Wvkqzjx"
"""A system prompt that no template has of its own."""

SHOWN = 60  # characters of a text that a sentence cites
MEND_SYSTEM = "leave system_instruction out"
MEND_TEXT = "set ask: raw in the suite, or name another by chat_template"

Chat = list[dict[str, Any]]


class _Refused(Exception):
    """One way of handing texts over fails; its text says what the template does."""

    def __init__(self, step: int, does: str) -> None:
        """Take how far it came, from 0, and what the template does."""
        super().__init__(does)
        self.step = step


@dataclass(frozen=True)
class _Way:
    """How content is handed over: as text, or as a list of one part, which some templates take only."""

    user_in_parts: bool
    system_in_parts: bool

    def turns(self, chat: Sequence[tuple[str, str]]) -> Chat:
        """Turns of ``system``, ``user`` and ``assistant``."""
        in_parts = {"system": self.system_in_parts}
        return [
            {"role": role, "content": _content(content, in_parts.get(role, self.user_in_parts))}
            for role, content in chat
        ]

    def chat(self, text: str, system: str | None = None) -> Chat:
        """A user's turn, after a system prompt if there is one."""
        user = {"role": "user", "content": _content(text, self.user_in_parts)}
        return [{"role": "system", "content": _content(system, self.system_in_parts)}, user] if system else [user]


PLAIN = _Way(False, False)
PARTS = _Way(True, True)
MIXED = (_Way(True, False), _Way(False, True))


def render(
    where: str, tokenizer: Any, texts: Sequence[str], system: str | None = None, takes: Mapping[str, Any] | None = None
) -> list[str]:
    """Each text as a user's turn in the tokenizer's chat template, up to where the model is to answer.

    A template that asks for today's date is told a fixed one, and one that draws random numbers draws the same ones.
    What a template loses of a text, it gets as a list of parts, ``[{"type": "text", "text": ...}]``.

    Args:
        where: the model, for the sentence.
        tokenizer: transformers' tokenizer, which has a chat template.
        texts: what the user says.
        system: the system prompt before the user's turn; none leaves it to the template.
        takes: what the template is given besides, such as ``enable_thinking``.

    Raises:
        ToxauditError: if the template is broken, takes longer or more memory than any real one, loses or alters what
            the user says (but for white space), or refuses or leaves out the system prompt.
    """
    work = work_of(where, tokenizer) | {"takes": dict(takes or {})}
    refused: list[_Refused] = []
    for way in (PLAIN, PARTS, *MIXED) if system else (PLAIN, PARTS):
        try:
            return _kept(where, work, way, texts, system)
        except _Refused as error:
            refused.append(error)
    told = max(refused, key=lambda error: error.step)  # of several, that of content as text
    raise ToxauditError(f"{where}: its chat template {told}.") from told


def ignores(tokenizer: Any, takes: Mapping[str, Any]) -> list[str]:
    """The names of what a template would be given besides of which it makes nothing."""
    template = tokenizer.get_chat_template()
    return [name for name in takes if not re.search(rf"\b{re.escape(name)}\b", template)]


def attempt(where: str, tokenizer: Any) -> None:
    """Render the chat template of a model that nobody asks in it.

    Raises:
        ToxauditError: if the template is broken, or takes longer or more memory than any real one.
    """
    work = work_of(where, tokenizer)
    _, refused = rendered(where, work, [PLAIN.chat(PROBES[0])])
    if refused and rendered(where, work, [PARTS.chat(PROBES[0])])[1]:
        raise ToxauditError(f"{where}: its chat template can't be rendered: {refused}.")


def _content(text: str, in_parts: bool) -> Any:
    return [{"type": "text", "text": text}] if in_parts else text


def work_of(where: str, tokenizer: Any) -> dict[str, Any]:
    """What the limited process is told of a tokenizer's chat template."""
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:  # several, none of which is the default
        raise ToxauditError(f"{where}: none of its chat templates is the default one.") from error
    return {"template": template, "special": tokenizer.special_tokens_map}


def _kept(where: str, work: dict[str, Any], way: _Way, texts: Sequence[str], system: str | None) -> list[str]:
    """The texts as the template puts them.

    Raises:
        _Refused: if the template does not take them in this way, or loses of them.
    """
    alone = [way.chat(probe) for probe in PROBES]
    begun = [way.chat(PROBES[0], SYSTEM_PROBE), *(way.chat(probe, system) for probe in PROBES)] if system else []
    made, refused = rendered(where, work, [*alone, *begun, *(way.chat(text, system) for text in texts)])
    if len(made) < len(alone):
        raise _Refused(0, f"can't be rendered: {refused}")
    _check_kept(1, PROBES, made[: len(alone)], _frame(made[0]))
    if system:
        if len(made) < len(alone) + len(begun):
            raise _Refused(2, f"takes no system prompt ({refused}): {MEND_SYSTEM}")
        probed, *with_system = made[len(alone) :][: len(begun)]
        frame = squeezed(probed).replace(SYSTEM_PROBE, "\0")  # which may hold, as a default, what is asked for
        if SYSTEM_PROBE not in probed or not _holds(with_system[0], system, frame):
            raise _Refused(3, f"drops the system prompt: {MEND_SYSTEM}")
        _check_kept(4, PROBES, with_system, _frame(with_system[0]))
    if refused:
        raise _Refused(5, f"can't be rendered: {refused}")
    found = made[len(alone) + len(begun) :]
    _check_kept(5, texts, found, _frame(made[len(alone) + 1 if system else 0]))
    return found


def _check_kept(step: int, texts: Sequence[str], made: Sequence[str], frame: str) -> None:
    lost = [text for text, each in zip(texts, made, strict=True) if not _holds(each, text, frame)]
    if not lost and len(set(made)) >= len(set(map(squeezed, texts))):
        return
    if texts is PROBES:
        raise _Refused(step, f"{'drops' if made[0] == made[1] else 'alters'} what the user says: {MEND_TEXT}")
    said = f"'{lost[0][:SHOWN]}'" if lost else "two of the prompts, which it makes one"
    raise _Refused(step, f"drops or alters what the user says in {said}: {MEND_TEXT}")


def _holds(made: str, text: str, frame: str) -> bool:
    """Whether what was made of a text holds it, beside where the frame, which is made of any text, has the same words.

    White space doesn't matter: real templates trim it, and some write one line break for two.
    """
    words = squeezed(text)
    return not words or squeezed(made).count(words) > frame.count(words)


def _frame(made_of_probe: str) -> str:
    """What the template makes around a text; the text's place is kept."""
    return squeezed(made_of_probe).replace(squeezed(PROBES[0]), "\0")


def squeezed(text: str) -> str:
    """The text with single spaces, and without the words that switch thinking on and off, which some templates take."""
    return " ".join(re.sub(r"/(no_?)?think\b", " ", text).split())


def rendered(where: str, work: dict[str, Any], chats: list[Chat]) -> tuple[list[str], str | None]:
    """Chats as the template puts them, up to the first that it refuses, and what it says of that."""
    seconds = RENDER_SECONDS + len(chats) / 100
    try:
        found = limited.run("render", seconds, chats=chats, **work)
    except TimeoutError as error:
        raise ToxauditError(f"{where}: its chat template was {error}: it does not come to an end.") from error
    except limited.Failed as error:
        raise ToxauditError(f"{where}: its chat template can't be rendered: {str(error).rstrip('.')}.") from error
    refused = found["refused"]
    return found["made"], refused and refused.rstrip(".")
