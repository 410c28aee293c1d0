"""Work on what strangers wrote, in a process of its own that can be stopped."""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, RLock, Timer
from typing import Any

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
    with _lock:
        if not _kept or _kept[0].ended:
            close()
            _kept.append(_Process())
        try:
            answer = _kept[0].ask(name, seconds, work)
        except BaseException:  # an interruption leaves an answer that the next to ask would take for its own
            close()
            raise
        if answer.get("last"):
            close()
    if answer["code"]:
        raise Failed(_last_words(answer["code"], answer["said"]))
    return json.loads(answer["out"])


def close() -> None:
    """End the process that is kept for the next piece of work, if there is one."""
    with _lock:
        while _kept:
            _kept.pop().stop()


class _Process:
    """A process that does one piece of work after another, each in a copy of itself."""

    def __init__(self) -> None:
        self._errors = TemporaryFile()  # noqa: SIM115 (closed by ``stop``)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # it is stopped with its copies
        )
        assert self._process.stdin and self._process.stdout  # they are asked for
        self._told, self._tells = self._process.stdin, self._process.stdout

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, name: str, seconds: float, work: dict[str, Any]) -> dict[str, Any]:
        with self._stopped_after(START_SECONDS) as late:
            with suppress(BrokenPipeError):  # where it has failed, what it says of that is read below
                self._told.write(json.dumps([name, int(seconds) + 1, work]).encode() + b"\n")
                self._told.flush()
            self._tells.readline()  # that it is ready
        if late():
            raise Failed(f"its process did not begin within {START_SECONDS:.0f} seconds")
        with self._stopped_after(seconds) as late:
            answer = self._tells.readline()
        if late():
            raise TimeoutError(f"stopped after {seconds:.0f} seconds")
        if not answer:
            code = self._process.wait()
            self._errors.seek(0)
            raise Failed(_last_words(code, self._errors.read().decode(errors="replace")))
        found: dict[str, Any] = json.loads(answer)
        return found

    def stop(self) -> None:
        self._kill()
        with suppress(BrokenPipeError):
            self._told.close()
        self._tells.close()
        self._process.wait()
        self._errors.close()

    def _kill(self) -> None:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    @contextmanager
    def _stopped_after(self, seconds: float) -> Iterator[Callable[[], bool]]:
        """Stop the process unless this context ends before; what it yields then tells whether it was stopped."""
        fired = Event()

        def stop() -> None:
            fired.set()
            self._kill()

        alarm = Timer(seconds, stop)
        alarm.daemon = True  # an interpreter that ends doesn't wait for it
        alarm.start()
        try:
            yield fired.is_set
        finally:
            alarm.cancel()


_kept: list[_Process] = []
_lock = RLock()
atexit.register(close)


def _last_words(code: int, errors: str) -> str:
    """What a process said of its failure: a crash says it first, and Python last."""
    said = errors.strip().splitlines()
    return (said[0 if code < 0 else -1] if said else f"exit code {code}").rstrip(".")
