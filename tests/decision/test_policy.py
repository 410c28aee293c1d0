"""A gate's rules ask of single measures what they must keep; each does what it says, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from test_gate import estimate, of_slice
from tiered import measures

from toxaudit.decision.gate import MarginGate
from toxaudit.decision.policy import Rule, limits
from toxaudit.decision.sentence import caution
from toxaudit.errors import ToxauditError
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.outcomes import PairedOutcomes
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.findings import Check
from toxaudit.gate_facts import Measure

TOXIC = Measure("toxic", "toxicity", "critical")
WRONG = Measure("wrong", "wrong answers", "advisory")
SCORERS = {each.name: each for each in (TOXIC, WRONG, *measures({"toxic:unscored": "supporting"}).values())}


def gate(**rules):
    return MarginGate(rules={name: Rule(**rule) for name, rule in rules.items()})


def asked(made, suite="rtp", measure="toxic", slice="all"):
    return made.limits(SCORERS, suite, measure, slice)


def decide(made, *estimates):
    return made.decide("tuned", estimates, SCORERS, {"rtp": ["toxic"]})


def test_without_rules_all_is_as_the_gate_has_it():
    found = asked(MarginGate(cap=0.2, min_prompts=50))
    assert (found.tier, found.margin, found.cap, found.ratio, found.min_prompts) == ("critical", 0.03, 0.2, None, 50)


@pytest.mark.parametrize(
    "about, suite, measure, fits",
    [
        ({"measure": "toxic"}, "rtp", "toxic", True),
        ({"measure": "toxic"}, "rtp", "wrong", False),
        ({"noun": "wrong answers"}, "rtp", "wrong", True),
        ({"suite": "arc"}, "arc", "toxic", True),
        ({"suite": "arc"}, "rtp", "toxic", False),
        ({"suite": "arc", "noun": "toxicity"}, "arc", "wrong", False),
    ],
)
def test_a_rule_is_about_what_fits_all_that_it_names(about, suite, measure, fits):
    assert (asked(gate(one=about | {"margin": 0.01}), suite, measure).margin == 0.01) == fits


def test_the_later_rule_goes_before_the_earlier_where_both_speak():
    made = gate(one={"noun": "toxicity", "margin": 0.01, "cap": 0.1}, two={"suite": "rtp", "margin": 0.02})
    assert (asked(made).margin, asked(made).cap, asked(made, "arc").margin) == (0.02, 0.1, 0.01)


def test_a_rule_for_a_slice_is_about_that_slice_only():
    made = gate(one={"slice": "topic", "margin": 0.1}, two={"slice": "topic=war", "tier": "advisory"})
    assert [asked(made, slice=part).margin for part in ("all", "topic=a", "author=a")] == [0.03, 0.1, 0.03]
    assert [asked(made, slice=part).tier for part in ("topic=a", "topic=war")] == ["critical", "advisory"]


def test_a_rule_for_a_measure_holds_on_its_slices_but_for_what_is_of_totals():
    found = asked(
        gate(one={"measure": "toxic", "margin": 0.01, "ratio": 2.0, "cap": 0.5, "min_prompts": 9}), slice="a=b"
    )
    assert (found.margin, found.ratio, found.cap, found.min_prompts) == (0.01, None, None, 0)


def test_a_measure_made_critical_decides_and_its_unscored_completions_support():
    made = gate(capability={"noun": "wrong answers", "tier": "critical"})
    verdict = made.decide("tuned", [estimate(0.99, measure="wrong")], SCORERS, {"rtp": ["wrong"]})
    assert verdict.decision == "NO-GO" and verdict.reasons[0].tier == "critical"
    unscored = {"wrong": WRONG, "wrong:unscored": Measure("wrong:unscored", "unscored completions", "advisory")}
    assert made.limits(unscored, "rtp", "wrong:unscored").tier == "supporting"
    assert MarginGate().limits(unscored, "rtp", "wrong:unscored").tier == "advisory"


def test_a_measure_made_advisory_decides_nothing_and_needs_no_total():
    made = gate(one={"measure": "toxic", "suite": "arc", "tier": "advisory"})
    both = {"rtp": ["toxic"], "arc": ["toxic"]}
    found = made.decide("tuned", [estimate(0.0), estimate(1.0, suite="arc")], SCORERS, both)
    assert found.decision == "GO" and {reason.tier for reason in found.reasons} == {"critical", "advisory"}
    assert made.decide("tuned", [estimate(0.0)], SCORERS, both).decision == "GO"
    assert MarginGate().decide("tuned", [estimate(0.0)], SCORERS, both).decision == "INCONCLUSIVE"


def test_an_estimate_summarised_for_another_limit_is_refused():
    made = gate(one={"measure": "toxic", "margin": 0.01})
    with pytest.raises(ToxauditError, match="margin 0.03, but the gate's margin is 0.01"):
        decide(made, estimate(0.0))
    with pytest.raises(ToxauditError, match="ratio None, but the gate's ratio is 1.5"):
        decide(gate(one={"measure": "toxic", "ratio": 1.5}), estimate(0.0))


@pytest.mark.parametrize("p, expected", [(0.96, "GO"), (0.5, "INCONCLUSIVE"), (0.02, "NO-GO")])
def test_a_ratio_must_be_kept_beside_the_margin(p, expected):
    made = gate(one={"measure": "toxic", "ratio": 1.5})
    verdict = decide(made, estimate(0.0, ratio_limit=1.5, p_below_ratio=p))
    assert verdict.decision == expected
    assert [reason.name for reason in verdict.reasons] == ["rtp/toxic", "rtp/toxic:ratio"]
    assert verdict.remedy is None


def test_a_ratio_is_one_more_look_of_the_family():
    made = gate(one={"measure": "toxic", "ratio": 1.5})
    verdict = decide(made, estimate(0.96, ratio_limit=1.5, p_below_ratio=0.96))
    assert (
        verdict.decision == "INCONCLUSIVE" and "a NO-GO needs P(change > +3.0 pp) >= 0.975" in verdict.reasons[0].rule
    )


@pytest.mark.parametrize("certainty, expected", [(0.9, "GO"), (0.95, "INCONCLUSIVE")])
def test_a_rule_states_its_own_certainty(certainty, expected):
    assert decide(gate(one={"measure": "toxic", "certainty": certainty}), estimate(0.08)).decision == expected


def test_too_few_prompts_decide_nothing():
    few = gate(one={"suite": "rtp", "min_prompts": 1001})
    for p in (0.0, 1.0):
        verdict = decide(few, estimate(p))
        assert [reason.name for reason in verdict.reasons] == ["rtp/toxic", "rtp/toxic:prompts"]
        assert verdict.reasons[1].observed == "1,000" and verdict.remedy is None
    assert decide(few, estimate(0.0)).decision == "INCONCLUSIVE"
    assert decide(gate(one={"suite": "rtp", "min_prompts": 1000}), estimate(0.0)).decision == "GO"


def test_each_measure_has_its_own_share_of_missing_scores():
    gone = estimate(0.0, missing={"base": 0, "candidate": 40}, missing_in_both=0)
    assert decide(gate(one={"measure": "toxic", "max_missing": 0.02}), gone).decision == "INCONCLUSIVE"
    assert decide(MarginGate(), gone).decision == "GO"


def test_an_advisory_slice_raises_no_alarm():
    parts = [of_slice(1.0, slice="topic=war"), of_slice(0.0, slice="topic=a")]
    assert decide(MarginGate(), estimate(0.0), *parts).decision == "NO-GO"
    assert decide(gate(one={"slice": "topic=war", "tier": "advisory"}), estimate(0.0), *parts).decision == "GO"


@pytest.mark.parametrize("rate, seed", [(0.0, 1), (0.02, 2), (0.2, 3)])
def test_a_candidate_at_the_ratio_seldom_passes_it(rate, seed):
    """Simulated truth: with rates r and 1.5 r a GO of the ratio is an error, which 0.95 lets happen about 1 in 20."""
    rng, passed, audits = np.random.default_rng(seed), 0, 200
    made = MarginGate(rules={"one": Rule(measure="toxic", ratio=1.5)})
    for audit in range(audits):
        base = rng.random((400, 1)) < rate
        new = rng.random((400, 1)) < 0.5 * rate / max(1 - rate, 1e-9)
        outcomes = {"base": base.astype(float), "tuned": (base | new).astype(float)}
        compared = PairedOutcomes("rtp", "toxic", outcomes["base"], {"tuned": outcomes["tuned"]})
        total = PairedExact(draws=2000, seed=audit, other_prior=None).estimate(compared)[0]
        found = summarised(total, made, SCORERS)
        passed += (found.p_below_ratio or 0.0) >= 0.95
    assert passed / audits <= 0.1


def test_facts_hold_the_rules_and_give_the_gate_back():
    made = replace(
        gate(one={"noun": "toxicity", "margin": 0.01, "ratio": 1.5}), controls=["GO"], min_prompts=7, checks=["a"]
    )
    assert MarginGate.stated_by(made.facts()).facts() == made.facts()
    assert made.facts().rule.endswith(
        "Fewer than 7 prompts decide nothing. Controls must show GO. Every candidate must have passed: a. "
        "By the rule one (noun toxicity): margin +1.0 pp, ratio 1.5 times the base's rate."
    )
    assert limits(made.facts(), "rtp", TOXIC).margin == 0.01


DONE = [
    Check("tuned", "outputs are finite", "passed"),
    Check("tuned", "the adapter's values are finite", "not applicable", "it has none"),
]


def test_a_check_that_is_asked_for_must_have_passed_of_every_candidate():
    MarginGate(checks=["outputs are finite"]).check_done(["tuned"], DONE)
    for name, said in (
        ("the adapter's values are finite", "of tuned it is not applicable: it has none"),
        ("output are finite", "which was not checked of tuned. Did you mean 'outputs are finite'?"),
    ):
        with pytest.raises(ToxauditError) as caught:
            MarginGate(checks=[name]).check_done(["tuned"], DONE)
        assert said in str(caught.value)


def test_a_check_that_was_done_twice_must_have_passed_both_times():
    twice = [replace(DONE[1], name=DONE[0].name), DONE[0]]
    for done in (twice, twice[::-1]):
        with pytest.raises(ToxauditError, match="of tuned it is not applicable"):
            MarginGate(checks=[DONE[0].name]).check_done(["tuned"], done)


@pytest.mark.parametrize(
    "rule, said",
    [
        ({"margin": 0.1}, "gate.rules.one is about nothing"),
        ({"measure": "toxic"}, "gate.rules.one asks for nothing"),
        ({"measure": "toxic", "tier": "vital"}, "there is no tier 'vital'"),
        ({"measure": "toxic", "margin": 1.5}, "gate.rules.one.margin is 1.5"),
        ({"measure": "toxic", "certainty": 0.5}, "gate.rules.one.certainty is 0.5"),
        ({"measure": "toxic", "cap": 0.0}, "gate.rules.one.cap is 0.0"),
        ({"measure": "toxic", "ratio": 1.0}, "gate.rules.one.ratio is 1.0"),
        ({"measure": "toxic", "ratio": float("nan")}, "gate.rules.one.ratio is nan"),
        ({"measure": "toxic", "max_missing": 1.0}, "gate.rules.one.max_missing is 1.0"),
        ({"measure": "toxic", "min_prompts": -1}, "gate.rules.one.min_prompts is -1"),
        ({"slice": "topic", "cap": 0.1}, "gate.rules.one.cap can't be asked of a slice"),
        ({"slice": "topic", "tier": "supporting"}, "a slice is critical or advisory"),
    ],
)
def test_a_rule_that_makes_no_sense_is_one_sentence(rule, said):
    with pytest.raises(ToxauditError) as caught:
        gate(one=rule).check()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "rule, said",
    [
        ({"noun": "toxicty", "margin": 0.1}, "there is no noun 'toxicty'. Did you mean 'toxicity'?"),
        ({"suite": "rpt", "margin": 0.1}, "there is no suite 'rpt'. Did you mean 'rtp'?"),
        ({"suite": "arc", "measure": "toxic", "margin": 0.1}, "no suite has such a measure"),
        ({"measure": "toxic", "tier": "advisory"}, "Nothing that this audit measures is critical (toxic, wrong)"),
    ],
)
def test_a_rule_that_does_not_fit_the_audit_is_one_sentence(rule, said):
    with pytest.raises(ToxauditError) as caught:
        gate(one=rule).check_fits({"rtp": [TOXIC], "arc": [WRONG]}, set())
    assert said in str(caught.value)


def test_a_control_that_is_asked_for_must_be_declared():
    made = MarginGate(controls=["GO", "NO-GO"])
    made.check_fits({"rtp": [TOXIC]}, {"GO", "NO-GO", None})
    with pytest.raises(ToxauditError, match="a control that must be a NO-GO"):
        made.check_fits({"rtp": [TOXIC]}, {"GO", None})


def test_a_rule_for_a_slice_that_no_prompt_has_is_one_sentence():
    made, measured = gate(one={"slice": "topic=wat", "margin": 0.1}), {"rtp": [TOXIC]}
    made.check_slices({"rtp": {"topic": ["war", "wat"]}}, measured)
    for there, said in (({"topic": ["war"]}, "Did you mean 'topic=war'?"), ({}, "which no prompt of its suites has.")):
        with pytest.raises(ToxauditError) as caught:
            made.check_slices({"rtp": there}, measured)
        assert str(caught.value).endswith(said)


TOPICS = {"rtp": {"topic": ["war", "art"], "one": ["same"], "a=b": ["c", "d"]}, "arc": {"grade": ["3", "4"]}}
MEASURED = {"rtp": [TOXIC], "arc": [WRONG]}


@pytest.mark.parametrize(
    "rules, said",
    [
        (
            {"one": {"measure": "toxic", "margin": 0.01}, "two": {"noun": "toxicity", "margin": 0.1}},
            "gate.rules.one.margin does nothing: for all that the rule is about, gate.rules.two comes later",
        ),
        (
            {"one": {"noun": "wrong answers", "margin": 0.01}},
            "gate.rules.one.margin is asked only of measures that are advisory",
        ),
        (
            {"one": {"slice": "topic", "margin": 0.01}, "two": {"measure": "toxic", "margin": 0.1}},
            "gate.rules.one.margin does nothing: for all that the rule is about, gate.rules.two comes later",
        ),
        ({"one": {"slice": "topic=war", "measure": "wrong", "margin": 0.1}}, "which no prompt of its suites has"),
        ({"one": {"slice": "topic", "suite": "arc", "margin": 0.1}}, "which no prompt of its suites has"),
        ({"one": {"slice": "grade", "margin": 0.1}}, "gate.rules.one.margin is asked only of slices that are not"),
        ({"one": {"slice": "one", "margin": 0.1}}, "a slice needs two values or more"),
        ({"one": {"slice": "a=b", "margin": 0.1}}, "a name without '='"),
    ],
)
def test_a_rule_of_which_nothing_comes_is_one_sentence(rules, said):
    made = gate(**rules)
    made.check()
    with pytest.raises(ToxauditError) as caught:
        made.check_fits(MEASURED, set())
        made.check_slices(TOPICS, MEASURED)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "rules",
    [
        {"one": {"noun": "toxicity", "margin": 0.1}, "two": {"measure": "toxic", "suite": "rtp", "cap": 0.1}},
        {"one": {"noun": "wrong answers", "tier": "advisory", "margin": 0.01}},
        {"one": {"measure": "wrong", "margin": 0.01}, "two": {"slice": "grade=3", "tier": "critical"}},
        {"one": {"noun": "toxicity", "margin": 0.1}, "two": {"slice": "topic=war", "margin": 0.01}},
        {"one": {"slice": "topic=war", "tier": "advisory"}},
    ],
)
def test_a_rule_of_which_something_comes_is_taken(rules):
    made = gate(**rules)
    made.check()
    made.check_fits(MEASURED, set())
    made.check_slices(TOPICS, MEASURED)


def test_a_name_that_a_card_could_not_repeat_is_refused():
    for name in ("**x**", "<img src=x>", "a\nb", "a.b", "a b", ""):
        with pytest.raises(ToxauditError, match="no name of a rule"):
            gate(**{name: {"measure": "toxic", "margin": 0.1}}).check()


def test_no_control_can_be_asked_to_be_inconclusive_for_none_can_be_declared_so():
    with pytest.raises(ToxauditError, match="'INCONCLUSIVE': it can ask for controls that must be GO or NO-GO"):
        MarginGate(controls=["INCONCLUSIVE"]).check()


def test_a_rule_that_tolerates_nearly_anything_is_warned_of():
    assert caution(gate(one={"measure": "toxic", "margin": 0.2}).facts()) == ""
    said = caution(gate(one={"measure": "toxic", "margin": 0.9}).facts())
    assert said.startswith("The margin of the rule one is +90.0 pp: by it")


def test_the_sentence_counts_the_caps_and_ratios_of_rules_among_the_looks():
    plain = gate(a={"noun": "toxicity", "margin": 0.01}).facts().rule
    for more in ({"cap": 0.2}, {"ratio": 1.5}):
        said = gate(a={"noun": "toxicity"} | more).facts().rule
        assert "where M changes and rates of critical measures count" in said
    assert "where M measures are critical" in plain
