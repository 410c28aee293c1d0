"""Strata divide all prompts, weigh as the suite says, and clusters count for less than their prompts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paired import NAN, paired

from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi
from toxaudit.estimators.strata import design_effect, divide, grouped
from toxaudit.estimators.totals import unlearnt

topics = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.booleans()), min_size=1, max_size=40)


@given(topics, st.integers(0, 5))
def test_strata_hold_every_prompt_and_their_weights_add_to_one(rows, least):
    names, scored = zip(*rows, strict=True)
    outcomes = paired([0] * len(rows), [0] * len(rows), strata="topic", topic=names)
    found = divide(outcomes, "topic", np.array(scored), least)
    assert found.weights.sum() == pytest.approx(1) and (found.weights > 0).all()
    np.testing.assert_allclose(np.bincount(found.codes, minlength=found.n) / len(rows), found.weights)
    for name, code in zip(names, found.codes, strict=True):
        assert found.values[code] in (name, "")
    for number, value in enumerate(found.values):
        assert not value or np.array(scored)[found.codes == number].sum() >= least


def test_without_a_slice_there_is_one_stratum():
    found = divide(paired([0, 1], [0, 1], topic=["a", "b"]), None)
    assert (found.values, found.codes.tolist(), found.weights.tolist()) == (("",), [0, 0], [1.0])


def test_stated_weights_stand_whatever_the_suites_size_and_where_strata_are_joined():
    more = {"weights": {"a": 6.0, "b": 2.0, "c": 5.0}}
    outcomes = paired([0] * 5, [0] * 5, strata="topic", topic=["a", "b", "b", "b", "b"], more=more)
    apart = divide(outcomes, "topic")
    assert apart.values == ("a", "b") and apart.counting is None
    np.testing.assert_allclose(apart.weights, [0.75, 0.25])
    found = divide(outcomes, "topic", np.ones(5, dtype=bool), 50)
    assert (found.values, found.weights.tolist()) == (("",), [1.0])
    np.testing.assert_allclose(found.counting / found.counting.sum(), [0.75, *[0.0625] * 4])
    assert found.counting.sum() == pytest.approx(8**2 / (6**2 + 4 * 0.5**2))  # hardly more than one prompt says it all


def test_joined_strata_have_prompts_enough_and_only_scored_ones_are_joined():
    names = ["a"] * 300 + ["b"] * 60 + ["c"] * 8 + ["d"] * 3
    more = {"weights": {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}}
    outcomes = paired([0] * 371, [0] * 371, strata="topic", topic=names, more=more)
    scored = np.array(names) != "d"
    found = divide(outcomes, "topic", scored, 50)
    assert found.values == ("a", "d", "") and found.weights.tolist() == [0.25, 0.25, 0.5]
    counting = found.counting[300:368]
    assert counting[:60].sum() == pytest.approx(counting[60:].sum()) and 8 < counting.sum() < 32
    assert (found.counting[:300] == 1).all()


@pytest.mark.thorough
@pytest.mark.parametrize("strata, each", [(200, 1), (60, 3), (30, 5)])
@pytest.mark.parametrize("unequal", [False, True])
def test_totals_of_many_small_strata_with_stated_weights_cover_the_truth(strata, each, unequal):
    """Each claimed to know its rate from a prompt or five: coverage was .26, .86 and .89."""
    random = np.random.default_rng(7)
    names = [f"g{number}" for number in range(strata)]
    stated = random.dirichlet(np.ones(strata)) if unequal else np.full(strata, 1 / strata)
    code, covered = np.repeat(np.arange(strata), each), []
    for _ in range(150):
        rate = 1 / (1 + np.exp(2 - random.normal(size=strata)))
        worse = np.clip(rate + 0.05, 0, 1)
        traits = random.random(len(code)), random.random(len(code))
        base = (traits[0] < rate[code]).astype(float)
        other = (np.where(random.random(len(code)) < 0.5, *traits) < worse[code]).astype(float)
        more = {"weights": dict(zip(names, stated.tolist(), strict=True))}
        outcomes = paired(base, other, strata="topic", topic=[names[number] for number in code], more=more)
        low, high = hdi(PairedExact(draws=1000, other_prior=None).estimate(outcomes)[0].change)
        covered.append(low <= stated @ (worse - rate) <= high)
    assert np.mean(covered) > 0.9


def test_stated_weights_hold_for_their_own_slice_only():
    more = {"weights": {"a": 9.0, "b": 1.0}}
    outcomes = paired(
        [0] * 4, [0] * 4, strata="topic", topic=["a", "b", "b", "b"], voice=["x", "x", "y", ""], more=more
    )
    np.testing.assert_allclose(divide(outcomes, "voice").weights, [0.5, 0.25, 0.25])


@given(topics, st.lists(st.sampled_from("xy"), min_size=40, max_size=40), st.floats(0.1, 10))
def test_groups_of_another_slice_keep_to_the_stated_weights(rows, voices, weight):
    names, voices = [name or "d" for name, _ in rows], voices[: len(rows)]
    more = {"weights": {"a": weight, "b": 1.0, "c": 2.0, "d": 3.0}}
    outcomes = paired([0] * len(rows), [0] * len(rows), strata="topic", topic=names, voice=voices, more=more)
    strata = divide(outcomes, "topic")
    cells, groups = grouped(outcomes, "voice", strata)
    assert groups.values == tuple(sorted(set(voices)))
    assert groups.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(groups.shares.sum(0), 1)
    # what the cells of a stratum weigh is what the suite says of it
    stratum = np.zeros(cells.n, dtype=int)
    stratum[cells.codes] = strata.codes
    found = np.bincount(stratum, groups.shares @ groups.weights, strata.n)
    np.testing.assert_allclose(found, strata.weights)
    np.testing.assert_allclose(cells.weights, groups.shares @ groups.weights)


def test_one_group_of_all_is_made_of_the_totals_strata():
    outcomes = paired([0] * 4, [0] * 4, strata="topic", topic=["a", "b", "b", "b"])
    strata = divide(outcomes, "topic")
    cells, groups = grouped(outcomes, "", strata)
    assert cells is strata and groups.values == ("",)
    np.testing.assert_allclose(groups.shares[:, 0], [0.25, 0.75])


def test_unscored_strata_are_named():
    outcomes = paired([0, 0, NAN], [0, 1, 1], strata="topic", topic=["a", "a", "b"])
    assert unlearnt(outcomes, "tuned") == ("the base has no scored completion on stratum 'topic=b' of suite 'suite'",)
    assert unlearnt(paired([0, NAN], [0, 1]), "tuned") == ()


def clustered(between, clusters=200, size=20, seed=0):
    random = np.random.default_rng(seed)
    rate = np.clip(0.3 + between * random.choice([-1, 1], clusters), 0, 1)
    arms = random.random((2, clusters, size)) < rate[:, None]
    return paired(*arms.reshape(2, -1), more={"clusters": np.repeat(np.arange(clusters), size)})


def test_the_design_effect_is_one_plus_the_correlation_of_a_clusters_other_prompts():
    assert design_effect(paired([0, 1], [1, 1]), divide(paired([0, 1], [1, 1]), None)) == 1.0
    independent, tied = clustered(0.0), clustered(0.2)
    assert 1 <= design_effect(independent, divide(independent, None)) < 1.4
    correlation = 0.2**2 / (0.3 * 0.7)
    assert design_effect(tied, divide(tied, None)) == pytest.approx(1 + 19 * correlation, rel=0.2)


def test_clusters_of_equal_prompts_count_as_one_prompt_each():
    random = np.random.default_rng(0)
    arms = np.repeat(random.random((2, 50)) < 0.3, 10, axis=1)
    outcomes = paired(*arms, more={"clusters": np.repeat(np.arange(50), 10)})
    assert design_effect(outcomes, divide(outcomes, None)) == pytest.approx(10)


def test_a_design_effect_needs_no_event_and_no_score():
    more = {"clusters": np.array([0, 0, 1])}
    for outcomes in (paired([0] * 3, [0] * 3, more=more), paired([NAN] * 3, [NAN] * 3, more=more)):
        assert design_effect(outcomes, divide(outcomes, None)) == 1.0
