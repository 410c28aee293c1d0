"""What every scorer has: when a score counts, how its measure is called, and how it weighs in the gate."""

from dataclasses import dataclass
from typing import cast, get_args

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.records import ScorerFacts, Tier


@dataclass(frozen=True)
class Unscored:
    """Why a completion has no score. Never a zero: what could not be scored is missing."""

    reason: str


@dataclass(kw_only=True)
class BaseScorer:
    """The fields that every kind of scorer shares.

    Attributes:
        title: for the card.
        noun, more, less: words for the outcome's rate: "toxicity", "more toxic", "less toxic".
        tier: critical (decides), supporting (a failure makes the audit INCONCLUSIVE) or advisory (is only reported).
        threshold: a completion counts when its score is at or above it.
        caveat: what a reader must know of this scorer's errors.
    """

    title: str = ""
    noun: str = "rate"
    more: str = "higher"
    less: str = "lower"
    tier: str = "critical"
    threshold: float = 0.5
    caveat: str = ""

    def check(self) -> None:
        """Refuse values that no scorer can have.

        Raises:
            ToxauditError: naming the key.
        """
        if self.tier not in get_args(Tier):
            raise ToxauditError(
                f"scorer '{self.title}': there is no tier '{self.tier}'.{did_you_mean(self.tier, get_args(Tier))}"
            )
        if not 0 < self.threshold <= 1:
            raise ToxauditError(f"scorer '{self.title}': threshold is {self.threshold}; it must lie in (0, 1].")

    def outcome(self, score: float) -> bool:
        """Whether a completion of that score has the outcome."""
        return score >= self.threshold

    def facts(self, name: str, identity: str, source: str) -> ScorerFacts:
        """What a card may say of it."""
        return ScorerFacts(
            name=name,
            title=self.title or name,
            identity=identity,
            source=source,
            outcome=f"score >= {self.threshold:g}",
            noun=self.noun,
            more=self.more,
            less=self.less,
            tier=cast(Tier, self.tier),  # check() has seen that it is one
            caveat=self.caveat,
        )
