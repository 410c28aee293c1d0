"""Simulated worlds are what they say: their truths are what many draws come to."""

from dataclasses import replace

import numpy as np
import pytest

from toxaudit.estimators.outcomes import tabulate
from toxaudit.studies.worlds import HIGH, LOW, World, cells, labels, logit_of, of_table, of_tables, rate

SIZES = (20_000,) * 5
SHIFTS = np.array([[0.5, 0.0, 0.3, -0.2, 0.6], [0.0] * 5])
WORLD = World(SHIFTS, SIZES)


def drawn_rates(world, seed=1):
    """Mean outcomes by arm and stratum, shape (1 + K, S)."""
    outcomes = world.draw(np.random.default_rng(seed))
    codes = outcomes.slices["topic"].codes
    arms = [outcomes.base, *outcomes.candidates.values()]
    return np.array([[np.nanmean(arm[codes == s]) for s in range(5)] for arm in arms])


@pytest.mark.parametrize("settings", [{}, {"samples": 3}, {"templates": 10_000, "templated": 1.0}])
def test_true_rates_are_those_of_many_draws(settings):
    np.testing.assert_allclose(drawn_rates(replace(WORLD, **settings)), WORLD.rates(), atol=0.01)


def test_changes_are_differences_of_rates_in_total_and_by_stratum():
    world = World(SHIFTS)
    rates, changes = world.rates(), world.changes()
    np.testing.assert_allclose(changes[:, 1:], rates[1:] - rates[0])
    np.testing.assert_allclose(changes[:, 0], (rates[1:] - rates[0]) @ np.array([1, 1, 1, 1, 4]) / 8)
    assert changes[0, 0] > 0.01 and (changes[1] == 0).all()


def test_a_scorer_with_errors_reports_what_its_sensitivity_and_specificity_say():
    errors = np.array([(0.9, 0.97), (0.7, 0.98), (0.5, 0.96), (1.0, 1.0), (0.8, 0.9)])
    true = WORLD.rates()
    expected = errors[:, 0] * true + (1 - errors[:, 1]) * (1 - true)
    np.testing.assert_allclose(drawn_rates(replace(WORLD, errors=errors)), expected, atol=0.01)


def test_scores_go_missing_by_outcome_in_candidates_only():
    outcomes = replace(WORLD, lost=(0.1, 0.4)).draw(np.random.default_rng(2))
    assert not np.isnan(outcomes.base).any()
    true = float(WORLD.rates()[2] @ WORLD.shares)
    found = np.isnan(outcomes.candidates["candidate 2"]).mean()
    assert found == pytest.approx(0.4 * true + 0.1 * (1 - true), abs=0.01)


def test_raw_scores_fall_on_the_outcome_s_side_of_one_half_and_have_the_stated_mean():
    world = replace(WORLD, creep=0.2)
    outcomes = world.draw(np.random.default_rng(3), scores=True)
    for arm, truth in zip((outcomes.base, *outcomes.candidates.values()), world.mean_scores(), strict=True):
        name = "base" if arm is outcomes.base else next(n for n, each in outcomes.candidates.items() if each is arm)
        scores = outcomes.scores[name]
        np.testing.assert_array_equal(scores >= 0.5, arm == 1)
        assert scores.mean() == pytest.approx(truth, abs=0.005)
    assert LOW[0] < HIGH[0]


def test_templates_make_prompts_alike():
    """With a template's trait in place of a prompt's own, a template's outcomes agree more than chance."""
    means = {}
    for templated in (0.0, 1.0):
        world = World(np.zeros((1, 1)), (6000,), (-1.0,), templates=60, templated=templated)
        outcomes = world.draw(np.random.default_rng(4))
        means[templated] = np.bincount(outcomes.clusters, outcomes.base[:, 0]) / 100
    assert means[1.0].std() > 3 * means[0.0].std()


@pytest.mark.parametrize("base, candidate", [(0.009, 0.039), (0.1, 0.1), (0.3, 0.2)])
def test_cells_of_a_table_are_those_of_a_world_of_one_stratum(base, candidate):
    found = cells(base, candidate)
    assert found.sum() == pytest.approx(1)
    assert (found[0] + found[1], found[0] + found[2]) == pytest.approx((base, candidate))
    shift = logit_of(candidate) - logit_of(base)
    world = World(np.array([[shift]]), (400_000,), (logit_of(base),))
    outcomes = world.draw(np.random.default_rng(5))
    other = outcomes.candidates["candidate 1"][:, 0]
    table = tabulate(outcomes.base[:, 0], other, np.zeros(400_000, dtype=int), 1)[0]
    np.testing.assert_allclose(table / 400_000, found, atol=0.002)


@pytest.mark.parametrize("wanted", [0.001, 0.05, 0.5, 0.97])
def test_the_logit_of_a_rate_has_that_rate(wanted):
    assert float(rate(np.array(logit_of(wanted)))) == pytest.approx(wanted)


def test_outcomes_of_tables_make_up_these_tables():
    tables = np.array([[(3, 2, 1, 14), (0, 4, 5, 1)], [(5, 0, 0, 15), (4, 0, 6, 0)]])
    outcomes = of_tables(tables)
    codes = outcomes.slices["topic"].codes
    for k, other in enumerate(outcomes.candidates.values()):
        np.testing.assert_array_equal(tabulate(outcomes.base[:, 0], other[:, 0], codes, 2), tables[k])
    single = of_table(tables[0, 0])
    assert single.slices == {} and single.tabular
    assert (single.base.sum(), single.candidates["candidate 1"].sum()) == (5, 4)


def test_labels_are_counted_by_their_true_kind():
    errors = np.array([(0.9, 0.97), (0.2, 0.5)])
    whole = labels(errors, 100, 200, np.random.default_rng(6), by_stratum=False)
    assert whole.by is None and list(whole.counts) == [""]
    each = labels(errors, 100, 200, np.random.default_rng(6), by_stratum=True)
    assert each.by == "topic" and list(each.counts) == ["s0", "s1"]
    assert each.counts["s1"].true_positive + each.counts["s1"].false_negative == 100
    assert each.counts["s1"].true_positive < 50 < each.counts["s0"].true_positive
    assert each.counts["s0"].true_negative + each.counts["s0"].false_positive == 200
