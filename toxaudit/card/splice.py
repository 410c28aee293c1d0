"""A section put between its marker lines in a README's bytes: nothing outside these lines changes by a byte."""

import re
from dataclasses import dataclass, field

from toxaudit.card.front_matter import BOM, find, line_ending
from toxaudit.errors import ToxauditError

MARKER = re.compile(rb" {0,3}<!--[ \t]*toxaudit:(begin|end)(?:[ \t][^>]*?)?-->[ \t]*")
LINE_END = re.compile(rb"\r\n|\r|\n")

_OPENING = re.compile(rb"[-+*`~<\d]")  # what a list item, a fence or raw HTML begins with
_ITEM = re.compile(rb" {0,3}(?:[-+*]|\d{1,9}[.)])(?: {1,4}(?! )| (?= {4})|(?=\Z))")
_FENCE = re.compile(rb" {0,3}(`{3,}(?=[^`]*\Z)|~{3,})")
_RULE = re.compile(rb" {0,3}(?:(?:\* *){3,}|(?:- *){3,})\Z")
_BLOCK = (
    rb"address|article|aside|blockquote|body|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    rb"frame|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|nav|ol|optgroup|option|p|param|section|"
    rb"summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul"
)
_RAW_HTML = re.compile(
    rb" {0,3}<(?:(?P<comment>!--)|(?:script|pre|style|textarea)(?=[\s>]|\Z)|(?P<block>/?(?:%b)(?=[\s/>]|\Z)))" % _BLOCK,
    re.IGNORECASE,
)
_RAW_END = {
    "comment": re.compile(rb"-->"),
    "block": re.compile(rb"\A[ \t]*\Z"),
    None: re.compile(rb"</(?:script|pre|style|textarea)>", re.IGNORECASE),
}
"""Kind of raw HTML -> the end of the lines in which no Markdown is read."""


@dataclass(frozen=True)
class Place:
    """Where a section stands: bytes ``start`` to ``stop``, its last line's end left out."""

    start: int
    stop: int


def splice(readme: bytes, section: bytes) -> bytes:
    """The README with ``section`` in place of the one it has, or after an empty line at its end where it has none.

    The section takes the README's line endings; a README without an end of its last line stays without.

    Raises:
        ToxauditError: the marker lines are no single pair, or a code block that is never closed would swallow the
            section.
    """
    own = place(section, "card.md")
    if own is None or section[: own.start].strip() or section[own.stop :].strip():
        raise ToxauditError("card.md must begin and end with toxaudit's marker lines: see to that in its template.")
    there = place(readme)
    ending = line_ending(readme if there is None else readme[: there.start] + readme[there.stop :])
    text = LINE_END.sub(ending, section[own.start : own.stop])
    if there:
        return readme[: there.start] + text + readme[there.stop :]
    return readme + _gap(readme, ending) + text + (b"" if readme.removeprefix(BOM) and not _ends(readme) else ending)


def place(readme: bytes, name: str = "README.md") -> Place | None:
    """Where the section stands; None where there is none.

    A marker stands on a line of its own, outside of front matter and of code, fenced or indented.

    Args:
        readme: the file.
        name: the file's name, for sentences.

    Raises:
        ToxauditError: naming the line of a marker that is not part of one pair, or, where there is no section, of a
            code block that is never closed.
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
    if scan.fence:
        raise ToxauditError(f"{name}, line {scan.opened}: a code block is opened and never closed: close it first.")
    return None


def _require_pair(markers: list[tuple[bytes, int]], name: str) -> None:
    wrong = "leave one toxaudit:begin and one toxaudit:end after it, or none"
    for index, (kind, line) in enumerate(markers):
        if index > 1 or kind != (b"begin", b"end")[index]:
            before = f"follows that of line {markers[index - 1][1]}" if index else "has no begin before it"
            raise ToxauditError(f"{name}, line {line}: the marker toxaudit:{kind.decode()} {before}: {wrong}.")
    if len(markers) == 1:
        raise ToxauditError(f"{name}, line {markers[0][1]}: the marker toxaudit:begin has no end after it: {wrong}.")


@dataclass
class _Scan:
    """What of Markdown's block structure decides whether a line is code: list items, fences and raw HTML.

    Attributes:
        items: columns at which the content of the open list items begins.
        fence: the open fence, or nothing.
        within: the column of the list item that holds it.
        opened: the line at which it was opened.
        raw: what ends the raw HTML that is open.
    """

    items: list[int] = field(default_factory=list)
    fence: bytes = b""
    within: int = 0
    opened: int = 0
    raw: re.Pattern[bytes] | None = None

    def shows(self, line: bytes, number: int) -> bool:
        """Whether the line, which comes next, is neither in a fenced block of code nor a fence."""
        if self.raw:
            self.raw = None if self.raw.search(line) else self.raw
            return True
        line = line.expandtabs(4) if b"\t" in line else line
        text = line.lstrip(b" ")
        if not text:
            return not self.fence
        indent = len(line) - len(text)
        if self.fence and indent >= self.within:
            if text.startswith(self.fence) and indent < self.within + 4 and not text.lstrip(self.fence[:1]).strip(b" "):
                self.fence = b""
            return False
        self.fence = b""  # its list item has ended
        while self.items and indent < self.items[-1]:
            self.items.pop()
        return not _OPENING.match(text) or self._opens(line, number)

    def _opens(self, line: bytes, number: int) -> bool:
        at = self.items[-1] if self.items else 0
        while not _RULE.match(line, at) and (item := _ITEM.match(line, at)):
            at = item.end()
            self.items.append(at)
        if fence := _FENCE.match(line, at):
            self.fence, self.within, self.opened = fence[1], at, number
            return False
        if html := _RAW_HTML.match(line, at):
            end = _RAW_END[html.lastgroup]
            self.raw = None if end.search(line, html.end()) else end
        return True


def _gap(readme: bytes, ending: bytes) -> bytes:
    """What is missing of an empty line at the end."""
    if not readme.removeprefix(BOM).strip():
        return b""
    return ending * max(0, 2 - len(LINE_END.findall(readme, len(readme.rstrip()))))


def _ends(readme: bytes) -> bool:
    return readme.endswith((b"\r", b"\n"))
