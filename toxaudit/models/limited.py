"""Work on what strangers wrote, in a process of its own that can be stopped."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Timer
from typing import IO, Any

SCRIPT = Path(__file__).with_name("limited_work.py")

START_SECONDS = 600.0  # for the process to begin and to import its libraries, from a cold or shared disk too


class Failed(Exception):
    """The work raised; the text is the last line of what it said."""


def run(name: str, seconds: float, **work: Any) -> Any:
    """The result of a function of ``limited_work.py``.

    Args:
        name: ``render``, ``match`` or ``read``.
        seconds: the time after which the function is stopped, once all that it works with is imported.
        work: the function's arguments, which are sent as JSON.

    Raises:
        TimeoutError: if it takes longer.
        Failed: if it raises, or takes more memory than it allows itself; or if the process doesn't start.
    """
    command = [sys.executable, "-P", str(SCRIPT), name, str(int(seconds) + 1)]
    with TemporaryFile() as errors:
        with _process(command, errors) as (process, told, tells):
            with _stopped_after(START_SECONDS, process) as late:
                with suppress(BrokenPipeError), told:  # where it has failed, what it says of that is read below
                    told.write(json.dumps(work).encode())
                tells.readline()  # that it is ready
            if late():
                raise Failed(f"its process did not begin within {START_SECONDS:.0f} seconds")
            with _stopped_after(seconds, process) as late:
                out = tells.read()
                process.wait()
            if late():
                raise TimeoutError(f"stopped after {seconds:.0f} seconds")
        if process.returncode:
            raise Failed(_said(process.returncode, errors))
    return json.loads(out)


@contextmanager
def _process(command: list[str], errors: IO[bytes]) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes], IO[bytes]]]:
    """A process, what it reads and what it writes; it is gone at the end, however that comes about."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdin and process.stdout  # they are asked for
        try:
            yield process, process.stdin, process.stdout
        except BaseException:
            process.kill()
            raise


@contextmanager
def _stopped_after(seconds: float, process: "subprocess.Popen[bytes]") -> Iterator[Callable[[], bool]]:
    """Stop the process unless this context ends before; what it yields then tells whether it was stopped."""
    fired = Event()

    def stop() -> None:
        fired.set()
        process.kill()

    alarm = Timer(seconds, stop)
    alarm.start()
    try:
        yield fired.is_set
    finally:
        alarm.cancel()


def _said(code: int, errors: IO[bytes]) -> str:
    """What the process said of its failure: a crash says it first, and Python last."""
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip().splitlines()
    return (said[0 if code < 0 else -1] if said else f"exit code {code}").rstrip(".")
