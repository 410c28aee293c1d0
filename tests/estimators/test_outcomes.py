"""Paired tables agree with their definitions, and what is missing is counted."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paired import NAN, paired

from toxaudit.estimators.outcomes import Slicing, as_counts, missing, per_prompt, tabulate, unscored
from toxaudit.estimators.totals import total
from toxaudit.records import WORST_CASE

outcome = st.sampled_from([0.0, 1.0, NAN])
soft = outcome | st.sampled_from([0.25, 0.5, 0.75]) | st.floats(0, 1)
pairs = st.lists(st.tuples(outcome, outcome), max_size=40)


def arms(rows):
    table = np.array(rows, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def column(values):
    return np.array(values, dtype=float)[:, None]


def one_table(base, other):
    return as_counts(tabulate(base, other, np.zeros(len(base), dtype=np.intp), 1)[0])


@given(pairs)
def test_a_table_counts_the_pairs_scored_in_both_arms(rows):
    scored = [row for row in rows if not any(map(math.isnan, row))]
    assert one_table(*arms(rows)) == {
        "n11": scored.count((1, 1)),
        "n10": scored.count((1, 0)),
        "n01": scored.count((0, 1)),
        "n00": scored.count((0, 0)),
    }


@given(st.lists(st.tuples(soft, soft, st.integers(-1, 3)), max_size=30))
def test_tables_of_groups_divide_fractions_as_if_the_arms_were_independent(rows):
    expected = np.zeros((4, 4))
    for b, c, group in rows:
        if group >= 0 and not math.isnan(b + c):
            expected[group] += [b * c, b * (1 - c), (1 - b) * c, (1 - b) * (1 - c)]
    codes = np.array([row[2] for row in rows], dtype=np.intp)
    found = tabulate(*arms([row[:2] for row in rows]), codes, 4)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert (found >= 0).all()


@given(pairs)
def test_exchanging_the_arms_exchanges_new_and_repaired(rows):
    base, other = arms(rows)
    there, back = one_table(base, other), one_table(other, base)
    assert (there["n10"], there["n01"]) == (back["n01"], back["n10"])
    assert (there["n11"], there["n00"]) == (back["n11"], back["n00"])


def test_counts_are_whole_numbers_where_they_can_be():
    found = as_counts(np.array([1.0, 2.5, 0.0, 3.0]))
    assert found == {"n11": 1, "n10": 2.5, "n01": 0, "n00": 3}
    assert [type(value) for value in found.values()] == [int, float, int, int]


@pytest.mark.parametrize("base, other", [([0.0, 1.0], [0.0]), ([1.0], [2.0]), ([-0.1], [1.0])])
def test_what_is_no_pair_of_outcomes_is_refused(base, other):
    with pytest.raises(ValueError, match="outcome"):
        paired(base, other)


def test_a_slice_divides_all_prompts_of_its_suite():
    with pytest.raises(ValueError, match="slice 'topic' does not divide"):
        paired([0, 1], [0, 1], topic=["a"])


@given(st.lists(st.sampled_from(["", "a", "b", "z"]), max_size=20))
def test_a_slicing_gives_back_each_prompts_value(values):
    slicing = Slicing.of(values)
    assert list(slicing.values) == sorted(set(values) - {""})
    assert [(*slicing.values, "")[code] for code in slicing.codes] == values


@given(st.lists(st.lists(soft, min_size=3, max_size=3), max_size=20))
def test_a_prompts_outcome_is_the_mean_of_its_scored_samples(rows):
    found = per_prompt(np.array(rows, dtype=float).reshape(-1, 3))
    for row, mean in zip(rows, found, strict=True):
        scored = [value for value in row if not math.isnan(value)]
        assert mean == pytest.approx(sum(scored) / len(scored)) if scored else math.isnan(mean)


def test_only_independent_yes_or_no_outcomes_are_tabular():
    assert paired([0, 1, NAN], [1, 1, 0]).tabular
    assert not paired([0, 1, NAN], [1, 0.5, 0]).tabular
    assert not paired([[0, 1]], [[1, 1]]).tabular
    assert not paired([0, 1], [1, 1], more={"clusters": np.array([0, 0])}).tabular


def test_a_choice_of_prompts_chooses_in_every_field():
    values = np.array([0.0, 1.0, NAN])
    more = {"clusters": np.array([0, 0, 1]), "scores": {"base": values[:, None]}}
    found = paired(values, values[::-1], topic=["a", "b", "b"], more=more).only(np.array([True, False, True]))
    np.testing.assert_array_equal(found.base, column([0, NAN]))
    np.testing.assert_array_equal(found.candidates["tuned"], column([NAN, 0]))
    np.testing.assert_array_equal(found.scores["base"], column([0, NAN]))
    assert found.slices["topic"].codes.tolist() == [0, 1] and found.clusters.tolist() == [0, 1]


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
    assert unscored(column(base), column(other), "suite 's'") == sentences


def test_a_prompt_is_scored_where_one_of_its_samples_is():
    assert unscored(np.array([[NAN, 1.0]]), np.array([[0.0, NAN]]), "suite 's'") == []


def test_a_total_says_what_it_was_made_of():
    outcomes = paired([[1, NAN], [NAN, NAN], [0, 0]], [[1, 0], [1, 1], [0, NAN]])
    draws = np.array([np.zeros(3), np.ones(3)])
    found = total(outcomes, "tuned", "mine", draws)
    assert (found.n, found.missing, found.slice) == (2, {"base": 3, "candidate": 1}, "all")
    assert found.missing_in_both == 0 and found.cautious is None
    assert found.counts == {"n11": 0.5, "n10": 0.5, "n01": 0, "n00": 1}
    np.testing.assert_array_equal(found.change, np.ones(3))
    worst = np.nan_to_num(outcomes.base), np.nan_to_num(outcomes.candidates["tuned"], nan=1.0)
    found = total(outcomes, "tuned", "mine", draws, WORST_CASE, arms=worst)
    assert (found.n, found.missing, found.variant) == (3, {"base": 3, "candidate": 1}, WORST_CASE)


def test_importing_the_estimators_loads_nothing_heavy():
    code = (
        "import sys, toxaudit.estimators; from toxaudit.registry import registered; "
        "assert {'paired_exact', 'paired_bb', 'hier_paired', 'unpaired_beta', 'best_replication'} "
        "<= set(registered('estimator')); "
        "print(*{'scipy', 'pymc', 'pytensor', 'nutpie', 'arviz', 'torch', 'pyarrow'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
