"""Results that other tools wrote, one file a tool; a format is recognised by what a file holds, or named."""

from collections.abc import Sequence
from pathlib import Path

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.extensions import Importer
from toxaudit.interop.importers.base import Imported, Place
from toxaudit.interop.importers.every_eval_ever import EveryEvalEver
from toxaudit.interop.importers.garak import Garak
from toxaudit.interop.importers.inspect_logs import InspectLogs
from toxaudit.interop.importers.lighteval import Lighteval
from toxaudit.interop.importers.lm_eval import LmEval
from toxaudit.interop.importers.promptfoo import Promptfoo
from toxaudit.interop.importers.tables import Tables

IMPORTERS: Sequence[Importer] = (
    LmEval(),
    InspectLogs(),
    Garak(),
    Promptfoo(),
    Lighteval(),
    EveryEvalEver(),
    Tables(),
)
"""In the order in which they are asked whether they know a file: a table, which is known by its columns, comes last."""


def importer(path: Path, name: str = "") -> Importer:
    """The one that reads a file or folder: that of a name, or the first that recognises it.

    Raises:
        ToxauditError: if there is no such file, name or importer.
    """
    known = {each.name: each for each in IMPORTERS}
    if name and name not in known:
        raise ToxauditError(f"There is no format '{name}'.{did_you_mean(name, known)}")
    if not path.exists():
        raise ToxauditError(f"There is no {path}: name a file or folder of results.")
    if not path.is_file() and not path.is_dir():
        raise ToxauditError(f"{path} is a pipe or a device: write its results into a file first.")
    if path.is_file() and not path.stat().st_size:
        raise ToxauditError(f"{path} is empty: name a file of results.")
    found = known[name] if name else next((each for each in IMPORTERS if each.recognises(path)), None)
    if found is None:
        raise ToxauditError(
            f"{path} is of no format that is known by what it holds: say --format, with one of {', '.join(known)}."
        )
    return found


def imported(place: Place, name: str = "") -> Imported:
    """What a file or folder holds.

    Raises:
        ToxauditError: if it can't be read; the sentence says where and why.
    """
    by = importer(place.path, name)
    if place.part and by.takes != "part":
        raise ToxauditError(f"{place.path} has no parts, so that '{place.part}' names none: write the path alone.")
    if place.columns and by.takes != "columns":
        raise ToxauditError(f"{place.path} is no table but of the format {by.name}: leave --columns out.")
    found = by.read(place)
    if not found.rows:
        raise ToxauditError(f"{place.shown} holds no answers: name the results of a finished run.")
    return found


__all__ = ["IMPORTERS", "Imported", "Place", "imported", "importer"]
