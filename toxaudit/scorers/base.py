"""What every scorer has: what it reads, when a score counts, how its measure is called, how it weighs in the gate."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, cast, get_args

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import OPERATORS, UNNAMED, Calibration, ScorerFacts, Tier
from toxaudit.records import UNSCORED, Completion, Prompt
from toxaudit.scorers import calibration
from toxaudit.scorers.calibration import KnownErrors
from toxaudit.sources import FileField
from toxaudit.spec.schema import ModelSpec


@dataclass(frozen=True)
class Unscored:
    """Why a completion has no score. Never a zero: what could not be scored is missing.

    ``passing`` marks what another try may mend, such as a server that is down: it isn't kept in the store.
    """

    reason: str
    passing: bool = False


@dataclass(frozen=True)
class LocalJudge:
    """A chat model that must be loaded here, its longest answer in tokens, and what takes the function that asks it.

    That function gets users' turns, and gives an answer to each, or the reason why there is none.
    """

    model: ModelSpec
    max_new_tokens: int
    take: Callable[[Callable[[Sequence[str]], Sequence[Any]]], None]


BY_RULE = 8192
"""Completions that a rule scores together, in about a third of a second: a killed run loses no more than that."""


@dataclass(kw_only=True)
class BaseScorer(ABC):
    """The fields that every kind of scorer shares.

    Attributes:
        title: for the card.
        noun, more, less: words for the outcome's rate: "toxicity", "more toxic", "less toxic".
        tier: ``critical`` (decides), ``supporting`` (a failure makes the audit INCONCLUSIVE) or ``advisory`` (is only
            reported).
        operator: how the score is compared with ``threshold`` for a completion to count: >=, >, < or <=. What counts
            is what is unwanted: an answer is wrong where its score is < 0.5, so that a rise is worse in every measure.
        threshold: what the score is compared with; null measures the mean score itself, or that of 1 - score where the
            operator is < or <=.
        caveat: what a reader must know of this scorer's errors.
        calibration: a file of its errors on labelled completions, for which its rates are then corrected.
    """

    title: str = ""
    noun: str = UNNAMED
    more: str = "higher"
    less: str = "lower"
    tier: str = "critical"
    operator: str = ">="
    threshold: float | None = 0.5
    caveat: str = ""
    calibration: str | None = None

    takes_choices: ClassVar[bool] = False
    """Whether it scores what a model chose, rather than what it wrote."""

    reads_answers: ClassVar[bool] = True
    """Whether it reads what was answered, without thoughts, rather than how the completion ended."""

    together: ClassVar[int] = 512
    """Completions scored at once, and then stored: what a killed run loses."""

    @property
    def needs(self) -> str:
        """What a suite must tell of its prompts to be scored: ``target``, ``roles`` or nothing."""
        return ""

    def reads(self, prompt: Prompt, completion: Completion) -> Any:
        """All that a score depends on, besides the scorer itself: plain JSON values, the completion's text by default.

        ``score`` gets a list of these, and equal ones are scored once.
        """
        return completion.text

    @abstractmethod
    def identity(self) -> str:
        """SHA-256 of all that decides a score: neither operator nor threshold, which only judge it.

        Weights are fetched for it.
        """

    @property
    def patterns(self) -> tuple[str, ...]:
        """Which files of ``pretrained`` are fetched, where a scorer has such; none named means all."""
        return ()

    def check(self) -> None:
        """Refuse values that no scorer can have.

        Raises:
            ToxauditError: if a key has such a value; the sentence names the key.
        """
        if self.tier not in get_args(Tier):
            raise ToxauditError(
                f"scorer '{self.title}': there is no tier '{self.tier}'.{did_you_mean(self.tier, get_args(Tier))}"
            )
        if self.operator not in OPERATORS:
            raise ToxauditError(
                f"scorer '{self.title}': operator is '{self.operator}'; it must be one of {', '.join(OPERATORS)}."
            )
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ToxauditError(f"scorer '{self.title}': threshold is {self.threshold}; it must lie in (0, 1].")
        if self.calibration:
            calibration.read(self.calibration, self.operator, self.threshold)

    def file_fields(self) -> Iterator[FileField]:
        """The fields that name files, as far as they are set."""
        if self.calibration:
            yield FileField("calibration")

    def local_judge(self) -> "LocalJudge | None":
        """The chat model that must be loaded here for it: none, but for a judge."""
        return None

    @property
    def asks_server(self) -> bool:
        """Whether a server scores."""
        return False

    def known_errors(self) -> Calibration | None:
        """The scorer's errors on labelled completions, where a file of them is named.

        Raises:
            ToxauditError: if the file is of no use, or is another scorer's, which ``check`` can't tell.
        """
        return self._known.of(self.identity()) if self._known else None

    @property
    def stated_errors(self) -> Calibration | None:
        """What the file says, whichever scorer it is of: nothing is fetched."""
        return self._known.errors if self._known else None

    @cached_property
    def _known(self) -> KnownErrors | None:
        """Read once: the file may change while an audit runs."""
        return calibration.read(self.calibration, self.operator, self.threshold) if self.calibration else None

    @property
    def rises(self) -> bool:
        """Whether a higher score is the worse one."""
        return self.operator in (">=", ">")

    def outcome(self, score: float) -> float:
        """A completion's outcome, in 0..1: whether it has what is counted, or the score itself.

        Raises:
            ToxauditError: if the mean of scores is wanted and one lies beyond 0..1.
        """
        if self.threshold is not None:
            return float(OPERATORS[self.operator](score, self.threshold))
        if not 0 <= score <= 1:
            raise ToxauditError(f"scorer '{self.title}': a score is {score:g}; mean scores must lie in 0..1.")
        return score if self.rises else 1 - score

    @property
    def _outcome(self) -> str:
        """When a completion counts, in words."""
        if self.threshold is not None:
            short = f"{self.threshold:g}"
            return f"score {self.operator} {short if float(short) == self.threshold else repr(self.threshold)}"
        return "mean score" if self.rises else "mean score, of 1 − score"

    def facts(self, name: str, identity: str, source: str) -> ScorerFacts:
        """What a card may say of it."""
        return ScorerFacts(
            name=name,
            title=self.title or name,
            identity=identity,
            source=source,
            outcome=self._outcome,
            noun=self.noun,
            more=self.more,
            less=self.less,
            tier=cast(Tier, self.tier),  # check() has seen that it is one
            caveat=self.caveat,
            calibration=self.known_errors(),
            rises=self.rises,
        )


def unscored_facts(scorer: ScorerFacts) -> ScorerFacts:
    """The measure of what a scorer could not score: a change of it is estimated and gated like any other's."""
    return replace(
        scorer,
        name=scorer.name + UNSCORED,
        title=f"Not scored: {scorer.title}",
        outcome="no score",
        noun="unscored completions",
        more="more often unscored",
        less="less often unscored",
        tier="advisory" if scorer.tier == "advisory" else "supporting",
        caveat="",
        calibration=None,
        rises=True,
    )
