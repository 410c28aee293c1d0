"""What the card's modules ask of a result again and again, found once: each candidate's verdict and estimates."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from toxaudit.card.words import points
from toxaudit.decision.controls import as_expected
from toxaudit.decision.headline import deciding_slices, headlines, usable
from toxaudit.decision.policy import limits_of
from toxaudit.decision.verdict import TIERS, marks
from toxaudit.facts import BASE_ARM, Decision, ModelFacts, ScorerFacts, Tier
from toxaudit.findings import AuditResult, OwnDecision, Reason, Verdict
from toxaudit.gate_facts import GateFacts
from toxaudit.records import ALONE, CORRECTED, LABELLED, OBSERVED, OF_EVERY_ANSWER, UNSCORED, Estimate

Pair = tuple[Estimate, ScorerFacts]

DETAILED = 8
"""Candidates that are shown in every detail; of more, those that changed most for the worse."""


@dataclass(frozen=True)
class Candidate:
    """One candidate and what was found of it.

    Attributes:
        model: what it is.
        verdict: the gate's; a candidate without one could not be decided.
        totals: its totals that decide, critical measures first.
        slices: its changes on every slice that can fail, critical measures first.
        others: (suite, measure) -> the totals that do not decide.
        alone: (suite, measure, slice) -> what the slice's own prompts say, of those whose estimate borrows from others.
        weighed: (suite, measure, slice) -> how the gate weighed it; what is not in it was not weighed.
        marks: (suite, measure, slice) -> the worst decision on it, where it counts towards the verdict.
        own_decisions: what the gate makes of one estimate's change alone, by what tells the estimate from others.
        as_expected: whether it came out as it was declared to; what is no control did.
    """

    model: ModelFacts
    verdict: Verdict
    totals: tuple[Pair, ...]
    slices: tuple[Pair, ...]
    others: dict[tuple[str, str], list[Estimate]]
    alone: dict[tuple[str, str, str], Estimate]
    weighed: dict[tuple[str, str, str], Tier]
    marks: dict[tuple[str, str, str], Decision]
    own_decisions: dict[tuple[str, ...], Decision]
    as_expected: bool

    @property
    def critical_totals(self) -> list[Pair]:
        """Its totals of critical measures."""
        return [pair for pair in self.totals if pair[1].tier == "critical"]

    @property
    def harm(self) -> tuple[float, float]:
        """The largest probability of a rise beyond the margin in total, and the largest rise, of critical measures."""
        found = [estimate for estimate, _ in self.critical_totals if usable(estimate)]
        return max(((each.p_above_margin, each.quantities["change"].mean) for each in found), default=(0.0, 0.0))

    @property
    def of_many(self) -> bool:
        """Whether it is of a grid with more candidates than are shown in every detail."""
        return self.model.grid is not None and self.model.grid.of > DETAILED

    @property
    def told_slices(self) -> list[Pair]:
        """Its changes on every slice, without those of the looks at every answer, unless they are critical."""
        return [pair for pair in self.slices if not _is_look(pair[1])]

    @property
    def critical_slices(self) -> list[Pair]:
        """Its changes on every slice, for the critical measures."""
        return [pair for pair in self.slices if pair[1].tier == "critical"]

    def apart(self, estimate: Estimate) -> Estimate | None:
        """The estimate of a slice's own prompts, where it and one that borrows from other slices disagree.

        They do where one's mean lies outside the other's interval, and where the slice's own prompts alone raise an
        alarm. One corrected for the scorer's errors is else no match.
        """
        if own := self.alarm(estimate):
            return own
        own = self.alone.get((estimate.suite, estimate.measure, estimate.slice))
        if own is None or estimate.variant != OBSERVED or not usable(own):
            return None
        pair = own.quantities["change"], estimate.quantities["change"]
        inside = all(
            low <= each.mean <= high for each, (low, high) in zip(pair, (pair[1].hdi, pair[0].hdi), strict=True)
        )
        return None if inside else own

    def alarm(self, estimate: Estimate) -> Estimate | None:
        """The estimate of a slice's own prompts, where the gate finds harm by them and not by what borrows."""
        own = self.alone.get((estimate.suite, estimate.measure, estimate.slice))
        harmed = own is not None and self.own_decision(own) == "NO-GO" != self.own_decision(estimate)
        return own if harmed else None

    def mark(self, estimate: Estimate) -> Decision | None:
        """The decision that stands beside an estimate."""
        return self.marks.get((estimate.suite, estimate.measure, estimate.slice))

    def own_decision(self, estimate: Estimate) -> Decision | None:
        """What the gate makes of an estimate's change alone; None where the estimate never decides."""
        return self.own_decisions.get(_place(estimate))


@dataclass(frozen=True)
class Index:
    """A result, its candidates by name, its scorers, critical ones first, and what was corrected, by labels or else.

    ``margins_differ`` tells whether the gate asks another margin of one change than of another.
    """

    result: AuditResult
    candidates: dict[str, Candidate]
    scorers: tuple[ScorerFacts, ...]
    corrected: frozenset[str]
    labelled: frozenset[str]
    suite_titles: dict[str, str]
    measure_titles: dict[str, str]
    margins_differ: bool

    @property
    def subjects(self) -> list[Candidate]:
        """What the audit is about: the real candidates, or, where all are controls, these."""
        return [self.candidates[model.name] for model in self.result.subjects]

    @property
    def reasons(self) -> list[Reason]:
        """The lines of the verdicts on the subjects."""
        return [reason for each in self.subjects for reason in each.verdict.reasons]

    @property
    def detailed(self) -> list[Candidate]:
        """The subjects that are shown in every detail: all, or of many those that changed most for the worse."""
        worst = sorted(self.subjects, key=lambda each: each.harm, reverse=True)[:DETAILED]
        kept = {each.model.name for each in worst}
        return [each for each in self.subjects if each.model.name in kept]

    @property
    def pictured(self) -> list[Candidate]:
        """The subjects that plots show one by one: of a grid of many only those that are shown in every detail."""
        kept = {each.model.name for each in self.detailed}
        return [each for each in self.subjects if not each.of_many or each.model.name in kept]

    @property
    def margin(self) -> str:
        """The margin in words: one where it is the same for all that is told, else ``margin``, which each row names."""
        return "margin" if self.margins_differ else points(self.result.gate.margin)

    @property
    def reference(self) -> str:
        """What stands on the other side of every change, in one word: the base, or of some candidates another arm."""
        return BASE_ARM if all(each.against == BASE_ARM for each in self.result.candidates) else "reference"

    def named(self, candidate: str) -> str:
        """A candidate's name, and what it is compared with where that is not the base."""
        against = self.candidates[candidate].model.against
        return candidate if against == BASE_ARM else f"{candidate} (against {against})"

    def suite_title(self, suite: str) -> str:
        """A suite's title, or its name where the audit does not list it."""
        return self.suite_titles.get(suite, suite)

    def label(self, suite: str, measure: str) -> str:
        """A measure's title, with its suite's where the audit has several. Both are empty where a gate misses all."""
        title = self.measure_titles.get(measure, measure or "any measure")
        return f"{title} on {self.suite_title(suite)}" if suite and len(self.result.suites) > 1 else title


def indexed(result: AuditResult) -> Index:
    """The result with all that is looked up in it."""
    scorers = tuple(sorted(result.scorers, key=lambda scorer: TIERS.index(scorer.tier)))
    deciding = headlines(result.estimates)
    totals = _by_candidate(deciding.values(), scorers, result.gate)
    slices = _by_candidate(deciding_slices(result.estimates), scorers, result.gate)
    others: dict[str, dict[tuple[str, str], list[Estimate]]] = {}
    alone: dict[str, dict[tuple[str, str, str], Estimate]] = {}
    for each in result.estimates:
        if each.slice == "all" and each is not deciding.get((each.candidate, each.suite, each.measure)):
            others.setdefault(each.candidate, {}).setdefault((each.suite, each.measure), []).append(each)
        elif each.variant == ALONE:
            alone.setdefault(each.candidate, {})[each.suite, each.measure, each.slice] = each
    verdicts = {verdict.candidate: verdict for verdict in result.verdicts}
    candidates = {}
    for model in result.candidates:
        verdict = verdicts.get(model.name, Verdict(model.name, "INCONCLUSIVE", ()))
        candidates[model.name] = Candidate(
            model=model,
            verdict=verdict,
            totals=tuple(totals.get(model.name, ())),
            slices=tuple(slices.get(model.name, ())),
            others=others.get(model.name, {}),
            alone=alone.get(model.name, {}),
            weighed={(reason.suite, reason.measure, reason.slice): reason.tier for reason in verdict.reasons},
            marks=marks(verdict),
            own_decisions={_place(own): own.decision for own in verdict.own_decisions},
            as_expected=as_expected(result, verdict),
        )
    return Index(
        result=result,
        candidates=candidates,
        scorers=scorers,
        corrected=frozenset(each.measure for each in deciding.values() if each.variant == CORRECTED),
        labelled=frozenset(each.measure for each in deciding.values() if each.variant == LABELLED),
        suite_titles={suite.name: suite.title for suite in result.suites},
        measure_titles={scorer.name: scorer.title for scorer in result.scorers},
        margins_differ=any(each.margin != result.gate.margin for each in result.estimates),
    )


def _by_candidate(
    estimates: Iterable[Estimate], scorers: tuple[ScorerFacts, ...], gate: GateFacts
) -> dict[str, list[Pair]]:
    """Candidate -> estimates with their scorers, in the scorers' order; without those that no scorer made.

    A scorer's tier is that which the gate's rules give it there.
    """
    named = {scorer.name: scorer for scorer in scorers}
    measured: dict[str, list[Estimate]] = {}
    for each in estimates:
        measured.setdefault(each.measure, []).append(each)
    found: dict[str, list[Pair]] = {}
    for scorer in scorers:
        for each in measured.get(scorer.name, ()):
            if gate.rules:
                tier = limits_of(gate, named, each.suite, each.measure, each.slice).tier
                found.setdefault(each.candidate, []).append((each, replace(scorer, tier=tier)))
            else:
                found.setdefault(each.candidate, []).append((each, scorer))
    return found


def _is_look(scorer: ScorerFacts) -> bool:
    """Whether a measure only looks at every answer, and by slice is of no interest."""
    return scorer.tier != "critical" and (scorer.name in OF_EVERY_ANSWER or scorer.name.endswith(UNSCORED))


def _place(of: Estimate | OwnDecision) -> tuple[str, ...]:
    return of.suite, of.measure, of.slice, of.estimator, of.variant
