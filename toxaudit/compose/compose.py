"""Overrides -> AuditSpec: has Hydra compose what they select, and turns what goes wrong into one sentence."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from toxaudit.compose import assignment, keys
from toxaudit.compose.catalogue import Catalogue
from toxaudit.compose.grids import expanded
from toxaudit.compose.hydra_source import composed
from toxaudit.compose.lookups import only_own_values
from toxaudit.compose.overrides import STAGE, check_texts, parse, split
from toxaudit.compose.refusals import NEW_CANDIDATE, require_entries, sentence, unknown_key
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine import folders
from toxaudit.registry import GROUPS, SEVERAL, registered
from toxaudit.spec.checks import check
from toxaudit.spec.schema import AuditSpec, CandidateSpec
from toxaudit.spec.texts import Texts

MAPPINGS = ("base", "candidates", "generation")
"""What holds keys in an audit besides parts of groups."""


def compose(overrides: Sequence[str], compared: bool = True) -> AuditSpec:
    """The audit that ``overrides`` (Hydra's grammar) describe, checked.

    Args:
        overrides: what was written on the command line.
        compared: whether candidates are to be compared with the base; where not, there need be none, nor what decides.

    Raises:
        ToxauditError: one sentence for whatever is wrong with the overrides or the files they name.
    """
    spec, everywhere = _composed(Catalogue(), overrides)
    spec.store = spec.store or f"{folders.home()}/store"
    Texts("", {}, made=True).check_spec(spec)
    spec.candidates = expanded(spec.candidates)
    assignment.assign(spec, everywhere)
    check(spec, compared)
    keys.check(spec, overrides)
    return spec


def _composed(catalogue: Catalogue, overrides: Sequence[str]) -> tuple[AuditSpec, list[str]]:
    """The audit, and the names of the scorers that it selects for all suites."""
    whole, more, overrides = split(overrides)
    _check_selections(catalogue, overrides)
    parsed = [(text, parse(text)) for text in overrides]
    for override in (*more, *(override for _, override in parsed)):
        check_texts(override)
    gate = [override for _, override in parsed if _chosen_gate(override)]
    later = [
        override
        for _, override in parsed
        if _of_scorers(override) or _of_stage(override) or (gate and _of_gate(override))
    ]
    overrides = [text for text, override in parsed if override not in later]
    try:
        config = composed(catalogue, overrides)
        with only_own_values():
            _require_mappings(config)
            everywhere = _bring_scorers(catalogue, config)
            for override in gate:
                OmegaConf.update(config, "gate", catalogue.node("gate", str(override.value())), merge=False)
            for override in later:
                _set(config, override)
            for _, override in parsed:
                require_entries(config, override)
            _set_candidates(config, whole, more)
            _leave_out(catalogue, config, [override for _, override in parsed])
            _check_parts(config)
            return cast(AuditSpec, OmegaConf.to_object(config)), everywhere
    except (HydraException, OmegaConfBaseException) as error:
        raise ToxauditError(sentence(error, catalogue, overrides)) from error


def _require_mappings(config: DictConfig) -> None:
    """Refuse a look-up that puts one value in the place of all that a key holds.

    Raises:
        ToxauditError: if one does; the sentence names the key.
    """
    for key in (*SEVERAL.values(), *MAPPINGS):
        try:
            held = config[key]
        except ValidationError:
            held = None
        if not isinstance(held, DictConfig):
            raise ToxauditError(f"'{key}' must be a mapping of KEY: VALUE, and is looked up elsewhere: write it out.")


def _set_candidates(config: DictConfig, whole: Mapping[str, dict[str, Any]], more: Sequence[Override]) -> None:
    """Put whole candidates into a composed audit, and then what else the command line says of them."""
    with open_dict(config.candidates):
        for name, candidate in whole.items():
            config.candidates[name] = OmegaConf.structured(CandidateSpec(**candidate))
    for override in more:
        name = override.key_or_group.split(".")[1]
        if name not in config.candidates:
            with open_dict(config.candidates):
                config.candidates[name] = OmegaConf.structured(CandidateSpec())
        OmegaConf.update(config, override.key_or_group, override.value())


def _chosen_gate(override: Override) -> bool:
    """Whether an override chooses a policy: the audit's own numbers, which are of the one it was written for, go."""
    return _plain(override) and override.key_or_group == "gate"


def _of_gate(override: Override) -> bool:
    return _plain(override) and override.key_or_group.startswith("gate.")


def _of_scorers(override: Override) -> bool:
    """Whether an override is of scorers' keys, which may be those of scorers that only suites bring along."""
    return _plain(override) and override.key_or_group.split(".")[0] == "scorers"


def _of_stage(override: Override) -> bool:
    """Whether an override is of a key of one stage of a recipe, as Hydra can change none within a list."""
    return _plain(override) and STAGE.fullmatch(override.key_or_group) is not None


def _plain(override: Override) -> bool:
    return override.type is OverrideType.CHANGE and override.package is None and not override.is_sweep_override()


def _set(config: DictConfig, override: Override) -> None:
    """Do to a composed audit what one override says, as Hydra does it."""
    key, value = override.key_or_group, override.value()
    if (stage := STAGE.fullmatch(key)) and int(stage[2]) >= len(OmegaConf.select(config, stage[1]) or ()) > 0:
        raise ToxauditError(f"There is no stage {stage[2]} in '{stage[1]}': its stages are numbered from 0.")
    holder = key if isinstance(value, dict) else key.rpartition(".")[0]
    if OmegaConf.select(config, holder, default="") is None:
        raise ToxauditError(f"'{holder}' is null, so that nothing in it can be set: write it whole in the YAML file.")
    try:
        OmegaConf.update(config, key, value)
    except (ConfigAttributeError, ConfigKeyError) as error:
        raise ToxauditError(unknown_key(key, config)) from error


def _bring_scorers(catalogue: Catalogue, config: DictConfig) -> list[str]:
    """Add the scorers that suites bring along to those that the audit selects for all.

    What the audit says of one that is brought along goes on top of its preset, as it does where the audit selects it.

    Returns:
        The names of the audit's own.
    """
    everywhere = list(_selected(config, "scorer"))
    suites = _selected(config, "suite")
    for name, suite in suites.items():
        if unknown := next((each for each in suite.scorers if each not in catalogue.names["scorer"]), None):
            raise ToxauditError(f"suite '{name}': {catalogue.explain('scorer', unknown)}")
    brought = [name for name in assignment.wanted(suites.values()) if name not in everywhere]
    if unknown := next((each for each in (*everywhere, *brought) if each not in catalogue.names["scorer"]), None):
        raise ToxauditError(catalogue.explain("scorer", unknown))
    said = cast(dict[str, Any], OmegaConf.to_container(config.scorers))
    with open_dict(config):
        for name in brought:
            config.scorers.pop(name, None)
            config.scorers[name] = catalogue.node("scorer", name)
            if name in said:
                config.merge_with({"scorers": {name: said[name]}})
    return everywhere


def _selected(config: DictConfig, group: str) -> dict[str, Any]:
    """The parts of a group that were selected, by name: those that have a class."""
    key, classes = SEVERAL[group], registered(group).values()
    return {str(name): config[key][name] for name in config[key] if OmegaConf.get_type(config[key], name) in classes}


def _check_selections(catalogue: Catalogue, overrides: Sequence[str]) -> None:
    """Name an unknown choice before Hydra does, which would list its search path instead."""
    selected: set[str] = set()
    for override in map(parse, overrides):
        group = override.get_key_element().lstrip("+~")
        if re.split(r"[./@]", group)[0] == "hydra":
            raise ToxauditError(
                f"'{override.input_line}' is Hydra's own and would do nothing, for only keys of the spec can be set: "
                "executor=NAME and executor.KEY=VALUE say where an audit runs; -m runs it for each of several values."
            )
        if override.is_add() or override.is_force_add() or override.package is not None:
            raise ToxauditError(
                f"'{override.input_line}' is not an override that toxaudit takes: only keys of the spec can be set. "
                f"{NEW_CANDIDATE}"
            )
        if override.is_delete() and group.split(".")[0] in {*SEVERAL.values(), *catalogue.names}:
            raise ToxauditError(
                f"'{override.input_line}' can't be taken away: say which are selected by suite=[...] and scorer=[...], "
                "and which score one suite by suites.NAME.scorers=[...]."
            )
        if group not in catalogue.names or override.is_delete() or override.is_sweep_override():
            continue
        selected.add(group)
        value = override.value()
        if isinstance(value, list) and group not in SEVERAL:
            raise ToxauditError(
                f"'{override.input_line}' is a list, but one {group} alone can be chosen: write {group}=NAME."
            )
        for name in value if isinstance(value, list) else [value]:
            if str(name) not in catalogue.names[group]:
                raise ToxauditError(catalogue.explain(group, str(name)))
    if "audit" not in selected:
        raise ToxauditError(
            f"No audit is named: write audit=NAME, with NAME one of {', '.join(sorted(catalogue.names['audit']))}."
        )


def _leave_out(catalogue: Catalogue, config: DictConfig, overrides: Sequence[Override]) -> None:
    """Take out what a file says of parts in whose place the command line selects others."""
    chosen = {override.key_or_group: override.value() for override in overrides if _plain(override)}
    said = {tuple(override.key_or_group.split(".")[:2]) for override in overrides}
    brought = assignment.wanted(_selected(config, "suite").values())
    for group, key in SEVERAL.items():
        if isinstance(names := chosen.get(group), list):
            kept = {*map(str, names), *(brought if group == "scorer" else ()), *_selected(config, group)}
            left = (each for each in set(config[key]) - kept if (key, each) not in said)
            with open_dict(config):
                for name in (each for each in left if each in catalogue.names[group]):
                    del config[key][name]


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
