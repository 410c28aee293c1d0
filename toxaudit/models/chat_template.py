"""Chat templates come from strangers: they are rendered in a process of their own, under a time and a memory limit."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError

SECONDS = 10.0  # for the template, beside a hundredth for every text; a real one takes milliseconds
SCRIPT = Path(__file__).with_name("render_template.py")


def render(where: str, tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Each text as a user's turn in the tokenizer's chat template, up to where the model is to answer.

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
    work = {"template": template, "special": tokenizer.special_tokens_map, "texts": list(texts)}
    seconds = SECONDS + len(texts) / 100
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(SCRIPT), str(int(seconds) + 1)],
            input=json.dumps(work).encode(),
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise ToxauditError(
            f"{where}: its chat template was stopped after {seconds:.0f} seconds: it does not come to an end."
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise ToxauditError(f"{where}: its chat template can't be rendered: {said[-1].rstrip('.')}.")
    rendered: list[str] = json.loads(done.stdout)
    return rendered
