"""Where runs are: the folders that hold results."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from toxaudit.results.files import RESULTS

USUAL = ("runs", "multirun")
"""Where audits and sweeps are written unless they are told another place."""


def runs(folders: Iterable[Path]) -> Iterator[Path]:
    """The run's folders at or below some folders, each once."""
    for folder in dict.fromkeys(folders):
        files = sorted(folder.rglob(RESULTS)) if folder.is_dir() else []
        yield from (file.parent for file in files if not any(part.startswith(".tox") for part in file.parts))
