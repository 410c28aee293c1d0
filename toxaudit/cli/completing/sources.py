"""Names and keys as they stand in source text and in YAML files: nothing is imported, so that an answer comes at once.

What is said here is read off the same decorators and fields that the registry and Hydra take, and a test compares them.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from toxaudit import plugins
from toxaudit.machine import folders
from toxaudit.registry import GROUPS

PACKAGE = Path(__file__).parents[2]
"""The folder of toxaudit's own modules."""

MOST_MODULES = 500
"""Modules of a plug-in's package that are looked through."""

_REGISTERED = re.compile(r'^@register\("(\w+)", "([\w-]+)"\)\n(?:@.*\n)*class (\w+)', re.MULTILINE)
_KIND = re.compile(r"""^kind:\s*["']?([\w-]+)""", re.MULTILINE)


@dataclass(frozen=True)
class Written:
    """A class by its name, in the file that defines it."""

    file: Path
    name: str


@dataclass(frozen=True)
class Key:
    """A field of a class.

    Attributes:
        holds: the class whose keys stand below it, if one is known.
        by_name: whether these stand below names, as in a mapping.
        choices: all values that it can have, where they are few.
    """

    holds: Written | None = None
    by_name: bool = False
    choices: tuple[str, ...] = ()


@cache
def registered() -> dict[tuple[str, str], Written]:
    """Every class that is filed in a group under a name, toxaudit's own before those of plug-ins."""
    found: dict[tuple[str, str], Written] = {}
    for module in (*PACKAGE.rglob("*.py"), *_of_plugins()):
        text = module.read_text(encoding="utf-8", errors="replace")
        for group, name, of in _REGISTERED.findall(text) if "@register(" in text else ():
            found.setdefault((group, name), Written(module, of))
    return found


@cache
def presets() -> dict[tuple[str, str], Path]:
    """Every YAML file that has a name in a group: the user's own, those of plug-ins, and toxaudit's."""
    found: dict[tuple[str, str], Path] = {}
    audits = folders.search_path("audits")
    for group, place in (("audit", "."), *((group, group) for group in GROUPS)):
        own = [folder / place for folder in audits]
        others = [folder / plugins.CONF / group for folder in (*_folders(), PACKAGE)]
        for folder in (*own, *others):
            for file in folder.glob("*.yaml"):
                found.setdefault((group, file.stem), file)
    return found


def names(group: str) -> list[str]:
    """The names of a group, whether they can be used or not."""
    return sorted({name for of, name in (*registered(), *presets()) if of == group})


def part(group: str, name: str) -> Written | None:
    """The class of a part by its name, or by the ``kind`` of its YAML file."""
    if file := presets().get((group, name)):
        with suppress(OSError):
            if found := _KIND.search(file.read_text(encoding="utf-8", errors="replace")):
                name = found[1]
    return registered().get((group, name))


def content(file: Path) -> dict[str, Any]:
    """What a YAML file says; nothing where it can't be read."""
    import yaml

    with suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        told = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return told if isinstance(told, dict) else {}
    return {}


@cache
def keys(of: Written) -> dict[str, Key]:
    """The keys of a class, those that it inherits among them."""
    tree = _tree(of.file)
    node = next((each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == of.name), None)
    found: dict[str, Key] = {}
    for base in node.bases[::-1] if node else ():
        if (above := _named(base, of.file)) and above != of:
            found |= keys(above)
    for line in node.body if node else ():
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            used = _names(line.annotation)
            if "ClassVar" not in used and not line.target.id.startswith("_"):
                found[line.target.id] = _key(line.annotation, used, of.file)
    return found


def _key(annotation: ast.expr, used: set[str], file: Path) -> Key:
    literals = [each.value for each in ast.walk(annotation) if isinstance(each, ast.Constant)]
    choices = tuple(each for each in literals if isinstance(each, str)) if "Literal" in used else ()
    if used <= {"bool"} and used:
        choices = ("true", "false")
    classes = (_named(each, file) for each in ast.walk(annotation) if isinstance(each, ast.Name))
    held = None if used & {"list", "Sequence"} else next((each for each in classes if each), None)
    return Key(held, bool(used & {"dict", "Mapping"}), choices)


def _names(annotation: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(annotation) if isinstance(each, ast.Name)}


@cache
def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _named(node: ast.expr, file: Path) -> Written | None:
    """The class that a name stands for in a module: one of it, or one that it imports from a module that is known."""
    if not isinstance(node, ast.Name):
        return None
    for line in _tree(file).body:
        if isinstance(line, ast.ClassDef) and line.name == node.id:
            return Written(file, node.id)
        if isinstance(line, ast.ImportFrom) and line.module and not line.level:
            for alias in line.names:
                if (alias.asname or alias.name) == node.id and (module := _module(line.module)):
                    return Written(module, alias.name)
    return None


def _module(name: str) -> Path | None:
    """The file of a module of toxaudit or of a plug-in."""
    top, *rest = name.split(".")
    for folder in (PACKAGE, *_folders()):
        if folder.name == top:
            places = folder.joinpath(*rest).with_suffix(".py"), folder.joinpath(*rest, "__init__.py")
            return next((place for place in places if place.is_file()), None)
    return None


def _of_plugins() -> Iterator[Path]:
    for folder in _folders():
        yield from islice(folder.rglob("*.py"), MOST_MODULES)


@cache
def _folders() -> tuple[Path, ...]:
    """The folders of plug-ins' packages."""
    found = []
    for entry in plugins.entries():
        top, *rest = entry.module.split(".")
        with suppress(ImportError, ValueError, AttributeError):
            spec = find_spec(top)  # of a name without a dot, which imports nothing
            place = Path(*(spec.submodule_search_locations or ())[:1], *rest) if spec else Path()
            folder = place if place.is_dir() else place.parent
            if folder.is_absolute():
                found.append(folder)
    return tuple(dict.fromkeys(found))
