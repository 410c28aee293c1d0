"""Overrides -> AuditSpec: gives every name to Hydra, composes, and turns what goes wrong into one sentence."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from hydra import compose as hydra_compose
from hydra import initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import OverrideType
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

import toxaudit.backends
import toxaudit.card
import toxaudit.estimators
import toxaudit.executors
import toxaudit.gate
import toxaudit.sampling
import toxaudit.scorers
import toxaudit.suites  # noqa: F401  (these imports register the parts that a spec can choose)
from toxaudit import folders, measures, strict_yaml
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.overrides import parse, split
from toxaudit.registry import GROUPS, SEVERAL, registered
from toxaudit.spec import AuditSpec, CandidateSpec, candidate_of, check

NEW_CANDIDATE = "A new candidate is added by candidates.NAME=MODEL, or in the audit's YAML file."

PATHS = {"data", "pretrained", "peft", "tokenizer", "lexicon", "rubric", "calibration", "lock", "out", "store"}
PATHS |= {"template", "summary", "whole", "report"}  # a card's
"""Keys whose values can be paths."""

OmegaConf.register_new_resolver("toxaudit_home", lambda: str(folders.home()), replace=True)


class Catalogue:
    """Every name that a spec can choose, and the files that hold them; unreadable files are kept as sentences."""

    def __init__(self) -> None:
        """Read the shipped presets and the user's own, and give all of them to Hydra."""
        self.names: dict[str, set[str]] = {group: set(registered(group)) for group in GROUPS} | {"audit": set()}
        self.broken: dict[tuple[str, str], str] = {}
        self.files: dict[tuple[str, str], Path] = {}
        store = ConfigStore.instance()
        for group in (*GROUPS, "audit"):
            store.repo.pop(group, None)  # of an earlier catalogue in this process
        store.store(name="toxaudit", node=AuditSpec)
        for group in GROUPS:
            for name, cls in registered(group).items():
                store.store(group=group, name=name, node=cls, package=_package(group, name))
        for group, file in _yaml_files():
            if (group, file.stem) not in self.files:  # the user's own comes first and wins
                self.files[group, file.stem] = file
                self._add(store, group, file)

    def _add(self, store: ConfigStore, group: str, file: Path) -> None:
        try:
            if not re.fullmatch(folders.NAME, file.stem):
                raise ToxauditError(f"{file}: name the file with the letters a-z, digits, - and _, and a letter first.")
            seen = file.stat()
            node = _audit(file) if group == "audit" else _preset(group, file, seen.st_mtime_ns, seen.st_size)
        except ToxauditError as error:
            self.broken[group, file.stem] = str(error)
            return
        self.names[group].add(file.stem)
        store.store(group=group, name=file.stem, node=node, package=_package(group, file.stem))

    def title(self, group: str, name: str) -> str:
        """One line on what a name stands for."""
        if file := self.files.get((group, name)):
            return str(_read(file).get("title", ""))
        return (registered(group)[name].__doc__ or "").strip().split("\n")[0]

    def details(self, group: str, name: str) -> str:
        """A second line on a suite: how many prompts, how they are asked, licence, slices, and what is worse."""
        if group != "suite" or (group, name) not in self.files:
            return ""
        suite = _read(self.files[group, name])
        n, limit, slices = suite.get("n"), suite.get("limit"), suite.get("slices") or []
        count = f"{n:,} prompts" if isinstance(n, int) else "n not stated"
        worse = list(dict.fromkeys(self._worse(scorer) for scorer in suite.get("scorers") or []))
        return "; ".join(
            [
                f"{count}, {limit:,} of them asked" if isinstance(limit, int) else count,
                "choices" if suite.get("choices") or suite.get("kind") == "bbq" else suite.get("ask", "raw"),
                f"licence {suite.get('licence', 'not stated')}",
                f"slices {', '.join(map(str, slices))}" if slices else "no slices",
                f"worse is {' or '.join(worse)}" if worse else "scored by the audit's scorers",
            ]
        )

    def _worse(self, scorer: str) -> str:
        """In which direction a scorer's measure gets worse."""
        file = self.files.get(("scorer", scorer))
        return str(_read(file).get("more", scorer)) if file else scorer

    def explain(self, group: str, name: str) -> str:
        """Why ``group`` has no usable ``name``."""
        if (group, name) in self.broken:
            return self.broken[group, name]
        if group not in self.names:
            return f"There is no config group '{group}'.{did_you_mean(group, self.names)}"
        return f"There is no {group} named '{name}'.{did_you_mean(name, self.names[group])}"


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
        config = _composed(overrides)
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
        raise ToxauditError(_sentence(error, catalogue, overrides)) from error
    measures.assign(spec, everywhere)
    check(spec)
    return spec


def _composed(overrides: Sequence[str]) -> DictConfig:
    with initialize(version_base="1.3", config_path=None):
        return hydra_compose("toxaudit", overrides=list(overrides))


def _bring_scorers(catalogue: Catalogue, overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Select the scorers that suites bring along, beside those that the audit selects for all.

    Returns:
        The overrides with all of them, and the names of the audit's own.
    """
    chosen = [text for text in overrides if re.match(r"(audit|suite|scorer)=|suites\.", text)]
    config = _composed(chosen)
    everywhere = list(_selected(config, "scorer"))
    suites = _selected(config, "suite")
    for name, suite in suites.items():
        if unknown := next((each for each in suite.scorers if each not in catalogue.names["scorer"]), None):
            raise ToxauditError(f"suite '{name}': {catalogue.explain('scorer', unknown)}")
    names = [*everywhere, *(name for name in measures.wanted(suites.values()) if name not in everywhere)]
    rest = [text for text in overrides if not text.startswith("scorer=")]
    return ([*rest, f"scorer=[{','.join(names)}]"] if names else rest), everywhere


def _selected(config: DictConfig, group: str) -> dict[str, Any]:
    """The parts of a group that were selected, by name: those that have a class."""
    key, classes = SEVERAL[group], registered(group).values()
    return {str(name): config[key][name] for name in config[key] if OmegaConf.get_type(config[key], name) in classes}


def _package(group: str, name: str) -> str:
    """Where a chosen part stands in the audit."""
    if group == "audit":
        return "_global_"
    return f"{SEVERAL[group]}.{name}" if group in SEVERAL else group


def _yaml_files() -> Iterator[tuple[str, Path]]:
    for audits in folders.search_path("audits"):
        yield from (("audit", file) for file in sorted(audits.glob("*.yaml")))
        for group in GROUPS:
            yield from ((group, file) for file in sorted((audits / group).glob("*.yaml")))
    for group in GROUPS:
        yield from ((group, file) for file in sorted((folders.conf() / group).glob("*.yaml")))


def _read(file: Path) -> dict[str, Any]:
    content = strict_yaml.read(file)
    if isinstance(candidates := content.get("candidates"), dict):
        written = {name: candidate_of(each) if isinstance(each, str) else each for name, each in candidates.items()}
        content["candidates"] = written
    return cast(dict[str, Any], _anchor(content, file.parent))


def _anchor(value: Any, folder: Path, key: str = "") -> Any:
    """Paths that begin with ``./`` or ``../`` are relative to the file that names them; no other text is a path."""
    if isinstance(value, dict):
        return {key: _anchor(item, folder, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_anchor(item, folder, key) for item in value]
    named = key in PATHS and isinstance(value, str) and value.startswith(("./", "../"))
    return str((folder / value).resolve()) if named else value


@lru_cache(1_000)
def _preset(group: str, file: Path, changed: int, size: int) -> DictConfig:
    """A preset is ``kind:`` (the class it presets) and values for that class's fields.

    Files are read once, as long as their time of change and their size stay; Hydra copies what it takes of them.
    """
    content = _read(file)
    kind, classes = content.pop("kind", None), registered(group)
    if kind is None:
        raise ToxauditError(f"{file} has no key 'kind': it says which {group} this is: {', '.join(sorted(classes))}.")
    if kind not in classes:
        raise ToxauditError(f"{file}: 'kind' is '{kind}', which is no {group}.{did_you_mean(str(kind), classes)}")
    try:
        return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(classes[kind]), content))
    except OmegaConfBaseException as error:
        raise ToxauditError(f"{file}: {_problem(error)}") from error


def _audit(file: Path) -> DictConfig:
    """An audit selects parts by the groups' names, just as the command line does: ``suite: [a, b]``, ``gate: x``."""
    content = _read(file)
    defaults = content.pop("defaults", [])
    if not isinstance(defaults, list) or not all(isinstance(item, str | dict) for item in defaults):
        raise ToxauditError(f"{file}: 'defaults' must be a list of names, as in Hydra.")
    for group in GROUPS:
        chosen = content.get(group)
        if isinstance(chosen, str | list):
            if not all(isinstance(name, str) for name in chosen):
                raise ToxauditError(f"{file}: '{group}' must be a name or a list of names.")
            defaults.append({f"override /{group}": content.pop(group)})
        elif group in content and not isinstance(chosen, dict):
            raise ToxauditError(f"{file}: '{group}' must be a name, a list of names, or settings.")
    if "_self_" not in defaults:
        defaults.append("_self_")
    return OmegaConf.create({"defaults": defaults, "name": file.stem, **content})


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


def _sentence(error: Exception, catalogue: Catalogue, overrides: Sequence[str]) -> str:
    """One sentence for what Hydra or OmegaConf refused."""
    text = str(error)
    if found := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        return catalogue.explain(*found.groups())
    if found := re.search(r"Could not override '?([\w.@\[\]/-]+)'?", text):
        if re.match(r"Could not override '[^']+'\.\nNo match in the defaults list", text):
            return catalogue.explain(found[1], "")
        return _unknown_key(found[1], overrides)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__ or error.__context__
    if isinstance(cause, OmegaConfBaseException):
        if "merging override +candidates." in text:
            return NEW_CANDIDATE
        return _problem(cause)
    if isinstance(error, ConfigCompositionException) and "Ambiguous value" in text:
        return text.split("\n")[0] + ": write [a,b] for a list, or add -m to sweep over the values."
    return " ".join(text.split())


def _problem(error: OmegaConfBaseException) -> str:
    """What OmegaConf found wrong, with the key it found it at."""
    key = error.full_key or error.key
    choices = {each.name for each in fields(error.object_type)} if is_dataclass(error.object_type) else set()
    if "not in" in str(error) and choices:
        return f"There is no key '{key}'.{did_you_mean(str(error.key), set(choices) - {'defaults'})}"
    message = (error.msg or str(error)).split("\n")[0].rstrip(".")
    if found := re.search(r"missing mandatory value: (\w+)", message):
        missing = key if key and key.split(".")[-1] == found[1] else ".".join(filter(None, (key, found[1])))
        return f"'{missing}' must be set: in YAML, or on the command line."
    if "is not a ListConfig" in message:
        return f"'{key}' must be a list: write [NAME] for one."
    if "is incompatible with key type" in message or "is incompatible with (str)" in message:
        return f"'{key}': its keys must be texts: write quotes around numbers."
    return f"'{key}' is wrong: {message}." if key else f"{message}."


def _unknown_key(key: str, overrides: Sequence[str]) -> str:
    """The nearest key to one that doesn't exist, read from the same audit without the faulty overrides."""
    audits = [text for text in overrides if text.split("=")[0] in {"audit", *GROUPS}]
    node: Any = _composed(audits)
    good: list[str] = []
    for part in key.split("."):
        if not OmegaConf.is_dict(node) or part not in node:
            break
        good.append(part)
        node = node[part]
    if len(good) == len(key.split(".")):  # the key is there, but Hydra adds no entries to a mapping
        return f"'{key}' is a mapping, which the command line can't extend: write its entries in the YAML file."
    bad = key.split(".")[len(good)]
    choices = set(map(str, node)) - {"defaults"} if OmegaConf.is_dict(node) else set()
    place = f" in '{'.'.join(good)}'" if good else ""
    new = f" {NEW_CANDIDATE}" if good == ["candidates"] else ""
    return f"There is no key '{bad}'{place}.{did_you_mean(bad, choices)}{new}"


def scorer(name: str, overrides: Sequence[str]) -> Any:
    """One scorer by its name, with ``overrides`` of its keys (``scorers.NAME.key=value``), checked.

    Raises:
        ToxauditError: there is none of that name, or a key or value of it is wrong.
    """
    catalogue = Catalogue()
    if name not in catalogue.names["scorer"]:
        raise ToxauditError(catalogue.explain("scorer", name))
    config = OmegaConf.create({"scorers": {name: ConfigStore.instance().load(f"scorer/{name}.yaml").node}})
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
            OmegaConf.update(config, override.key_or_group, override.value())
        found = cast(dict[str, Any], OmegaConf.to_object(config))["scorers"][name]
    except OmegaConfBaseException as error:
        raise ToxauditError(_problem(error)) from error
    found.check()
    return found
