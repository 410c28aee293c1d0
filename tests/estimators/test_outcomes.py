"""Paired tables, intervals and summaries agree with their definitions."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.estimators.outcomes import Posterior, eti, hdi, missing, seed_of, summarise, tabulate, unscored
from toxaudit.records import Diagnostics

NAN = float("nan")
outcome = st.sampled_from([0.0, 1.0, NAN])
pairs = st.lists(st.tuples(outcome, outcome), max_size=40)


def arms(rows):
    table = np.array(rows, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@given(pairs)
def test_a_table_counts_the_pairs_scored_in_both_arms(rows):
    scored = [row for row in rows if not any(map(math.isnan, row))]
    assert tabulate(*arms(rows)) == {
        "n11": scored.count((1, 1)),
        "n10": scored.count((1, 0)),
        "n01": scored.count((0, 1)),
        "n00": scored.count((0, 0)),
    }


@given(pairs)
def test_exchanging_the_arms_exchanges_new_and_repaired(rows):
    base, other = arms(rows)
    there, back = tabulate(base, other), tabulate(other, base)
    assert (there["n10"], there["n01"]) == (back["n01"], back["n10"])
    assert (there["n11"], there["n00"]) == (back["n11"], back["n00"])


@pytest.mark.parametrize("base, other", [([0.0, 1.0], [0.0]), ([0.5], [1.0]), ([1.0], [2.0])])
def test_a_table_refuses_what_is_no_pair_of_outcomes(base, other):
    with pytest.raises(ValueError, match="outcome"):
        tabulate(np.array(base), np.array(other))


@given(pairs)
def test_missing_counts_each_arm_by_itself(rows):
    base, other = arms(rows)
    assert missing(base, other) == {"base": sum(map(math.isnan, base)), "candidate": sum(map(math.isnan, other))}


@pytest.mark.parametrize(
    "base, other, sentences",
    [
        ([], [], ["suite 's' has no prompt"]),
        ([NAN, NAN], [1.0, 0.0], ["the base has no scored completion on suite 's'"]),
        ([1.0, NAN], [NAN, NAN], ["the candidate has no scored completion on suite 's'"]),
        ([1.0, NAN], [NAN, 1.0], ["no prompt of suite 's' was scored in both arms"]),
        ([1.0, NAN], [0.0, 1.0], []),
    ],
)
def test_unscored_says_in_words_why_nothing_was_learnt(base, other, sentences):
    assert unscored(np.array(base), np.array(other), "suite 's'") == sentences


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


def posterior(change):
    base = np.full(len(change), 0.2)
    draws = {"base": base, "candidate": base + change, "change": np.array(change)}
    counts = {"n11": 1, "n10": 2, "n01": 3, "n00": 4}
    failed = Diagnostics(failures=("no",))
    return Posterior("c", "s", "m", "all", "e", 10, {"base": 1, "candidate": 0}, counts, draws, failed)


def test_a_summary_states_the_probabilities_a_gate_needs():
    found = summarise(posterior([-0.05, -0.03, 0.0, 0.02, 0.04, 0.06, 0.08, 0.1]), margin=0.03, cap=0.25)
    assert found.p_increase == 5 / 8
    assert found.p_above_margin == 4 / 8
    assert found.p_within_margin == 3 / 8
    assert found.p_below_cap == 5 / 8
    assert (found.margin, found.cap) == (0.03, 0.25)
    assert found.quantities["change"].mean == pytest.approx(0.0275)
    assert found.quantities["change"].hdi == (-0.05, 0.1)
    assert set(found.quantities) == {"base", "candidate", "change"}


def test_a_summary_keeps_what_the_posterior_knows():
    found = summarise(posterior([0.0, 0.1]), margin=0.03)
    assert (found.candidate, found.suite, found.measure, found.slice, found.estimator) == ("c", "s", "m", "all", "e")
    assert (found.n, found.missing["base"], found.counts["n01"], found.diagnostics.failures) == (10, 1, 3, ("no",))
    assert found.cap is None and found.p_below_cap is None


@given(st.integers(-(2**70), 2**70), st.lists(st.text(max_size=5), max_size=4))
def test_a_seed_fits_a_sampler_and_follows_from_its_names(seed, names):
    found = seed_of(seed, *names)
    assert 0 <= found < 2**63
    assert found == seed_of(seed, *names)
    assert found != seed_of(seed, *names, "")


def test_no_two_lists_of_names_share_a_seed():
    assert len({seed_of(0, "ab", "c"), seed_of(0, "a", "bc"), seed_of(0, "abc"), seed_of(1, "ab", "c")}) == 4


def test_importing_the_estimators_loads_nothing_heavy():
    code = (
        "import sys, toxaudit.estimators; from toxaudit.registry import registered; "
        "assert {'paired_exact', 'hier_paired'} <= set(registered('estimator')); "
        "print(*{'scipy', 'pymc', 'pytensor', 'nutpie', 'arviz', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
