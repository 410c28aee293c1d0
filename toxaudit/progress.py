"""Progress on long work, for people: on standard error, so that output can be piped."""

import sys
from typing import Any

from tqdm import tqdm


def bar(what: str, total: int, unit: str) -> Any:
    """A progress bar with rate and time left; in a log, a line every 15 seconds instead."""
    interval = 0.1 if sys.stderr.isatty() else 15
    return tqdm(total=total, desc=f"{what:<22}", unit=unit, mininterval=interval, dynamic_ncols=True)


def say(line: str) -> None:
    """A line that leaves bars as they are."""
    tqdm.write(line, file=sys.stderr)
