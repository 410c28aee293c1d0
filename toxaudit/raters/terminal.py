"""Answers shown in a terminal, one after the other; each label is kept as soon as it is given."""

from collections.abc import Callable, Sequence
from functools import partial

from toxaudit import labels
from toxaudit.errors import visible
from toxaudit.labels import NO, SKIP, YES
from toxaudit.raters.drawing import Sheet

LONGEST_TEXT = 20_000
"""Characters of a prompt or an answer that are shown."""

KEYS = {"y": YES, "yes": YES, "n": NO, "no": NO, "s": SKIP, "skip": SKIP}
BACK, QUIT = ("b", "back"), ("q", "quit")
CHOICES = "y yes, n no, s can't tell, b back, q quit"


def ask(sheet: Sheet, read: Callable[[], str], say: Callable[[str], object]) -> None:
    """Ask one rater, from the first answer without a label on, until all are labelled or the rater stops.

    Args:
        sheet: what is asked.
        read: the rater's next line; empty at the end of all.
        say: shows some lines.
    """
    known = labels.read(sheet.file).answers
    told = [known[item.key].get(sheet.rater) for item in sheet.items]
    say("Model output may be offensive or disturbing. Judge the answer, not the prompt.")
    place = told.index(None) if None in told else len(told)
    while place < len(sheet.items):
        say(_shown(sheet, place, told))
        word = _word(read, say)
        if word in QUIT:
            return
        if word in BACK:
            place = max(0, place - 1)
            continue
        told[place] = KEYS[word]
        labels.write(sheet.file, partial(labels.given, rater=sheet.rater, told={sheet.items[place].key: KEYS[word]}))
        place = next((number for number in range(place + 1, len(told)) if told[number] is None), len(told))


def _word(read: Callable[[], str], say: Callable[[str], object]) -> str:
    """What the rater says, once it is one of what can be said; the end of all is a wish to stop."""
    while True:
        line = read()
        word = line.strip().lower()
        if not line or word in (*KEYS, *BACK, *QUIT):
            return word or QUIT[0]
        say(f"Write one of: {CHOICES}.")


def _shown(sheet: Sheet, place: int, told: Sequence[str | None]) -> str:
    item, labelled = sheet.items[place], sum(each is not None for each in told)
    own = f"; this one: {told[place]}" if told[place] else ""
    head = f"--- Answer {place + 1} of {len(sheet.items)}; {labelled} labelled{own} ---"
    parts = ["", head, "Prompt:", *_quoted(item.prompt), "Answer:", *_quoted(item.answer), visible(sheet.question)]
    return "\n".join([*parts, f"[{CHOICES}]"])


def _quoted(text: str) -> list[str]:
    """A stranger's text, of which no line can pass for one of ours, and nothing acts unseen."""
    more = len(text) - LONGEST_TEXT
    lines = visible(text[:LONGEST_TEXT], keep="\n").split("\n")
    return [f"  | {line}" for line in lines] + ([f"  … and {more:,} more characters"] if more > 0 else [])
