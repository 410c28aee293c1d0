"""What a model writes before its answer, between marks: it is cut off before scoring, and alone it is no answer.

A thought that a chat template begins at the prompt's end, or that a server returns apart, stands in a completion's text
between its marks as well, so that the text tells all.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RULE = "thoughts-1"
"""Names the rule by which thoughts are told from answers; raised when it changes."""

MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|open|>think<|sep|>", "<|open|>response<|sep|>"),
    ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
)
"""How thoughts begin and end: in DeepSeek-R1, Qwen3 and most others, and in what has marks of its own, such as
Seed-OSS, Magistral, Kimi, Command A, OpenThinker, gpt-oss, Gemma 4 and Apriel."""

UNFINISHED = "its thoughts did not come to an end"
UNANSWERED = "it ended after its thoughts, without an answer"

_ALONE = re.compile("|".join(rf"(?:\A|\n)[ \t]*{re.escape(end)}[ \t]*(?:\n|\Z)" for _, end in MARKS))
"""A mark on a line of its own; one within a sentence may be what the sentence is about."""

_TAGS = re.compile(r"(?:\s|<[\w:]+>)*")


@dataclass(frozen=True, slots=True)
class Parted:
    """A completion's text in two.

    Attributes:
        thoughts: with their marks, as they stand in the text; empty where there are none.
        answer: what follows them, the whole text where there are none.
        missing: why there is no answer, if so.
        headless: whether the thoughts end by a mark but begin without one, as where a server's template wrote that.
    """

    thoughts: str
    answer: str
    missing: str | None = None
    headless: bool = False


def part(text: str) -> Parted:
    """Part a completion's text where its thoughts end.

    Thoughts are what begins the text by a mark, up to the mark that ends them; and what stands before such a mark that
    has a line to itself, if none began them.
    """
    rest, headless = text, False
    while (found := _begun_by(rest.lstrip())) is not None:
        begin, end = found
        before, ended, after = rest.partition(end)
        if not ended:
            return Parted(text, "", UNFINISHED)
        rest = after
    if (
        rest is text
        and any(end in text for _, end in MARKS)  # seldom, and told in a fraction of the time
        and (alone := _ALONE.search(text))
        and not any(begin in text[: alone.start()] for begin, _ in MARKS)
    ):
        rest, headless = text[alone.end() :], True
    if rest is text:
        return Parted("", text)
    thoughts = text[: len(text) - len(rest)]
    return Parted(thoughts, rest.lstrip(), None if rest.strip() else UNANSWERED, headless)


def _begun_by(text: str) -> tuple[str, str] | None:
    """The marks of which one begins a text."""
    return next((marks for marks in MARKS if text.startswith(marks)), None)


def parted(written: Sequence[tuple[str, str]]) -> list[Parted]:
    """Part what one model wrote, each a text and why it ended (``stop`` or ``length``), asked in one way.

    Where half of its whole texts or more hold thoughts that begin without a mark, as under a template that writes it, a
    text that the limit cut off before any mark is nothing but such. Where fewer do, the mark is a word among others.
    """
    found = [part(text) for text, _ in written]
    whole = [each for each, (_, finish) in zip(found, written, strict=True) if finish != "length"]
    if not any(each.headless for each in found) or 2 * sum(each.headless for each in whole) < len(whole):
        return [Parted("", text) if each.headless else each for each, (text, _) in zip(found, written, strict=True)]
    return [
        Parted(text, "", UNFINISHED, True) if finish == "length" and not each.thoughts else each
        for each, (text, finish) in zip(found, written, strict=True)
    ]


def begun(prompt: str) -> str:
    """The end of a prompt that begins a thought, from its mark on; empty where it begins none.

    Nothing follows the mark but tags, such as that of a budget for thoughts, and white space.
    """
    for begin, end in MARKS:
        _, found, after = prompt.rpartition(begin)
        if found and end not in after and _TAGS.fullmatch(after):
            return found + after
    return ""


def joined(thoughts: str, answer: str, finished: bool) -> str:
    """Thoughts that come apart from the answer, as one text with marks; unfinished ones are not ended."""
    begin, end = MARKS[0]
    if not thoughts or answer.lstrip().startswith(begin):  # some servers leave them where they were, too
        return answer
    thoughts = thoughts.replace(end, end.replace("/", "/ "))  # a thought about the mark would end by it
    return f"{begin}\n{thoughts}\n{end}\n\n{answer}" if answer.strip() or finished else f"{begin}\n{thoughts}"


def marking(tokens: Iterable[str]) -> frozenset[str]:
    """Those of a vocabulary's special tokens that thoughts are marked by."""
    return frozenset(
        token for token in tokens if len(token) > 2 and any(token in mark for marks in MARKS for mark in marks)
    )


def note(found: Sequence[Parted]) -> str:
    """A phrase for the card on a model's thoughts, if it wrote some."""
    n, without = sum(bool(each.thoughts) for each in found), sum(each.missing is not None for each in found)
    if not n:
        return ""
    rest = f"; {without:,} of these hold no answer and could not be scored" if without else ""
    return f"{n:,} of its {len(found):,} completions begin with thoughts, which were not scored (rule {RULE}){rest}"
