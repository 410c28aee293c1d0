"""What may follow in an override, by Hydra's grammar: ``scorer=[hurtlex,``, ``gate.margin=``, ``candidates.mine.``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toxaudit.cli.completing.sources import PACKAGE, Key, Written, content, keys, names, part, presets
from toxaudit.registry import GROUPS, SEVERAL

AUDIT = Written(PACKAGE / "spec/schema.py", "AuditSpec")
"""What a spec may say."""

NOT_WRITTEN = {"defaults", "grid", "name"}
"""Fields that nobody writes."""

SINGLE = {"gate": "margin", "sampling": "all", "backend": "transformers", "executor": "local", "card": "short"}
"""Groups of which an audit has one part, and which one where nothing is said."""


class Overrides:
    """What the other words of a command say of the audit: which one it is, and which parts it has."""

    def __init__(self, words: Sequence[str], roots: Sequence[str] = (), lists: Sequence[str] = ()) -> None:
        """Take the words that are complete.

        Args:
            words: those of the command.
            roots: the keys that the verb takes; none means all of an audit.
            lists: groups that are chosen by the audit's key for them, such as ``scorers=[...]``.
        """
        self.roots, self.lists = roots, lists
        self.said = {key: value for key, is_, value in (word.partition("=") for word in words) if is_}
        file = presets().get(("audit", self.said.get("audit", "")))
        self.audit = content(file) if file else {}

    def answers(self, word: str) -> list[str]:
        """The ways in which a word may go on, each as the whole word."""
        key, is_, value = word.partition("=")
        found = self._values(key, value) if is_ else self._keys(key)
        return [each for each in found if each.startswith(word)]

    def _keys(self, word: str) -> Iterator[str]:
        """Keys that can stand where ``word`` stands, each with the = or . that follows it."""
        *path, _ = word.split(".")
        before = "".join(f"{each}." for each in path)
        if not path:
            groups = {"audit", *GROUPS, *self.lists} if not self.roots else {*self.roots}
            yield from (f"{group}=" for group in sorted(groups & {"audit", *GROUPS, *self.lists}))
        for name, key in self._below(path).items():
            if path or not self.roots or name in self.roots:
                yield f"{before}{name}{'.' if key.holds or key.by_name else '='}"

    def _below(self, path: Sequence[str]) -> Mapping[str, Key]:
        """The keys that stand below others."""
        if not path:
            return {name: self._root(name, key) for name, key in keys(AUDIT).items() if name not in NOT_WRITTEN}
        first, *rest = path
        if group := next((group for group, key in SEVERAL.items() if key == first), None):
            if not rest:
                return {name: Key(part(group, name)) for name in self.selected(group)}
            return _descend(part(group, rest[0]), rest[1:])
        if first in SINGLE:
            return _descend(part(first, self.selected(first)[0]), rest)
        key = keys(AUDIT).get(first, Key())
        if first == "candidates":
            own = self.audit.get(first)
            told = [each.split(".")[1] for each in self.said if each.startswith("candidates.")]
            if not rest:
                return {str(name): key for name in (*(own if isinstance(own, dict) else ()), *told)}
            rest = rest[1:]
        return _descend(key.holds, rest)

    @staticmethod
    def _root(name: str, key: Key) -> Key:
        """A key of an audit; what it chooses by name holds keys, whose class the schema does not name."""
        return Key(AUDIT) if name in SINGLE or name in SEVERAL.values() else key

    def selected(self, group: str) -> list[str]:
        """The parts of a group that the command or the audit chooses; all where neither does."""
        told = self.said.get(group) or (self.said.get(SEVERAL[group]) if group in SEVERAL else None)
        chosen: Any = told.strip("[]").split(",") if told else self.audit.get(group)
        if group == "scorer" and not told and (chosen or self._of_suites()):
            chosen = [*(chosen if isinstance(chosen, list) else [chosen] if chosen else []), *self._of_suites()]
        listed = chosen if isinstance(chosen, list) else [chosen] if isinstance(chosen, str) else []
        found = list(dict.fromkeys(str(each) for each in listed if each))
        return found or ([SINGLE[group]] if group in SINGLE else names(group))

    def _of_suites(self) -> list[str]:
        """The scorers that the chosen suites bring along."""
        if not (self.said.get("suite") or self.audit.get("suite")):
            return []
        files = [presets().get(("suite", name)) for name in self.selected("suite")]
        told = [content(file).get("scorers") for file in files if file]
        return [str(name) for each in told if isinstance(each, list) for name in each]

    def _values(self, key: str, value: str) -> Iterator[str]:
        """Values that can stand behind a key, each with the key."""
        group = next((group for group, several in SEVERAL.items() if several == key and key in self.lists), key)
        if group == "audit" or group in GROUPS:
            yield from (f"{key}={each}" for each in _listed(value, names(group)))
            return
        *path, last = key.split(".")
        if len(path) == 2 and path[0] == "suites" and last == "scorers":
            yield from (f"{key}={each}" for each in _listed(value, names("scorer")))
            return
        yield from (f"{key}={each}" for each in self._below(path).get(last, Key()).choices)


def _descend(of: Written | None, path: Sequence[str]) -> Mapping[str, Key]:
    """The keys of a class, or of what it holds below other keys."""
    if of is None:
        return {}
    if not path:
        return {name: key for name, key in keys(of).items() if name not in NOT_WRITTEN}
    key, rest = keys(of).get(path[0], Key()), path[1:]
    if key.by_name:
        rest = rest[1:] if rest else []
        return _descend(key.holds, rest) if len(path) > 1 else {}
    return _descend(key.holds, rest)


def _listed(value: str, known: Sequence[str]) -> Iterator[str]:
    """Names behind what is written of a list already, ``[a,b``; a name that stands whole is followed by , or ]."""
    head, comma, last = value.rpartition(",")
    bracket = "[" * (not comma and last.startswith("["))
    before, last = head + comma + bracket, last.removeprefix(bracket)
    taken = before.lstrip("[").split(",")
    longer = [name for name in known if name.startswith(last) and name not in taken]
    if before.startswith("[") and longer == [last]:
        yield from (f"{before}{last},", f"{before}{last}]")
    else:
        yield from (f"{before}{name}" for name in longer)
