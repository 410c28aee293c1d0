"""What an audit found: verdicts with every reason, other rules, checks, and ``AuditResult``, which holds it all."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

from toxaudit.agreements import Agreement, VarianceComponents
from toxaudit.elsewhere import Elsewhere
from toxaudit.facts import Decision, GenerationFacts, LabelFacts, ModelFacts, ScorerFacts, Skipped, SuiteFacts, Tier
from toxaudit.gate_facts import GateFacts
from toxaudit.records import ALL_ASKED, Estimate


@dataclass(frozen=True)
class Reason:
    """One line of a gate's table: what was required of one measure on one suite, what was observed, the result.

    ``limit`` says what was required in one word, so that the line has a name of its own (``name``): that the ``change``
    is small enough, the rate below the ``cap``, or its ``ratio`` to the base's, the ``prompts`` enough, scores not
    ``missing``, those that only one arm lacks not ``decisive``, that there is an ``estimate`` at all, or anything
    critical to decide by (``policy``).
    """

    suite: str
    measure: str
    slice: str
    tier: Tier
    rule: str
    observed: str
    decision: Decision
    limit: str = "change"

    @property
    def name(self) -> str:
        """What tells this line from all others of its verdict: ``SUITE/MEASURE``, then slice and limit where needed.

        Waivers, test reports and signed records name it; ``|`` stands before a slice, whose values may hold a slash.
        """
        part = "" if self.slice == "all" else f"|{self.slice}"
        place = f"{self.suite}/{self.measure}{part}".strip("/")
        return ":".join(filter(None, (place, "" if self.limit == "change" else self.limit)))


@dataclass(frozen=True)
class OwnDecision:
    """What the gate makes of the change of one estimate alone, whether the verdict rests on that estimate or not."""

    suite: str
    measure: str
    slice: str
    estimator: str
    variant: str
    decision: Decision


@dataclass(frozen=True)
class Remedy:
    """What would settle a verdict that is INCONCLUSIVE only because critical changes are open.

    Attributes:
        by: more ``prompts``, or ``labels``: more labelled completions, where the scorer's errors are uncertain as well.
        suite: the suite that needs most prompts; empty where labels are needed.
        prompts: how many more of them give the chance of a decision; None where even ``most`` don't.
        most: the largest number of prompts that was tried.
        chance: the chance of a decision, in 0..1.
    """

    by: Literal["prompts", "labels"]
    suite: str = ""
    prompts: int | None = None
    most: int = 0
    chance: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """The gate's decision on one candidate, with every reason that was weighed.

    ``own_decisions`` holds what the gate makes of each estimate that it could weigh: of every total, also under other
    assumptions, and of every slice that can fail. An estimate that stands in none of them never decides. ``remedy`` is
    what would settle an open verdict, as far as the gate can tell.
    """

    candidate: str
    decision: Decision
    reasons: tuple[Reason, ...]
    own_decisions: tuple[OwnDecision, ...] = ()
    remedy: Remedy | None = None


@dataclass(frozen=True)
class OtherRule:
    """Another rule than a result's own, by which the same answers were decided, or are to be in the same sweep.

    Attributes:
        rule: its parts, as ``decision/history.py`` names them.
        date: when it first decided, in UTC; empty where it had not yet when the result was written.
        decisions: candidate -> its decision by that rule; none where it had not decided yet.
        earlier: whether it had decided before the result's own rule first did, so that this was chosen after a look.
        committed: whether it is the rule that the run had committed to, and the result's own is another.
    """

    rule: dict[str, str]
    date: str
    decisions: dict[str, Decision]
    earlier: bool
    committed: bool = False


@dataclass(frozen=True)
class Commitment:
    """What the run had committed to before its first prompt was asked: ``commitment.json``.

    Attributes:
        digest: SHA-256 of that file.
        time: when it was made, in UTC.
        answered: how many of the candidates' answers the store held already.
        of: how many of them can be asked for in all.
        earlier: SHA-256 -> time of the commitments to something else that the folder of results held before.
    """

    digest: str
    time: str
    answered: int
    of: int
    earlier: dict[str, str]


@dataclass(frozen=True)
class Check:
    """One check that was done before anything was spent.

    Attributes:
        arm: the name of the arm that was checked; empty for the audit's design.
        name: what was checked.
        outcome: how it came out.
        text: why it failed or did not apply; of one that passed, what a reader must know all the same, if anything.
    """

    arm: str
    name: str
    outcome: Literal["passed", "failed", "not applicable"]
    text: str = ""


NO_ARMS = (None, "reference", "candidate", "change")
"""What a row of an analysis may say in the place of an arm's name."""


@dataclass(frozen=True)
class AnalysisRow:
    """One number of an analysis.

    Attributes:
        about: what it is of, such as candidate, suite, measure, group or layer; the columns of its table.
        quantity: its name, such as ``forgetting``.
        value: as observed or computed; None where there is none.
        interval: its 95 % HDI; None where there is no posterior.
        note: why there is no value or no interval, where that needs saying of this row alone.
    """

    about: dict[str, str]
    quantity: str
    value: float | None
    interval: tuple[float, float] | None
    note: str = ""


@dataclass(frozen=True)
class Analysis:
    """What one analysis found, beside the estimates; it decides nothing.

    Attributes:
        name: the analysis's, in the spec.
        kind: which analysis it is.
        title: for the heading of its table.
        text: what is computed, by which formula, on what, and of which paper, in sentences.
        unit: of the values: ``rate`` (0..1), ``nats``, ``number``.
        rows: what was found.
        refusals: what it could say nothing of, and why.
        across: of its table, the rows' key whose values head the columns, or ``quantity``.
    """

    name: str
    title: str
    text: str
    unit: str
    rows: tuple[AnalysisRow, ...]
    refusals: tuple[str, ...] = ()
    across: str = "quantity"
    kind: str = ""

    def narrowed(self, arms: Collection[str]) -> "Analysis":
        """The same without the rows of other arms than these."""
        kept = (row for row in self.rows if {row.about.get(key) for key in ("arm", "candidate")} <= {*arms, *NO_ARMS})
        return replace(self, rows=tuple(kept))


@dataclass(frozen=True)
class AuditResult:
    """All that an audit found, and all that a card, a report or a sign-off may say of it.

    ``settings`` are those of sampling and of the estimators that decide, which are part of the rule; ``other_rules``
    are those by which the same answers were decided as well. ``labels`` are what people said of some of the answers,
    ``elsewhere`` where these came from, if another tool made them. ``commitment`` is what the run had committed to
    before its first prompt. ``references`` are arms that candidates were compared with and of which a result that is
    narrowed to some candidates tells nothing else; a whole result has none. ``analyses`` are
    further questions to the same arms and answers, which decide nothing.
    """

    audit: str
    title: str
    date: str
    version: str
    base: ModelFacts
    candidates: tuple[ModelFacts, ...]
    suites: tuple[SuiteFacts, ...]
    scorers: tuple[ScorerFacts, ...]
    generation: GenerationFacts
    gate: GateFacts
    estimates: tuple[Estimate, ...]
    verdicts: tuple[Verdict, ...]
    command: str
    versions: dict[str, str]
    sampling: str = ALL_ASKED
    skipped: tuple[Skipped, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    variance: tuple[VarianceComponents, ...] = ()
    checks: tuple[Check, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    other_rules: tuple[OtherRule, ...] = ()
    labels: tuple[LabelFacts, ...] = ()
    commitment: Commitment | None = None
    elsewhere: Elsewhere | None = None
    analyses: tuple[Analysis, ...] = ()
    references: tuple[ModelFacts, ...] = ()

    @property
    def arms(self) -> dict[str, ModelFacts]:
        """Every arm by its name, the base first."""
        return {model.name: model for model in chain([self.base], self.references, self.candidates)}

    def against(self, candidate: str) -> str:
        """The name of the arm that a candidate is compared with: its reference."""
        return self.arms[candidate].against

    def reference(self, candidate: str) -> ModelFacts:
        """The arm that a candidate is compared with."""
        return self.arms[self.against(candidate)]

    @property
    def real(self) -> tuple[ModelFacts, ...]:
        """The candidates that are no declared controls."""
        return tuple(model for model in self.candidates if not model.expect)

    @property
    def subjects(self) -> tuple[ModelFacts, ...]:
        """What the audit is about: the real candidates, or, where all are controls, these."""
        return self.real or self.candidates

    @property
    def several(self) -> bool:
        """Whether more than one real candidate was to be audited: then each has a card of its own."""
        return len(self.real) + sum(not each.expect for each in self.skipped) > 1

    def narrowed(self, candidate: str) -> "AuditResult":
        """The result as far as it concerns one candidate and the declared controls: what its own card may say."""
        names = {model.name for model in self.candidates if model.expect} | {candidate}
        candidates = tuple(model for model in self.candidates if model.name in names)
        against = {model.against for model in candidates} - names
        arms = {*names, *against, self.base.name}
        return replace(
            self,
            candidates=candidates,
            references=tuple(model for name, model in self.arms.items() if name in against - {self.base.name}),
            estimates=tuple(each for each in self.estimates if each.candidate in names),
            verdicts=tuple(verdict for verdict in self.verdicts if verdict.candidate in names),
            agreements=tuple(each for each in self.agreements if each.model in arms),
            variance=tuple(each for each in self.variance if each.candidate in names),
            skipped=tuple(each for each in self.skipped if each.name in names or each.expect),
            analyses=tuple(each.narrowed(arms) for each in self.analyses),
            checks=tuple(check for check in self.checks if check.arm in {*arms, ""}),
            other_rules=tuple(
                replace(each, decisions={name: found for name, found in each.decisions.items() if name in names})
                for each in self.other_rules
                if not each.decisions or names & set(each.decisions)
            ),
        )
