"""Where a spec wants texts, YAML may have read something else: refused, before it is turned into a text nobody wrote.

``phrases: [no]`` holds a truth value, ``- Sorry: I cannot`` a mapping, and ``revision: 0123`` is the number 83.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from toxaudit.errors import ToxauditError
from toxaudit.registry import GROUPS, SEVERAL, registered
from toxaudit.spec.schema import AuditSpec

NAMES: dict[Any, str] = {int: "whole number", float: "number", bool: "truth value"}


@dataclass(frozen=True)
class Texts:
    """The texts of one file, or of one override.

    Attributes:
        where: what a sentence begins with.
        written: how numbers are written, by place: one that is written as it is read can only mean that text.
        made: whether all that a value looks up elsewhere is there by now, so that a text is nothing else any more.
    """

    where: str
    written: Mapping[str, str]
    made: bool = False

    def check_audit(self, content: Mapping[str, Any]) -> None:
        """Refuse what is no text, where an audit's keys want one.

        Raises:
            ToxauditError: if there is such; the sentence names the place.
        """
        for key, value in content.items():
            group = next((group for group in GROUPS if key == SEVERAL.get(group, group)), None)
            if group is None:
                self._check(_hints(AuditSpec).get(key), value, key)
                continue
            several = group in SEVERAL and isinstance(value, dict)
            for place, settings in (
                ((f"{key}.{name}", each) for name, each in value.items()) if several else [(key, value)]
            ):
                if isinstance(settings, dict):
                    self._check_settings(group, settings, f"{place}.")
                elif several and settings is not None and "${" not in str(settings):
                    raise ToxauditError(f"{self.where}'{place}' must be a mapping of KEY: VALUE.")

    def check_spec(self, spec: AuditSpec) -> None:
        """As ``check_audit``, of a whole spec: what is no text by now, nothing has made one of."""
        for name, hint in _hints(AuditSpec).items():
            self._check(hint, getattr(spec, name), name)

    def check_made(self, part: Any, place: str) -> None:
        """As ``check_spec``, of one part of it."""
        self._check(type(part), part, place)

    def check_part(self, cls: type[Any], content: Mapping[str, Any]) -> None:
        """As ``check_audit``, of the keys of a preset of ``cls``."""
        for name, value in content.items():
            self._check(_hints(cls).get(name), value, name)

    def _check_settings(self, group: str, settings: Mapping[str, Any], place: str) -> None:
        """Settings of a part of which the group is known, and the class may be any of that."""
        for name, value in settings.items():
            hints = [_hints(cls)[name] for cls in registered(group).values() if name in _hints(cls)]
            self._check(hints[0] if hints else None, value, f"{place}{name}")

    def _check(self, hint: Any, value: Any, place: str) -> None:
        if get_origin(hint) in (Union, UnionType):
            of = [each for each in get_args(hint) if each is not NoneType]
            if value is None or len(of) > 1:
                return
            hint = of[0]
        if self.made and is_dataclass(hint) and type(value) is not hint:
            raise ToxauditError(f"{self.where}'{place}' must be a mapping of KEY: VALUE.")
        if hint is str:
            self._check_text(value, place)
        elif self.made and hint in NAMES and not isinstance(value, (int, float) if hint is float else hint):
            raise ToxauditError(f"{self.where}'{place}' is wrong: {value} is no {NAMES[hint]}.")
        elif get_origin(hint) is list:
            self._check_list(hint, value, place)
        elif get_origin(hint) is dict:
            self._check_mapping(hint, value, place)
        elif is_dataclass(value):
            for key, of_field in _hints(type(value)).items():
                self._check(of_field, getattr(value, key, None), f"{place}.{key}")
        elif is_dataclass(hint) and isinstance(value, dict):
            for key, item in value.items():
                self._check(_hints(hint).get(key), item, f"{place}.{key}")

    def _check_list(self, hint: Any, value: Any, place: str) -> None:
        if isinstance(value, dict) or is_dataclass(value) or (self.made and not isinstance(value, list)):
            what = "a mapping" if isinstance(value, dict) or is_dataclass(value) else "one value"
            raise ToxauditError(f"{self.where}'{place}' is {what}, and must be a list.")
        for number, item in enumerate(value if isinstance(value, list) else ()):
            self._check(get_args(hint)[0], item, f"{place}[{number}]")

    def _check_mapping(self, hint: Any, value: Any, place: str) -> None:
        if isinstance(value, list) or is_dataclass(value) or (self.made and not isinstance(value, dict)):
            raise ToxauditError(f"{self.where}'{place}' must be a mapping of KEY: VALUE.")
        for key, item in value.items() if isinstance(value, dict) else ():
            self._check(get_args(hint)[1], item, f"{place}.{key}")

    def _check_text(self, value: Any, place: str) -> None:
        if isinstance(value, dict) or is_dataclass(value):
            problem = "is a mapping: write quotes around a text with a colon or in braces"
        elif isinstance(value, list):
            problem = "is a list: write one text, with quotes around it if it is in brackets"
        elif isinstance(value, bool):
            problem = "is a truth value: write quotes around it"
        elif value is None:
            problem = "is null: write a text"
        elif isinstance(value, int | float) and (found := self.written.get(place, "")) != str(value):
            problem = f"{f'is {found}, ' if found else 'is '}read as the number {value}: write quotes around it"
        else:
            return
        raise ToxauditError(f"{self.where}'{place}' {problem}.")


def _hints(cls: Any) -> dict[str, Any]:
    return _hints_of(cls)


@lru_cache
def _hints_of(cls: Hashable) -> dict[str, Any]:
    return get_type_hints(cls)
