"""YAML of which nothing is guessed: keys are texts that stand once, values are texts, numbers, truth values or null.

YAML itself also knows dates, bytes, sets and any type that a tag names, reads a few lines as billions of values,
and lets a value hold itself. Files come from strangers, and so each of these is one sentence.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from toxaudit.errors import ToxauditError
from toxaudit.machine.nesting import DEEPEST, ShallowLoader

LARGEST_FILE_BYTES = 200_000
"""As much YAML is read in a few seconds; prompts and answers stand in files of data."""

MOST_VALUES = 100_000
"""Values in a file, what aliases and merge keys repeat counted each time."""

LARGEST_NUMBER = 2**63
"""A whole number below it is one everywhere that a spec's values go."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + name for name in ("str", "int", "float", "bool", "null")}
_ODD = {"timestamp": "a date", "binary": "binary data", "set": "a set", "omap": "an ordered mapping", "pairs": "pairs"}
_FORMS = {yaml.ScalarNode: "str", yaml.SequenceNode: "seq", yaml.MappingNode: "map"}


@dataclass(frozen=True)
class Written:
    """What a YAML file says.

    Attributes:
        content: its mapping.
        scalars: how each number and truth value is written, by its place such as ``gate.margin`` or ``phrases[0]``.
    """

    content: dict[str, Any]
    scalars: Mapping[str, str]


@dataclass
class _Check:
    """One file's nodes, looked at before anything is made of them."""

    loader: Any
    number_keys: bool
    scalars: dict[str, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    above: list[yaml.Node] = field(default_factory=list)

    def size(self, node: yaml.Node, place: str) -> int:
        """How many values a node stands for, if they are all such as a spec can hold."""
        if any(node is each for each in self.above):
            raise _refused(node, place, "holds itself: write out what it is to hold")
        if len(self.above) == DEEPEST:
            raise _refused(node, place, f"is nested more than {DEEPEST} deep")
        if id(node) not in self.sizes:  # an alias is looked at once
            self._check_tag(node, place)
            self.above.append(node)
            self.sizes[id(node)] = 1 + sum(self.size(each, where) for each, where in self._within(node, place))
            self.above.pop()
        if self.sizes[id(node)] > MOST_VALUES:
            raise _refused(node, place, f"holds more than {MOST_VALUES:,} values once all aliases are written out")
        return self.sizes[id(node)]

    def _within(self, node: yaml.Node, place: str) -> list[tuple[yaml.Node, str]]:
        if isinstance(node, yaml.SequenceNode):
            return [(item, f"{place}[{number}]") for number, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node, place)
            return [(value, f"{place}.{key.value}".removeprefix(".")) for key, value in node.value]
        return []

    def _check_keys(self, node: yaml.MappingNode, place: str) -> None:
        seen = set()
        for key, _ in node.value:
            if key.tag == _TAG + "merge":
                continue
            number = isinstance(key, yaml.ScalarNode) and key.tag == _TAG + "int" and key.value.isdecimal()
            if key.tag != _TAG + "str" and not (number and self.number_keys):
                named = f"'{key.value}' is {_named(key)}" if isinstance(key, yaml.ScalarNode) else f"is {_named(key)}"
                raise _refused(key, place, f"has a key that is no text ({named}): write quotes around it")
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands twice", key.start_mark
                )
            seen.add(key.value)

    def _check_tag(self, node: yaml.Node, place: str) -> None:
        if not isinstance(node, yaml.ScalarNode):
            if node.tag != _TAG + _FORMS[type(node)]:
                raise _refused(node, place, f"is {_named(node)}, which no spec can hold: leave out its tag")
            return
        told = self.loader.resolve(yaml.ScalarNode, node.value, (True, False))
        if node.tag not in _SCALARS or node.tag not in (told, _TAG + "str"):
            odd = node.tag == told and node.style is None
            mend = "write quotes around it" if odd else "leave out its tag"
            raise _refused(node, place, f"is {_named(node)}: {mend}")
        if node.tag in (_TAG + "str", _TAG + "null"):
            return
        try:
            value = self.loader.construct_object(node)
        except (ValueError, OverflowError):  # such as 0x_, or more digits than Python reads
            value = float("nan")
        if not isfinite(value) or abs(value) >= LARGEST_NUMBER:
            raise _refused(node, place, f"is {node.value[:40]}, which is no number that a spec can mean")
        self.scalars[place] = node.value


def _named(node: yaml.Node) -> str:
    """What YAML takes a node for, in words."""
    name = node.tag.removeprefix(_TAG)
    words = {"int": "a number", "float": "a number", "bool": "a truth value", "null": "null", "seq": "a list"}
    words |= {"map": "a mapping", **_ODD}
    return words.get(name, f"of the type {node.tag}") if node.tag.startswith(_TAG) else f"of the type {node.tag}"


def _refused(node: yaml.Node, place: str, problem: str) -> ToxauditError:
    """Why a file can't be used; the file is put before it."""
    what = f"'{place}'" if place else "it"
    return ToxauditError(f", line {node.start_mark.line + 1}: {what} {problem}.")


def written(file: Path, number_keys: bool = False) -> Written:
    """The mapping that a YAML file holds, and how it is written.

    Args:
        file: to be read.
        number_keys: whether keys may also be whole numbers, as the values of a slice may.

    Raises:
        ToxauditError: if it can't be read, is not valid YAML, holds no mapping, or holds what no spec can.
    """
    try:
        loader = ShallowLoader(_text(file))
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ToxauditError(" holds no keys: it must be a YAML mapping such as 'title: ...'.")
        check = _Check(loader, number_keys)
        check.size(node, "")
        return Written(loader.construct_document(node), check.scalars)
    except ToxauditError as error:
        raise ToxauditError(f"{file}{error}") from error
    except RecursionError as error:
        raise ToxauditError(f"{file} is nested more than {DEEPEST} deep.") from error
    except yaml.YAMLError as error:
        raise ToxauditError(f"{file}{_problem(error)}.") from error


def read(file: Path, number_keys: bool = False) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        file: to be read.
        number_keys: as of ``written``.

    Raises:
        ToxauditError: as of ``written``.
    """
    return written(file, number_keys).content


def _text(file: Path) -> str:
    """A file's text; what is no file, such as a pipe that nobody writes into, is not waited for."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ToxauditError(" can't be read: it is no file.")
        with file.open("rb") as opened:
            data = opened.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ToxauditError(f" can't be read: {error.strerror or error}.") from error
    if len(data) > LARGEST_FILE_BYTES:
        raise ToxauditError(f" is larger than the {LARGEST_FILE_BYTES // 1000} kB that a YAML file here may be.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ToxauditError(f" can't be read: line {line} is not UTF-8. Save it as UTF-8.") from error


def _problem(error: yaml.YAMLError) -> str:
    """What is no YAML, where."""
    if isinstance(error, yaml.reader.ReaderError):
        return f" is not valid YAML: it holds the character U+{error.character:04X}, which YAML can't"
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
    if getattr(error, "context", None) == "expected a single document in the stream":
        problem = "there are several documents in it, parted by ---: leave one"
    line = f", line {mark.line + 1}" if mark else ""
    return f"{line} is not valid YAML: {problem}"
