"""What ``limited.py`` lets a process of its own do; run as a script.

Its arguments are the name of the work and the seconds of computing after which the system may stop it. Each work first
imports its libraries and then calls ``begin``: what that takes is no fault of what it works on.
"""

import json
import os
import random
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, tzinfo
from pathlib import Path
from time import process_time
from traceback import format_exception_only
from typing import Any

MEMORY_BYTES = 4 * 2**30  # bytes beyond what the libraries take
ADDED_CHARACTERS = 10**5  # characters that a template may add to a text


class Then(datetime):
    """The date and time that templates are told: always the same, lest prompts depend on the day."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Then":
        """The day that the templates of Llama 3 assume if they aren't told today's."""
        return cls(2024, 7, 26, tzinfo=tz)


def begin() -> None:
    """Tell that all is imported, and let the system stop this process beyond its limits, where the system has such."""
    print("ready", flush=True)
    with suppress(ImportError, ValueError, OSError):
        import resource

        seconds = int(process_time()) + int(sys.argv[2])  # what was computed to begin with counts there, too
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, taken + MEMORY_BYTES))


def render(
    template: str, special: dict[str, str], chats: list[list[dict[str, Any]]], takes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Chats, lists of turns (``role``, ``content``), in a chat template, each up to where the model is to answer.

    Returns:
        ``made``, those before the first that the template refuses, and ``refused``, what it says of that one.
    """
    from transformers.utils import chat_template_utils

    begin()
    chat_template_utils.datetime = Then
    rendered: list[str] = []
    for chat in chats:
        random.seed(0)
        try:
            (made,), _ = chat_template_utils.render_jinja_template(
                conversations=[chat],
                chat_template=template,
                add_generation_prompt=True,
                **special | (takes or {}),
            )
            if len(made) > (said := sum(len(_text(turn["content"])) for turn in chat)) + ADDED_CHARACTERS:
                raise ValueError(f"it makes {len(made):,} characters of {said:,}")
        except Exception as error:
            return {"made": rendered, "refused": format_exception_only(error)[-1].strip().splitlines()[-1]}
        rendered.append(made)
    return {"made": rendered, "refused": None}


def _text(content: str | list[dict[str, str]]) -> str:
    return content if isinstance(content, str) else content[0]["text"]


def match(patterns: list[str], names: list[str]) -> None:
    """Match each pattern with each name, only to see that this comes to an end."""
    begin()
    for pattern in map(re.compile, patterns):
        for name in names:
            pattern.fullmatch(name)


def read(folder: str, texts: list[str]) -> None:
    """Read texts by the tokenizer in a folder, only to see that this stays within the limits."""
    file = Path(folder) / "tokenizer.json"
    if file.is_file():  # all that it does stands there, and its library is imported in no time
        from tokenizers import Tokenizer

        begin()
        read_text = Tokenizer.from_file(str(file)).encode
    else:
        from transformers import AutoTokenizer

        begin()
        read_text = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    for text in texts:
        read_text(text)


WORK: dict[str, Callable[..., Any]] = {"render": render, "match": match, "read": read}

if __name__ == "__main__":
    json.dump(WORK[sys.argv[1]](**json.load(sys.stdin)), sys.stdout)
