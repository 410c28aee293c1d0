"""Results that other tools wrote, one file a tool; a format is recognised by what a file holds, or named."""

from pathlib import Path

from toxaudit import plugins
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.extensions import Importer
from toxaudit.interop.importers import (  # noqa: F401  (registers)
    every_eval_ever,
    garak,
    inspect_logs,
    lighteval,
    lm_eval,
    promptfoo,
    tables,
)
from toxaudit.interop.importers.base import Imported, Place
from toxaudit.machine import progress
from toxaudit.registry import IMPORTER, registered

ORDER = ("lm_eval", "inspect", "garak", "promptfoo", "lighteval", "every_eval_ever")
"""Those of toxaudit that are asked first whether they know a file."""

LAST = "table"
"""The one that is asked last, for it knows a file by its columns: plug-ins are asked before it."""


def importers() -> dict[str, Importer]:
    """All importers by their names, in the order in which they are asked whether they know a file."""
    plugins.loaded()
    classes = registered(IMPORTER)
    others = [name for name in classes if name not in (*ORDER, LAST)]
    return {name: classes[name]() for name in (*ORDER, *others, LAST)}


def importer(path: Path, name: str = "") -> Importer:
    """The one that reads a file or folder: that of a name, or the first that recognises it.

    Raises:
        ToxauditError: if there is no such file, name or importer.
    """
    known = importers()
    if name and name not in known:
        raise ToxauditError(f"There is no format '{name}'.{did_you_mean(name, known)}{plugins.may_have()}")
    if not path.exists():
        raise ToxauditError(f"There is no {path}: name a file or folder of results.")
    if not path.is_file() and not path.is_dir():
        raise ToxauditError(f"{path} is a pipe or a device: write its results into a file first.")
    if path.is_file() and not path.stat().st_size:
        raise ToxauditError(f"{path} is empty: name a file of results.")
    found = known[name] if name else next((each for each in known.values() if _knows(each, path)), None)
    if found is None:
        raise ToxauditError(
            f"{path} is of no format that is known by what it holds: say --format, with one of {', '.join(known)}."
            f"{plugins.may_have()}"
        )
    return found


def _knows(each: Importer, path: Path) -> bool:
    """Whether an importer recognises a file; one of a plug-in that fails at it does not, and is named."""
    try:
        return each.recognises(path)
    except Exception as error:
        if not (whose := plugins.origin(type(each))):
            raise
        progress.say(f"The importer '{each.kind}' of {whose} fails at {path} ({type(error).__name__}): it is left out.")
        return False


def imported(place: Place, name: str = "") -> Imported:
    """What a file or folder holds.

    Raises:
        ToxauditError: if it can't be read; the sentence says where and why.
    """
    by = importer(place.path, name)
    if place.part and by.takes != "part":
        raise ToxauditError(f"{place.path} has no parts, so that '{place.part}' names none: write the path alone.")
    if place.columns and by.takes != "columns":
        raise ToxauditError(f"{place.path} is no table but of the format {by.kind}: leave --columns out.")
    found = by.read(place)
    if not found.rows:
        raise ToxauditError(f"{place.shown} holds no answers: name the results of a finished run.")
    return found


__all__ = ["Imported", "Place", "imported", "importer", "importers"]
