"""Every name that a spec can choose: the registered parts, and what the YAML files hold."""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import toxaudit.analyses.curvature
import toxaudit.analyses.groups
import toxaudit.analyses.models
import toxaudit.backends
import toxaudit.card.section
import toxaudit.decision.gate
import toxaudit.decision.sampling
import toxaudit.estimators
import toxaudit.executors
import toxaudit.scorers
import toxaudit.suites  # noqa: F401  (these imports register the parts that a spec can choose)
from toxaudit import plugins
from toxaudit.compose.refusals import problem
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine import folders
from toxaudit.registry import GROUPS, SEVERAL, registered
from toxaudit.spec import strict_yaml
from toxaudit.spec.schema import candidate_of
from toxaudit.spec.strict_yaml import Written
from toxaudit.spec.texts import Texts

PATHS = {"data", "pretrained", "peft", "tokenizer", "lexicon", "rubric", "calibration", "lock", "out", "store"}
PATHS |= {"labels"}
PATHS |= {"chat_template"}  # the words own and base are no paths
PATHS |= {"template", "summary", "whole", "report"}  # a card's
"""Keys whose values can be paths."""


class Catalogue:
    """Every name that a spec can choose, and the files that hold them; unreadable files are kept as sentences."""

    def __init__(self) -> None:
        """Read the shipped presets, those of plug-ins and the user's own, as far as they changed since the last."""
        plugins.loaded()
        self.names: dict[str, set[str]] = {group: set(registered(group)) for group in GROUPS} | {"audit": set()}
        self.broken: dict[tuple[str, str], str] = {}
        self.files: dict[tuple[str, str], Path] = {}
        self._read: dict[tuple[str, str], dict[str, Any] | DictConfig] = {}
        for group, file in _yaml_files():
            if (group, file.stem) not in self.files:  # the user's own comes first and wins
                self.files[group, file.stem] = file
                self._add(group, file)
        for name in [each for each in self.names["audit"] if each in self._begun_with(each)]:
            file = self.files["audit", name]
            self.broken["audit", name] = f"{file}: 'defaults' leads back to this audit itself: leave that name out."
            self.names["audit"].discard(name)

    def _add(self, group: str, file: Path) -> None:
        try:
            if not re.fullmatch(folders.NAME, file.stem):
                raise ToxauditError(f"{file}: name the file with the letters a-z, digits, - and _, and a letter first.")
            self._read[group, file.stem] = _audit(file) if group == "audit" else _preset(group, file, _seen(file))
        except ToxauditError as error:
            self.broken[group, file.stem] = str(error)
            return
        self.names[group].add(file.stem)

    def _begun_with(self, audit: str) -> set[str]:
        """The audits that one begins with, and those that these begin with."""
        found, todo = set[str](), [audit]
        while todo:
            content = self._read.get(("audit", todo.pop()), {})
            new = {each for each in content.get("defaults", ()) if isinstance(each, str)} - found
            found |= new
            todo += new
        return found

    def node(self, group: str, name: str) -> DictConfig:
        """What a name stands for, to be changed at will."""
        found = self._read.get((group, name))
        if isinstance(found, dict):
            return OmegaConf.create(found)
        return deepcopy(_class(group, name) if found is None else found)

    def title(self, group: str, name: str) -> str:
        """One line on what a name stands for."""
        if file := self.files.get((group, name)):
            return str(_read(file).get("title", ""))
        return (registered(group)[name].__doc__ or "").strip().split("\n")[0]

    def details(self, group: str, name: str) -> str:
        """A second line: on a suite what it asks, on a scorer what it counts and how it errs; else nothing."""
        if group == "scorer":
            return self._of_scorer(name)
        return self._of_suite(name) if group == "suite" and (group, name) in self.files else ""

    def _of_scorer(self, name: str) -> str:
        """A scorer's tier, what is worse by it, and its caveat; of a kind, by its defaults."""
        written = _read(self.files["scorer", name]) if ("scorer", name) in self.files else {"kind": name}
        kind = registered("scorer").get(str(written.get("kind")))
        if not written.get("title", getattr(kind, "title", "")):
            return "a kind of scorer: a spec, or a preset of your own, writes its settings and its title"
        tier, more, caveat = (str(written.get(key, getattr(kind, key, ""))) for key in ("tier", "more", "caveat"))
        return f"{tier}; worse is {more}{'. ' * bool(caveat)}{caveat.strip()}"

    def _of_suite(self, name: str) -> str:
        suite = _read(self.files["suite", name])
        n, limit, slices = suite.get("n"), suite.get("limit"), suite.get("slices") or []
        count = f"{n:,} prompts" if isinstance(n, int) else "n not stated"
        worse = list(dict.fromkeys(self._worse(str(scorer)) for scorer in suite.get("scorers") or []))
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

    def origin(self, group: str, name: str) -> str:
        """The package, with its version, whose plug-in a name is of; empty for toxaudit's own and the user's."""
        return plugins.origin(self.files.get((group, name)) or registered(group)[name])

    def explain(self, group: str, name: str) -> str:
        """Why ``group`` has no usable ``name``."""
        if (group, name) in self.broken:
            return self.broken[group, name]
        if group not in self.names:
            return f"There is no config group '{group}'.{did_you_mean(group, self.names)}"
        if group == "audit" and (meant := folders.audit(name)):
            return f"There is no audit named '{name}': write audit={meant}."
        where = "audits" if group == "audit" else f"audits/{group}"
        if (other := Path(where, f"{name}.yml")).is_file():
            return f"There is no {group} named '{name}', but {other}: rename it to {name}.yaml."
        return f"There is no {group} named '{name}'.{did_you_mean(name, self.names[group])}{plugins.may_have()}"


def _yaml_files() -> Iterator[tuple[str, Path]]:
    for audits in folders.search_path("audits"):
        yield from (("audit", file) for file in sorted(audits.glob("*.yaml")))
        for group in GROUPS:
            yield from ((group, file) for file in sorted((audits / group).glob("*.yaml")))
    for plugin in plugins.loaded():
        yield from ((group, file) for (group, _), file in plugin.presets.items())
    for group in GROUPS:
        yield from ((group, file) for file in sorted((folders.conf() / group).glob("*.yaml")))


def _seen(file: Path) -> tuple[int, ...]:
    """By what a file that was read before is known to be the same still; nothing, where it can't be looked at."""
    try:
        stat = file.stat()
    except OSError:  # a link to nowhere: reading it says so
        return ()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


@lru_cache(1_000)
def _yaml(file: Path, seen: tuple[int, ...]) -> Written:
    """What a YAML file says, read once as long as it stays the same."""
    return strict_yaml.written(file)


def _texts(file: Path) -> Texts:
    return Texts(f"{file}: ", _yaml(file, _seen(file)).scalars)


def _read(file: Path) -> dict[str, Any]:
    content = dict(_yaml(file, _seen(file)).content)
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


@lru_cache
def _class(group: str, name: str) -> DictConfig:
    """A registered class with its own defaults."""
    return cast(DictConfig, OmegaConf.structured(registered(group)[name]))


@lru_cache(1_000)
def _preset(group: str, file: Path, seen: tuple[int, ...]) -> DictConfig:
    """A preset is ``kind:`` (the class it presets) and values for that class's fields."""
    content = _read(file)
    kind, classes = content.pop("kind", None), registered(group)
    if kind is None:
        raise ToxauditError(f"{file} has no key 'kind': it says which {group} this is: {', '.join(sorted(classes))}.")
    if not isinstance(kind, str):
        raise ToxauditError(f"{file}: 'kind' must be one name, not {kind}: {', '.join(sorted(classes))}.")
    if kind not in classes:
        hint = did_you_mean(kind, classes) + plugins.may_have()
        raise ToxauditError(f"{file}: 'kind' is '{kind}', which is no {group}.{hint}")
    if "title" not in classes[kind].__dataclass_fields__:
        content.pop("title", None)  # what `toxaudit ls` prints; no setting
    _texts(file).check_part(classes[kind], content)
    try:
        return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(classes[kind]), content))
    except OmegaConfBaseException as error:
        raise ToxauditError(f"{file}: {problem(error)}") from error


def _check_mapping(file: Path, key: str, written: Any) -> None:
    """Refuse a list, a text or a number in the place of a mapping; what is looked up may be one."""
    looked_up = isinstance(written, str) and "${" in written
    if written is not None and not isinstance(written, dict) and not looked_up:
        mend = ", such as 'pretrained: MODEL'" if key == "base" else ""
        raise ToxauditError(f"{file}: '{key}' must be a mapping of KEY: VALUE{mend}.")


def _check_begins(file: Path, begins: list[Any]) -> None:
    """Refuse what Hydra's own lists of defaults may hold besides names of audits."""
    if part := next((key for item in begins if isinstance(item, dict) for key in item if key in GROUPS), None):
        raise ToxauditError(f"{file}: 'defaults' names audits to begin with; write '{part}: NAME' beside it instead.")
    for item in begins:
        if "${" not in str(item) and not (isinstance(item, str) and re.fullmatch(f"_self_|{folders.NAME}", item)):
            raise ToxauditError(f"{file}: 'defaults' holds {item!r}: write names of audits, and perhaps _self_.")
    if len({*map(str, begins)}) < len(begins):
        raise ToxauditError(f"{file}: 'defaults' holds a name twice: leave one.")


def _audit(file: Path) -> dict[str, Any]:
    """An audit selects parts by the groups' names, just as the command line does: ``suite: [a, b]``, ``gate: x``."""
    content = _read(file)
    begins = content.pop("defaults", [])
    if not isinstance(begins, list) or not all(isinstance(item, str | dict) for item in begins):
        raise ToxauditError(f"{file}: 'defaults' must be a list of names, as in Hydra.")
    if any("hydra" in re.split(r"[^\w]+", str(item)) for item in begins) or "hydra" in content:
        raise ToxauditError(f"{file} sets Hydra's own 'hydra', which would do nothing: leave it out.")
    _check_begins(file, begins)
    defaults: list[Any] = [*begins]
    for group in GROUPS:
        chosen = content.get(group)
        if isinstance(chosen, list) and group not in SEVERAL:
            raise ToxauditError(
                f"{file}: '{group}' is a list, but one {group} alone can be chosen: write '{group}: NAME'."
            )
        if isinstance(chosen, str | list):
            if not all(isinstance(name, str) for name in chosen):
                raise ToxauditError(f"{file}: '{group}' must be a name or a list of names.")
            defaults.append({f"override /{group}": content.pop(group)})
        elif group in content and not isinstance(chosen, dict):
            raise ToxauditError(f"{file}: '{group}' must be a name, a list of names, or settings.")
    candidates = content.get("candidates")
    named = candidates if isinstance(candidates, dict) else {}
    for key in ("base", "generation"):
        _check_mapping(file, key, content.get(key))
    for name, candidate in named.items():
        _check_mapping(file, f"candidates.{name}", candidate)
    if odd := next((item for item in defaults if "${" in str(item)), None):
        raise ToxauditError(f"{file}: {odd} is to be looked up, but a spec names its parts: write the name itself.")
    _texts(file).check_audit(content)
    if "_self_" not in defaults:
        defaults.append("_self_")
    return {"defaults": defaults, "name": file.stem, **content}
