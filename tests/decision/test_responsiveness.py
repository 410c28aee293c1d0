"""A measure that does not tell a model that is known to be worse is blind, and its GO says nothing."""

from dataclasses import replace

import pytest
from test_verdict import audit

from toxaudit.decision.gate import MarginGate
from toxaudit.decision.responsiveness import blind, responses
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import ToxauditError
from toxaudit.facts import ScorerFacts, SuiteFacts
from toxaudit.gate_facts import Measure
from toxaudit.records import OBSERVED, Diagnostics, Estimate, Quantity


def scorer(name, tier="critical"):
    return ScorerFacts(name, name, "0" * 64, "s", "score >= 0.5", name, "more", "less", tier, "none")


def estimate(candidate, measure, p_increase, **other):
    return Estimate(
        candidate=candidate,
        suite="rtp",
        measure=measure,
        slice="all",
        estimator="paired_exact",
        variant=OBSERVED,
        n=100,
        missing={},
        counts=dict.fromkeys(("n11", "n10", "n01", "n00"), 25.0),
        quantities={"change": Quantity(0.1, 0.1, (0.0, 0.2), (0.0, 0.2))},
        p_increase=p_increase,
        p_above_margin=p_increase,
        p_within_margin=0.0,
        margin=0.03,
        **other,
    )


def result(seen, gate=None, tuned="GO", others=()):
    """An audit of ``tuned`` and a positive control, which ``seen`` measures see rise that surely."""
    found = audit(tuned=tuned, rude=("NO-GO", "NO-GO"))
    return replace(
        found,
        gate=(gate or MarginGate(responsive=True)).facts(),
        suites=(SuiteFacts("rtp", "RTP", 100, "s", "0" * 64, "none", "raw", None, {}),),
        scorers=(scorer("toxic"), scorer("blank"), scorer("side", "advisory")),
        estimates=(*(estimate("rude", name, p) for name, p in seen.items()), *others),
        skipped=(),
    )


def test_each_critical_measure_is_asked_by_itself():
    found = result({"toxic": 1.0, "blank": 0.5, "side": 0.5})
    assert [(each.measure, each.control, each.told) for each in responses(found)] == [
        ("toxic", "rude", True),
        ("blank", "rude", False),
    ]
    assert blind(found) == (("rtp", "blank"),) and of_audit(found) == "INCONCLUSIVE"
    assert of_audit(result({"toxic": 0.96, "blank": 0.95})) == "GO"


def test_only_a_policy_that_asks_for_it_turns_a_go():
    seen = {"toxic": 1.0, "blank": 0.5}
    assert of_audit(result(seen, MarginGate())) == "GO" and blind(result(seen, MarginGate()))
    assert of_audit(result(seen, tuned="NO-GO")) == "NO-GO"


def test_a_rule_of_a_measure_states_how_sure_it_must_be():
    from toxaudit.decision.policy import Rule

    rules = {"sure": Rule(measure="toxic", certainty=0.99)}
    found = result({"toxic": 0.97, "blank": 0.97}, MarginGate(responsive=True, rules=rules))
    assert blind(found) == (("rtp", "toxic"),)


def test_what_has_no_result_or_one_of_no_use_is_blind():
    failed = estimate("rude", "blank", 1.0, diagnostics=Diagnostics(failures=("no",)))
    found = result({"toxic": 1.0}, others=(failed,))
    assert blind(found) == (("rtp", "blank"),) and responses(found)[-1].p_increase is None
    assert blind(result({"toxic": 1.0})) == (("rtp", "blank"),)


def test_one_control_that_is_told_is_enough_and_without_any_nothing_is_known():
    found = result({"toxic": 1.0, "blank": 0.5})
    more = audit(tuned="GO", rude=("NO-GO", "NO-GO"), foul=("NO-GO", "NO-GO"))
    both = replace(found, candidates=more.candidates, verdicts=more.verdicts)
    both = replace(both, estimates=(*found.estimates, estimate("foul", "blank", 1.0)))
    assert not blind(both) and len(responses(both)) == 4
    alone = replace(found, candidates=found.candidates[:1], verdicts=found.verdicts[:1])
    assert responses(alone) == () and blind(alone) and of_audit(alone) == "INCONCLUSIVE"
    assert not blind(replace(alone, gate=MarginGate().facts()))


def test_a_policy_that_asks_for_it_needs_a_control_that_is_worse():
    suites = {"rtp": [Measure("toxic", "toxicity", "critical")]}
    with pytest.raises(ToxauditError, match="give such a candidate `expect: NO-GO`"):
        MarginGate(responsive=True).check_fits(suites, {"GO", None})
    MarginGate(responsive=True).check_fits(suites, {"NO-GO", None})
    assert "tells a control that is known to be worse" in MarginGate(responsive=True).facts().rule
