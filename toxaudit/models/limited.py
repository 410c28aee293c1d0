"""Work on what strangers wrote, in a process of its own that can be stopped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("limited_work.py")


class Failed(Exception):
    """The work raised; the text is the last line of what it said."""


def run(name: str, seconds: float, **work: Any) -> Any:
    """The result of a function of ``limited_work.py``.

    Args:
        name: ``render``, ``match`` or ``read``.
        seconds: the time after which the function is stopped.
        work: the function's arguments, which are sent as JSON.

    Raises:
        TimeoutError: if it takes longer.
        Failed: if it raises, or takes more memory than it allows itself.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(SCRIPT), name, str(int(seconds) + 1)],
            input=json.dumps(work).encode(),
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"stopped after {seconds:.0f} seconds") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        told = (
            said[0 if done.returncode < 0 else -1] if said else f"exit code {done.returncode}"
        )  # a crash says it first
        raise Failed(told.rstrip("."))
    return json.loads(done.stdout)
