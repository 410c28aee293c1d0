"""A finished run -> its card, plots and report: the last stage of a run, and of ``toxaudit card``."""

import os
from pathlib import Path

import numpy as np

from toxaudit.card.plots import PLOTS, Draws
from toxaudit.card.section import AUDIT, PLOTS_FOLDER, written
from toxaudit.commitment import COMMITMENT, PENDING
from toxaudit.decision.headline import headlines
from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.extensions import Card
from toxaudit.findings import AuditResult
from toxaudit.interop.cyclonedx import BOM
from toxaudit.interop.junit import JUNIT
from toxaudit.labels import COPY
from toxaudit.machine.replacement import SUMS, obstacle, replaced
from toxaudit.pinning.lock_file import LOCK
from toxaudit.recomputation import read_with_draws
from toxaudit.results.files import DRAWS, RESULTS, SPEC, samples_file, table_file
from toxaudit.results.reading import read_result, read_samples
from toxaudit.results.writing import earlier_samples
from toxaudit.signoff.signing import show_again
from toxaudit.spec.schema import AuditSpec


def render_anew(run: Path, card: Card) -> list[Path]:
    """As ``render``, for a run that lay about: first, all that can be computed again is.

    Its files are replaced all at once, so that a card never stands beside what it was not made of.
    """
    read_result(run)  # before the folder is written in
    with replaced(run, of_before(run), keep=True) as new:
        result, posteriors = read_with_draws(run)
        deciding = {archive.name_of(each): key for key, each in headlines(result.estimates).items()}
        draws = {
            deciding[name]: each.draws["candidate"] - each.draws["base"]
            for each in posteriors
            if (name := archive.name_of(each)) in deciding
        }
        del posteriors  # which of a large audit take more memory than all else
        files = _written(run, result, card, draws, new)
        show_again(run, new)
    return [run / file.relative_to(new) for file in files]


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
    return _render(run, read_result(run), card, run)


def render_decided(run: Path, result: AuditResult, card: Card, new: Path) -> list[Path]:
    """As ``render``, into another folder, for a run whose answers were decided by another rule than its files say."""
    return _render(run, result, card, new)


def writable(spec: AuditSpec) -> Path:
    """The folder of results, after a look whether all files could be written there at the end.

    Raises:
        ToxauditError: if they could not; the sentence names what is in the way.
    """
    folder = Path(spec.out).expanduser()
    if odd := obstacle(folder, expected(spec)):
        raise ToxauditError(f"Results can't be written to {folder}: {odd}. Move it away, or set out=FOLDER.")
    ground = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise ToxauditError(f"Results can't be written to {folder}: set out=FOLDER.")
    return folder


def expected(spec: AuditSpec) -> list[str]:
    """The names of what a run of this audit may write."""
    cards = ["card.md", "summary.md", "model_card.md", AUDIT, *(f"{PLOTS_FOLDER}/{name}.png" for name in PLOTS)]
    homes = ["", *(f"candidates/{name}/" for name in spec.candidates)]
    samples = [name(suite) for suite in spec.suites for name in (samples_file, table_file)]
    data = [RESULTS, SPEC, DRAWS, LOCK, COMMITMENT, PENDING, BOM, JUNIT, COPY, SUMS, "report.html", *samples]
    return [*data, *(home + name for home in homes for name in cards)]


def of_before(run: Path) -> list[str]:
    """The names of what a run wrote before there were checksums; none where no run did."""
    if not (run / RESULTS).is_file():
        return []
    shown = [file.relative_to(run).as_posix() for file in written(run)]
    return [RESULTS, SPEC, DRAWS, LOCK, BOM, "report.html", *earlier_samples(run), *shown]


def _render(run: Path, result: AuditResult, card: Card, into: Path) -> list[Path]:
    return _written(run, result, card, _draws(run / DRAWS, result), into)


def _written(run: Path, result: AuditResult, card: Card, draws: Draws, into: Path) -> list[Path]:
    files = card.write(result, read_samples(run, result), draws, into)
    return sorted(files, key=lambda file: file not in (into / "card.md", into / "report.html"))


def _draws(file: Path, result: AuditResult) -> Draws:
    """The draws of every change that decides.

    Raises:
        ToxauditError: if the file holds other draws than the result was made from.
    """
    deciding = headlines(result.estimates)
    found = archive.read_changes(file, deciding)
    for key, change in found.items():
        if not np.isclose(change.mean(), deciding[key].quantities["change"].mean, rtol=0, atol=1e-6):
            raise ToxauditError(f"{file} holds another change of {', '.join(key)}: it {archive.FOREIGN}.")
    return found
