"""Single parts of a spec, for commands that need no whole audit."""

from collections.abc import Sequence
from typing import Any, cast

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from toxaudit.compose import keys
from toxaudit.compose.catalogue import Catalogue
from toxaudit.compose.lookups import only_own_values
from toxaudit.compose.overrides import check_texts, parse
from toxaudit.compose.refusals import problem, require_entries
from toxaudit.errors import ToxauditError
from toxaudit.extensions import Gate, Scorer
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
    for override in map(parse, overrides):
        if not override.key_or_group.startswith(f"scorers.{name}.") or override.type is not OverrideType.CHANGE:
            raise ToxauditError(f"'{override.input_line}' is no key of this scorer: write scorers.{name}.KEY=VALUE.")
        _apply(config, override)
    found = cast(dict[str, dict[str, Scorer]], _made(config))["scorers"][name]
    Texts("", {}, made=True).check_made(found, f"scorers.{name}")
    found.check()
    keys.check_parts({f"scorers.{name}": found}, overrides)
    return found


def gate(own: Gate, overrides: Sequence[str]) -> Gate:
    """A gate by its name, or else a run's own, with ``overrides`` of its keys (``gate.KEY=VALUE``), checked.

    Raises:
        ToxauditError: there is none of that name, or a key or value of it is wrong.
    """
    names: list[Override] = []
    changes: list[Override] = []
    for override in map(parse, overrides):
        if override.type is not OverrideType.CHANGE or override.key_or_group.split(".")[0] != "gate":
            raise ToxauditError(
                f"'{override.input_line}' does not change the gate: write gate=NAME or gate.KEY=VALUE. Anything else "
                "is part of the audit, which is to be run again; finished work is kept."
            )
        (names if override.key_or_group == "gate" else changes).append(override)
    if len(names) > 1:
        raise ToxauditError("gate= is given twice: write gate=NAME once.")
    node: Any = OmegaConf.structured(own)
    for override in names:
        catalogue, name = Catalogue(), "" if override.is_sweep_override() else str(override.value())
        if name not in catalogue.names["gate"]:
            raise ToxauditError(catalogue.explain("gate", name))
        node = catalogue.node("gate", name)
    config = OmegaConf.create({"gate": node})
    for override in changes:
        _apply(config, override)
    found = cast(dict[str, Gate], _made(config))["gate"]
    Texts("", {}, made=True).check_made(found, "gate")
    found.check()
    return found


def _apply(config: DictConfig, override: Override) -> None:
    """Do to a part what one override says."""
    if override.is_sweep_override():
        raise ToxauditError(
            f"'{override.input_line}' names several values: write [a,b] for a list, or quotes around one value with a "
            "comma."
        )
    check_texts(override)
    require_entries(config, override)
    try:
        OmegaConf.update(config, override.key_or_group, override.value())
    except OmegaConfBaseException as error:
        raise ToxauditError(problem(error)) from error


def _made(config: DictConfig) -> Any:
    """What a part is, once all is set."""
    try:
        with only_own_values():
            return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ToxauditError(problem(error)) from error
