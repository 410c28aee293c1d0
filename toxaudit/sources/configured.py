"""What a stranger's config.json says, looked at before a library makes as many things as it names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError

LARGEST_CONFIG_BYTES = 2**24
MOST_LAYERS = 1000  # of a model, told by a configuration or a GGUF file
MOST = (
    (re.compile(r"num_labels"), "labels", 100_000),
    (re.compile(r".*layers?"), "layers", MOST_LAYERS),
    (re.compile(r".*(num_|n_|count_)?experts?(_num|_count)?"), "experts", 10_000),
)
"""Keys whose numbers say how many of a thing are made, its name, and how many of it no model has."""


def check_counts(where: str, folder: Path) -> None:
    """Refuse a config.json that would have libraries make more than any model has, and so fill time and memory.

    Args:
        where: what begins the sentence.
        folder: of the files; there need not be a config.json among them.

    Raises:
        ToxauditError: if it is as large as none, or names too many of something; one that can't be read is left to
            what loads it.
    """
    file = folder / "config.json"
    if not file.is_file():
        return
    if (size := file.stat().st_size) > LARGEST_CONFIG_BYTES:
        raise ToxauditError(f"{where}: config.json has {size:,} bytes, more than any model's.")
    try:
        content = json.loads(file.read_bytes())
        numbers = list(_numbers(content))
    except (ValueError, RecursionError):
        return
    for key, number in numbers:
        for keys, things, most in MOST:
            if number > most and keys.fullmatch(key):
                raise ToxauditError(f"{where}: config.json describes {number:,} {things}, more than any model has.")


def _numbers(value: Any) -> Iterator[tuple[str, float]]:
    """Every key with a number, however deep."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(each, int | float):
            yield str(key), each
        else:
            yield from _numbers(each)
