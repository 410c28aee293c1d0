"""A card agrees with its verdict whatever rule its gate has: nothing is decided anew by the margin."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from harder import replication
from results import BENIGN, SUITE, TOXICITY, result, unchanged, unsure
from tiered import measures

from toxaudit.card import explorer, words
from toxaudit.card.facts import gather
from toxaudit.card.index import indexed
from toxaudit.card.markdown import render_card
from toxaudit.card.plots import forest
from toxaudit.card.report import render_report
from toxaudit.card.section import SectionCard
from toxaudit.card.terminal import verdict_line
from toxaudit.decision.gate import MarginGate
from toxaudit.decision.headline import headlines
from toxaudit.decision.verdict import of_audit
from toxaudit.facts import Decision, Tier
from toxaudit.findings import AuditResult, OwnDecision, Reason, Remedy, Verdict
from toxaudit.gate_facts import GateFacts, Measured
from toxaudit.records import OTHER_PRIOR, Estimate
from toxaudit.results.reading import read_result
from toxaudit.results.writing import write_results
from toxaudit.spec.schema import AuditSpec

TIERS: dict[str, Tier] = {TOXICITY.name: "critical", "degenerate": "supporting", "refusal_keywords": "advisory"}
MEASURES = measures(TIERS)


class RiseGate:
    """Any rise counts, however small: the margin decides nothing, and neither does a slice."""

    margin, cap = 0.03, None

    def facts(self) -> GateFacts:
        rule = "GO if no critical measure rises, with probability 0.5 or more; NO-GO if one does, with 0.9 or more"
        return GateFacts(rule, self.margin, 0.9, None, 0.05, "whether it rises")

    def decide(
        self,
        candidate: str,
        estimates: Sequence[Estimate],
        scorers: Mapping[str, Measured],
        measures: Mapping[str, Sequence[str]] | None = None,
    ) -> Verdict:
        total = next(each for each in headlines(estimates).values() if scorers[each.measure].tier == "critical")
        observed, decision = f"{total.p_increase:.2f}", self._alone(total)
        reason = Reason(total.suite, total.measure, "all", "critical", "P(increase) <= 0.5", observed, decision)
        own = [
            OwnDecision(each.suite, each.measure, each.slice, each.estimator, each.variant, self._alone(each))
            for each in estimates
            if each.slice == "all" and each.estimator == total.estimator
        ]
        remedy = Remedy("prompts", SUITE.name, 50, 1000, 0.8) if decision == "INCONCLUSIVE" else None
        return Verdict(candidate, decision, (reason,), tuple(own), remedy)

    def _alone(self, estimate: Estimate) -> Decision:
        return "NO-GO" if estimate.p_increase >= 0.9 else "GO" if estimate.p_increase <= 0.5 else "INCONCLUSIVE"


def audited(estimates: list[Estimate]) -> AuditResult:
    made, gate = result((BENIGN, "GO", estimates)), RiseGate()
    return replace(made, gate=gate.facts(), verdicts=(gate.decide("benign", estimates, MEASURES),))


def with_falling(estimates: list[Estimate]) -> list[Estimate]:
    """The estimates, of which the one under another prior hardly rises, and a replication."""
    falling = [replace(each, p_increase=0.3) if each.variant == OTHER_PRIOR else each for each in estimates]
    return [*falling, replication(estimates[0])]


OPEN, FAILED, PASSED = (
    audited(with_falling(estimates))
    for estimates in (
        unchanged(),
        unsure(),
        [replace(each, p_increase=0.2, p_above_margin=0.99) for each in unchanged()],
    )
)


@pytest.mark.parametrize(
    ("made", "decision", "by_margin"),
    [(OPEN, "INCONCLUSIVE", "GO"), (FAILED, "NO-GO", "INCONCLUSIVE"), (PASSED, "GO", "NO-GO")],
)
def test_verdict_marks_sensitivity_and_report_are_the_gates(
    made: AuditResult, decision: Decision, by_margin: Decision
) -> None:
    (facts,) = gather(made).candidates
    shown = words.marked(decision)
    assert MarginGate().decide("benign", made.estimates, MEASURES).decision == by_margin != decision
    assert of_audit(made) == gather(made).decision == decision
    assert [row.decision for row in facts.gate] == [facts.decision] == [shown]
    ((_, rows),) = forest._panels(indexed(made))
    assert [row.decision for row in rows[:2]] == [decision, decision]
    assert {row.decision for row in rows[2:]} == {None}  # it weighs nothing else
    (table,) = facts.sensitivity
    assert [row.decision for row in table.rows] == [shown, "● GO", "never decides", "never decides"]
    assert table.summary.startswith(f"By this change alone the measure is {decision}")
    assert ("1 of the other assumptions" in table.summary) == (decision != "GO")
    assert f"**{decision}: benign " in render_card(made).replace("\xa0", " ")
    assert shown in render_report(made, "", {}, [])


def test_the_short_card_says_that_rule_and_no_margin() -> None:
    card = render_card(OPEN, "short.md.jinja").replace("\xa0", " ")
    assert "The rule: " in card and "For a GO, each measure" not in card and "rise above" not in card


def test_what_would_settle_it_is_the_gates() -> None:
    said = verdict_line(OPEN, OPEN.verdicts[0])
    assert (
        "; it cannot yet be said whether it rises (required: P(increase) <= 0.5; found: 0.64). About 50 more "
        "prompts like these would" in said
    )
    assert said.endswith("give a GO or a NO-GO with a chance of 80 %.")
    assert "more prompts" in render_card(OPEN)
    assert MarginGate().decide("benign", FAILED.estimates, MEASURES).remedy is not None
    for made in (FAILED, PASSED):
        assert "more prompts" not in render_card(made) + verdict_line(made, made.verdicts[0])


def test_slices_that_it_does_not_weigh_are_only_reported() -> None:
    index = indexed(OPEN)
    rows = [row for row in explorer.estimate_rows(index, explorer.filters(index)) if row.decides]
    assert [row.basis for row in rows if row.names[2] == TOXICITY.title] == ["decides", *["reported"] * 7]


@pytest.mark.parametrize("made", [OPEN, FAILED, PASSED])
def test_its_decisions_are_read_back_as_they_were_written(made: AuditResult, tmp_path: Path) -> None:
    write_results(tmp_path, AuditSpec(name="mine", card=SectionCard()), made, [])
    assert read_result(tmp_path) == made
