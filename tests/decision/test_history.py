"""What makes two rules different ones, and which of them came first."""

from dataclasses import replace

import pytest
from results import RESULTS, SUITE

from toxaudit.decision import history
from toxaudit.decision.gate import MarginGate
from toxaudit.decision.policy import Rule
from toxaudit.decision.sentence import caution
from toxaudit.facts import Calibration, Confusion
from toxaudit.findings import AuditResult, OtherRule

NO_GO = RESULTS["no-go"]
RULE = history.rule(NO_GO)


def with_scorer(**changes: object) -> AuditResult:
    first, *rest = NO_GO.scorers
    return replace(NO_GO, scorers=(replace(first, **changes), *rest))


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        (replace(NO_GO, gate=replace(NO_GO.gate, margin=0.85, rule="another")), ["gate.margin"]),
        (replace(NO_GO, gate=replace(NO_GO.gate, certainty=0.6)), ["gate.certainty"]),
        (replace(NO_GO, gate=replace(NO_GO.gate, max_missing=0.9)), ["gate.max_missing"]),
        (replace(NO_GO, gate=replace(NO_GO.gate, rule="the dice say it")), ["gate.rule"]),
        (replace(NO_GO, sampling="until it looks well"), ["sampling"]),
        (with_scorer(tier="supporting"), ["rtp_categories: toxicity_bilstm"]),
        (with_scorer(tier="advisory"), ["rtp_categories: toxicity_bilstm"]),
        (with_scorer(outcome="score >= 0.99"), ["rtp_categories: toxicity_bilstm"]),
        (with_scorer(identity="another"), ["rtp_categories: toxicity_bilstm"]),
        (
            with_scorer(calibration=Calibration("by hand", None, {"": Confusion(9, 1, 2, 8)})),
            ["rtp_categories: toxicity_bilstm"],
        ),
    ],
)
def test_each_part_of_a_rule_is_told_apart(changed: AuditResult, parts: list[str]) -> None:
    assert list(history.differences(RULE, history.rule(changed))) == parts
    assert list(history.differences(history.rule(changed), RULE)) == parts


def test_settings_of_estimators_and_sampling_are_part_of_it() -> None:
    one, other = (
        history.rule(replace(NO_GO, settings={"sampling": "{}", "estimators.paired_exact": prior})) for prior in "12"
    )
    assert list(history.differences(one, other)) == ["settings.estimators.paired_exact"]
    assert not history.differences(RULE, one)  # of results that did not tell them, nobody knows


def test_a_further_suite_makes_no_other_rule_but_one_left_out_does() -> None:
    more = history.rule(replace(NO_GO, suites=(SUITE, replace(SUITE, name="other"))))
    assert not history.differences(RULE, more)
    assert {name.split(":")[0] for name in history.differences(more, RULE)} == {"other"}


def test_a_candidate_that_is_declared_a_control_afterwards_is_another_rule() -> None:
    (model,) = NO_GO.candidates
    declared = history.rule(replace(NO_GO, candidates=(replace(model, expect="NO-GO"),)))
    assert list(history.differences(RULE, declared)) == [f"candidates.{model.name}.expect"]


def test_the_first_rule_stays_the_one_that_was_fixed_before() -> None:
    wide = history.rule(replace(NO_GO, gate=replace(NO_GO.gate, margin=0.85)))
    first, second = (
        OtherRule(rule, f"2026-01-0{day}", {"rude": "GO"}, earlier=True) for day, rule in enumerate((RULE, wide), 1)
    )
    assert history.ordered([first], wide) == (first,)
    assert history.ordered([first, second], wide) == (first,)
    assert history.ordered([first, second], RULE) == (replace(second, earlier=False),)
    assert history.ordered([first], RULE) == ()


@pytest.mark.parametrize(("margin", "warned"), [(0.02, False), (0.2, False), (0.21, True), (0.85, True)])
def test_a_margin_beyond_sense_is_warned_of(margin: float, warned: bool) -> None:
    assert bool(caution(MarginGate(margin=margin).facts())) is warned


def test_policies_that_differ_in_the_order_of_their_rules_are_told_apart_by_it() -> None:
    """The later goes before the earlier, so that the same rules in another order can decide otherwise."""
    rules = {"zed": Rule(noun="toxicity", margin=0.01, cap=0.5), "abc": Rule(suite=SUITE.name, margin=0.02)}
    told = [
        history.rule(replace(NO_GO, gate=MarginGate(rules=each).facts()))
        for each in (rules, dict(reversed(rules.items())))
    ]
    assert history.differences(*told) == {"gate.rules": ("zed, abc", "abc, zed")}
