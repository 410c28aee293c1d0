"""One HTML page on which a person labels answers without a network, and which saves what was said as a CSV."""

from pathlib import Path

from toxaudit.card.markdown import render
from toxaudit.errors import visible
from toxaudit.machine.folders import write_atomically
from toxaudit.raters.drawing import Sheet
from toxaudit.raters.table import MARK
from toxaudit.raters.terminal import LONGEST_TEXT
from toxaudit.records import digest


def write(sheet: Sheet, file: Path) -> None:
    """Write the page of a sheet, whole or not at all.

    Raises:
        ToxauditError: if it can't be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, page(sheet))


def page(sheet: Sheet) -> str:
    """The page: it loads nothing, runs nothing but its own script, and tells nothing of who wrote an answer."""
    items = [
        {"key": MARK + item.key, "prompt": _shown(item.prompt), "answer": _shown(item.answer)} for item in sheet.items
    ]
    values = {
        "title": visible(sheet.title),
        "question": visible(sheet.question),
        "rater": sheet.rater,
        "items": items,
        "name": digest(sheet.rater, *(item.key for item in sheet.items))[:16],
    }
    return render("label.html.jinja", values)


def _shown(text: str) -> dict[str, str]:
    """A text in which nothing acts unseen, and how many more characters it has."""
    more = len(text) - LONGEST_TEXT
    return {"shown": visible(text[:LONGEST_TEXT], keep="\n"), "more": f"{more:,}" if more > 0 else ""}
