"""A section put between its marker lines in a README's bytes: nothing outside these lines changes by a byte."""

import re
from dataclasses import dataclass, field

from toxaudit.card.readme.front_matter import BOM, find, line_ending
from toxaudit.errors import ToxauditError

MARKER = re.compile(rb" {0,3}<!--[ \t]*toxaudit:(begin|end)(?:[ \t][^>]*?)?-->[ \t]*")
LINE_END = re.compile(rb"\r\n|\r|\n")

_ITEM = re.compile(rb" {0,3}(?:[-+*]|\d{1,9}[.)])(?: {1,4}(?! )| (?= {4})|(?=\Z))")
_MOST_ITEMS = 20  # that are looked at on one line
_FENCE = re.compile(rb" {0,3}(`{3,}(?=[^`]*\Z)|~{3,})")
_RULE = re.compile(rb" {0,3}(?:(?:\* *){3,}|(?:- *){3,}|(?:_ *){3,})\Z")
_HEADING = re.compile(rb" {0,3}#{1,6}(?: |\Z)")
_UNDERLINE = re.compile(rb" {0,3}(?:=+|-+) *\Z")
_BLOCK = (
    rb"address|article|aside|blockquote|body|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    rb"frame|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|nav|ol|optgroup|option|p|param|section|"
    rb"summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul"
)
_ATTRIBUTE = rb" +[a-z_:][\w.:-]*(?: *= *(?:[^\s\"'=<>`]+|'[^']*'|\"[^\"]*\"))?"
_RAW_HTML = re.compile(
    rb" {0,3}<(?:(?P<comment>!--)|(?P<declaration>![a-z])|(?P<cdata>!\[CDATA\[)|(?P<instruction>\?)|"
    rb"(?P<text>(?:script|pre|style|textarea)(?=[ >]|\Z))|(?P<block>/?(?:%b)(?=[ />]|\Z))|"
    rb"(?P<tag>(?:[a-z][a-z0-9-]*(?:%b)* */?|/[a-z][a-z0-9-]* *)> *\Z))" % (_BLOCK, _ATTRIBUTE),
    re.IGNORECASE,
)
_EMPTY = re.compile(rb"\A *\Z")
_RAW_END = {
    "comment": re.compile(rb"-->"),
    "declaration": re.compile(rb">"),
    "cdata": re.compile(rb"\]\]>"),
    "instruction": re.compile(rb"\?>"),
    "text": re.compile(rb"</(?:script|pre|style|textarea)>", re.IGNORECASE),
    "block": _EMPTY,
    "tag": _EMPTY,
}
"""Kind of raw HTML -> the end of the lines in which no Markdown is read."""

_HIDING = ("cdata", "instruction", "text")  # in which a comment is none


@dataclass(frozen=True)
class Place:
    """Where a section stands: bytes ``start`` to ``stop``, its last line's end left out."""

    start: int
    stop: int


def splice(readme: bytes, section: bytes) -> bytes:
    """The README with ``section`` in place of the one it has, or after an empty line at its end where it has none.

    The section takes the README's line endings; a README without an end of its last line stays without.

    Raises:
        ToxauditError: if the marker lines are no single pair, or a code block or raw HTML that is never closed
            would swallow the section.
    """
    own = place(section, "card.md")
    if own is None or section[: own.start].strip() or section[own.stop :].strip():
        raise ToxauditError("card.md must begin and end with toxaudit's marker lines: see to that in its template.")
    there = place(readme)
    # what stands before a section and what stands behind it make no line ending together
    ending = line_ending(readme if there is None else readme[: there.start] + b" " + readme[there.stop :])
    text = LINE_END.sub(ending, section[own.start : own.stop])
    if there:
        return readme[: there.start] + text + readme[there.stop :]
    return readme + _gap(readme, ending) + text + (b"" if readme.removeprefix(BOM) and not _ends(readme) else ending)


def place(readme: bytes, name: str = "README.md") -> Place | None:
    """Where the section stands; None where there is none.

    A marker stands on a line of its own, outside of front matter, of code, fenced or indented, and of raw HTML such as
    ``<pre>``.

    Args:
        readme: the file.
        name: the file's name, for sentences.

    Raises:
        ToxauditError: if a marker is not part of one pair, or, where there is no section, if a code block or raw
            HTML that is never closed would swallow one; the sentence names the line.
    """
    front = find(readme)
    scan = _Scan()
    offset = front.end() if front else len(BOM) if readme.startswith(BOM) else 0
    first = 1 + len(LINE_END.findall(readme[:offset]))
    markers: list[tuple[bytes, int, int, int]] = []
    for number, line in enumerate(readme[offset:].splitlines(keepends=True), start=first):
        bare = line.rstrip(b"\r\n")
        if scan.shows(bare, number) and b"toxaudit:" in bare and (found := MARKER.fullmatch(bare)):
            markers.append((found[1], number, offset, offset + len(bare)))
        offset += len(line)
    _require_pair([(kind, line) for kind, line, _, _ in markers], name)
    if markers:
        return Place(markers[0][2], markers[1][3])
    if (block := scan.block) and block.hides and not block.within:
        raise ToxauditError(f"{name}, line {block.line}: {block.hides} is opened and never closed: close it first.")
    return None


def _require_pair(markers: list[tuple[bytes, int]], name: str) -> None:
    wrong = "leave one toxaudit:begin and one toxaudit:end after it, or none"
    for index, (kind, line) in enumerate(markers):
        if index > 1 or kind != (b"begin", b"end")[index]:
            before = f"follows that of line {markers[index - 1][1]}" if index else "has no begin before it"
            raise ToxauditError(f"{name}, line {line}: the marker toxaudit:{kind.decode()} {before}: {wrong}.")
    if len(markers) == 1:
        raise ToxauditError(f"{name}, line {markers[0][1]}: the marker toxaudit:begin has no end after it: {wrong}.")


@dataclass(frozen=True)
class _Block:
    """An open block in which no Markdown is read.

    Attributes:
        end: what its last line has, read from column ``within``.
        within: the column at which the content of the list item begins that holds it.
        line: the line at which it was opened.
        hides: what to call it, where comments in it are none.
    """

    end: re.Pattern[bytes]
    within: int
    line: int
    hides: str


@dataclass
class _Scan:
    """What of Markdown's block structure decides whether a line is code: list items, fences and raw HTML.

    Attributes:
        items: columns at which the content of the open list items begins.
        block: the fence or raw HTML that is open.
        paragraph: whether the line before is part of a paragraph.
    """

    items: list[int] = field(default_factory=list)
    block: _Block | None = None
    paragraph: bool = False

    def shows(self, line: bytes, number: int) -> bool:
        """Whether a comment on the line, which comes next, is one: it is neither in code nor in such as ``<pre>``."""
        line = line.expandtabs(4) if b"\t" in line else line
        text = line.lstrip(b" ")
        indent = len(line) - len(text)
        if (block := self.block) and (not text or indent >= block.within):
            self.block = None if block.end.search(line[block.within :]) else block
            return not block.hides
        self.block = None  # its list item has ended
        paragraph, self.paragraph = self.paragraph, False
        if not text:
            return True
        while self.items and indent < self.items[-1]:
            self.items.pop()
        if paragraph and _UNDERLINE.match(line, self.items[-1] if self.items else 0):
            return True
        outer = len(self.items)
        at = self._content(line)
        self._open(line, at, number, paragraph and len(self.items) == outer)
        return not (self.block and self.block.hides)

    def _content(self, line: bytes) -> int:
        """The column at which the content of the innermost list item begins, after those that the line opens."""
        at = self.items[-1] if self.items else 0
        for _ in range(_MOST_ITEMS):
            if _RULE.match(line, at) or not (item := _ITEM.match(line, at)):
                break
            at = item.end()
            self.items.append(at)
        return at

    def _open(self, line: bytes, at: int, number: int, paragraph: bool) -> None:
        """Note what begins at a column of the line; ``paragraph`` is whether it could go on a paragraph."""
        if fence := _FENCE.match(line, at):
            end = re.compile(rb"\A {0,3}%b{%d,} *\Z" % (fence[1][:1], len(fence[1])))
            self.block = _Block(end, at, number, "a code block")
        elif (html := _RAW_HTML.match(line, at)) and (kind := html.lastgroup) and not (kind == "tag" and paragraph):
            if not _RAW_END[kind].search(line, at):
                hides = "a block of raw HTML" if kind in _HIDING else ""
                self.block = _Block(_RAW_END[kind], at, number, hides)
        else:
            code = not paragraph and line.startswith(b"    ", at)
            self.paragraph = not (code or at == len(line) or _HEADING.match(line, at) or _RULE.match(line, at))


def _gap(readme: bytes, ending: bytes) -> bytes:
    """What is missing of an empty line at the end; of white space alone, what is missing of the end of its line."""
    text = readme.removeprefix(BOM)
    begun = 1 if text and not _ends(text) else 0
    if not text.strip():
        return ending * begun
    return ending * max(begun, 2 - len(LINE_END.findall(text, len(text.rstrip()))))


def _ends(readme: bytes) -> bool:
    return readme.endswith((b"\r", b"\n"))
