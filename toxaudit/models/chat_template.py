"""Chat templates come from strangers: they are rendered under a limit of time and memory."""

from collections.abc import Sequence
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models import limited

RENDER_SECONDS = 10.0  # for the template, beside a hundredth for every text; a real one takes milliseconds

Chat = list[dict[str, str]]


def render(where: str, tokenizer: Any, texts: Sequence[str], system: str | None = None) -> list[str]:
    """Each text as a user's turn in the tokenizer's chat template, up to where the model is to answer.

    A template that asks for today's date is told a fixed one, and one that draws random numbers draws the same ones.

    Args:
        where: the model, for the sentence.
        tokenizer: transformers' tokenizer, which has a chat template.
        texts: what the user says.
        system: the system prompt before the user's turn; none leaves it to the template.

    Raises:
        ToxauditError: if the template is broken, takes longer or more memory than any real one, or refuses or
            leaves out the system prompt.
    """
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:  # several, none of which is the default
        raise ToxauditError(f"{where}: none of its chat templates is the default one.") from error
    work = {"template": template, "special": tokenizer.special_tokens_map}
    plain: list[Chat] = [[{"role": "user", "content": text}] for text in texts]
    if not (system and plain):
        return _made(where, work, plain)
    begun = [[{"role": "system", "content": system}, *chat] for chat in plain]
    mend = "leave system_instruction out"
    try:
        without, *made = _made(where, work, [plain[0], *begun])
    except ToxauditError as error:
        _made(where, work, plain[:1])  # raises where the template is broken anyway
        said = error.__cause__
        raise ToxauditError(f"{where}: its chat template takes no system prompt ({said}): {mend}.") from error
    if made[0] == without:
        raise ToxauditError(f"{where}: its chat template drops the system prompt: {mend}.")
    return made


def _made(where: str, work: dict[str, Any], chats: list[Chat]) -> list[str]:
    seconds = RENDER_SECONDS + len(chats) / 100
    try:
        rendered: list[str] = limited.run("render", seconds, chats=chats, **work)
    except TimeoutError as error:
        raise ToxauditError(f"{where}: its chat template was {error}: it does not come to an end.") from error
    except limited.Failed as error:
        raise ToxauditError(f"{where}: its chat template can't be rendered: {str(error).rstrip('.')}.") from error
    return rendered
