"""What a repository's files are, and which folder below holds what is looked for."""

import re
from collections.abc import Set
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import chain, islice
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.sources import HubSource, Source

ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}

MOST_LISTED = 10_000  # names of files in folders that are looked at for a better sentence
HUB_SECONDS = 10.0  # for which the Hub may be silent when it is asked for one


def is_adapter(files: Set[str]) -> bool:
    """Whether the names of a repository's files are those of a LoRA adapter, and of no whole model."""
    return files >= ADAPTER and "config.json" not in files


def check_adapter(where: str, source: Source, files: Set[str]) -> None:
    """Refuse what is no adapter.

    Args:
        where: the candidate, for the sentence.
        source: what is named.
        files: the names of the files in it.

    Raises:
        ToxauditError: if files are missing; the sentence says which folder holds an adapter, if one does.
    """
    if absent := sorted(ADAPTER - files):
        suggest(source, absent[0], f"{where}: ")
        raise ToxauditError(
            f"{where}: {source.shown} holds no {absent[0]}: it is no PEFT adapter in safetensors "
            "(pickles, *.bin, are never loaded)."
        )


def suggest(source: Source, absent: str, where: str = "") -> None:
    """Where folders of a source hold what is ``absent`` in itself, name the last of them.

    Args:
        source: what is named.
        absent: the name of a file, or a pattern.
        where: what the sentence begins with.

    Raises:
        ToxauditError: if a folder does.
    """
    parts = (name.rpartition("/") for name in _names(source))
    found = list(dict.fromkeys(folder for folder, _, name in parts if folder and fnmatchcase(name, absent)))
    if found:
        last = max(found, key=_counted)
        others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ToxauditError(
            f"{where}{source.shown} holds no {absent}, but its folder {last} does{others}: set subfolder: {last}."
        )


def _counted(name: str) -> list[tuple[int, str]]:
    """By which ``checkpoint-1000`` comes after ``checkpoint-500``."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split("([0-9]{1,18})", name)]


def _names(source: Source) -> list[str]:
    """The names of the files in a source and in its folders, as far as they can be told."""
    if isinstance(source, HubSource):
        with suppress(ToxauditError):  # it is only asked for a better sentence
            return list(source.facts(timeout=HUB_SECONDS).sizes)
        return []
    path = getattr(source, "path", None)
    if not isinstance(path, Path) or not path.is_dir():
        return []
    deep = chain(path.glob("*/*"), path.glob("*/*/*"))
    return [each.relative_to(path).as_posix() for each in islice(deep, MOST_LISTED)]
