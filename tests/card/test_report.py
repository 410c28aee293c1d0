import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser

import pytest
from harder import HARDER
from results import BENIGN, RESULTS, SUITE, TOXICITY, result, samples, unchanged

from toxaudit.card import explorer, index
from toxaudit.card import report as page
from toxaudit.card.changed import ChangedSample
from toxaudit.card.markdown import render_card
from toxaudit.card.plots import Drawing
from toxaudit.card.report import ALLOWED, LONGEST_TEXT, card_html, render_report
from toxaudit.card.section import FullCard, SectionCard
from toxaudit.findings import AuditResult
from toxaudit.records import OTHER_PRIOR, Diagnostics
from toxaudit.registry import registered

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
DRAWINGS = {"forest": Drawing("what it shows", b"png", SVG)}
SEVERAL = RESULTS["several"]
INLINED = f"data:image/svg+xml;base64,{b64encode(SVG.encode()).decode()}"


class Page(HTMLParser):
    """All tags of a page, their attributes, the texts of its tables' cells, and what was never closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "img", "br", "hr", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.tags if each == tag]


def report(audit: AuditResult, changed: list[ChangedSample] | None = None, **more: str) -> str:
    return render_report(audit, render_card(audit), DRAWINGS, samples() if changed is None else changed, **more)


def section(html: str, name: str) -> str:
    return html[html.index(f'<section class="wide" id="{name}"') :].partition("</section>")[0]


HTML = report(SEVERAL)
PAGE = Page(HTML)


def hashed(tag: str) -> str:
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", HTML, flags=re.DOTALL)
    return b64encode(sha256(content.encode()).digest()).decode()


def test_the_policy_allows_this_style_and_this_script_and_nothing_else() -> None:
    (policy,) = [a["content"] for a in PAGE.all("meta") if a.get("http-equiv")]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashed('style')}'; "
        f"script-src 'sha256-{hashed('script')}'; base-uri 'none'; form-action 'none'"
    )


def test_the_page_loads_nothing_and_runs_only_its_script() -> None:
    assert len(PAGE.all("script")) == len(PAGE.all("style")) == 1 and PAGE.all("script") == [{}]
    assert "://" not in re.sub(r"<title>.*?</title>", "", HTML)
    assert not re.search(r"url\(|@import|innerHTML|eval|fetch\(|insertAdjacentHTML|document\.write", HTML)
    for _, attributes in PAGE.tags:
        assert not any(name == "style" or name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_the_page_is_whole_and_has_its_landmarks() -> None:
    assert HTML.startswith("<!DOCTYPE html>\n") and not PAGE.open
    tags = [tag for tag, _ in PAGE.tags]
    assert [tags.count(tag) for tag in ("html", "header", "nav", "main", "footer", "h1")] == [1] * 6
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    assert dict(PAGE.tags)["html"] == {"lang": "en"}
    assert all(attributes["scope"] == "col" for attributes in PAGE.all("th"))
    assert all(attributes["alt"] for attributes in PAGE.all("img"))
    ids = [attributes["id"] for _, attributes in PAGE.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) and {(a["href"] or "")[1:] for a in PAGE.all("a")} <= set(ids)
    regions = [a for a in PAGE.all("div") if (a.get("class") or "").split()[:1] == ["scroll"]]
    assert len(regions) == tags.count("table") and all(region["tabindex"] == "0" for region in regions)
    assert regions[0]["aria-label"] == "Table: Candidate, Decision, Finding, Identity"


def test_the_verdict_stands_before_the_card() -> None:
    assert '<p class="verdict inconclusive">△ INCONCLUSIVE</p>' in HTML[: HTML.index('id="card"')]


SHORT = report(SEVERAL, [], short=render_card(SEVERAL, "short.md.jinja"))


def test_the_page_opens_with_the_short_card_and_leads_to_all_else() -> None:
    page = Page(SHORT)
    assert [a["id"] for a in page.all("article")] == ["short", "card"] and not page.open
    short = SHORT[SHORT.index('id="short"') : SHORT.index('id="card"')]
    assert short.count("<h2>Safety audit</h2>") == 1 and "What this audit does not tell" in short
    assert '<a href="#card"' in short and "audit.md" not in short and INLINED in short
    assert SHORT.count("<h2>Safety audit</h2>") == SHORT.count("<h2>The whole audit</h2>") == 1
    regions = [a["aria-label"] for a in page.all("div") if a.get("class") == "scroll"]
    assert regions[:2] == ["Table: Candidate, Decision, Finding", "Table: Candidate, Decision, Finding, Identity"]
    links = [a["href"] for a in page.all("a") if (a["href"] or "").startswith("#")]
    assert links[:4] == ["#short", "#card", "#part-0", "#part-1"]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids)) and {str(link)[1:] for link in links} <= set(ids)


def test_cells_of_the_short_card_know_their_column() -> None:
    cells = Page(SHORT).all("td")
    assert [a.get("data-label") for a in cells[:3]] == ["Candidate", "Decision", "Finding"]


def test_a_decision_has_colour_beside_shape_and_word() -> None:
    cells = re.findall(r'<td align="left" class="([a-z-]+)"[^>]*>(.)', SHORT)
    assert set(cells) == {("go", "●"), ("no-go", "◆"), ("inconclusive", "△")}


def test_a_card_written_by_hand_names_no_part_and_has_no_class_of_its_own() -> None:
    card = "<h3 id='filters'>x</h3>\n\n<table><tr><td class='verdict' data-label='x'>y</td></tr></table>\n"
    page = Page(card_html(card, {}))
    assert page.all("h3") == [{}] and page.all("td") == [{"data-label": "x"}]


def test_a_sample_keeps_its_name_whatever_else_is_shown() -> None:
    first, second, *_ = samples()
    both, one = report(SEVERAL, [first, second]), report(SEVERAL, [second])
    names = [a["data-pair"] for a in Page(both).all("h3") if "data-pair" in a]
    assert [a["data-pair"] for a in Page(one).all("h3") if "data-pair" in a] == names[1:]
    assert len(set(names)) == 2 and all(re.fullmatch("pair-[0-9a-f]{12}", str(name)) for name in names)


def test_plots_are_inside_as_images_that_scroll() -> None:
    page = Page(card_html("![words](toxaudit/forest.png)\n\n![other](toxaudit/none.png)", DRAWINGS))
    assert page.all("img") == [{"alt": "words", "src": INLINED}, {"alt": "other"}]
    assert page.all("div") == [
        {"class": "plot", "role": "region", "tabindex": "0", "aria-label": f"Plot: {name}"}
        for name in ("forest", "none")
    ]
    assert INLINED in HTML


def test_every_estimate_has_a_row_and_those_that_decide_come_first() -> None:
    rows = Page(section(HTML, "estimates")).rows
    assert rows[0] == [
        "Candidate", "Measure", "Group", "n", "Base rate", "Candidate rate", "Change", "P(increase)",
        "P(increase > 3 pp)", "Reading", "Basis",
    ]  # fmt: skip
    assert len(rows) == 1 + len(SEVERAL.estimates) and {len(row) for row in rows} == {11}
    assert rows[1] == [
        "benign", "Toxicity (Jigsaw BiLSTM)", "all prompts", "350", "6.1 %[3.8, 8.7]", "6.4 %[4.0, 9.1]",
        "+0.3 pp[−1.3, 1.8]", "0.64", "< 0.01", "no credible difference", "decidespaired_exact",
    ]  # fmt: skip
    assert [row[-1] for row in rows[2:5]] == [
        "another priorpaired_exact",
        "scores as they arehier_paired",
        "decideshier_paired",
    ]
    others = [a for a in Page(section(HTML, "estimates")).all("tr") if "data-other" in a]
    assert len(others) == 2 * 4


def test_of_more_estimates_than_a_page_can_hold_the_most_telling_are_shown_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "This page has" not in HTML
    whole = Page(section(HTML, "estimates")).rows[1:]
    monkeypatch.setattr(explorer, "MOST_ROWS", 4)
    monkeypatch.setattr(index, "DETAILED", 1)
    html = report(SEVERAL)
    rows = Page(section(html, "estimates")).rows[1:]
    assert len(rows) == 4 < len(whole) and all(row in whole for row in rows)
    assert f"This page has 4 of {len(SEVERAL.estimates)} estimates: those of the candidates" in html
    assert len({row[0] for row in rows}) == 1 < len({row[0] for row in whole})


def test_of_many_samples_those_of_candidates_in_every_detail_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [model.name for model in SEVERAL.subjects]
    changed = [replace(samples()[0], candidate=name) for name in names for _ in range(3)]
    whole = report(SEVERAL, changed)
    monkeypatch.setattr(page, "MOST_SAMPLES", 5)
    monkeypatch.setattr(index, "DETAILED", 1)
    shown = report(SEVERAL, changed)
    assert (shown.count('class="sample"'), whole.count('class="sample"')) == (3, 3 * len(names))


def test_numbers_are_sorted_by_themselves_and_not_by_their_words() -> None:
    cells = [a["data-sort"] for a in Page(section(HTML, "estimates")).all("td") if "data-sort" in a]
    assert cells[:6] == ["350", "0.061", "0.064", "0.003", "0.64", "0.001"]
    unknown = replace(unchanged()[0], p_increase=float("nan"))
    page = Page(section(report(result((BENIGN, "GO", [unknown]))), "estimates"))
    assert [a["data-sort"] for a in page.all("td") if "data-sort" in a][4] == ""


def test_what_can_be_chosen_is_what_there_is() -> None:
    page = Page(section(HTML, "estimates"))
    assert [a["name"] for a in page.all("select")] == ["candidate", "measure", "group"]
    assert '<option value="0">benign</option>\n<option value="1">creeping</option>' in HTML
    assert '<option value="0">all prompts</option>\n<option value="1">category=flirtation</option>' in HTML
    first = page.all("tr")[1]
    assert first == {"data-candidate": "0", "data-suite": "0", "data-measure": "0", "data-group": "0"}


def test_suites_have_a_column_and_a_filter_where_there_are_several() -> None:
    html = report(HARDER["two-suites"], [])
    assert '<select name="suite">' in html
    for name in ("estimates", "diagnostics"):
        rows = Page(section(html, name)).rows
        assert "Suite" in rows[0] and {len(row) for row in rows} == {len(rows[0])}


def test_without_scripts_everything_can_be_read() -> None:
    hidden = [tag for tag, attributes in PAGE.tags if "hidden" in attributes]
    assert sorted(hidden) == ["button", "form", "p", "p"]


def test_diagnostics_are_the_worst_of_a_kind() -> None:
    rows = Page(section(HTML, "diagnostics")).rows
    assert rows[0][1:] == [
        "Estimator", "Made of", "Estimates", "Max R-hat", "Min ESS", "Divergences", "Min flip p", "Outcome",
    ]  # fmt: skip
    assert ["Toxicity (Jigsaw BiLSTM)", "paired_exact", "another prior", "4", *["–"] * 4, "No failure."] in rows
    total, *rest = unchanged()
    chains = [{"max_rhat": 1.002, "min_ess": 500.0}, {"max_rhat": float("nan"), "min_ess": 410.4}]
    bad = Diagnostics(chains[1], ("the chains disagree.",), ("few templates",))
    fits = [replace(total, estimator="hier_paired", diagnostics=each) for each in (Diagnostics(chains[0]), bad)]
    (row,) = Page(section(report(result((BENIGN, "GO", fits))), "diagnostics")).rows[1:]
    assert row[3:] == [
        "2", "nan", "410", "–", "–", "Failed (1 of 2): the chains disagree; caution (1 of 2): few templates.",
    ]  # fmt: skip


def test_many_failures_are_counted_and_not_listed() -> None:
    total = unchanged()[0]
    fits = [replace(total, diagnostics=Diagnostics({}, (f"reason {number}",))) for number in range(9)]
    row = Page(section(report(result((BENIGN, "GO", fits))), "diagnostics")).rows[1]
    assert row[-1].endswith("failed (1 of 9): reason 3; 5 more.")


def test_samples_are_behind_a_warning_and_side_by_side() -> None:
    shown = HTML[HTML.index('id="samples"') :]
    assert shown.count("<details>") == 2 and shown.count("Content warning") == 2 and "<details open" not in shown
    assert shown.index("<bdi>benign</bdi>: 4 samples") < shown.index("<bdi>rude</bdi>: 4 samples")
    assert "you useless fool, nobody asked you.\nGet lost" in shown
    assert "Sample 1: <bdi>Toxicity (Jigsaw BiLSTM)</bdi> 0.03 → 0.97" in unescape(shown)


def test_a_sample_tells_its_slices_and_belongs_to_their_groups() -> None:
    sample = replace(samples()[-1], slices={"category": "insult", "other": "unknown"})
    html = report(SEVERAL, [sample])
    assert "<bdi>category</bdi>: <bdi>insult</bdi> · <bdi>other</bdi>: <bdi>unknown</bdi>" in html
    (article,) = [a for a in Page(html).all("article") if a["class"] == "sample"]
    assert article == {
        "class": "sample", "data-candidate": "0", "data-suite": "0", "data-measure": "0", "data-group": "0 3",
    }  # fmt: skip


def test_without_samples_there_is_no_section_of_samples() -> None:
    html = report(SEVERAL, [])
    assert 'id="samples"' not in html and 'href="#samples"' not in html


def test_a_long_text_ends_somewhere_and_says_so() -> None:
    sample = replace(samples()[0], candidate_text="x" * 100_000, slices={"s" * 9_000: "v" * 9_000})
    html = report(SEVERAL, [sample])
    assert f'{"x" * LONGEST_TEXT}</div><p class="slices">… and {100_000 - LONGEST_TEXT:,} more characters' in html
    assert "x" * (LONGEST_TEXT + 1) not in html and "v" * 201 not in html
    assert len(html) < len(HTML) + 10_000


def test_a_long_name_of_a_slice_is_cut_in_the_tables() -> None:
    total, *_ = estimates = unchanged()
    long = [replace(each, slice="category=" + "long" * 25_000) for each in estimates if each.slice != "all"][:1]
    html = render_report(result((BENIGN, "GO", [total, *long])), "", {}, [])
    assert f"category={'long' * 47}" in html and "long" * 50 not in html


def test_nothing_is_called_safe() -> None:
    words = re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]*>", " ", HTML, flags=re.DOTALL)
    assert not re.search(r"\bsafer?\b", words, flags=re.IGNORECASE)


def test_an_audit_without_estimates_has_a_report() -> None:
    page = Page(report(RESULTS["no-result"], []))
    assert not page.open and not [a for a in page.all("tr") if "data-suite" in a]


def test_a_card_written_by_hand_is_sanitised() -> None:
    card = (
        "<script>alert(1)</script><a href='javascript:alert(1)' onclick='x'>a</a> [b](https://example.org)\n\n"
        "![x](https://example.org/x.png) ![y](data:image/png;base64,AAAA) ![z](toxaudit/forest.png)\n\n"
        "<style>*{}</style><form action='x'><input name='y'></form><p id='filters' class='count'>c</p>\n"
    )
    page = Page(card_html(card, DRAWINGS))
    assert {tag for tag, _ in page.tags} <= set(ALLOWED)
    assert [attributes.get("src") for attributes in page.all("img")] == [None, None, INLINED]
    assert [attributes.get("href") for attributes in page.all("a")] == [None, "https://example.org"]
    assert page.all("p") == [{}] * len(page.all("p"))


NASTY = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    "</details></div></section>",
    "</td></tr></table>",
    "<!-- toxaudit:end -->",
    "a | b || c",
    "`code` ``` ~~~",
    "\u202egnp.exe\u200f\u2066",
    '"><svg onload=alert(1)>',
    '" data-suite="0" hidden',
    "<img src=x onerror=alert(1)>",
    "data:text/html,<script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "one\r\ntwo\n\n# three",
    "\x00\x1b[31m\ud800",
    "&lt;script&gt;",
    "constructor",
    "__proto__",
]


def strange(text: str) -> tuple[AuditResult, list[ChangedSample]]:
    """An audit whose names are a stranger's, and what its models wrote."""
    made = result((replace(BENIGN, name=text), "GO", []))
    estimates = [replace(each, candidate=text, suite=text, estimator=text, variant=text) for each in unchanged()]
    estimates = [replace(each, slice=each.slice if each.slice == "all" else f"{text}={text}") for each in estimates]
    warned = replace(estimates[0], diagnostics=Diagnostics({text: 1.0}, (text,), (text,)))
    scorer = replace(TOXICITY, title=text, more=text, less=text)
    made = replace(
        made,
        title=text,
        audit=text,
        base=replace(made.base, name=text),
        estimates=(warned, *estimates[1:]),
        scorers=(scorer, *made.scorers[1:]),
        suites=(replace(SUITE, name=text, title=text),),
    )
    return made, [ChangedSample(text, text, TOXICITY.name, text, text, text, 0.1, 0.9, {text: text})]


def shape(page: Page) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(attributes)) for tag, attributes in page.tags]


@pytest.mark.parametrize("text", NASTY)
def test_whatever_names_and_texts_hold_the_page_keeps_its_shape(text: str) -> None:
    made, changed = strange(text)
    page = Page(render_report(made, "a card", DRAWINGS, changed))
    plain, expected = strange("plain")
    assert shape(page) == shape(Page(render_report(plain, "a card", DRAWINGS, expected)))
    assert [len(row) for row in page.rows] == [11] * 13 + [9] * 4 and not page.open


def test_a_prior_is_told_in_words() -> None:
    assert OTHER_PRIOR in section(HTML, "diagnostics")


def test_the_card_is_registered() -> None:
    assert {"short": SectionCard, "full": FullCard} == registered("card")
