"""Metadata put into a README's YAML front matter as text: nothing that is not ours changes by a byte."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toxaudit.card.readme.metadata import SOURCE
from toxaudit.card.readme.nodes import NULL_TAG, Node, broken, end_of, has_anchors, is_a, parse, value_of
from toxaudit.errors import ToxauditError

BOM = b"\xef\xbb\xbf"

BLOCK = re.compile(
    rb"\A(?:\xef\xbb\xbf)?(?P<open>\s*---[ \t]*(?:\r\n|\r|\n))"
    rb"(?P<yaml>(?:.*?(?:\r\n|\r|\n))??)---[ \t]*(?:\r\n|\r|\n|\Z)",
    re.DOTALL,
)
"""As the Hub client finds it: between a first and a later line of three dashes."""

INDEX_LEFT_AS_IT_IS = "model-index stays as it is: it is written in a form that can't be edited with certainty"


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
        ToxauditError: if the front matter is broken, or can't be edited without changing what is not ours.
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
        raise broken(first + found["yaml"].count(b"\n", 0, error.start), "it is not UTF-8") from error
    root = parse(text, first)
    edits = _Edits(text, line_ending(readme).decode(), has_anchors(text))
    edits.plan(root, ours)
    if (merged := edits.applied()) == text:
        return Merged(readme, tuple(edits.notes))
    _require_same(root, parse(merged, first), edits)
    start, stop = found.span("yaml")
    return Merged(readme[:start] + merged.encode() + readme[stop:], tuple(edits.notes))


@dataclass
class _Edits:
    """Changes of a front matter's text, all planned on the text as it was: (from, to, what stands there instead).

    ``added`` are the keys whose values are ours, ``entry`` is the number of the model index's entry whose name is.
    """

    text: str
    ending: str
    anchored: bool
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    entry: int | None = None
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
        column = root.start_mark.column if root else 0
        before = list(self.edits)
        if "model-index" in there and not self._index(there["model-index"], wanted.get("model-index", []), column):
            self.edits, self.entry = before, None
            self.notes.append(INDEX_LEFT_AS_IT_IS)
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
            node = there[key]
            nodes = node.value if is_a(node, "sequence") else [node]
            said = [each.value for each in nodes if is_a(each, "scalar") and each.value and each.tag != NULL_TAG]
            if wanted[key] not in said:
                plain = all(is_a(each, "scalar") for each in nodes)
                shown = f"stays {', '.join(said) or 'empty'}," if plain else "stays"
                self.notes.append(f"{key} {shown} as its owner has it; of this audit it is {wanted[key]}")
                wanted.pop("base_model_relation", None)

    def _tag(self, node: Node) -> None:
        """Add our tag where the list is a plain one."""
        items = node.value if is_a(node, "sequence") else []
        if self.anchored or not items or any(item.value == SOURCE for item in items):
            return
        if node.flow_style:
            end = items[-1].end_mark.index
            if re.fullmatch(r"[ ,]*\]", self.text[end : node.end_mark.index]):
                self.edits.append((end, end, f", {SOURCE}"))
        elif (column := self._dash(items[0])) is not None:
            self._put(self._after(items[-1]), f"{' ' * column}- {SOURCE}\n")

    def _index(self, node: Node, index: list[dict[str, Any]], column: int) -> bool:
        """Replace the results that are ours, or add them after the owner's; whether that could be done."""
        if self.anchored:
            return False
        if is_a(node, "sequence") and not node.value:
            if filled := bool(index) and self._fill(node, as_yaml(index, column)):
                self.added.append("model-index")
            return filled or not index
        entries = _entries(node)
        ours = (number for number, entry in entries.items() if any(map(_is_ours, value_of(entry, "results").value)))
        number = next(ours, min(entries, default=None))
        if number is None:
            return False
        results = value_of(entries[number], "results")
        own = [item for item in results.value if _is_ours(item)]
        columns = [self._dash(item) for item in results.value]
        if None in columns:
            return False
        if len(own) == len(columns):
            self.entry = number
            if not (self._name(entries[number], index[0]["name"]) if index else self._empty(entries[number])):
                return False
        if not columns:
            return not index or self._fill(results, as_yaml(index[0]["results"], entries[number].start_mark.column))
        for item in own:
            self.edits.append((self._line(item), self._after(item), ""))
        if index:
            at = self._line(own[0]) if own else self._after(results.value[-1])
            self._put(at, as_yaml(index[0]["results"], columns[0] or 0))
        return True

    def _fill(self, empty: Node, lines: str) -> bool:
        """Put lines in place of a list that is written ``[]`` behind its key."""
        start, stop = empty.start_mark.index, empty.end_mark.index
        key = self.text[:start].rstrip(" ")
        if not key.endswith(":") or not re.match(r"\[\](?=\s|\Z)", self.text[start:]):
            return False
        self.edits.append((len(key), stop, ""))
        self._put(self._after(empty), lines)
        return True

    def _empty(self, entry: Node) -> bool:
        """Write ``[]`` behind the key of an entry's results, all of which go."""
        key, results = next(pair for pair in entry.value if pair[0].value == "results")
        colon = re.compile(r":(?= *(?:[\r\n]| #))").match(self.text, key.end_mark.index)
        if results.value and colon:
            self.edits.append((colon.end(), colon.end(), " []"))
        return bool(colon or not results.value)

    def _name(self, entry: Node, name: str) -> bool:
        """Give an entry another name where it has one, on one line."""
        node = value_of(entry, "name")
        if node is None or node.value == name:
            return True
        if not is_a(node, "scalar") or node.style in ("|", ">") or node.start_mark.line != node.end_mark.line:
            return False
        word = as_yaml({"name": name}).removeprefix("name: ").rstrip("\n")
        self.edits.append((node.start_mark.index, node.end_mark.index, word))
        return True

    def _dash(self, item: Node) -> int | None:
        """The column of the dash before an item that begins on the dash's line; None where it doesn't."""
        found = re.fullmatch(r"( *)- +", self.text[self._line(item) : item.start_mark.index])
        return len(found[1]) if found else None

    def _line(self, item: Node) -> int:
        start = item.start_mark.index - item.start_mark.column
        return int(start)

    def _after(self, item: Node) -> int:
        """Where the line after an item begins; the marks of blocks end too late, after comments."""
        end = end_of(item)
        if self.text[:end].endswith(("\n", "\r")):
            return end
        line = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)").match(self.text, end)
        return line.end() if line else end


def _require_same(before: Node, after: Node, edits: _Edits) -> None:
    """Refuse a text in which anything is read otherwise than before, apart from what is ours."""
    import yaml

    texts = [yaml.serialize(_others(root, edits), Dumper=yaml.SafeDumper) for root in (before, after)]
    if texts[0] != texts[1]:
        raise ToxauditError("README.md's front matter can't be edited without changing what stands there.")


def _others(root: Node, edits: _Edits) -> Node:
    """What of a front matter is not ours."""
    import yaml

    kept = []
    for key, value in root.value if root else []:
        if key.value == "tags" and is_a(value, "sequence"):
            value.value = [item for item in value.value if item.value != SOURCE]
        if key.value == "model-index":
            for number, entry in _entries(value).items():
                results = value_of(entry, "results")
                results.value = [item for item in results.value if not _is_ours(item)]
                if number == edits.entry:
                    entry.value = [pair for pair in entry.value if pair[0].value != "name"]
        if key.value not in edits.added:
            kept.append((key, value))
    return yaml.MappingNode("tag:yaml.org,2002:map", kept)


def _entries(index: Node) -> dict[int, Node]:
    """The numbered entries of a model index that have a list of results, as far as they are written in blocks."""
    blocks = index.value if is_a(index, "sequence") and not index.flow_style else []
    found = {number: entry for number, entry in enumerate(blocks) if is_a(entry, "mapping") and not entry.flow_style}
    return {number: entry for number, entry in found.items() if _is_list(value_of(entry, "results"))}


def _is_list(node: Node) -> bool:
    """Whether it is a list in blocks, or an empty one."""
    return node is not None and is_a(node, "sequence") and not (node.flow_style and node.value)


def _is_ours(result: Node) -> bool:
    source = value_of(result, "source")
    name = value_of(source, "name") if source else None
    return name is not None and name.value == SOURCE
