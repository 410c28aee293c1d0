"""Stopping a command from outside: by Ctrl-C, by a scheduler (SIGTERM) and by a terminal that closes (SIGHUP).

The first signal lets a batch that is under way be finished and kept; a second one stops at once.
"""

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from time import monotonic
from types import FrameType
from typing import TypeVar

OF_SIGNALS = 128
"""What shells add to a signal's number: 130 is Ctrl-C, 143 SIGTERM, 129 SIGHUP."""

SAME_SECONDS = 0.3
"""Seconds within which two signals are one: a launcher passes on what its terminal has sent to all already."""

STOPPING = "stopping once this batch is kept; the same again stops now."

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

T = TypeVar("T")


class Stopped(SystemExit):
    """The command is to stop.

    This is no ``KeyboardInterrupt``, which samplers take for a wish to end early with the draws that there are: a
    decision must not rest on those.
    """

    def __init__(self, number: int) -> None:
        """Stop by a signal; the exit code is that by which shells tell it."""
        self.exit_code = OF_SIGNALS + number
        super().__init__(self.exit_code)
        self.name = signal.Signals(number).name


class _State:
    """What is under way in this process, and which signal came first, and when."""

    under_way = 0
    first: int | None = None
    at = 0.0
    raised: int | None = None


_state = _State()


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise ``Stopped`` meanwhile at a signal to stop; one that is ignored, as under ``nohup``, stays so."""
    here = current_thread() is main_thread()  # Python heeds signals there only
    before = {each: signal.getsignal(each) for each in SIGNALS if here}
    try:
        for each, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(each, _stop)
        yield
    finally:
        if here:
            _state.under_way, _state.first, _state.raised = 0, None, None
        for each, handler in before.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)


@contextmanager
def finishing() -> Iterator[None]:
    """Let this be finished before a first signal stops the command."""
    _state.under_way += 1
    try:
        yield
    finally:
        _state.under_way -= 1
    if not _state.under_way:
        stop_if_asked()


def each_finished(steps: Iterable[T]) -> Iterator[T]:
    """The same steps; each is finished, and what is done with it too, before a first signal stops the command."""
    ended, rest = object(), iter(steps)
    while True:
        with finishing():
            if (step := next(rest, ended)) is ended:
                return
            yield step  # type: ignore[misc]


def asked() -> bool:
    """Whether a first signal has come, so that what is under way should end where it can be gone on with."""
    return _state.first is not None


def told_to_stop() -> Stopped | None:
    """What stopped the command, even if a library in the middle of its own work made another error of it."""
    return None if _state.raised is None else Stopped(_state.raised)


def stop_if_asked() -> None:
    """Stop now where a signal has come, whatever is under way.

    Raises:
        Stopped: if one has.
    """
    if _state.first is not None:
        raise Stopped(_state.first)


def _stop(number: int, frame: FrameType | None) -> None:
    if _state.under_way and _state.first is None:
        _state.first, _state.at = number, monotonic()
        with suppress(OSError, ValueError, RuntimeError):  # the last of them where it comes in the middle of a line
            print(f"\ntoxaudit: {STOPPING}", file=sys.stderr, flush=True)
    elif not (_state.under_way and _state.first == number and monotonic() - _state.at < SAME_SECONDS):
        _state.raised = number
        raise Stopped(number)
