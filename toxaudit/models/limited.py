"""Work on what strangers wrote, in a process of its own that can be stopped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


class Failed(Exception):
    """The work raised; the text is the last line of what it said."""


def run(script: str, work: Any, seconds: float) -> Any:
    """The answer of a script beside this file to ``work``, both as JSON.

    The script reads its work from standard input and writes its answer to standard output. Its first argument is the
    number of seconds after which it may let the system stop it.

    Raises:
        TimeoutError: it took longer.
        Failed: it raised, or took more memory than it allows itself.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(Path(__file__).with_name(script)), str(int(seconds) + 1)],
            input=json.dumps(work).encode(),
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"stopped after {seconds:.0f} seconds") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failed(said[-1] if said else f"exit code {done.returncode}")
    return json.loads(done.stdout)
