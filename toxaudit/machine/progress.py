"""Progress on long work, for people: on standard error, so that output can be piped.

Where it can't be written, as into a log on a full disk, it is lost, and the work goes on.
"""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any

# Bars of libraries, such as transformers' over a GGUF file, would stand between ours. That of the Hub's client asks for
# itself where there is a terminal: downloads have ours instead, and what pushes switches it off.
os.environ.setdefault("TQDM_DISABLE", "1")

from tqdm import tqdm  # noqa: E402  (it reads its variable when it is imported)

from toxaudit.errors import one_line  # noqa: E402
from toxaudit.records import Completion  # noqa: E402

BAR_FORMAT = "{l_bar}{bar}| {n:.0f}/{total:.0f} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
"""tqdm's own format of a bar, without the decimals of what is half done."""


DOWNLOAD_DELAY_SECONDS = 1
"""A download that takes less is not shown."""


def bar(what: str, total: int, unit: str, done: int = 0) -> Any:
    """A progress bar with rate and time left; in a log, a line every 15 seconds instead.

    Args:
        what: what is done, in words.
        total: how many units there are to do.
        unit: what is counted, in the singular.
        done: how many units were done before, which tells nothing of the rate.
    """
    if _hearers:
        shown = Unseen(what, total, unit, done)
        _hearers[0][1](shown)
        return shown
    return tqdm(total=total, initial=done, unit=unit, bar_format=BAR_FORMAT, **_look(what))


def _look(what: str) -> dict[str, Any]:
    """The settings of every bar of ours."""
    terminal = sys.stderr.isatty()
    return {
        "desc": f"{one_line(what):<22}",
        "file": None if terminal else _Lines(),
        "mininterval": 0.1 if terminal else 15,
        "miniters": 0,  # else tqdm guesses how many updates to pass over, and guesses anew after 10 seconds
        "dynamic_ncols": terminal,
        "disable": False,
    }


def of_downloads(what: str) -> type[Any]:
    """The kind of bars that the Hub's client makes for one download, only the first of which over bytes is shown.

    Args:
        what: what is done, in words.
    """
    shown: list[Any] = []

    class Download(tqdm):  # type: ignore[type-arg]
        """A bar that looks like ours, whatever its maker asks for."""

        def __init__(self, *items: Any, **asked: Any) -> None:
            asked.pop("name", None)
            is_first = asked.get("unit") == "B" and not shown
            shown.extend([self] * is_first)
            ours = _look(what) | {"bar_format": None, "delay": DOWNLOAD_DELAY_SECONDS, "disable": not is_first}
            super().__init__(*items, **asked | ours)

        def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
            """Keep our words."""

        set_description_str = set_description

    return Download


@dataclass
class Unseen:
    """A bar in a process whose standard error nobody sees: what another process needs to show it.

    Attributes:
        what: what is done, in words.
        total: how many units there are to do.
        unit: what is counted, in the singular.
        n: how many are done.
        postfix: what is said behind it.
    """

    what: str
    total: int
    unit: str
    n: float = 0
    postfix: str = ""

    def update(self, n: float = 1) -> None:
        """Count more units as done."""
        self.n += n

    def set_postfix_str(self, postfix: str, refresh: bool = True) -> None:
        """Say this behind it."""
        self.postfix = postfix

    def close(self) -> None:
        """Nothing: who shows it closes it."""


_hearers: list[tuple[Callable[[str], object], Callable[[Unseen], object]]] = []


def hear(said: Callable[[str], object], begun: Callable[[Unseen], object]) -> None:
    """Give lines and new bars to these from now on, in a process whose standard error nobody sees."""
    _hearers[:] = [(said, begun)]


def say(line: str) -> None:
    """Write a line that leaves bars as they are, whoever wrote what it says."""
    if _hearers:
        _hearers[0][0](line)
        return
    with suppress(OSError):
        tqdm.write(one_line(line), file=sys.stderr)


class Writing:
    """A bar over completions that moves with every token: a batch of them can take minutes.

    A completion counts as done by the share of its tokens that are there, and wholly once it is answered.
    """

    def __init__(self, what: str, total: int, done: int, most: int) -> None:
        """Show the bar.

        Args:
            what: what is done, in words.
            total: how many completions are wanted.
            done: how many of these are stored already.
            most: how many tokens a completion has at most.
        """
        self.bar = bar(what, total, "completion", done)
        self._most, self._begun = most, monotonic()
        self._answered, self._answered_tokens, self._tokens = done, 0, 0

    def __enter__(self) -> "Writing":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.close()

    def wrote(self, tokens: int) -> None:
        """Count tokens, stop tokens among them, as written; fewer than none where some are to be made again."""
        if not self._tokens:  # rate and time left are those of writing, not of what went before
            self.bar.unpause()
            self._begun = monotonic()
        self._tokens += tokens
        self._move()

    def answered(self, completions: Iterable[Completion]) -> None:
        """Count these completions as done, whether or not their tokens were told before."""
        for completion in completions:
            self._answered += 1
            if completion.tokens is not None and not completion.loglikelihoods:
                self._answered_tokens += completion.tokens + (completion.finish == "stop")
        self._move()

    def _move(self) -> None:
        begun = max(0, self._tokens - self._answered_tokens) / self._most
        position = min(self.bar.total, self._answered + begun)
        if seconds := monotonic() - self._begun:
            written = max(self._tokens, self._answered_tokens)
            self.bar.set_postfix_str(f"{written / seconds:,.0f} tokens/s" if written else "", refresh=False)
        self.bar.update(position - self.bar.n)


class _Lines:
    """Standard error for a log: each state of a bar is a line of its own, where a terminal writes over the last one."""

    def write(self, text: str) -> None:
        """Write what is more than a move of the cursor."""
        if line := text.strip():
            with suppress(OSError):
                sys.stderr.write(line + "\n")

    def flush(self) -> None:
        """Let all that was written be seen."""
        with suppress(OSError):
            sys.stderr.flush()
