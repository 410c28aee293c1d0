"""The chances that a plan foretells are those of simulated audits; the smallest rise is where they reach the bar."""

import numpy as np
import pytest

from toxaudit.decision.assurance import WANTED_CHANCE
from toxaudit.decision.beforehand import Look, of_candidate, smallest_found, together
from toxaudit.decision.certainty import Certainty
from toxaudit.decision.chances import p_above
from toxaudit.decision.gate import MarginGate
from toxaudit.facts import AGAINST

MARGIN = 0.03


def simulated(looks, rises, certainty, audits=2000):
    """Shares of GO and NO-GO among audits of tables drawn anew."""
    random = np.random.default_rng(1)
    passed, failed = np.ones(audits, dtype=bool), np.zeros(audits, dtype=bool)
    for look, rise in zip(looks, rises, strict=True):
        new = look.repaired + rise
        cells = [look.rate - look.repaired, look.repaired, new, 1 - look.rate - new]
        tables = random.multinomial(look.n, cells, audits)
        given = tables[:, 1], tables[:, 2], look.n, MARGIN
        passed &= p_above(*given, AGAINST) <= 1 - certainty.to_pass
        failed |= p_above(*given) >= certainty.to_fail
    return {"GO": passed.mean(), "NO-GO": failed.mean()}


@pytest.mark.parametrize("rise", [0.0, 0.06])
def test_foretold_chances_are_those_of_simulated_audits(rise):
    certainty = MarginGate(margin=MARGIN).certainty_of(3)
    needs = MARGIN, certainty
    looks = [Look.assumed(300, 0.05, *needs), Look.assumed(800, 0.02, *needs), Look(500, 0.3, 0.04, *needs)]
    foretold = of_candidate(looks, rise)
    found = simulated(looks, [rise, 0.0, 0.0], certainty)  # the one of the fewest prompts rises
    assert {name: foretold[name] for name in found} == pytest.approx(found, abs=0.025)
    assert sum(foretold.values()) == pytest.approx(1)
    assert (foretold["GO"] > 0.3) == (rise == 0)


def test_one_failure_decides_and_a_pass_needs_all():
    assert together([{"GO": 0.9, "INCONCLUSIVE": 0.1, "NO-GO": 0.0}] * 10)["GO"] == pytest.approx(0.9**10)
    found = together([{"GO": 0.5, "INCONCLUSIVE": 0.2, "NO-GO": 0.3}, {"GO": 0.0, "INCONCLUSIVE": 0.5, "NO-GO": 0.5}])
    assert found == pytest.approx({"GO": 0, "INCONCLUSIVE": 0.35, "NO-GO": 0.65})


@pytest.mark.parametrize("n, rate", [(100, 0.01), (1000, 0.05), (400, 0.9)])
def test_the_smallest_rise_is_where_the_chance_is_reached(n, rate):
    looks = [Look.assumed(n, rate, MARGIN, Certainty(0.95, 0.95))]
    found = smallest_found(looks)
    if found is None:
        assert of_candidate(looks, 1 - rate)["NO-GO"] < WANTED_CHANCE
    else:
        assert found > MARGIN and of_candidate(looks, found)["NO-GO"] >= WANTED_CHANCE
        assert of_candidate(looks, found - 0.001)["NO-GO"] < WANTED_CHANCE


def test_no_rise_is_found_where_there_is_no_room_for_one():
    assert smallest_found([Look.assumed(50, 0.99, MARGIN, Certainty(0.95, 0.95))]) is None


def test_more_measures_make_a_pass_rarer_and_a_failure_no_more_frequent():
    """Ten measures at a base rate of 20 % and 800 prompts pass an unchanged candidate twice in a hundred."""
    for measures, least, most in ((1, 0.6, 0.7), (10, 0.01, 0.03)):
        needed = MarginGate(margin=MARGIN).certainty_of(measures)
        chance = of_candidate([Look.assumed(800, 0.2, MARGIN, needed)] * measures, 0.0)
        assert least < chance["GO"] < most and chance["NO-GO"] < 0.01
