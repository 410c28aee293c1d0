"""A finished run -> its card, plots and report: the last stage of a run, and of ``toxaudit card``."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from hydra.core.override_parser.types import OverrideType
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from toxaudit import strict_yaml
from toxaudit.card import Draws, SectionCard
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.estimators import archive
from toxaudit.overrides import parse
from toxaudit.records import AuditResult, headlines
from toxaudit.results import SPEC, read_result, read_samples

DRAWS = "draws.parquet"


def render(run: Path, card: SectionCard) -> list[Path]:
    """Write the card of a finished run, its plots and its report.

    Args:
        run: the folder with ``results.json``, the samples and the draws.
        card: what to write, and by which templates.

    Returns:
        The files, first those to be read first.

    Raises:
        ToxauditError: a file of the run or a template is not there, or of no use.
    """
    result = read_result(run)
    files = card.write(result, read_samples(run, result), _draws(run / DRAWS, result), run)
    return sorted(files, key=lambda file: file not in (run / "card.md", run / "report.html"))


def _draws(file: Path, result: AuditResult) -> Draws:
    """The draws of every change that decides.

    Raises:
        ToxauditError: the file holds others than the result was made from.
    """
    deciding = headlines(result.estimates)
    found = archive.read_changes(file, deciding)
    for key, change in found.items():
        if not np.isclose(change.mean(), deciding[key].quantities["change"].mean, rtol=0, atol=1e-6):
            raise ToxauditError(f"{file} belongs to another run: its change of {', '.join(key)} is another.")
    return found


def settings(run: Path, overrides: Sequence[str]) -> SectionCard:
    """How a finished run's card was made, changed by ``overrides`` (``card.KEY=VALUE``), and checked.

    Raises:
        ToxauditError: the run's spec can't be read, or a key, a value or a template is wrong.
    """
    file = run / SPEC
    if not file.is_file():
        raise ToxauditError(f"There is no {file}: name the folder of a finished run.")
    written, where = strict_yaml.read(file).get("card"), f"{file}: "
    if not isinstance(written, dict):
        raise ToxauditError(f"{where}it says nothing of a card: name the folder of a finished run.")
    if odd := next((key for key, value in written.items() if "${" in str(value)), None):
        raise ToxauditError(f"{where}'card.{odd}' is to be looked up elsewhere, which no run writes: state its value.")
    try:
        config = OmegaConf.merge({"card": OmegaConf.structured(SectionCard)}, {"card": written})
        for text in overrides:
            where, override = "", parse(text)
            change = override.type is OverrideType.CHANGE and not override.is_sweep_override()
            if not (change and override.key_or_group.startswith("card.")):
                raise ToxauditError(f"'{text}' does not change a card: write card.KEY=VALUE.")
            OmegaConf.update(config, override.key_or_group, override.value())
        card = cast(dict[str, SectionCard], OmegaConf.to_object(config))["card"]
    except OmegaConfBaseException as error:
        raise ToxauditError(f"{where}{_sentence(error)}") from error
    card.check()
    return card


def _sentence(error: OmegaConfBaseException) -> str:
    """What OmegaConf found wrong with the settings of a card."""
    key, known = str(error.key), SectionCard.__dataclass_fields__
    if key not in known:
        return f"There is no key '{key}' in 'card'.{did_you_mean(key, known)}"
    return f"'card.{key}' is wrong: {(error.msg or str(error)).splitlines()[0].rstrip('.')}."
