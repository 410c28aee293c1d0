"""What is printed: where it can't be written, it is lost, and nothing else is.

A terminal or a log that knows fewer characters than we use, as under ``LANG=C``, gets others in their place.
"""

import os
import sys
from codecs import register_error
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOBase
from typing import Any, TextIO
from unicodedata import combining, normalize

IN_ASCII = str.maketrans(
    {
        **{"…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "±": "+-", "→": "->", "≥": ">=", "≤": "<="},
        **dict(zip("‘’“”·•█", "''\"\"..#", strict=True)),
    }
)
"""What stands for signs of ours where only ASCII can be written."""

PLAIN = "toxaudit.plain"
"""How ``str.encode`` knows what to do about a character that an encoding lacks."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What is written in place of characters that an encoding lacks: the like of it, the bare letter, or ?."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = normalize("NFKD", error.object[error.start : error.end].translate(IN_ASCII))
    bare = "".join(each for each in lacking if not combining(each))
    return bare.encode("ascii", "replace").decode(), error.end


register_error(PLAIN, _plain)


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
        plain = text.encode(self.encoding, PLAIN).decode(self.encoding)
        self._try(lambda stream: stream.write(plain))
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


def words() -> list[str]:
    """The words of the command line, which are UTF-8 also where the locale's encoding is less than that."""
    return [_utf8(word) for word in sys.argv[1:]]


def _utf8(word: str) -> str:
    try:
        return word if word.isascii() else os.fsencode(word).decode("utf-8")
    except UnicodeError:
        return word


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
