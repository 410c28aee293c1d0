"""Sentences for people: every user error is one ``ToxauditError`` and ends the program with exit code 3."""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_LINE = 600
"""Characters of the longest line that is printed whole: a stranger's text may be as long as it likes."""

_END = 200  # of those are kept from the end, where a sentence says how to mend it


class ToxauditError(Exception):
    """A mistake the user can mend. Its message is one sentence: what is wrong, where, and what to do.

    Strangers' words in it (names, keys, what libraries say of their files) can't act unseen, nor fill the screen.
    """

    def __init__(self, sentence: str) -> None:
        """Make the sentence one line."""
        super().__init__(one_line(sentence))


def did_you_mean(word: str, choices: Iterable[str], or_list: bool = True) -> str:
    """Suggest the nearest of ``choices``; where none is near, list them all, if ``or_list`` says so.

    Returns:
        A phrase that begins with a space, ready to follow the sentence that names the mistake.
    """
    known = sorted(set(choices))
    if near := get_close_matches(word, known, n=1, cutoff=0.6):
        return f" Did you mean '{near[0]}'?"
    return f" Choose from: {', '.join(known)}." if known and or_list else ""


def visible(text: str, keep: str = "") -> str:
    """Text in which nothing acts unseen: line breaks become spaces; control, bidi and broken characters become U+FFFD.

    Args:
        text: what a model, a spec or a stranger wrote.
        keep: characters to leave as they are, e.g. a line feed where line breaks may be shown.
    """
    if text.isprintable():  # nearly every text, and then nothing in it acts
        return text
    joiners = "\u200c\u200d"  # part of ordinary words in some scripts, and of emoji

    def shown(character: str) -> str:
        if character in keep or character in joiners:
            return character
        if character in "\t\n\v\f\r\x85\u2028\u2029":
            return " "
        broken = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF  # never a character
        return "\ufffd" if broken or unicodedata.category(character) in ("Cc", "Cf", "Cs") else character

    return "".join(map(shown, text))


def one_line(text: str) -> str:
    """A sentence as one line for a terminal: ``visible``, and without its middle where it is very long."""
    line = visible(text)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - _END - 3]} … {line[-_END:]}"
