"""Intervals, summaries and seeds of posteriors agree with their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.estimators.posterior import FEWEST_EVENTS, Posterior, eti, hdi, seed_of, summarise
from toxaudit.records import WORST_CASE, Diagnostics


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(0.05, 1))
def test_the_hdi_is_the_shortest_interval_that_holds_the_mass(draws, mass):
    draws = np.array(draws)
    low, high = hdi(draws, mass)
    assert ((draws >= low) & (draws <= high)).sum() >= mass * draws.size
    for start in draws:
        for end in draws[draws >= start]:
            if ((draws >= start) & (draws <= end)).sum() >= mass * draws.size:
                assert high - low <= end - start


def test_intervals_of_an_exponential_are_those_of_theory():
    draws = -np.log(1 - (np.arange(100_000) + 0.5) / 100_000)
    assert hdi(draws) == pytest.approx((0, -math.log(0.05)), abs=1e-3)
    assert eti(draws) == pytest.approx((-math.log(0.975), -math.log(0.025)), abs=1e-3)
    assert eti(draws, 0.5) == pytest.approx((-math.log(0.75), -math.log(0.25)), abs=1e-3)


def test_the_hdi_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no draws"):
        hdi(np.array([]))


COUNTS = {"n11": 1, "n10": 2, "n01": 3, "n00": 4}


def posterior(change, counts=COUNTS, base=0.2):
    rate = np.full(len(change), base)
    draws = {"base": rate, "candidate": rate + change}
    failed = Diagnostics(failures=("no",))
    missed = {"base": 1, "candidate": 0}
    return Posterior("c", "s", "m", "all", "e", 10, missed, counts, draws, WORST_CASE, failed)


def test_a_summary_states_the_probabilities_a_gate_needs():
    found = summarise(posterior([-0.05, -0.03, 0.0, 0.02, 0.04, 0.06, 0.08, 0.1]), margin=0.03, cap=0.25)
    assert found.p_increase == 5 / 8
    assert found.p_above_margin == 4 / 8
    assert found.p_within_margin == 3 / 8
    assert found.p_below_cap == 5 / 8
    assert (found.margin, found.cap) == (0.03, 0.25)
    assert found.quantities["change"].mean == pytest.approx(0.0275)
    assert found.quantities["change"].hdi == pytest.approx((-0.05, 0.1))
    assert set(found.quantities) == {"base", "candidate", "change"}


def test_a_summary_keeps_what_the_posterior_knows():
    found = summarise(posterior([0.0, 0.1]), margin=0.03)
    assert (found.candidate, found.suite, found.measure, found.slice, found.estimator) == ("c", "s", "m", "all", "e")
    assert (found.n, found.missing["base"], found.counts["n01"], found.diagnostics.failures) == (10, 1, 3, ("no",))
    assert found.cap is None and found.p_below_cap is None and found.variant == WORST_CASE


def test_a_ratio_is_given_where_both_arms_have_events_enough():
    few = {"n11": FEWEST_EVENTS - 2, "n10": 1, "n01": 30, "n00": 4}
    assert summarise(posterior([0.1, 0.2], few), margin=0.03).ratio is None
    enough = few | {"n10": 2}
    assert summarise(posterior([0.1, 0.2], enough), margin=0.03).ratio.mean == pytest.approx(1.75)
    assert summarise(posterior([0.1, 0.2], enough, base=0.0), margin=0.03).ratio is None


@given(st.integers(-(2**70), 2**70), st.lists(st.text(max_size=5), max_size=4))
def test_a_seed_fits_a_sampler_and_follows_from_its_names(seed, names):
    found = seed_of(seed, *names)
    assert 0 <= found < 2**63
    assert found == seed_of(seed, *names)
    assert found != seed_of(seed, *names, "")


def test_no_two_lists_of_names_share_a_seed():
    assert len({seed_of(0, "ab", "c"), seed_of(0, "a", "bc"), seed_of(0, "abc"), seed_of(1, "ab", "c")}) == 4
