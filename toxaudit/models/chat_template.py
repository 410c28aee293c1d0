"""Chat templates come from strangers: they are rendered under a limit of time and memory."""

from collections.abc import Sequence
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models import limited

SECONDS = 10.0  # for the template, beside a hundredth for every text; a real one takes milliseconds


def render(where: str, tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Each text as a user's turn in the tokenizer's chat template, up to where the model is to answer.

    A template that asks for today's date is told a fixed one, and one that draws random numbers draws the same ones.

    Args:
        where: the model, for the sentence.
        tokenizer: transformers' tokenizer, which has a chat template.
        texts: what the user says.

    Raises:
        ToxauditError: the template is broken, or takes longer or more memory than any real one.
    """
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:  # several, none of which is the default
        raise ToxauditError(f"{where}: none of its chat templates is the default one.") from error
    seconds, special = SECONDS + len(texts) / 100, tokenizer.special_tokens_map
    try:
        rendered: list[str] = limited.run("render", seconds, template=template, special=special, texts=list(texts))
    except TimeoutError as error:
        raise ToxauditError(f"{where}: its chat template was {error}: it does not come to an end.") from error
    except limited.Failed as error:
        raise ToxauditError(f"{where}: its chat template can't be rendered: {str(error).rstrip('.')}.") from error
    return rendered
