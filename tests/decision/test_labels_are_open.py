"""What would settle a change that rests on labels: more of them, until there are no more to be had."""

import pytest
from tiered import measures

from toxaudit.decision.gate import MarginGate
from toxaudit.records import LABELLED, OBSERVED, Diagnostics, Estimate, Quantity


@pytest.mark.parametrize(
    ("variant", "labelled", "by"), [(LABELLED, 50, "labels"), (LABELLED, 300, "prompts"), (OBSERVED, 0, "prompts")]
)
def test_labels_are_what_is_open_until_all_that_was_asked_is_labelled(variant, labelled, by):
    change = Quantity(0.0, 0.02, (-0.04, 0.04), (-0.04, 0.04))
    quantities = {"base": change, "candidate": change, "change": change}
    told = Diagnostics({"labelled_prompts": float(labelled)})
    names = ("x", "suite", "toxic", "all", "paired_exact", 300, {"base": 0, "candidate": 0}, {})
    estimate = Estimate(*names, quantities, 0.5, 0.3, 0.7, 0.03, variant=variant, diagnostics=told)
    verdict = MarginGate().decide("x", [estimate], measures({"toxic": "critical"}))
    assert verdict.decision == "INCONCLUSIVE" and verdict.remedy.by == by
