"""Progress on long work, for people: on standard error, so that output can be piped."""

import sys
from typing import Any

from tqdm import tqdm

from toxaudit.errors import one_line


def bar(what: str, total: int, unit: str) -> Any:
    """A progress bar with rate and time left; in a log, a line every 15 seconds instead."""
    interval = 0.1 if sys.stderr.isatty() else 15
    return tqdm(total=total, desc=f"{one_line(what):<22}", unit=unit, mininterval=interval, dynamic_ncols=True)


def say(line: str) -> None:
    """A line that leaves bars as they are, whoever wrote what it says."""
    tqdm.write(one_line(line), file=sys.stderr)
