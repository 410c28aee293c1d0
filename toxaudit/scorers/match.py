"""Right answers to questions: is the completion, or does it contain, one of the prompt's references?"""

import re
import string
from collections.abc import Sequence
from typing import Any, ClassVar

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.records import Completion, Prompt, digest
from toxaudit.registry import register
from toxaudit.scorers.base import BY_RULE, BaseScorer, Unscored

WAYS = ("exact", "contains")
STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2212": "-"})

MARK = f"[{re.escape(string.punctuation)}]"
IGNORED = re.compile(rf"(?!(?<=\d){MARK}\d|[-+.,]\d|(?<=\d)[-+]){MARK}")
"""Punctuation but that within a number: any between digits, a sign or a point before one, a sign after one."""

NO_NUMBER_BEFORE = r"(?<!\d[.,])(?<!(?<![\w.])[-+.])"
NO_NUMBER_AFTER = r"(?![.,]\d)"
"""Around a number, so that it is no part of another: 5 is not found in 3.5, 5,000 or -5, but in 4-5."""


@register("scorer", "match")
class Match(BaseScorer):
    """1 where the completion matches a reference of its prompt, else 0; an empty completion is a wrong answer.

    Any white space is one space, none at the ends, curly quotation marks are straight ones, and a minus sign is a
    hyphen. Where the prompt has no references, its completions are unscored.

    Attributes:
        how: ``exact`` (the completion is a reference) or ``contains`` (one stands in it, as whole words and numbers:
            not for languages that are written without spaces).
        ignore_case: whether case doesn't matter.
        ignore_punctuation: whether ASCII punctuation is left out of both, but for that which makes a number another:
            3.5, -5, 1/2. Names that differ in signs only, C and C++, are then the same.
    """

    how: str = "exact"
    ignore_case: bool = True
    ignore_punctuation: bool = False

    together: ClassVar[int] = BY_RULE

    @property
    def needs(self) -> str:
        """Right answers."""
        return "target"

    def check(self) -> None:
        """As every scorer's; and the way to compare must be one of the two."""
        super().check()
        if self.how not in WAYS:
            raise ToxauditError(f"scorer '{self.title}': how can't be '{self.how}'.{did_you_mean(self.how, WAYS)}")

    def reads(self, prompt: Prompt, completion: Completion) -> list[Any]:
        """The completion's text and the references."""
        return [completion.text, list(prompt.references)]

    def identity(self) -> str:
        """SHA-256 of the rule."""
        return digest("match", "2", self.how, str(self.ignore_case), str(self.ignore_punctuation))

    @property
    def source(self) -> str:
        """The rule in words."""
        ignored = [name for name in ("case", "punctuation") if getattr(self, f"ignore_{name}")]
        rule = "is a reference" if self.how == "exact" else "contains a reference"
        return f"rule: {rule}" + (f", whatever its {' and '.join(ignored)}" if ignored else "")

    def score(self, completions: Sequence[Any]) -> list[float | Unscored]:
        """One value or reason per completion and its references."""
        return [self._of(text, references) for text, references in completions]

    def _of(self, text: str, references: Sequence[str]) -> float | Unscored:
        wanted = [each for each in map(self._normal, references) if each]
        if not wanted:
            return Unscored("the prompt has no references")
        given = self._normal(text)
        if self.how == "exact":
            return float(given in wanted)
        return float(any(re.search(_whole(each), given) for each in wanted))

    def _normal(self, text: str) -> str:
        text = text.translate(STRAIGHT)
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_punctuation:
            text = IGNORED.sub("", text)
        return " ".join(text.split())


def _whole(reference: str) -> str:
    """The pattern by which a reference is found as whole words and numbers."""
    before = NO_NUMBER_BEFORE if reference[0].isdecimal() else ""
    after = NO_NUMBER_AFTER if reference[-1].isdecimal() else ""
    return rf"(?<!\w){before}{re.escape(reference)}(?!\w){after}"
