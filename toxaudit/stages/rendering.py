"""A finished run -> its card, plots and report: the last stage of a run, and of ``toxaudit card``."""

from pathlib import Path

import numpy as np

from toxaudit.card import Draws
from toxaudit.decision.headline import headlines
from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.extensions import Card
from toxaudit.recomputation import read_checked
from toxaudit.records import AuditResult
from toxaudit.results import DRAWS, read_result, read_samples


def render_anew(run: Path, card: Card) -> list[Path]:
    """As ``render``, for a run that lay about: first, all that can be computed again is."""
    return _render(run, read_checked(run), card)


def render(run: Path, card: Card) -> list[Path]:
    """Write the card of a run that has just been finished, its plots and its report.

    Args:
        run: the folder with ``results.json``, the samples and the draws.
        card: what to write, and by which templates.

    Returns:
        The files, first those to be read first.

    Raises:
        ToxauditError: if a file of the run or a template is missing or of no use.
    """
    return _render(run, read_result(run), card)


def _render(run: Path, result: AuditResult, card: Card) -> list[Path]:
    files = card.write(result, read_samples(run, result), _draws(run / DRAWS, result), run)
    return sorted(files, key=lambda file: file not in (run / "card.md", run / "report.html"))


def _draws(file: Path, result: AuditResult) -> Draws:
    """The draws of every change that decides.

    Raises:
        ToxauditError: if the file holds other draws than the result was made from.
    """
    deciding = headlines(result.estimates)
    found = archive.read_changes(file, deciding)
    for key, change in found.items():
        if not np.isclose(change.mean(), deciding[key].quantities["change"].mean, rtol=0, atol=1e-6):
            raise ToxauditError(f"{file} belongs to another run: its change of {', '.join(key)} is another.")
    return found
