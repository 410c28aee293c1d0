"""Names, references and model text are strangers': whatever they hold, tables, markers and page stay whole."""

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results import BASE, BENIGN, CATEGORIES, NOOP, RESULTS, SUITE, TOXICITY, result, unchanged

from toxaudit.card.markdown import code, escape, fenced, render_card
from toxaudit.card.report import card_html
from toxaudit.facts import Calibration, Confusion
from toxaudit.findings import AuditResult, Verdict
from toxaudit.records import BEST_CASE, CORRECTED, WORST_CASE, Diagnostics

NASTY = [
    "<script>alert(1)</script>",
    "a | b || c",
    "`code` ``` ~~~",
    "</details></div></section>",
    "one\ntwo\r\n\r\n# three",
    "\u202egnp.exe\u200f\u2066",
    "<!-- toxaudit:end -->",
    "\n<!-- toxaudit:end -->\n",
    "]( javascript:alert(1) ) ![x](https://example.org/x.png) [y]: https://example.org",
    "![](https://example.org/x.png)",
    "https://example.org www.example.org someone@example.org",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "&lt;script&gt; &#60;b&#62;",
    "\\| \\` \\",
    "$\\href{https://example.org}{x}$",
    "*a* _b_ **c** ~~d~~",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "===",
    "---",
    "+ x",
    ":--|--:",
    "{{ 7 * 7 }} {% raw %}",
    "{: onclick=alert(1) }",
    "[0.9, 4.1](https://example.org)",
    "[1, 2]: https://example.org",
    "\x02wzxhzdk:0\x03",
    "\x00\x1b[31m\ud800",
    "[x] [^1]",
    " \n",
    "😀 漢字 مرحبا",
    "</style><style>*{display:none}</style>",
]


class Page(HTMLParser):
    """All tags of a page, their attributes, and how many cells each row of its tables has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.rows: list[int] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append(0)
        elif tag in ("td", "th"):
            self.rows[-1] += 1
        if tag not in ("meta", "img", "br", "hr", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def hostile(text: str) -> AuditResult:
    """An audit in which a stranger wrote every name, and in which nothing else differs from a plain one."""
    value = f"category={text}"
    parts = [
        replace(each, slice=value if each.slice == f"category={CATEGORIES[0]}" else each.slice) for each in unchanged()
    ]
    total = replace(parts[0], missing={"base": 1, "candidate": 2}, diagnostics=Diagnostics({}, (), (text,)))
    parts += [replace(total, variant=each) for each in (CORRECTED, BEST_CASE, WORST_CASE, text)]
    parts += [replace(total, estimator=each) for each in ("best_replication", text)]
    estimates = [replace(each, candidate=text, suite=text) for each in parts]
    controls = [replace(each, candidate="noop", suite=text) for each in unchanged("noop")]
    made = result((replace(BENIGN, name=text, reference=text, training=text), "GO", estimates), (NOOP, "GO", controls))
    known = Calibration(text, text, {text: Confusion(9, 1, 1, 9)})
    critical = replace(TOXICITY, title=text, source=text, caveat=text, noun=text, more=text, less=text, outcome=text)
    lines = tuple(replace(line, rule=text, observed=text) for line in made.verdicts[0].reasons)
    return replace(
        made,
        title=text,
        audit=text,
        base=replace(BASE, reference=text, revision=text),
        suites=(
            replace(
                SUITE,
                name=text,
                title=text,
                source=text,
                licence=text,
                ask=text,
                slices={text: {text: 350}},
                strata=text,
                weights={text: 1.0},
                clusters=9,
                available=900,
            ),  # fmt: skip
        ),
        scorers=(replace(critical, calibration=known), *made.scorers[1:]),
        sampling=text,
        verdicts=(Verdict(text, "GO", lines), made.verdicts[1]),
        command=text,
        versions={text: text},
    )


def shape(card: str) -> list[tuple[int, str]]:
    """Of each line the number of cells and what it begins with, without the lines of code."""
    lines = re.sub(r"(`{3,})bash\n.*\n\1", "", card).split("\n")
    return [(line.count("|"), (re.match(r"(#+|[|>-]|<\S*|\S|$)", line) or [""])[0]) for line in lines]


@cache
def plain() -> tuple[list[tuple[int, str]], Page]:
    """What a card looks like whose names are harmless."""
    card = render_card(hostile("plain"))
    return shape(card), Page(card_html(card, {}))


def check(text: str) -> None:
    card = render_card(hostile(text))
    assert card.splitlines() == card.removesuffix("\n").split("\n")
    assert [line for line in card.splitlines() if "toxaudit:" in line and "<!--" in line] == [
        "<!-- toxaudit:begin -->",
        "<!-- toxaudit:end -->",
    ]
    lines, expected = plain()
    assert [cells for cells, _ in shape(card)] == [cells for cells, _ in lines]
    page = Page(card_html(card, {}))
    assert page.rows == expected.rows
    assert without_code(page) == without_code(expected)
    assert not page.open


def without_code(page: Page) -> list[str]:
    return [tag for tag, _ in page.tags if tag != "code"]


@pytest.mark.thorough
@pytest.mark.parametrize("text", NASTY)
def test_a_nasty_name_changes_no_structure(text: str) -> None:
    check(text)


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([*NASTY, *"`|<>&*_[]()!#\n\r\\~:-=+ 1.a"]), min_size=1, max_size=8).map("".join))
def test_no_name_changes_structure(text: str) -> None:
    check(text)


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(), min_size=1, max_size=40))
def test_no_unicode_changes_structure(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters() | st.sampled_from("`|<>&*_[]()!#\n\\~:-=+1. "), max_size=60))
def test_escaped_text_is_one_line_without_a_tag_a_cell_or_a_fence(text: str) -> None:
    for made in (escape(text), str(code(text))):
        assert len(made.splitlines()) <= 1
        assert "|" not in made
        assert re.sub(r"</?code>", "", made).count("<") == 0
    assert len(str(fenced(text)).split("\n")) == 3


def test_escape_keeps_what_is_harmless_readable() -> None:
    assert (
        escape("rude raises it, +91.1 pp [87.3, 94.4]; P > 0.99") == "rude raises it, +91.1 pp [87.3, 94.4]; P > 0.99"
    )
    assert escape("paired_exact") == "paired_exact"
    assert escape("[1, 2](x)") == "&#91;1, 2&#93;(x)"
    assert escape("1. a") == "1&#46; a"
    assert escape("http://a") == "http:&#47;&#47;a"


def test_what_a_stranger_says_of_scorers_and_sampling_is_placed() -> None:
    card = render_card(hostile("a stranger")).replace("\xa0", " ")
    for placed in (
        "> **Caution**: a stranger by ",
        ": a stranger.\n",
        "| a stranger | a stranger=a stranger | 90.0 % of 10 | 90.0 % of 10 |",
        "Labels: a stranger.",
        "- **Sampling**: a stranger; 350 of 900",
        "shares of a stranger (a stranger 100.0 %)",
        "| Student's t: a stranger (`best_replication`) |",
        "| A stranger; scores not corrected |",
        "| Another estimator; scores not corrected (`a stranger`) |",
        "- **Estimator** `a stranger`.",
    ):
        assert placed in card, placed


def test_the_plain_fixture_is_the_control_of_these_tests() -> None:
    assert without_code(Page(card_html(render_card(RESULTS["go"]), {})))[0] == "h2"
