"""Overrides -> AuditSpec: gives every name to Hydra, composes, and turns what goes wrong into one sentence."""

import re
from collections.abc import Sequence
from typing import Any, cast

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from toxaudit.compose import assignment
from toxaudit.compose.catalogue import Catalogue
from toxaudit.compose.overrides import composed, parse, split
from toxaudit.compose.refusals import NEW_CANDIDATE, sentence
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine import folders
from toxaudit.registry import GROUPS, SEVERAL, registered
from toxaudit.spec.checks import check
from toxaudit.spec.schema import AuditSpec, CandidateSpec

OmegaConf.register_new_resolver("toxaudit_home", lambda: str(folders.home()), replace=True)


def compose(overrides: Sequence[str]) -> AuditSpec:
    """The audit that ``overrides`` (Hydra's grammar) describe, checked.

    Raises:
        ToxauditError: one sentence for whatever is wrong with the overrides or the files they name.
    """
    catalogue = Catalogue()
    whole, more, overrides = split(overrides)
    _check_selections(catalogue, overrides)
    GlobalHydra.instance().clear()
    try:
        overrides, everywhere = _bring_scorers(catalogue, overrides)
        config = composed(overrides)
        with open_dict(config.candidates):
            for name, candidate in whole.items():
                config.candidates[name] = OmegaConf.structured(CandidateSpec(**candidate))
        for override in more:
            name = override.key_or_group.split(".")[1]
            if name not in config.candidates:
                with open_dict(config.candidates):
                    config.candidates[name] = OmegaConf.structured(CandidateSpec())
            OmegaConf.update(config, override.key_or_group, override.value())
        _check_parts(config)
        spec = cast(AuditSpec, OmegaConf.to_object(config))
    except (HydraException, OmegaConfBaseException) as error:
        raise ToxauditError(sentence(error, catalogue.explain, overrides)) from error
    assignment.assign(spec, everywhere)
    check(spec)
    return spec


def _bring_scorers(catalogue: Catalogue, overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Select the scorers that suites bring along, beside those that the audit selects for all.

    Returns:
        The overrides with all of them, and the names of the audit's own.
    """
    chosen = [text for text in overrides if re.match(r"(audit|suite|scorer)=|suites\.", text)]
    config = composed(chosen)
    everywhere = list(_selected(config, "scorer"))
    suites = _selected(config, "suite")
    for name, suite in suites.items():
        if unknown := next((each for each in suite.scorers if each not in catalogue.names["scorer"]), None):
            raise ToxauditError(f"suite '{name}': {catalogue.explain('scorer', unknown)}")
    names = [*everywhere, *(name for name in assignment.wanted(suites.values()) if name not in everywhere)]
    rest = [text for text in overrides if not text.startswith("scorer=")]
    return ([*rest, f"scorer=[{','.join(names)}]"] if names else rest), everywhere


def _selected(config: DictConfig, group: str) -> dict[str, Any]:
    """The parts of a group that were selected, by name: those that have a class."""
    key, classes = SEVERAL[group], registered(group).values()
    return {str(name): config[key][name] for name in config[key] if OmegaConf.get_type(config[key], name) in classes}


def _check_selections(catalogue: Catalogue, overrides: Sequence[str]) -> None:
    """Name an unknown choice before Hydra does, which would list its search path instead."""
    selected: set[str] = set()
    for override in map(parse, overrides):
        group = override.get_key_element().lstrip("+~")
        if override.is_add() or override.is_force_add() or group.split(".")[0] == "hydra":
            raise ToxauditError(
                f"'{override.input_line}' is not an override that toxaudit takes: only keys of the spec can be set. "
                f"{NEW_CANDIDATE}"
            )
        if override.is_delete() and group.split(".")[0] in SEVERAL.values():
            raise ToxauditError(
                f"'{override.input_line}' can't be taken away: say which are selected by suite=[...] and scorer=[...], "
                "and which score one suite by suites.NAME.scorers=[...]."
            )
        if group not in catalogue.names or override.is_delete() or override.is_sweep_override():
            continue
        selected.add(group)
        value = override.value()
        for name in value if isinstance(value, list) else [value]:
            if str(name) not in catalogue.names[group]:
                raise ToxauditError(catalogue.explain(group, str(name)))
    if "audit" not in selected:
        raise ToxauditError(
            f"No audit is named: write audit=NAME, with NAME one of {', '.join(sorted(catalogue.names['audit']))}."
        )


def _check_parts(config: DictConfig) -> None:
    """Values under ``suites`` etc. must belong to a part that was selected, else they would silently do nothing."""
    for group, key in SEVERAL.items():
        typed = list(_selected(config, group))
        for name in set(config[key]) - set(typed):
            raise ToxauditError(
                f"{key}.{name} is set but no {group} '{name}' is selected: add it to '{group}: [...]'."
                f"{did_you_mean(name, typed)}"
            )
    for group in set(GROUPS) - set(SEVERAL):
        if OmegaConf.get_type(config, group) not in registered(group).values():
            raise ToxauditError(f"'{group}' must name one of {', '.join(sorted(registered(group)))}.")
