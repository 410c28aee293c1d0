"""What ``limited.py`` lets a process of its own do; run as a script.

It reads one line of JSON for each piece of work: the name, the seconds of computing after which the system may stop it,
and the arguments. It imports what that needs, which is no fault of what it works on, says that it is ready, and does
the work in a copy of itself, so that the next piece finds nothing of it and no library has to be imported twice. Where
the system knows no copies, it does one piece of work itself and ends.
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
from tempfile import TemporaryFile
from time import process_time
from traceback import format_exception_only, print_exc
from typing import Any

MEMORY_BYTES = 4 * 2**30  # bytes beyond what the libraries take
ADDED_CHARACTERS = 10**5  # characters that a template may add to a text


class Then(datetime):
    """The date and time that templates are told: always the same, lest prompts depend on the day."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Then":
        """The day that the templates of Llama 3 assume if they aren't told today's."""
        return cls(2024, 7, 26, tzinfo=tz)


def begin(seconds: int) -> None:
    """Let the system stop this process beyond its limits, where the system has such."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        seconds += int(process_time())  # what was computed to begin with counts there, too
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, taken + MEMORY_BYTES))


def render(
    template: str, special: dict[str, str], chats: list[list[dict[str, Any]]], takes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Chats, lists of turns (``role``, ``content``), in a chat template.

    Each goes up to where the model is to answer, but one that ends with an answer ends with that.

    Returns:
        ``made``, those before the first that the template refuses, and ``refused``, what it says of that one.
    """
    from transformers.utils import chat_template_utils

    chat_template_utils.datetime = Then
    rendered: list[str] = []
    for chat in chats:
        random.seed(0)
        try:
            (made,), _ = chat_template_utils.render_jinja_template(
                conversations=[chat],
                chat_template=template,
                add_generation_prompt=chat[-1]["role"] != "assistant",
                **special | (takes or {}),
            )
            if len(made) > (said := sum(len(_text(turn["content"])) for turn in chat)) + ADDED_CHARACTERS:
                raise ValueError(f"it makes {len(made):,} characters of {said:,}")
        except RecursionError:  # whose words depend on where it is noticed
            return {"made": rendered, "refused": "RecursionError: maximum recursion depth exceeded"}
        except Exception as error:
            return {"made": rendered, "refused": format_exception_only(error)[-1].strip().splitlines()[-1]}
        rendered.append(made)
    return {"made": rendered, "refused": None}


def _text(content: str | list[dict[str, str]]) -> str:
    return content if isinstance(content, str) else content[0]["text"]


def match(patterns: list[str], names: list[str]) -> None:
    """Match each pattern with each name, only to see that this comes to an end."""
    for pattern in map(re.compile, patterns):
        for name in names:
            pattern.fullmatch(name)


def read(folder: str, texts: list[str]) -> None:
    """Read texts by the tokenizer in a folder, only to see that this stays within the limits."""
    file = Path(folder) / "tokenizer.json"
    if file.is_file():  # all that it does stands there, and its library is imported in no time
        from tokenizers import Tokenizer

        read_text = Tokenizer.from_file(str(file)).encode
    else:
        from transformers import AutoTokenizer

        read_text = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    for text in texts:
        read_text(text)


WORK: dict[str, Callable[..., Any]] = {"render": render, "match": match, "read": read}


def prepare(name: str, work: dict[str, Any]) -> None:
    """Import the libraries that a piece of work needs."""
    if name == "render":
        import transformers.utils.chat_template_utils  # noqa: F401
    elif name == "read" and (Path(work["folder"]) / "tokenizer.json").is_file():
        import tokenizers  # noqa: F401
    elif name == "read":
        from transformers import AutoTokenizer  # noqa: F401


def answered(name: str, seconds: int, work: dict[str, Any]) -> dict[str, Any]:
    """Do a piece of work in a copy of this process: the exit code, the result as JSON, and what is said of errors."""
    with TemporaryFile() as out, TemporaryFile() as errors:
        copy = os.fork()
        if not copy:
            os.dup2(out.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            code = 1
            try:
                begin(seconds)
                json.dump(WORK[name](**work), sys.stdout)
                sys.stdout.flush()
                code = 0
            except BaseException:
                print_exc()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        out.seek(0), errors.seek(0)
        return {"code": code, "out": out.read().decode(), "said": errors.read().decode(errors="replace")}


def serve() -> None:
    """Do what is asked for, line by line, until nobody is there to ask."""
    for line in sys.stdin.buffer:
        name, seconds, work = json.loads(line)
        prepare(name, work)
        print("ready", flush=True)
        if hasattr(os, "fork"):
            print(json.dumps(answered(name, seconds, work)), flush=True)
        else:
            out = json.dumps(WORK[name](**work))
            print(json.dumps({"code": 0, "out": out, "said": "", "last": True}), flush=True)
            return


if __name__ == "__main__":
    serve()
