"""Stopping a command from outside: by Ctrl-C, by a scheduler (SIGTERM) and by a terminal that closes (SIGHUP)."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn

from toxaudit.cli.exit_codes import OF_SIGNALS

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


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
        for each, handler in before.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
