"""How a finished run's card was made, for ``toxaudit card`` and ``toxaudit gate``: read without composing an audit."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from toxaudit.card.section import SectionCard
from toxaudit.compose.lookups import only_own_values
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.results.files import SPEC
from toxaudit.spec import strict_yaml


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
        config = OmegaConf.create({"card": OmegaConf.structured(SectionCard)})
        config.merge_with({"card": written})
        for text in overrides:
            where = ""
            _change(config, text)
        with only_own_values():
            card = cast(dict[str, SectionCard], OmegaConf.to_object(config))["card"]
    except OmegaConfBaseException as error:
        raise ToxauditError(f"{where}{_sentence(error)}") from error
    card.check()
    return card


def _change(config: DictConfig, text: str) -> None:
    """Do to the settings what one override says. Hydra, which reads it, is imported only for this."""
    from hydra.core.override_parser.types import OverrideType

    from toxaudit.compose.overrides import check_texts, parse

    override = parse(text)
    change = override.type is OverrideType.CHANGE and not override.is_sweep_override()
    if not (change and override.key_or_group.startswith("card.")):
        raise ToxauditError(f"'{text}' does not change a card: write card.KEY=VALUE.")
    check_texts(override)
    OmegaConf.update(config, override.key_or_group, override.value())


def _sentence(error: OmegaConfBaseException) -> str:
    """What OmegaConf found wrong with the settings of a card."""
    from toxaudit.compose.refusals import reason

    key, known = str(error.key), SectionCard.__dataclass_fields__
    if key not in known:
        return f"There is no key '{key}' in 'card'.{did_you_mean(key, known)}"
    return f"'card.{key}' is wrong: {reason((error.msg or str(error)).rstrip('.'))}."
