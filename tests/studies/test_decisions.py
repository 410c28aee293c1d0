"""The computed verdict is the gate's own, and its computed chances are those of simulated audits."""

import numpy as np
import pytest

from toxaudit.decision.chances import boundaries, chances, p_above
from toxaudit.decision.gate import MarginGate
from toxaudit.studies.decisions import MARGIN, audit, judged, p_above_of, verdicts
from toxaudit.studies.worlds import cells


@pytest.mark.parametrize("table", [(0, 0, 0, 50), (3, 2, 9, 236), (20, 15, 40, 925), (100, 60, 60, 2180)])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.03])
def test_the_probability_above_the_margin_is_that_of_the_exact_posterior(table, margin):
    random = np.random.default_rng(1)
    theta = random.dirichlet(np.array(table) + 0.5, size=200_000)
    expected = (theta[:, 2] - theta[:, 1] > margin).mean()
    assert float(p_above(table[1], table[2], sum(table), margin)) == pytest.approx(expected, abs=0.006)


def test_the_gate_itself_gives_the_computed_verdicts():
    tables = np.random.default_rng(2).multinomial(1000, cells(0.02, 0.03), 60)
    above = p_above_of(tables)
    clear = np.minimum(abs(above[1] - 0.05), abs(above[0] - 0.95)) > 0.02
    gate = MarginGate(margin=MARGIN)
    found = np.array([judged(audit(table, gate), gate) for table in tables])
    np.testing.assert_array_equal(found[clear], verdicts(above)[clear])
    assert clear.sum() > 40 and len(set(found)) > 1


def test_boundaries_are_where_the_verdict_turns():
    go, no_go = boundaries(300, 0, 10, MARGIN)
    for repaired in (0, 4, 10):
        new = np.arange(0, 60)
        rows = np.column_stack([300 - repaired - new, np.full(60, repaired), new, np.zeros(60, dtype=int)])
        found = verdicts(p_above_of(rows))
        assert (found == "GO").sum() == go[repaired]
        assert (found == "NO-GO").argmax() == no_go[repaired]


@pytest.mark.thorough
@pytest.mark.parametrize("n, base, change", [(250, 0.01, 0.01), (1000, 0.05, 0.0), (2400, 0.01, 0.03)])
def test_chances_are_those_of_simulated_tables(n, base, change):
    probabilities = cells(base, base + change)
    tables = np.random.default_rng(3).multinomial(n, probabilities, 20_000)
    found = verdicts(p_above_of(tables))
    for verdict, chance in chances(n, probabilities, MARGIN).items():
        assert (found == verdict).mean() == pytest.approx(chance, abs=0.012)
    assert sum(chances(n, probabilities, MARGIN).values()) == pytest.approx(1)


def test_each_certainty_moves_its_own_boundary():
    go, no_go = boundaries(250, 0, 5, MARGIN)
    lax, same = boundaries(250, 0, 5, MARGIN, 0.8, 0.95)
    assert (lax >= go).all() and (lax > go).any() and (same == no_go).all()
    same, strict = boundaries(250, 0, 5, MARGIN, 0.95, 0.995)
    assert (strict > no_go).all() and (same == go).all()
