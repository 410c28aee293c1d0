"""What a gate asks: its rule, rules for some measures in particular, and what comes of them for one measure."""

from dataclasses import dataclass, field
from typing import Protocol

from toxaudit.facts import Decision, Tier


@dataclass(frozen=True)
class RuleFacts:
    """What a gate asks of some measures in particular.

    It is about every measure that fits all of ``measure``, ``noun`` and ``suite`` that are stated; with a ``slice``
    (``NAME`` or ``NAME=VALUE``), only about its change there. What is None is as the gate has it: ``tier``, how the
    measure counts; ``margin``, ``cap``, ``certainty`` and ``max_missing``, as in ``GateFacts``; ``ratio``, the
    candidate's largest tolerated rate as a multiple of the base's; ``min_prompts``, the fewest that can decide.
    """

    measure: str | None = None
    noun: str | None = None
    suite: str | None = None
    slice: str | None = None
    tier: Tier | None = None
    margin: float | None = None
    ratio: float | None = None
    cap: float | None = None
    certainty: float | None = None
    min_prompts: int | None = None
    max_missing: float | None = None


class Measured(Protocol):
    """What a rule must know of a measure: ``ScorerFacts`` says it."""

    @property
    def name(self) -> str:
        """The measure's name, which is its scorer's."""

    @property
    def noun(self) -> str:
        """What is measured, such as ``toxicity``."""

    @property
    def tier(self) -> Tier:
        """How it counts where no rule says otherwise."""


@dataclass(frozen=True)
class Measure:
    """A measure of an audit that has not run."""

    name: str
    noun: str
    tier: Tier


@dataclass(frozen=True)
class Limits:
    """What is asked of one measure on one suite, in total or on one slice: as in ``RuleFacts``, nothing left open."""

    tier: Tier
    margin: float
    certainty: float
    max_missing: float
    ratio: float | None = None
    cap: float | None = None
    min_prompts: int = 0

    @property
    def looks(self) -> int:
        """How many probabilities can make it a NO-GO in total: the change's, and those of a cap and a ratio."""
        return 1 + (self.cap is not None) + (self.ratio is not None)


@dataclass(frozen=True)
class GateFacts:
    """The rule, which is to be fixed before the run.

    ``question`` is what an open change leaves open, as a phrase such as ``whether the rise exceeds 3 pp``.
    ``family_error`` is the largest chance of a false NO-GO in any critical total together; 1, where each is judged by
    itself, as was the rule before results said it. ``rules`` are what it asks of some measures in particular: where
    several are about one, the later goes before the earlier. ``min_prompts`` of a suite must be scored in both arms for
    a decision, and the audit must have a control for each of ``controls``, the decisions that they must get. Each of
    ``checks`` must have passed for every candidate, controls aside, before anything is generated. Where it is
    ``responsive``, the audit is a GO only if every critical measure tells a control that is known to be worse from its
    reference. A release decision
    needs ``signatures`` of people, only by the keys of ``signers`` where these are named, and not by that of ``ran_by``
    alone; keys are named by their fingerprints, SHA-256 in hex, and who signs by Sigstore by identity and issuer, with
    a space between.
    """

    rule: str
    margin: float
    certainty: float
    cap: float | None
    max_missing: float
    question: str = ""
    family_error: float = 1.0
    min_prompts: int = 0
    rules: dict[str, RuleFacts] = field(default_factory=dict)
    controls: tuple[Decision, ...] = ()
    checks: tuple[str, ...] = ()
    responsive: bool = False
    signatures: int = 1
    signers: tuple[str, ...] = ()
    ran_by: str | None = None
