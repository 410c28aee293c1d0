"""A copy of the test's own process, made in no time: for what ends a process, and not for what a fresh one imports."""

import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm


@dataclass(frozen=True)
class Ended:
    """How a copy ended: its exit code, or minus the signal that killed it, and what it wrote to standard error."""

    returncode: int
    stderr: str


def forked(run: Callable[[], int]) -> Ended:
    """Do ``run`` in a copy of this process, which has all libraries already, and wait for its end.

    ``run`` gives the copy's exit code. What it keeps in files stays; what it changes in memory is gone with the copy.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "stderr")
        child = os.fork()
        if not child:
            _in_the_copy(run, said)
        _, status = os.waitpid(child, 0)
        return Ended(os.waitstatus_to_exitcode(status), said.read_text())


def _in_the_copy(run: Callable[[], int], said: Path) -> None:
    """Never come back: the copy must not go on with the tests."""
    code = 70
    sys.dont_write_bytecode = True  # where files may not grow, Python would leave half of what it has compiled
    tqdm.set_lock(threading.RLock())  # a thread that only the parent has may hold the one before
    try:
        with said.open("w") as written:
            sys.stdout = sys.stderr = written
            try:
                code = run()
            except BaseException:
                traceback.print_exc()
            written.flush()
    finally:
        os._exit(code)


def foreground(*words: str) -> list[str]:
    """A command of toxaudit that heeds Ctrl-C even where the tests run as a background job, which ignores it."""
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [sys.executable, "-c", f"{heeding}; from toxaudit.cli.main import script; script()", *words]
