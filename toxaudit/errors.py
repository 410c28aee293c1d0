"""Sentences for people: every user error is one ``ToxauditError`` and ends the program with exit code 3."""

from collections.abc import Iterable
from difflib import get_close_matches


class ToxauditError(Exception):
    """A mistake the user can mend. Its message is one sentence: what is wrong, where, and what to do."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Suggest the nearest of ``choices``; where none is near, list them all.

    Returns:
        A phrase that begins with a space, ready to follow the sentence that names the mistake.
    """
    known = sorted(set(choices))
    if near := get_close_matches(word, known, n=1, cutoff=0.6):
        return f" Did you mean '{near[0]}'?"
    return f" Choose from: {', '.join(known)}." if known else ""
