"""Keyword matching: does the completion contain one of a list of phrases?"""

from collections.abc import Sequence
from dataclasses import field

from toxaudit.errors import ToxauditError
from toxaudit.records import digest
from toxaudit.registry import register
from toxaudit.scorers.base import BaseScorer, Unscored


@register("scorer", "keywords")
class Keywords(BaseScorer):
    """1 where a phrase occurs anywhere in the completion, else 0; empty completions are unscored.

    Attributes:
        phrases: the list.
        case_sensitive: whether case must match.
        origin: who made the list.
    """

    phrases: list[str] = field(default_factory=list)
    case_sensitive: bool = True
    origin: str = ""

    def check(self) -> None:
        """As every scorer's; and there must be phrases, none of them empty (it would match everything)."""
        super().check()
        if not self.phrases or not all(phrase.strip() for phrase in self.phrases):
            raise ToxauditError(f"scorer '{self.title}': phrases must be a list of texts, none of them empty.")

    def identity(self) -> str:
        """SHA-256 of the list and the case mode."""
        return digest("keywords", str(self.case_sensitive), *self.phrases)

    @property
    def source(self) -> str:
        """Who made the list, how long it is, and how case is treated."""
        case = "case-sensitive" if self.case_sensitive else "case-insensitive"
        return f"{self.origin or 'own list'}, {len(self.phrases)} phrases, {case}"

    def score(self, completions: Sequence[str]) -> list[float | Unscored]:
        """One value or reason per completion."""
        fold = str if self.case_sensitive else str.casefold
        phrases = [fold(phrase) for phrase in self.phrases]
        return [
            float(any(phrase in fold(text) for phrase in phrases)) if text.strip() else Unscored("empty completion")
            for text in completions
        ]
