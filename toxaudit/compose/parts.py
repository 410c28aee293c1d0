"""Single parts of a spec, for commands that need no whole audit."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from hydra.core.override_parser.types import OverrideType
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from toxaudit.card import SectionCard
from toxaudit.compose import keys
from toxaudit.compose.catalogue import Catalogue
from toxaudit.compose.lookups import only_own_values
from toxaudit.compose.overrides import check_texts, parse
from toxaudit.compose.refusals import problem, reason
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.extensions import Scorer
from toxaudit.results.files import SPEC
from toxaudit.spec import strict_yaml
from toxaudit.spec.texts import Texts


def scorer(name: str, overrides: Sequence[str]) -> Scorer:
    """One scorer by its name, with ``overrides`` of its keys (``scorers.NAME.key=value``), checked.

    Raises:
        ToxauditError: there is none of that name, or a key or value of it is wrong.
    """
    catalogue = Catalogue()
    if name not in catalogue.names["scorer"]:
        raise ToxauditError(catalogue.explain("scorer", name))
    config = OmegaConf.create({"scorers": {name: catalogue.node("scorer", name)}})
    try:
        for override in map(parse, overrides):
            if not override.key_or_group.startswith(f"scorers.{name}.") or override.type is not OverrideType.CHANGE:
                raise ToxauditError(
                    f"'{override.input_line}' is no key of this scorer: write scorers.{name}.KEY=VALUE."
                )
            if override.is_sweep_override():
                raise ToxauditError(
                    f"'{override.input_line}' names several values: write [a,b] for a list, or quotes around one value "
                    "with a comma."
                )
            check_texts(override)
            OmegaConf.update(config, override.key_or_group, override.value())
        with only_own_values():
            found = cast(dict[str, dict[str, Scorer]], OmegaConf.to_object(config))["scorers"][name]
    except OmegaConfBaseException as error:
        raise ToxauditError(problem(error)) from error
    Texts("", {}, made=True).check_made(found, f"scorers.{name}")
    found.check()
    keys.check_parts({f"scorers.{name}": found}, overrides)
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
            check_texts(override)
            OmegaConf.update(config, override.key_or_group, override.value())
        with only_own_values():
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
    return f"'card.{key}' is wrong: {reason((error.msg or str(error)).rstrip('.'))}."
