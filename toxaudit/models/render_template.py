"""Renders a chat template; run as a script by ``chat_template.py``, so that a hostile one can be stopped."""

import json
import random
import sys
from contextlib import suppress
from datetime import datetime, tzinfo

MEMORY = 4 * 2**30  # bytes
ADDED = 10**5  # characters that a template may add to a text


def limit(seconds: int) -> None:
    """Let the system stop this process beyond these limits, where the system has such."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


class Then(datetime):
    """What a template is told that asks for the date and time: always the same, lest prompts depend on the day."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Then":
        """The day by which the templates of Llama 3 go where nobody tells them today's."""
        return cls(2024, 7, 26, tzinfo=tz)


def main() -> None:
    """Read the work from standard input, write the rendered texts to standard output."""
    work = json.load(sys.stdin)
    from transformers.utils import chat_template_utils

    chat_template_utils.datetime = Then
    limit(int(sys.argv[1]))
    rendered = []
    for text in work["texts"]:
        random.seed(0)
        (made,), _ = chat_template_utils.render_jinja_template(
            conversations=[[{"role": "user", "content": text}]],
            chat_template=work["template"],
            add_generation_prompt=True,
            **work["special"],
        )
        if len(made) > len(text) + ADDED:
            raise ValueError(f"it makes {len(made):,} characters of {len(text):,}")
        rendered.append(made)
    json.dump(rendered, sys.stdout)


if __name__ == "__main__":
    main()
