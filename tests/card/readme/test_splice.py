"""The section comes between its markers and is replaced there; nothing else in a README changes by a byte."""

import re
from time import process_time

import pytest
from hypothesis import HealthCheck, given, settings
from readmes import BEGIN, END, LATER, SECTION, Readme, readmes

from toxaudit.card.readme.splice import place, splice
from toxaudit.errors import ToxauditError

BOM = b"\xef\xbb\xbf"


def as_in(readme: bytes, section: str) -> bytes:
    """The section with the line endings that most lines of a README have."""
    windows = readme.count(b"\r\n")
    ending = b"\r\n" if windows > readme.count(b"\n") - windows else b"\n"
    return section.rstrip("\n").encode().replace(b"\n", ending)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(readmes())
def test_insert_update_and_a_second_push_leave_all_else_byte_for_byte(readme: Readme) -> None:
    shown = as_in(readme.before + readme.after, SECTION)
    first = splice(readme.data, SECTION.encode())
    before, after = readme.before, readme.after
    if not readme.has_section:
        gap, after = re.fullmatch(rb"([\r\n]*)%b([\r\n]*)" % re.escape(shown), first[len(before) :]).groups()
        assert not after or not before.removeprefix(BOM) or before.endswith((b"\n", b"\r"))
        before += gap
    assert first == before + shown + after
    second = splice(first, LATER.encode())
    assert second == before + as_in(before + after, LATER) + after
    assert splice(second, LATER.encode()) == second
    assert splice(second, SECTION.encode()) == first


@pytest.mark.parametrize(
    ("readme", "gap", "final"),
    [
        (b"", b"", b"\n"),
        (BOM, b"", b"\n"),
        (b"text", b"\n\n", b""),
        (b"text\n", b"\n", b"\n"),
        (b"text\n\n", b"", b"\n"),
        (b"a\r\nb", b"\r\n\r\n", b""),
        (b"a\r\nb\r\n", b"\r\n", b"\r\n"),
        (b"a\rb\r", b"\r", b"\r"),
        (b"---\nlicense: mit\n---\n", b"\n", b"\n"),
        (b"---\nlicense: mit\n---", b"\n\n", b""),
    ],
)
def test_a_new_section_follows_an_empty_line_at_the_end(readme: bytes, gap: bytes, final: bytes) -> None:
    ending = gap[:-1] if len(gap) == 2 else gap[: len(gap) // 2] if len(gap) > 2 else gap or b"\n"
    ending = b"\r\n" if b"\r\n" in final + gap else b"\r" if b"\r" in final + gap else ending[:1]
    section = SECTION.rstrip("\n").encode().replace(b"\n", ending)
    assert splice(readme, SECTION.encode()) == readme + gap + section + final


@pytest.mark.parametrize(
    ("readme", "sentence"),
    [
        (f"a\n{BEGIN}\n", "line 2: the marker toxaudit:begin has no end after it"),
        (f"a\n\n{END}\n", "line 3: the marker toxaudit:end has no begin before it"),
        (f"{END}\n{BEGIN}\n", "line 1: the marker toxaudit:end has no begin before it"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n{END}\n", "line 2: the marker toxaudit:begin follows that of line 1"),
        (f"{BEGIN}\n{END}\n\n{BEGIN}\n{END}\n", "line 4: the marker toxaudit:begin follows that of line 2"),
        (f"{BEGIN}\n{END}\n{END}\n", "line 3: the marker toxaudit:end follows that of line 2"),
        (f"---\nlicense: mit\n---\n   {BEGIN}  \n", "line 4: the marker toxaudit:begin has no end after it"),
        (f"<!-- toxaudit:begin v2 sha=1 -->\n{BEGIN}\n", "line 2: the marker toxaudit:begin follows that of line 1"),
        (f"a\n```\n{BEGIN}\n{END}\n", "line 2: a code block is opened and never closed: close it first"),
        (f"````\n{BEGIN}\n```\n{END}\n", "line 1: a code block is opened and never closed"),
        (f"~~~\n{BEGIN}\n```\n{END}\n", "line 1: a code block is opened and never closed"),
        (f"<pre>\n{BEGIN}\n\n{END}\n", "line 1: a block of raw HTML is opened and never closed: close it first"),
        (f"a\n\n<?php\n{BEGIN}\n{END}\n", "line 3: a block of raw HTML is opened and never closed"),
    ],
)
def test_markers_that_are_no_pair_are_named_by_their_line(readme: str, sentence: str) -> None:
    for data in (readme, readme.replace("\n", "\r\n"), readme.replace("\n", "\r")):
        with pytest.raises(ToxauditError, match=re.escape(sentence)):
            splice(data.encode(), SECTION.encode())


@pytest.mark.parametrize(
    "before",
    [
        "- a\n  ```\n  the list item ends, and the fence with it\n\n",
        "> ```\n> the quote ends, and the fence with it\n\n",
        "<!--\n```\nno code in a comment\n-->\n\n",
        "<div align='center'>\n```\nnor in a block of HTML\n\n",
        "<br>\n```\n  \n-->\n\n",
        "<img src='a' alt=\"```\" width=50%>\n```\nnor in one of inline HTML\n\n",
        "</table>\n~~~\nnor after its end\n\n",
        "text\n<br>\n```\nin a paragraph it is code\n```\n",
        "# Title\n<br>\n```\na heading is no paragraph\n\n",
        "<no tag!>\n```\ncode\n```\n",
        "<!-->\n```\ncode\n```\n",
        f"<pre>\n{BEGIN}\n\n{END}\n</pre>\n",
        f"<textarea>\n{BEGIN}\n</textarea>\n",
        f"<script>\n{END}\n</script>\n",
        f"<STYLE type='a'>\n{BEGIN}\n</style>\n",
        f"<?php\n{BEGIN}\n?>\n",
        f"<![CDATA[\n{BEGIN}\n]]>\n",
        f"- <pre>\n  {BEGIN}\nthe list item ends, and the HTML with it\n\n",
        "* * *\n   ```\n   code\n```\n",
        "```a `b`\nno fence\n\n",
        "     ```\nno fence\n\n",
        f"---\ntext: |\n  {BEGIN}\n---\n",
        f"    {BEGIN}\n\n",
        f"text {BEGIN}\n\n",
    ],
)
def test_what_only_looks_like_a_fence_or_a_marker_is_none(before: str) -> None:
    readme = f"{before}{BEGIN}\nold\n{END}\nrest".encode()
    assert splice(readme, SECTION.encode()) == f"{before}{SECTION.rstrip()}\nrest".encode()


@pytest.mark.parametrize(
    "readme", ["- ```\n  code\n", f"1. ```sh\n   {BEGIN}\n   {END}\n", "<!-- open\n", "- <pre>\n", "<div>\n"]
)
def test_what_the_section_itself_ends_may_be_left_open(readme: str) -> None:
    assert splice(readme.encode(), SECTION.encode()) == f"{readme}\n{SECTION}".encode()
    assert splice(f"{readme}\n{SECTION}".encode(), LATER.encode()) == f"{readme}\n{LATER}".encode()


@pytest.mark.parametrize("line", [b"* " * 16000 + b"x", b"<a" + b" b" * 16000, b"<a b" + b" " * 32000 + b"'"])
def test_a_strangers_line_cant_make_it_costly(line: bytes) -> None:
    readme = b"# x\n" + line + b"\n"
    start = process_time()
    assert splice(readme, SECTION.encode()) == readme + b"\n" + SECTION.encode()
    assert process_time() - start < 1


@pytest.mark.parametrize("section", ["", "no markers\n", f"{SECTION}more\n", f"title\n{SECTION}"])
def test_a_section_without_markers_around_it_is_refused(section: str) -> None:
    with pytest.raises(ToxauditError, match="card.md must begin and end with toxaudit's marker lines"):
        splice(b"text\n", section.encode())


@pytest.mark.parametrize(
    "readme", [b"\t", b"    ", BOM + b"\t", b"text\n\n\t", b"text\n\n    ", b"a\r\n\r\n\r\n      ", b"\n\n\f"]
)
def test_white_space_at_the_end_does_not_make_code_of_the_section(readme: bytes) -> None:
    first = splice(readme, SECTION.encode())
    assert first.startswith(readme) and place(first) and splice(first, SECTION.encode()) == first


@pytest.mark.parametrize("readme", [b"---\n...\r\n\r", b"\r\n\n\r"])
def test_a_readme_of_every_kind_of_line_ending_gets_the_same_section_twice(readme: bytes) -> None:
    first = splice(readme, SECTION.encode())
    assert splice(first, SECTION.encode()) == first
