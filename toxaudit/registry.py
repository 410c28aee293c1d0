"""Names for the parts a spec can choose: ``@register(group, name)`` makes a class a dataclass and files it.

``compose.py`` gives every filed class to Hydra, so that its fields are the keys a spec may set; nothing here imports
Hydra, and so nothing that only registers itself pays for it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

GROUPS = ("suite", "scorer", "backend", "estimator", "gate", "sampling", "executor", "card", "analysis")
"""The config groups besides ``audit``."""

SEVERAL = {"suite": "suites", "scorer": "scorers", "estimator": "estimators", "analysis": "analyses"}
"""Groups of which an audit selects several, and the key of the audit under which the selected ones stand by name."""

IMPORTER = "importer"
"""The group that no spec chooses from: what reads another tool's results."""

T = TypeVar("T")
_classes: dict[str, dict[str, type[Any]]] = {group: {} for group in (*GROUPS, IMPORTER)}


class Taken(ValueError):
    """A name that a class of its group has already."""


@dataclass_transform(kw_only_default=True)
def register(group: str, name: str) -> Callable[[type[T]], type[T]]:
    """Make the decorated class a keyword-only dataclass and file it in ``group`` under ``name``.

    The class gains the attribute ``kind``, its name.

    Raises:
        ValueError: if the group is unknown.
        Taken: if it holds that name already.
    """
    if group not in _classes:
        raise ValueError(f"no group {group!r}; the groups are {', '.join(_classes)}")
    if name in _classes[group]:
        raise Taken(f"{group} '{name}' is registered twice: {_classes[group][name].__module__} has that name already")

    def file(cls: type[T]) -> type[T]:
        made = dataclass(kw_only=True)(cls)
        made.kind = name  # type: ignore[attr-defined]
        _classes[group][name] = made
        return made

    return file


def registered(group: str) -> dict[str, type[Any]]:
    """The classes filed in ``group``, by name."""
    return dict(_classes[group])


def filed() -> dict[str, dict[str, type[Any]]]:
    """All classes that are filed now, by group and name."""
    return {group: dict(classes) for group, classes in _classes.items()}


def withdraw(parts: Iterable[tuple[str, str]]) -> None:
    """Take classes out again, by group and name."""
    for group, name in parts:
        del _classes[group][name]
