"""Renders a chat template; run as a script by ``chat_template.py``, so that a hostile one can be stopped."""

import json
import sys
from contextlib import suppress

MEMORY = 4 * 2**30  # bytes
ADDED = 10**6  # characters that a template may add to a text


def limit(seconds: int) -> None:
    """Let the system stop this process beyond these limits, where the system has such."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def main() -> None:
    """Read the work from standard input, write the rendered texts to standard output."""
    work = json.load(sys.stdin)
    from transformers.utils.chat_template_utils import render_jinja_template

    limit(int(sys.argv[1]))
    conversations = [[{"role": "user", "content": text}] for text in work["texts"]]
    rendered, _ = render_jinja_template(
        conversations=conversations, chat_template=work["template"], add_generation_prompt=True, **work["special"]
    )
    for text, made in zip(work["texts"], rendered, strict=True):
        if len(made) > len(text) + ADDED:
            raise ValueError(f"it makes {len(made):,} characters of {len(text):,}")
    json.dump(rendered, sys.stdout)


if __name__ == "__main__":
    main()
