"""Where the block stands that says who signed, in cards, summary and report; the rest of the file is what is signed."""

import re

from toxaudit.card.markdown import BEGIN as SECTION

BEGIN, END = b"<!-- toxaudit:signoff-begin -->", b"<!-- toxaudit:signoff-end -->"

_BLOCK = re.compile(rb"\n%b\n.*?%b\n" % (BEGIN, END), re.DOTALL)
_REPORT = re.compile(rb'(?=<article class="card")|(?=</body>)')
_HEADING = re.compile(rb"^#{1,6} .*\n", re.MULTILINE)


def without(data: bytes) -> bytes:
    """A file's bytes without the block; a second block stays, so that nothing hides in one."""
    return _BLOCK.sub(b"", data, count=1)


def found(data: bytes) -> bytes:
    """The block, without its marker lines; empty where there is none."""
    block = _BLOCK.search(data)
    return block[0][len(BEGIN) + 2 : -len(END) - 1] if block else b""


def into(data: bytes, block: bytes) -> bytes:
    """A file's bytes with this block in place of the one it has, if any: below the first heading of a section."""
    rest = without(data)
    if not block:
        return rest
    at = _place(rest)
    return rest[:at] + b"\n" + BEGIN + b"\n" + block + END + b"\n" + rest[at:]


def _place(data: bytes) -> int:
    """Where the block goes: below a section's first heading, before a report's card, else at the end."""
    if data.lstrip()[:9].lower() == b"<!doctype":
        place = _REPORT.search(data)
        return place.start() if place else len(data)
    marker = SECTION.encode() + b"\n"
    at = data.find(marker)
    if at < 0:
        return len(data)
    heading = _HEADING.match(data, at + len(marker))
    return heading.end() if heading else at + len(marker)
