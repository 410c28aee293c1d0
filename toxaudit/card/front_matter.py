"""Metadata put into a README's YAML front matter as text: nothing that is not ours changes by a byte."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from toxaudit.card.metadata import SOURCE
from toxaudit.errors import ToxauditError

Node = Any  # PyYAML's, whose type stubs lack what nodes have

BOM = b"\xef\xbb\xbf"

BLOCK = re.compile(
    rb"\A(?:\xef\xbb\xbf)?(?P<open>\s*---[ \t]*(?:\r\n|\r|\n))"
    rb"(?P<yaml>(?:.*?(?:\r\n|\r|\n))??)---[ \t]*(?:\r\n|\r|\n|\Z)",
    re.DOTALL,
)
"""As the Hub client finds it: between a first and a later line of three dashes."""

LEFT = "model-index stays as it is: it is written in a form that can't be edited with certainty"


@dataclass(frozen=True)
class Merged:
    """A README with our metadata, and what was left as its owner has it although the audit says otherwise."""

    data: bytes
    notes: tuple[str, ...]


def find(readme: bytes) -> re.Match[bytes] | None:
    """The front matter, with the groups ``open``, its first line, and ``yaml``; None where there is none."""
    return BLOCK.match(readme)


def line_ending(data: bytes) -> bytes:
    """How most lines end; a line feed where that is undecided."""
    windows = data.count(b"\r\n")
    counts = {b"\n": data.count(b"\n") - windows, b"\r\n": windows, b"\r": data.count(b"\r") - windows}
    return max(counts, key=lambda ending: counts[ending])


def as_yaml(content: Mapping[str, Any] | list[Any], indent: int = 0) -> str:
    """YAML, not in braces itself, in which every value stands on one line, indented by ``indent`` columns."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes out what stands twice: what has anchors is not edited again."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    values = content.values() if isinstance(content, Mapping) else content
    style = None if any(isinstance(value, Mapping | list) for value in values) else False  # None: what is deepest
    text = yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=style)
    return "".join(" " * indent + line for line in str(text).splitlines(keepends=True))


def merge(readme: bytes, ours: Mapping[str, Any]) -> Merged:
    """Add what is missing of ``ours``, as ``metadata`` made it, and replace the results that are ours already.

    Raises:
        ToxauditError: the front matter is broken, or can't be edited without changing what is not ours.
    """
    found = find(readme)
    if found is None:
        start = len(BOM) if readme.startswith(BOM) else 0
        block = f"---\n{as_yaml(dict(ours))}---\n".encode().replace(b"\n", line_ending(readme))
        return Merged(readme[:start] + block + readme[start:], ())
    first = 1 + len(re.findall(rb"\r\n|\r|\n", found["open"]))
    try:
        text = found["yaml"].decode()
    except UnicodeDecodeError as error:
        raise _broken(first + found["yaml"].count(b"\n", 0, error.start), "it is not UTF-8") from error
    root = _parse(text, first)
    edits = _Edits(text, line_ending(readme).decode(), _has_anchors(text))
    edits.plan(root, ours)
    if (merged := edits.applied()) == text:
        return Merged(readme, tuple(edits.notes))
    _require_same(root, _parse(merged, first), edits.added)
    start, stop = found.span("yaml")
    return Merged(readme[:start] + merged.encode() + readme[stop:], tuple(edits.notes))


@dataclass
class _Edits:
    """Changes of a front matter's text, all planned on the text as it was: (from, to, what stands there instead)."""

    text: str
    ending: str
    anchored: bool
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def plan(self, root: Node, ours: Mapping[str, Any]) -> None:
        """Decide what to do about each key."""
        there = {key.value: value for key, value in root.value if key.id == "scalar"} if root else {}
        if root and root.flow_style:
            self.notes.append("its metadata stay as they are: they are written in braces")
            return
        wanted = dict(ours)
        self._respect(there, wanted)
        if "tags" in there:
            self._tag(there["tags"])
        if "model-index" in there:
            self._results(there["model-index"], wanted.get("model-index", []))
        column = root.start_mark.column if root else 0
        for key, value in wanted.items():
            if key not in there:
                self.added.append(key)
                self._put(len(self.text), as_yaml({key: value}, column))

    def applied(self) -> str:
        """The text with all changes; what was put at one place stands in the order in which it came."""
        text = self.text
        order = sorted(range(len(self.edits)), key=lambda index: (*self.edits[index][:2], index))
        for start, stop, instead in (self.edits[index] for index in reversed(order)):
            text = text[:start] + instead + text[stop:]
        return text

    def _put(self, at: int, lines: str) -> None:
        self.edits.append((at, at, lines.replace("\n", self.ending)))

    def _respect(self, there: Mapping[str, Node], wanted: dict[str, Any]) -> None:
        """Keep the owner's word on base and relation; on another base, our relation would say something untrue."""
        for key in ("base_model", "base_model_relation"):
            if key not in there or key not in wanted:
                continue
            value = there[key].value
            said = [node.value for node in value] if isinstance(value, list) else [value]
            if wanted[key] not in said:
                shown = ", ".join(map(str, said))
                self.notes.append(f"{key} stays {shown}, as its owner has it; of this audit it is {wanted[key]}")
                wanted.pop("base_model_relation", None)

    def _tag(self, node: Node) -> None:
        """Add our tag where the list is a plain one."""
        items = node.value if _is(node, "sequence") else []
        if self.anchored or not items or any(item.value == SOURCE for item in items):
            return
        if node.flow_style:
            end = items[-1].end_mark.index
            if re.fullmatch(r"[ ,]*\]", self.text[end : node.end_mark.index]):
                self.edits.append((end, end, f", {SOURCE}"))
        elif (column := self._dash(items[0])) is not None:
            self._put(self._after(items[-1]), f"{' ' * column}- {SOURCE}\n")

    def _results(self, node: Node, index: list[dict[str, Any]]) -> None:
        """Replace the results that are ours, or add them after the owner's."""
        lists = list(_result_lists(node))
        chosen = next((each for each in lists if any(map(_is_ours, each.value))), lists[0] if lists else None)
        items = chosen.value if chosen and not self.anchored else []
        columns = [self._dash(item) for item in items]
        own = [item for item in items if _is_ours(item)]
        if not columns or None in columns or not index and len(own) == len(items):
            self.notes.append(LEFT)
            return
        for item in own:
            self.edits.append((self._line(item), self._after(item), ""))
        if index:
            at = self._line(own[0]) if own else self._after(items[-1])
            self._put(at, as_yaml(index[0]["results"], columns[0] or 0))

    def _dash(self, item: Node) -> int | None:
        """The column of the dash before an item that begins on the dash's line; None where it doesn't."""
        found = re.fullmatch(r"( *)- +", self.text[self._line(item) : item.start_mark.index])
        return len(found[1]) if found else None

    def _line(self, item: Node) -> int:
        start = item.start_mark.index - item.start_mark.column
        return int(start)

    def _after(self, item: Node) -> int:
        """Where the line after an item begins; the marks of blocks end too late, after comments."""
        end = _end(item)
        if self.text[:end].endswith(("\n", "\r")):
            return end
        line = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)").match(self.text, end)
        return line.end() if line else end


def _parse(text: str, first: int) -> Node:
    """The front matter's nodes; nothing is constructed of them, which a stranger could make costly.

    Args:
        text: the YAML.
        first: the number of its first line in the README, for sentences.
    """
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _broken(first + (mark.line if mark else 0), str(error.problem or error.context)) from error
    except yaml.reader.ReaderError as error:
        raise _broken(first + text.count("\n", 0, error.position), error.reason) from error
    except RecursionError as error:
        raise _broken(first, "it is nested too deeply") from error
    if root is None or isinstance(root, yaml.MappingNode):
        return root
    raise _broken(first, "it holds no keys")


def _broken(line: int, problem: str) -> ToxauditError:
    return ToxauditError(f"README.md, line {line}: the front matter is no valid YAML: {problem}: mend it first.")


def _has_anchors(text: str) -> bool:
    import yaml

    marked = "&" in text or "*" in text
    return marked and any(getattr(event, "anchor", None) for event in yaml.parse(text, Loader=yaml.SafeLoader))


def _require_same(before: Node, after: Node, added: list[str]) -> None:
    """Refuse a text in which anything is read otherwise than before, apart from what is ours."""
    import yaml

    texts = [yaml.serialize(_others(root, added), Dumper=yaml.SafeDumper) for root in (before, after)]
    if texts[0] != texts[1]:
        raise ToxauditError("README.md's front matter can't be edited without changing what stands there.")


def _others(root: Node, added: list[str]) -> Node:
    """What of a front matter is not ours."""
    import yaml

    kept = []
    for key, value in root.value if root else []:
        if key.value == "tags" and _is(value, "sequence"):
            value.value = [item for item in value.value if item.value != SOURCE]
        if key.value == "model-index":
            for results in _result_lists(value):
                results.value = [item for item in results.value if not _is_ours(item)]
        if key.value not in added:
            kept.append((key, value))
    return yaml.MappingNode("tag:yaml.org,2002:map", kept)


def _result_lists(node: Node) -> Iterator[Node]:
    """The lists of results in a model index, as far as it is written in blocks."""
    for entry in node.value if _is(node, "sequence") and not node.flow_style else []:
        for key, value in entry.value if _is(entry, "mapping") and not entry.flow_style else []:
            if key.value == "results" and _is(value, "sequence") and not value.flow_style:
                yield value


def _is_ours(result: Node) -> bool:
    source = _value(result, "source")
    name = _value(source, "name") if source else None
    return name is not None and name.value == SOURCE


def _value(node: Node, key: str) -> Node:
    pairs = node.value if _is(node, "mapping") else []
    return next((value for name, value in pairs if name.value == key), None)


def _is(node: Node, kind: str) -> bool:
    return bool(node.id == kind)


def _end(node: Node) -> int:
    """Where the last word of a node ends."""
    if node.id == "scalar" or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)
