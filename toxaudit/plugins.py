"""Parts that other installed packages bring: entry points name modules, which file them as toxaudit files its own.

A plug-in is taken whole or not at all, and what is wrong with one stops no other. None is imported before a spec is
composed, names are listed, or a finished run names a part that toxaudit itself does not have.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, version
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from toxaudit import registry
from toxaudit.errors import one_line
from toxaudit.extensions import PROTOCOLS, lacking
from toxaudit.machine import folders
from toxaudit.registry import GROUPS, IMPORTER, SEVERAL, registered

ENTRY_POINTS = "toxaudit.plugins"
"""The group of entry points under which a package names its modules."""

BUILT_IN = ("toxaudit.compose.catalogue", "toxaudit.interop.importers")
"""The modules whose import files every built-in part, so that a plug-in finds their names taken. They lie above this
one, which therefore imports them by their names, and only where a plug-in is installed."""

CONF = "conf"
"""The folder in the plug-in's package that holds its presets, in a folder for each config group."""

Part = tuple[str, str]
"""A group, and a name in it."""

Filed = Mapping[str, Mapping[str, type[Any]]]
"""Classes by group and name."""


@dataclass(frozen=True)
class Plugin:
    """What one entry point brings.

    Attributes:
        name: the entry point's.
        package: the package that was installed.
        version: of the package.
        classes: those that it files, by group and name.
        presets: its YAML files, by group and name.
        folder: of its package; none where its module lies in no package.
        refusal: why it can't be used, as the end of a sentence; empty where it can.
    """

    name: str
    package: str
    version: str
    classes: Mapping[Part, type[Any]] = field(default_factory=dict)
    presets: Mapping[Part, Path] = field(default_factory=dict)
    folder: Path | None = None
    refusal: str = ""

    @property
    def origin(self) -> str:
        """The package and its version."""
        return f"{self.package} {self.version}"

    @property
    def parts(self) -> list[Part]:
        """All that it brings, by group and name."""
        return sorted({**self.classes, **self.presets})

    @property
    def told(self) -> str:
        """What it brings, or why it can't be used, as the end of a sentence."""
        return f"is not used: it {self.refusal}" if self.refusal else f"brings {', '.join(map(' '.join, self.parts))}"


@cache
def loaded() -> tuple[Plugin, ...]:
    """All plug-ins, those that can't be used among them, by package and name; they are imported once."""
    found: list[Plugin] = []
    for entry in entries():
        for module in BUILT_IN:
            import_module(module)
        found.append(_loaded(entry, found))
    return tuple(found)


def entries() -> list[EntryPoint]:
    """The entry points of installed packages, by package and name; nothing is imported."""
    return sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: (*_package(entry), entry.name))


def named(group: str, name: str) -> type[Any] | None:
    """A class by its name; plug-ins are loaded only where toxaudit has none of that name."""
    if name not in registered(group):
        loaded()
    return registered(group).get(name)


def all_of(group: str) -> Iterator[type[Any]]:
    """The classes of a group, those of plug-ins last: they are loaded only for whoever wants more than the others."""
    known = registered(group)
    yield from known.values()
    loaded()
    yield from (made for name, made in registered(group).items() if name not in known)


def origin(what: Path | type[Any]) -> str:
    """The package, with its version, that brings a preset or a class; empty for toxaudit's own and the user's."""
    of = (each.origin for each in loaded() if what in each.presets.values() or what in each.classes.values())
    return next(of, "")


def versions(packages: Iterable[str], *parts: object) -> dict[str, str]:
    """Package -> version, of some packages, and of the plug-ins that parts of a spec are of, or whose files they name.

    A preset that names no file of its package is left out: it is values, which the run's ``spec.yaml`` holds.
    """
    values = list(_values(parts))
    types, texts = {type(each) for each in values}, [each for each in values if isinstance(each, str)]
    return {each: version(each) for each in packages} | {
        each.package: each.version
        for each in loaded()
        if types & set(each.classes.values())
        or (each.folder and any(text.startswith(f"{each.folder}/") for text in texts))
    }


def may_have() -> str:
    """Which plug-ins can't be used, and so may lack a name that is wanted: sentences after another one, or nothing."""
    said = (f" The plug-in '{each.name}' of {each.origin}, which may have it, {each.refusal}." for each in broken())
    return "".join(said)


def broken() -> list[Plugin]:
    """The plug-ins that can't be used."""
    return [each for each in loaded() if each.refusal]


def _values(part: object) -> Iterator[object]:
    """A part of a spec, and all that it holds at any depth."""
    yield part
    inner: Iterable[object] = ()
    if is_dataclass(part) and not isinstance(part, type):
        inner = (getattr(part, each.name) for each in fields(part))
    elif isinstance(part, Mapping):
        inner = part.values()
    elif isinstance(part, list | tuple):
        inner = part
    for each in inner:
        yield from _values(each)


class _Refused(Exception):
    """Why a plug-in can't be used, as the end of a sentence that begins with its name."""


def _loaded(entry: EntryPoint, others: Sequence[Plugin]) -> Plugin:
    """Import a plug-in; what it filed is taken back where it can't be used."""
    package, number = _package(entry)
    before = registry.filed()
    try:
        module = _imported(entry)
        classes = _theirs(entry, before, others)
        for part, made in classes.items():
            _check_class(*part, made)
        folder = Path(module.__file__).resolve().parent if module.__package__ and module.__file__ else None
        brought = {file for each in others for file in each.presets.values()}  # by another module of the package
        presets = {
            part: file for part, file in (_presets(folder / CONF) if folder else {}).items() if file not in brought
        }
        _check_names(classes, presets, others)
        if not classes and not presets and package not in {each.package for each in others if each.parts}:
            raise _Refused(f"brings nothing: it registers no class, and there are no presets in its folder {CONF}/")
    except _Refused as error:
        registry.withdraw(_theirs(entry, before, others))
        return Plugin(entry.name, package, number, refusal=str(error))
    return Plugin(entry.name, package, number, classes, presets, folder)


def _theirs(entry: EntryPoint, before: Filed, others: Sequence[Plugin]) -> dict[Part, type[Any]]:
    """A plug-in's classes: those of its package, and those filed since ``before`` that are of no other plug-in's.

    They may have been filed before, where somebody else has imported the module.
    """
    own, toxaudit = _top(entry.module), _top(__name__)
    known = {toxaudit, *(_top(each.module) for each in entries())}
    taken = {part for each in others for part in each.classes}
    return {
        (group, name): made
        for group, filed in registry.filed().items()
        for name, made in filed.items()
        if (group, name) not in taken
        and (
            (_top(made.__module__) == own != toxaudit)
            or (name not in before[group] and _top(made.__module__) not in known)
        )
    }


def _top(module: str) -> str:
    """The package that is installed, of a module's name."""
    return module.partition(".")[0]


def _package(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("an unknown package", "?")


def _imported(entry: EntryPoint) -> ModuleType:
    """The module of an entry point.

    Raises:
        _Refused: if it can't be imported, for whatever reason.
    """
    if entry.attr:
        raise _Refused(f"names '{entry.value}' as its entry point, which must be a module alone")
    try:
        return import_module(entry.module)
    except (Exception, SystemExit) as error:
        raise _Refused(f"can't be imported: {_told(error)}") from error


def _told(error: BaseException) -> str:
    text = one_line(str(error)).rstrip(". ")
    return text if isinstance(error, registry.Taken) else f"{type(error).__name__}{f': {text}' * bool(text)}"


def _check_class(group: str, name: str, made: type[Any]) -> None:
    """Refuse a class that can't be chosen, or lacks what its group asks for."""
    if not re.fullmatch(folders.NAME, name):
        raise _Refused(f"calls a {group} '{name}': a name is made of the letters a-z, digits, - and _, a letter first")
    missing = lacking(made, PROTOCOLS[group]) | (set(made.__abstractmethods__) if isabstract(made) else set())
    if missing:
        raise _Refused(f"has a {group} '{name}' that lacks {', '.join(sorted(missing))}")
    try:
        if group == IMPORTER:
            made()
        else:
            from omegaconf import OmegaConf

            get_type_hints(made)
            OmegaConf.structured(made)
    except Exception as error:
        raise _Refused(f"has a {group} '{name}' that can't be made: {_told(error)}") from error


def _presets(conf: Path) -> dict[Part, Path]:
    """The YAML files of a plug-in."""
    if odd := next((name for name in SEVERAL.values() if (conf / name).is_dir()), None):
        group = next(group for group, several in SEVERAL.items() if several == odd)
        raise _Refused(f"has a folder {CONF}/{odd}, which must be called {CONF}/{group}")
    return {(group, file.stem): file for group in GROUPS for file in sorted((conf / group).glob("*.yaml"))}


def _check_names(classes: Mapping[Part, type[Any]], presets: Mapping[Part, Path], others: Sequence[Plugin]) -> None:
    """Refuse a plug-in whose names are those of toxaudit's own parts or of another plug-in."""
    for group, name in {**classes, **presets}:
        if other := next((each for each in others if (group, name) in each.parts), None):
            raise _Refused(f"has a {group} '{name}', and so has {other.origin}: remove one of the packages")
        held = name in registered(group) and (group, name) not in classes
        if held or (folders.conf() / group / f"{name}.yaml").is_file():
            raise _Refused(f"has a {group} '{name}', which is a name of toxaudit's own")
