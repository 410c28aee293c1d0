"""Every name that a spec can choose, read from YAML files and given to Hydra."""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import toxaudit.backends
import toxaudit.card
import toxaudit.decision.gate
import toxaudit.decision.sampling
import toxaudit.estimators
import toxaudit.executors
import toxaudit.scorers
import toxaudit.suites  # noqa: F401  (these imports register the parts that a spec can choose)
from toxaudit.compose.refusals import problem
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine import folders
from toxaudit.registry import GROUPS, SEVERAL, registered
from toxaudit.spec import strict_yaml
from toxaudit.spec.schema import AuditSpec, candidate_of

PATHS = {"data", "pretrained", "peft", "tokenizer", "lexicon", "rubric", "calibration", "lock", "out", "store"}
PATHS |= {"template", "summary", "whole", "report"}  # a card's
"""Keys whose values can be paths."""


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
        raise ToxauditError(f"{file}: {problem(error)}") from error


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
