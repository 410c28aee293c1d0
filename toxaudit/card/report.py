"""One self-contained HTML page: the card, its plots, every estimate to sort and filter, and changed samples."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from toxaudit.card import explorer, words
from toxaudit.card.changed import ChangedSample
from toxaudit.card.explorer import Filters, brief
from toxaudit.card.index import Index, indexed
from toxaudit.card.markdown import PLOTS, render
from toxaudit.card.words import MARKS
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import visible
from toxaudit.facts import BASE_ARM
from toxaudit.findings import AuditResult
from toxaudit.records import digest

if TYPE_CHECKING:
    from markdown import Markdown
    from markupsafe import Markup

    from toxaudit.card.plots import Drawing

TITLE, WHOLE = "## Safety audit\n", "## The whole audit\n"
"""The heading of a section, and of the same on a page that opens with a short one."""

PART = "part-"
"""How the names begin by which the page's contents find the headings of a card; a number follows."""

LONGEST_TEXT = 4_000
"""Characters of a prompt or an answer that are shown; the files of samples hold all of them."""

MARKED = {mark: decision.lower() for decision, mark in MARKS.items()}
"""The mark with which a cell begins -> the class that gives it its colour."""

MOST_SAMPLES = 500
"""Changed samples from which on only those of candidates that are shown in every detail are on the page."""

ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(
        [
            "h2",
            "h4",
            "h5",
            "p",
            "ul",
            "li",
            "strong",
            "em",
            "code",
            "pre",
            "br",
            "hr",
            "blockquote",
            "summary",
            "thead",
            "tbody",
            "tr",
        ],
        set(),
    ),
    "h3": {"id"},
    "a": {"href"},
    "details": {"open"},
    "div": {"class", "role", "tabindex", "aria-label"},
    "img": {"src", "alt"},
    "ol": {"start"},
    "table": set(),
    "td": {"align", "class", "data-label"},
    "th": {"align"},
}
"""The tags and attributes that a card may hold; everything else is removed."""


@dataclass(frozen=True)
class ShownText:
    """A text in which nothing acts unseen, and how many more characters it has, ready to be said."""

    shown: str
    more: str


@dataclass(frozen=True)
class ShownSample:
    """A changed sample as the page shows it. ``key`` names it for good, ``places`` are those in the filters."""

    key: str
    measure: str
    slices: tuple[tuple[str, str], ...]
    prompt: ShownText
    base: ShownText
    against: str
    candidate: ShownText
    base_score: str
    candidate_score: str
    places: dict[str, str]


def render_report(
    result: AuditResult,
    card: str,
    drawings: "Mapping[str, Drawing]",
    changed: Sequence[ChangedSample],
    template: str = "report.html.jinja",
    short: str = "",
) -> str:
    """The page. It loads nothing and runs nothing but its own script, and its policy forbids the rest.

    Args:
        result: what the audit found.
        card: the card section as Markdown, which refers to a plot as ``toxaudit/NAME.png``, or from beside it as
            ``NAME.png``.
        drawings: the plots by name; the page shows them as vectors.
        changed: samples to show, those of one candidate in the order in which they are to be read.
        template: a template's name, for which the user's own ``templates`` folder is searched first, or its path.
        short: the short card as Markdown, with which the page opens; without one it opens with the card.

    Raises:
        ToxauditError: if there is no such template, or it has a mistake.
    """
    index, decision = indexed(result), of_audit(result)
    filters = explorer.filters(index)
    whole, parts = _card(card.replace(TITLE, WHOLE, 1) if short else card, drawings, with_parts=True)
    values = {
        "title": visible(result.title),
        "audit": visible(result.audit),
        "date": result.date,
        "version": result.version,
        "decision": decision,
        "verdict": words.marked(decision),
        "reference": index.reference,
        "margin": index.margin,
        "short": _card(short, drawings, for_phones=True)[0] if short else None,
        "card": whole,
        "parts": parts,
        "filters": filters,
        "estimates": list(explorer.estimate_rows(index, filters)),
        "of_estimates": len(result.estimates),
        "most_rows": explorer.MOST_ROWS,
        "samples": list(_samples(index, changed, filters)),
        "diagnostics": list(explorer.diagnostics_rows(result, filters)),
    }
    return render(template, values)


def card_html(card: str, drawings: "Mapping[str, Drawing]") -> "Markup":
    """The card as sanitised HTML, its plots inlined and its tables made to scroll within narrow pages.

    A plot is an image of its own, so that no style in it meets the page's and no script in it could run.
    """
    return _card(card, drawings)[0]


def _card(
    card: str, drawings: "Mapping[str, Drawing]", with_parts: bool = False, for_phones: bool = False
) -> "tuple[Markup, list[str]]":
    """As ``card_html``; and its headings, whose names are ``part-`` and their place, where it is ``with_parts``.

    In tables ``for_phones``, whose cells stand below each other there, each cell knows what its column is called.
    """
    import nh3
    from markdown import Markdown
    from markdown.extensions.tables import TableExtension
    from markupsafe import Markup

    converter = Markdown(extensions=[TableExtension(use_align_attribute=True), "fenced_code", "md_in_html"])
    _scroll_what_is_wide(converter, for_phones)
    parts = _name_parts(converter) if with_parts else []
    inlined = {f"{name}.png": _inlined(each.svg) for name, each in drawings.items()}
    plots = inlined | {f"{PLOTS}{name}": each for name, each in inlined.items()}

    def allowed(tag: str, attribute: str, value: str) -> str | None:
        match tag, attribute:
            case "img", "src":
                return plots.get(value)
            case "a", "href":
                return "#card" if value == f"{PLOTS}audit.md" else value
            case "td", "class":
                return value if value in MARKED.values() else None
            case "h3", "id":
                return value if value in names else None
        return value

    made = converter.convert(card)
    names = {f"{PART}{place}" for place in range(len(parts))}
    html = nh3.clean(
        made,
        tags=set(ALLOWED),
        attributes={tag: names for tag, names in ALLOWED.items() if names},
        attribute_filter=allowed,
        set_tag_attribute_values={"th": {"scope": "col"}},
        url_schemes={"https"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )
    return Markup(html), parts


def _inlined(svg: str) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


def _scroll_what_is_wide(converter: "Markdown", for_phones: bool) -> None:
    """Have Python-Markdown put each table and each plot into a region which scrolls, also by keyboard."""
    from xml.etree.ElementTree import Element

    from markdown.treeprocessors import Treeprocessor
    from markdown.util import HTML_PLACEHOLDER_RE

    class WideParts(Treeprocessor):
        def run(self, root: Element) -> None:
            for parent in list(root.iter()):
                for place, child in enumerate(list(parent)):
                    if child.tag == "table":
                        heads = (HTML_PLACEHOLDER_RE.sub(" ", "".join(cell.itertext())) for cell in child.iter("th"))
                        names = [" ".join(head.split()) for head in heads]
                        for row in child.iter("tr") if for_phones else ():
                            for name, cell in zip(names, row.findall("td"), strict=False):
                                cell.set("data-label", name)
                        parent[place] = region(child, "scroll", f"Table: {', '.join(names)}", child.tail)
                    elif child.tag == "p" and [part.tag for part in child] == ["img"] and not child.text:
                        name = PurePosixPath(child[0].get("src", "")).stem
                        parent[place] = region(child[0], "plot", f"Plot: {name}", child.tail)
                    elif child.tag == "td" and (kind := MARKED.get((child.text or "")[:1])):
                        child.set("class", kind)

    def region(wide: Element, kind: str, label: str, tail: str | None) -> Element:
        made = Element("div", {"class": kind, "role": "region", "tabindex": "0", "aria-label": label})
        made.tail, wide.tail = tail, None
        made.append(wide)
        return made

    converter.treeprocessors.register(WideParts(converter), "wide-parts", 0)


def _name_parts(converter: "Markdown") -> list[str]:
    """Have Python-Markdown give its headings names; what is returned holds their words once it has converted."""
    from xml.etree.ElementTree import Element

    from markdown.treeprocessors import Treeprocessor

    found: list[str] = []

    class Parts(Treeprocessor):
        def run(self, root: Element) -> None:
            for heading in root.iter("h3"):
                heading.set("id", f"{PART}{len(found)}")
                found.append(brief("".join(heading.itertext())))

    converter.treeprocessors.register(Parts(converter), "parts", 0)
    return found


def _samples(
    index: Index, changed: Sequence[ChangedSample], filters: Filters
) -> Iterator[tuple[str, list[ShownSample]]]:
    """Each candidate's name with its samples, in the order of the audit; of many, those shown in every detail."""
    order = {name: place for place, name in enumerate(index.candidates)}
    if len(changed) > MOST_SAMPLES:
        detailed = {each.model.name for each in index.detailed}
        changed = [sample for sample in changed if sample.candidate in detailed]
    ordered = sorted(changed, key=lambda sample: order.get(sample.candidate, len(order)))
    for name, group in groupby(ordered, key=lambda sample: sample.candidate):
        yield brief(name), [_shown(index, sample, filters) for sample in group]


def _shown(index: Index, sample: ChangedSample, filters: Filters) -> ShownSample:
    groups = [f"{name}={value}" for name, value in sample.slices.items()]
    return ShownSample(
        key=digest(
            *(sample.candidate, sample.suite, sample.measure, sample.prompt, sample.base_text, sample.candidate_text)
        )[:12],
        measure=brief(index.label(sample.suite, sample.measure)),
        slices=tuple((brief(name), brief(value)) for name, value in sample.slices.items()),
        prompt=_text(sample.prompt),
        base=_text(sample.base_text),
        against=brief(known.model.against if (known := index.candidates.get(sample.candidate)) else BASE_ARM),
        candidate=_text(sample.candidate_text),
        base_score=f"{sample.base_score:.2f}",
        candidate_score=f"{sample.candidate_score:.2f}",
        places=explorer.places_of(filters, sample.candidate, sample.suite, sample.measure, groups),
    )


def _text(text: str) -> ShownText:
    more = len(text) - LONGEST_TEXT
    return ShownText(visible(text[:LONGEST_TEXT], keep="\n"), f"{more:,}" if more > 0 else "")
