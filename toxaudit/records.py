"""The nouns that flow through an audit: frozen, made of plain values, and JSON-able.

``AuditSpec -> [Prompt] -> [Completion] -> [Score] -> [Estimate] -> [Verdict] -> card, report, Hub, sign-off``
"""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from toxaudit.elsewhere import Elsewhere
from toxaudit.facts import (
    Decision,
    GateFacts,
    GenerationFacts,
    LabelFacts,
    ModelFacts,
    ScorerFacts,
    Skipped,
    SuiteFacts,
    Tier,
)

UNSCORED = ":unscored"
"""What follows a scorer's name in that of the measure of what it could not score."""

LOOKS = ("degenerate", "truncated", "wrong_language")
"""The scorers that look at every written answer: an incoherent model is no safe one."""

ALL_ASKED = "all prompts were asked"
"""How prompts were sampled, where no round left any out; a suite's limit may have."""

OBSERVED, CORRECTED, LABELLED = "observed", "corrected", "labelled"
BEST_CASE, WORST_CASE, OTHER_PRIOR = "best case", "worst case", "other prior"
ALONE = "alone"
"""What an estimate was made of: the scores as they are; these corrected for the scorer's errors; these and people's
labels of some of the answers; with every missing score taken in the candidate's favour, or against it; the scores as
they are under another prior; those of a slice alone, where the observed estimate lets slices borrow from each other."""


def digest(*texts: str) -> str:
    """SHA-256 (hex) over texts, each prefixed by its length so that no two lists of texts collide."""
    sha = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        sha.update(f"{len(data)}:".encode())
        sha.update(data)
    return sha.hexdigest()


def to_json(record: Any) -> dict[str, Any]:
    """A record as plain dicts, lists, strings and numbers."""
    return asdict(record)


@dataclass(frozen=True)
class Prompt:
    """One thing a suite asks.

    Attributes:
        id: the row's id in the data, unique in the suite.
        suite: the suite's name.
        text: exactly what the model reads, in the chat template where the suite asks by chat.
        slices: slice name -> value.
        cluster: the template that the prompt varies, where it does.
        choices: answers of which the model's likelihood chooses one; none where the model writes its own.
        target: the place of the right one among ``choices``.
        references: right answers to a question that the model answers in its own words.
        roles: what each of ``choices`` stands for, such as ``stereotype``, ``other``, ``unknown``.
        language: that of the suite, as an ISO 639-1 code; empty where the suite states none.
    """

    id: str
    suite: str
    text: str
    slices: dict[str, str] = field(default_factory=dict)
    cluster: str = ""
    choices: tuple[str, ...] = ()
    target: int | None = None
    references: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    language: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the text and of what there is to choose."""
        return digest(self.text, *self.choices)


@dataclass(frozen=True)
class Completion:
    """What one model answered to one prompt.

    ``model`` is the arm's name (``base`` or a candidate's), ``text`` all that it wrote, thoughts between their marks
    included (``toxaudit.thoughts``; scorers get what follows them), ``tokens`` the number of new tokens without the
    end-of-text token (of a server's answer as the server counts them, None where it doesn't say), ``finish`` why it
    ended: ``stop`` (the model ended it), ``length`` (the limit did) or ``other``: then it is not the model's own, not
    scored, and ``missing`` says why. Where the prompt offers choices, ``text`` is the likeliest, and
    ``loglikelihoods`` holds the natural logarithm of each one's probability after the prompt.
    """

    model: str
    prompt_id: str
    sample: int
    text: str
    tokens: int | None
    finish: Literal["stop", "length", "other"]
    loglikelihoods: tuple[float, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Score:
    """What one scorer says of one completion: a ``value``, or None and the reason why it is ``missing``."""

    model: str
    prompt_id: str
    sample: int
    scorer: str
    value: float | None
    missing: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.missing is None):
            raise ValueError(f"a score has either a value or a reason for missing it: {self}")


@dataclass(frozen=True)
class Quantity:
    """A posterior in short, on the outcome's scale (0..1 for rates): mean, standard deviation, 95 % HDI and ETI."""

    mean: float
    sd: float
    hdi: tuple[float, float]
    eti: tuple[float, float]


@dataclass(frozen=True)
class Diagnostics:
    """Whether a posterior may be used.

    ``values`` are e.g. max_rhat, min_ess, divergences; ``failures`` forbid its use, ``warnings`` ask for care, both in
    words.
    """

    values: dict[str, float] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """No failure."""
        return not self.failures


@dataclass(frozen=True)
class Estimate:
    """The change of one measure from base to one candidate, on one suite or one slice of it.

    Attributes:
        candidate: the candidate's name.
        suite: the suite's name.
        measure: the scorer's name.
        slice: ``all``, or ``name=value``.
        estimator: which estimator made it, e.g. ``paired_exact``.
        variant: what it was made of: ``observed`` scores, ``corrected`` ones, ...
        n: prompts scored in both arms.
        samples: completions per prompt and arm.
        missing: per arm (``base``, ``candidate``), completions that could not be scored.
        missing_in_both: how many of these could be scored in neither arm, of the same prompt and sample; None where
            that is not known.
        counts: the paired 2 x 2 table: ``n11`` (both have the outcome), ``n10`` (base only: repaired), ``n01``
            (candidate only: new) and ``n00``; fractions where a prompt has several samples or a mean score.
        quantities: ``base``, ``candidate`` and ``change`` (candidate minus base).
        p_increase: P(change > 0).
        p_above_margin: P(change > margin). ``margin`` is the gate's.
        p_within_margin: P(-margin <= change <= margin).
        p_go: what a GO is decided by: P(change < margin) under a prior that counts half a prompt against the candidate;
            None where the estimator never decides a GO.
        margin: the margin those probabilities refer to.
        diagnostics: whether the posterior may be used.
        cap: the gate's limit on the candidate's own rate, where it sets one.
        p_below_cap: P(candidate < cap), where there is a cap.
        ratio: the candidate's rate over the base's, where both arms have events enough.
        design_effect: by how much less than their number the prompts of a slice say, since some vary one template; 1
            where each is independent of the others, and where the estimator counts templates itself.
    """

    candidate: str
    suite: str
    measure: str
    slice: str
    estimator: str
    n: int
    missing: dict[str, int]
    counts: dict[str, float]
    quantities: dict[str, Quantity]
    p_increase: float
    p_above_margin: float
    p_within_margin: float
    margin: float
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    cap: float | None = None
    p_below_cap: float | None = None
    variant: str = OBSERVED
    ratio: Quantity | None = None
    samples: int = 1
    p_go: float | None = None
    missing_in_both: int | None = None
    design_effect: float = 1.0


@dataclass(frozen=True)
class Agreement:
    """How far two scorers of one thing agree on one arm's completions of a suite, in numbers of completions.

    ``n`` were scored by both; ``kappa`` is Cohen's, None where it isn't defined.
    """

    suite: str
    model: str
    first: str
    second: str
    n: int
    both: int
    first_only: int
    second_only: int
    neither: int
    kappa: float | None

    @classmethod
    def of(
        cls, suite: str, model: str, first: str, second: str, both: int, first_only: int, second_only: int, neither: int
    ) -> "Agreement":
        """From the table. Cohen's kappa (1960): (observed - expected agreement) / (1 - expected); none where all is."""
        kappa, n = None, both + first_only + second_only + neither
        if n:
            agree, p, q = (both + neither) / n, (both + first_only) / n, (both + second_only) / n
            expected = p * q + (1 - p) * (1 - q)
            kappa = None if expected == 1 else (agree - expected) / (1 - expected)
        return cls(suite, model, first, second, n, both, first_only, second_only, neither, kappa)


SOURCES = (
    "prompt",
    "model",
    "scorer",
    "prompt x model",
    "prompt x scorer",
    "model x scorer",
    "prompt x model x scorer",
)
"""The sources of variance of crossed outcomes; what is left over, such as chance, is in the last."""


@dataclass(frozen=True)
class Component:
    """One variance component of outcomes in 0..1.

    Attributes:
        source: one of ``SOURCES``.
        variance: its unbiased estimate; below 0, it is none. That of ``model`` and of what is crossed with it is the
            mean over both models, so that all components together are the variance of an outcome.
        eti: its 95 % equal-tailed interval, over the prompts alone: the scorers are those of the audit.
        share: its part of the sum of all, none below 0; None where no outcome differs from another.
    """

    source: str
    variance: float
    eti: tuple[float, float]
    share: float | None


@dataclass(frozen=True)
class VarianceComponents:
    """How much of the spread of outcomes is the prompt's, the model's and the scorer's, where several score one thing.

    Of the outcomes as they were scored, on the completions of base and candidate that every one of these scorers
    scored; without components where these are too few.

    Attributes:
        suite: the suite's name.
        candidate: the candidate's.
        noun: what the scorers measure.
        scorers: their names.
        n: prompts with such a completion of each model.
        missing: per arm (``base``, ``candidate``), completions that not every scorer scored.
        changes: scorer -> candidate minus base, of the mean outcomes.
        sd_of_prompts: the standard deviation that the choice of prompts gives a change by one of the scorers.
        components: one for each of ``SOURCES``. That of ``model x scorer`` is a quarter of the variance that the choice
            of the scorer gives the change.
    """

    suite: str
    candidate: str
    noun: str
    scorers: tuple[str, ...]
    n: int
    missing: dict[str, int]
    changes: dict[str, float]
    sd_of_prompts: float | None
    components: tuple[Component, ...]

    @property
    def fits(self) -> bool:
        """Whether its parts fit together: all of them for all scorers and sources, or none."""
        if not self.components:
            return not self.changes and self.sd_of_prompts is None
        whole = self.changes.keys() == {*self.scorers} and self.sd_of_prompts is not None
        return whole and tuple(each.source for each in self.components) == SOURCES


@dataclass(frozen=True)
class Reason:
    """One line of a gate's table: what was required of one measure on one suite, what was observed, the result.

    ``limit`` says what was required in one word or two, so that the line has a name of its own (``name``): that the
    ``change`` is small enough, the rate below the ``cap``, scores not ``missing``, those that only one arm lacks not
    ``decisive``, that there is an ``estimate`` at all, or anything critical to decide by (``policy``).
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
    """

    rule: dict[str, str]
    date: str
    decisions: dict[str, Decision]
    earlier: bool


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


@dataclass(frozen=True)
class AuditResult:
    """All that an audit found, and all that a card, a report or a sign-off may say of it.

    ``settings`` are those of sampling and of the estimators that decide, which are part of the rule; ``other_rules``
    are those by which the same answers were decided as well. ``labels`` are what people said of some of the answers,
    ``elsewhere`` where these came from, if another tool made them.
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
    elsewhere: Elsewhere | None = None

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
        return replace(
            self,
            candidates=tuple(model for model in self.candidates if model.name in names),
            estimates=tuple(each for each in self.estimates if each.candidate in names),
            verdicts=tuple(verdict for verdict in self.verdicts if verdict.candidate in names),
            agreements=tuple(each for each in self.agreements if each.model in {*names, self.base.name}),
            variance=tuple(each for each in self.variance if each.candidate in names),
            skipped=tuple(each for each in self.skipped if each.name in names or each.expect),
            checks=tuple(check for check in self.checks if check.arm in {*names, self.base.name, ""}),
            other_rules=tuple(
                replace(each, decisions={name: found for name, found in each.decisions.items() if name in names})
                for each in self.other_rules
                if not each.decisions or names & set(each.decisions)
            ),
        )


@dataclass(frozen=True)
class Asked:
    """A suite and the prompts of it that were asked."""

    prompts: list[Prompt]
    facts: SuiteFacts


Answers = dict[tuple[str, str], list[Completion]]
"""(arm, suite) -> completions in the order of the suite's prompts, all samples of a prompt together."""

Scored = dict[tuple[str, str, str], list[Score]]
"""(arm, suite, scorer) -> scores in the same order."""
