"""A template that did not come with toxaudit is filled in a process of its own, which comes to an end.

Jinja's sandbox lets a template read nothing, but count as long as it likes. The process is this file, run as a script.
"""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

from toxaudit.errors import ToxauditError

SECONDS = 10
"""Seconds of computing that a template gets; what its process imports before is not counted."""

LONGEST_SECONDS = 300.0
"""Seconds after which the process is stopped where the system knows no limits on computing."""

MEMORY_BYTES = 2**30
"""Bytes that a template may take."""


def render(name: str, values: Mapping[str, object], finalize: Callable[[object], object] | None) -> str:
    """As ``markdown.render``, in another process.

    Raises:
        ToxauditError: if the template has a mistake, or does not end within the limits.
    """
    work = pickle.dumps((name, dict(values), finalize))
    endless = ToxauditError(f"The template '{name}' does not come to an end within {SECONDS} seconds.")
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, json.dumps(sys.path), str(SECONDS)],
            input=work,
            capture_output=True,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise endless from error
    if done.returncode in _stopped():
        raise endless
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise ToxauditError(f"The template '{name}' can't be filled: {said[-1].rstrip('.')}.")
    told = json.loads(done.stdout)
    if "refused" in told:
        raise ToxauditError(told["refused"])
    return str(told["text"])


def _stopped() -> set[int]:
    """How a process ends that has computed for too long."""
    import signal

    return {-number for name in ("SIGXCPU", "SIGKILL") if (number := getattr(signal, name, None))}


def _limit() -> None:
    """Let the system stop this process, where it has such limits."""
    with suppress(ImportError, ValueError, OSError):
        import os
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + 1 + int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, taken + MEMORY_BYTES))


def _work() -> None:
    """Fill the template that standard input holds; what comes of it goes to standard output as JSON."""
    sys.path[:] = json.loads(sys.argv[1])
    from toxaudit.card import markdown

    name, values, finalize = pickle.loads(sys.stdin.buffer.read())
    try:
        with markdown.environment_of(name, finalize):  # imports what it needs
            _limit()
        told = {"text": markdown.fill(name, values, finalize)}
    except ToxauditError as error:
        told = {"refused": str(error)}
    except MemoryError:
        told = {"refused": f"The template '{name}' can't be filled within {MEMORY_BYTES // 2**30} GiB of memory."}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    _work()
