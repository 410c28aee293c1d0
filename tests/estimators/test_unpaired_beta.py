"""The unpaired estimate is two independent Beta posteriors, which never decide."""

import numpy as np
import pytest
from paired import NAN, from_table, paired

from toxaudit.decision.headline import headlines
from toxaudit.errors import ToxauditError
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import summarise
from toxaudit.estimators.unpaired_beta import UnpairedBeta


def only(outcomes, **settings):
    (found,) = UnpairedBeta(**settings).estimate(outcomes)
    return found


def test_moments_are_those_of_two_jeffreys_posteriors():
    found = only(paired(*from_table(20, 10, 30, 140)), draws=200_000)
    for arm, y in (("base", 30), ("candidate", 50)):
        a, b = y + 0.5, 200 - y + 0.5
        assert found.draws[arm].mean() == pytest.approx(a / (a + b), abs=3e-4)
        assert found.draws[arm].std() == pytest.approx((a * b / (a + b) ** 2 / (a + b + 1)) ** 0.5, rel=0.01)
    assert abs(np.corrcoef(found.draws["base"], found.draws["candidate"])[0, 1]) < 0.01
    assert found.counts == {"n11": 20, "n10": 10, "n01": 30, "n00": 140} and found.slice == "all"


def test_ignoring_the_pairing_widens_the_interval():
    outcomes = paired(*from_table(90, 10, 20, 80))
    assert only(outcomes).change.std() > 1.5 * PairedExact().estimate(outcomes)[0].change.std()


def test_each_arm_counts_all_of_its_own_scores():
    """The candidate's scores of prompts that the base has none of are used, though they are in no pair."""
    found = only(paired([0] * 50 + [NAN] * 150, [0] * 50 + [1] * 150), draws=20_000)
    assert found.draws["candidate"].mean() == pytest.approx(150.5 / 201, abs=3e-3)
    assert found.n == 50 and found.missing == {"base": 150, "candidate": 0}


def test_several_samples_and_mean_scores_add_up_to_fractions():
    samples = np.zeros((100, 4))
    samples[:50, 0] = 1
    found = only(paired(samples, np.full((100, 4), 0.3)), draws=20_000)
    assert found.draws["base"].mean() == pytest.approx(13 / 101, abs=2e-3)
    assert found.draws["candidate"].mean() == pytest.approx(30.5 / 101, abs=2e-3)


def test_strata_weigh_as_the_suite_says_and_share_a_prior():
    topics = np.repeat(np.arange(20), 50)
    silent = paired([0] * 1000, [0] * 1000, strata="topic", topic=topics)
    assert only(silent).draws["base"].mean() == pytest.approx(0.5 / 1001, rel=0.2)
    halves = {"strata": "topic", "topic": np.repeat(["a", "b"], 500), "more": {"weights": {"a": 9.0, "b": 1.0}}}
    found = only(paired([0] * 1000, [0] * 500 + [1] * 500, **halves))
    assert found.change.mean() == pytest.approx(0.1, abs=3e-3)


def test_it_says_that_it_never_decides_and_does_not():
    outcomes = paired(*from_table(1, 2, 3, 94))
    found = only(outcomes)
    assert any("never decides" in warning for warning in found.diagnostics.warnings)
    assert found.diagnostics.passed
    assert headlines([summarise(found, margin=0.03)]) == {}


def test_nothing_scored_is_a_failure_in_words():
    assert only(paired([], [])).diagnostics.failures == ("suite 'suite' has no prompt",)
    found = only(paired([0, 1], [NAN, NAN]))
    assert found.diagnostics.failures == ("the candidate has no scored completion on suite 'suite'",)


def test_draws_follow_from_names_and_seed_for_each_candidate():
    two = paired([0, 1, 0], candidates={"x": [1, 1, 0], "y": [1, 1, 0]})
    x, y = UnpairedBeta().estimate(two)
    assert (x.candidate, y.candidate) == ("x", "y") and not np.array_equal(x.change, y.change)
    alone = only(paired([0, 1, 0], candidates={"x": [1, 1, 0]}))
    np.testing.assert_array_equal(alone.change, x.change)
    assert not np.array_equal(only(paired([0, 1, 0], candidates={"x": [1, 1, 0]}), seed=1).change, x.change)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ToxauditError, match="unpaired_beta"):
        UnpairedBeta(draws=10).check()
    UnpairedBeta().check()
