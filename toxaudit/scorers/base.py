"""What every scorer has: when a score counts, how its measure is called, and how it weighs in the gate."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast, get_args

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.records import Calibration, ScorerFacts, Tier
from toxaudit.scorers import calibration


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
        threshold: a completion counts when its score is at or above it; null measures the mean score itself.
        caveat: what a reader must know of this scorer's errors.
        calibration: a file of its errors on labelled completions, for which its rates are then corrected.
    """

    title: str = ""
    noun: str = "rate"
    more: str = "higher"
    less: str = "lower"
    tier: str = "critical"
    threshold: float | None = 0.5
    caveat: str = ""
    calibration: str | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """Which files of ``pretrained`` are fetched, where a scorer has such; none named means all."""
        return ()

    def check(self) -> None:
        """Refuse values that no scorer can have.

        Raises:
            ToxauditError: naming the key.
        """
        if self.tier not in get_args(Tier):
            raise ToxauditError(
                f"scorer '{self.title}': there is no tier '{self.tier}'.{did_you_mean(self.tier, get_args(Tier))}"
            )
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ToxauditError(f"scorer '{self.title}': threshold is {self.threshold}; it must lie in (0, 1].")
        self.known_errors()

    def known_errors(self) -> Calibration | None:
        """The scorer's errors on labelled completions, where a file of them is named.

        Raises:
            ToxauditError: the file is of no use.
        """
        return self._errors

    @cached_property
    def _errors(self) -> Calibration | None:
        """Read once: the file may change while an audit runs."""
        return calibration.read(self.calibration, self.threshold) if self.calibration else None

    def outcome(self, score: float) -> float:
        """A completion's outcome, in 0..1: whether it has what is counted, or the score itself.

        Raises:
            ToxauditError: the mean of scores beyond 0..1 is wanted.
        """
        if self.threshold is not None:
            return float(score >= self.threshold)
        if not 0 <= score <= 1:
            raise ToxauditError(f"scorer '{self.title}': a score is {score:g}; mean scores must lie in 0..1.")
        return score

    def facts(self, name: str, identity: str, source: str) -> ScorerFacts:
        """What a card may say of it."""
        return ScorerFacts(
            name=name,
            title=self.title or name,
            identity=identity,
            source=source,
            outcome="mean score" if self.threshold is None else f"score >= {self.threshold:g}",
            noun=self.noun,
            more=self.more,
            less=self.less,
            tier=cast(Tier, self.tier),  # check() has seen that it is one
            caveat=self.caveat,
            calibration=self.known_errors(),
        )
