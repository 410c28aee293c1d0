"""One self-contained HTML page: the card, its plot, and changed samples behind a content warning."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from toxaudit.card.changed import ChangedSample
from toxaudit.card.findings import measure_label
from toxaudit.card.markdown import render
from toxaudit.card.words import visible
from toxaudit.records import AuditResult

if TYPE_CHECKING:
    from markdown import Markdown
    from markupsafe import Markup

PLOT = "forest.png"
"""The name by which a card refers to its plot."""

ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(
        [
            "h2",
            "h3",
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
    "a": {"href"},
    "details": {"open"},
    "div": {"class", "role", "tabindex", "aria-label"},
    "img": {"src", "alt"},
    "ol": {"start"},
    "table": set(),
    "td": {"align"},
    "th": {"align"},
}
"""The tags and attributes that a card may hold; everything else is removed."""


@dataclass(frozen=True)
class ShownSample:
    """A changed sample as the page shows it: nothing in its texts acts unseen."""

    measure: str
    prompt: str
    base_text: str
    candidate_text: str
    base_score: str
    candidate_score: str


def render_report(
    result: AuditResult,
    card: str,
    forest: bytes,
    changed: Sequence[ChangedSample],
    template: str = "report.html.jinja",
) -> str:
    """The page. It loads nothing, runs no script, and forbids both by its Content-Security-Policy.

    Args:
        result: what the audit found.
        card: the card section as Markdown.
        forest: the plot as PNG.
        changed: samples to show, those of one candidate in the order in which they are to be read.
        template: a template's name; the user's own ``templates`` folder is searched first.

    Raises:
        ToxauditError: there is no such template, or it has a mistake.
    """
    order = {model.name: place for place, model in enumerate(result.candidates)}
    ordered = sorted(changed, key=lambda sample: order.get(sample.candidate, len(order)))
    samples = [
        (visible(name), [_shown(result, sample) for sample in group])
        for name, group in groupby(ordered, key=lambda sample: sample.candidate)
    ]
    values = {
        "title": visible(result.title),
        "audit": visible(result.audit),
        "date": result.date,
        "version": result.version,
        "base": visible(result.base.name),
        "card": card_html(card, forest),
        "samples": samples,
    }
    return render(template, values)


def card_html(card: str, forest: bytes) -> "Markup":
    """The card as sanitised HTML, its plot inlined and its tables made to scroll within narrow pages."""
    import nh3
    from markdown import Markdown
    from markdown.extensions.tables import TableExtension
    from markupsafe import Markup

    converter = Markdown(extensions=[TableExtension(use_align_attribute=True), "fenced_code", "md_in_html"])
    _scroll_wide_tables(converter)
    plot = f"data:image/png;base64,{b64encode(forest).decode()}"

    def allowed(tag: str, attribute: str, value: str) -> str | None:
        if (tag, attribute) == ("img", "src"):
            return plot if value == PLOT else None
        return value

    html = nh3.clean(
        converter.convert(card),
        tags=set(ALLOWED),
        attributes={tag: names for tag, names in ALLOWED.items() if names},
        attribute_filter=allowed,
        set_tag_attribute_values={"th": {"scope": "col"}},
        url_schemes={"https"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )
    return Markup(html)


def _scroll_wide_tables(converter: "Markdown") -> None:
    """Have Python-Markdown put each table into a region which scrolls, also by keyboard."""
    from xml.etree.ElementTree import Element

    from markdown.treeprocessors import Treeprocessor

    class WideTables(Treeprocessor):
        def run(self, root: Element) -> None:
            for parent in list(root.iter()):
                for place, child in enumerate(list(parent)):
                    if child.tag == "table":
                        parent[place] = region(child)

    def region(table: Element) -> Element:
        names = [" ".join("".join(cell.itertext()).split()) for cell in table.iter("th")]
        about = {"class": "scroll", "role": "region", "tabindex": "0", "aria-label": f"Table: {', '.join(names)}"}
        made = Element("div", about)
        made.tail, table.tail = table.tail, None
        made.append(table)
        return made

    converter.treeprocessors.register(WideTables(converter), "wide-tables", 0)


def _shown(result: AuditResult, sample: ChangedSample) -> ShownSample:
    return ShownSample(
        measure=visible(measure_label(result, sample.suite, sample.measure)),
        prompt=visible(sample.prompt, keep="\n"),
        base_text=visible(sample.base_text, keep="\n"),
        candidate_text=visible(sample.candidate_text, keep="\n"),
        base_score=f"{sample.base_score:.2f}",
        candidate_score=f"{sample.candidate_score:.2f}",
    )
