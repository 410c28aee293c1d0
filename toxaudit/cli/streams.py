"""What is printed: where it can't be written, it is lost, and nothing else is."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOBase
from typing import Any, TextIO


class Stream(TextIOBase):
    """Standard output or standard error, of which writing never fails: a full disk or a closed pipe decides nothing.

    Attributes:
        error: why the last of it was lost; None where nobody was there to read it (a pipe whose reader has left).
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Write to ``stream``, or to nobody."""
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write as much as can be written."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Let all that was written be seen."""
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor, of which a bar asks the terminal's width."""
        if self._stream is None:
            raise OSError("there is none")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How characters are written."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        """Whatever else libraries ask of a stream, such as its bytes' buffer."""
        return getattr(self._stream, name)

    def _try(self, do: Callable[[TextIO], object]) -> None:
        if self._stream is None or self._stream.closed:
            return
        try:
            do(self._stream)
        except BrokenPipeError:
            self._stream = None
        except OSError as error:
            self.error = error


@contextmanager
def unfailing() -> Iterator[Stream]:
    """Print to standard output and standard error meanwhile as far as they can be written; yields the former."""
    out = Stream(sys.stdout)
    with redirect_stdout(out), redirect_stderr(Stream(sys.stderr)):
        yield out


def open_what_is_closed() -> None:
    """Give descriptors 0 to 2 to nobody where they are closed, lest a file that is opened get one and be printed to."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free: this one


def let_go() -> None:
    """Take what could not be written away from Python's own last flush, which would end with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
