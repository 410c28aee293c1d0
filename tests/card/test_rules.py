"""However many rules decided the same answers, a card names the first ones and counts the rest."""

from dataclasses import replace

from results import RESULTS

from toxaudit.card.rules import FIXED, LATE, notices, when
from toxaudit.decision.history import rule
from toxaudit.findings import OtherRule

GO = RESULTS["go"]


def by(margin: float, earlier: bool = True, date: str = "2026-01-14") -> OtherRule:
    other = rule(replace(GO, gate=replace(GO.gate, margin=margin)))
    return OtherRule(other, date, {"benign": "NO-GO"} if date else {}, earlier)


def test_a_hundred_rules_make_few_notices_and_the_first_stays() -> None:
    result = replace(GO, other_rules=(by(0.9, earlier=False, date=""), *(by(n / 1000) for n in range(1, 101))))
    told = list(notices(result))
    assert told[0].startswith(
        "The rule was changed after results existed: on 2026-01-14, by gate.margin 0.001 (here 0.03)"
    )
    assert len(told) == 5 and "97 more rules" in told[-1] and when(result) == LATE


def test_a_rule_that_has_not_decided_yet_or_came_later_leaves_this_one_fixed_before() -> None:
    result = replace(GO, other_rules=(by(0.01, earlier=False), by(0.02, earlier=False, date="")))
    assert [told.split(":")[0] for told in notices(result)] == [
        "Another rule was tried on the same answers",
        "One of several rules",
    ]
    assert when(result) == FIXED
