"""The exact estimate recovers simulated truth, and says so where it has nothing to go by."""

from dataclasses import replace

import numpy as np
import pytest
from paired import NAN, calibration, cells, from_table, paired

from toxaudit.errors import ToxauditError
from toxaudit.estimators.paired_exact import PairedExact, recombined
from toxaudit.estimators.posterior import eti
from toxaudit.records import BEST_CASE, CORRECTED, OBSERVED, OTHER_PRIOR, WORST_CASE


def by_variant(outcomes, **settings):
    found = PairedExact(**settings).estimate(outcomes)
    return {posterior.variant: posterior for posterior in found}


def headline(outcomes, **settings):
    return by_variant(outcomes, **settings)[OBSERVED]


def test_moments_are_those_of_the_dirichlet():
    found = headline(paired(*from_table(20, 10, 30, 140)), draws=200_000)
    alpha = np.array([20.5, 10.5, 30.5, 140.5])
    total = alpha.sum()
    mean = (alpha[2] - alpha[1]) / total
    variance = ((alpha[2] + alpha[1]) / total - mean**2) / (total + 1)
    assert found.change.mean() == pytest.approx(mean, abs=4e-4)
    assert found.change.std() == pytest.approx(variance**0.5, rel=0.02)
    assert found.draws["base"].mean() == pytest.approx((alpha[0] + alpha[1]) / total, abs=5e-4)
    assert found.draws["candidate"].mean() == pytest.approx((alpha[0] + alpha[2]) / total, abs=5e-4)
    np.testing.assert_allclose(found.change, found.draws["candidate"] - found.draws["base"])
    assert found.counts == {"n11": 20, "n10": 10, "n01": 30, "n00": 140}
    assert found.n == 200 and found.diagnostics.passed


def test_recombined_strata_have_the_moments_of_their_weighted_sum():
    table = np.array([[20.0, 10, 30, 140], [1, 0, 5, 94], [0, 3, 2, 95]])
    weights, prior = np.array([0.5, 0.3, 0.2]), np.full(3, 0.5)
    draws = recombined(table, prior, weights, 100_000, np.random.default_rng(0))
    alpha = table + 0.5
    share = alpha / alpha.sum(1, keepdims=True)
    change = share[:, 2] - share[:, 1]
    variance = (share[:, 1] + share[:, 2] - change**2) / (alpha.sum(1) + 1)
    found = draws[1] - draws[0]
    assert found.mean() == pytest.approx(weights @ change, abs=3e-4)
    assert found.std() == pytest.approx((weights**2 @ variance) ** 0.5, rel=0.02)
    # the draws of a stratum are used more than once, and yet independent of the other strata's
    assert np.unique(found).size > 99_000


def test_draws_depend_on_names_and_seed_and_on_nothing_else():
    base, other = from_table(5, 5, 9, 81)
    slices = {"topic": ["a"] * 60 + ["b"] * 40}
    one = paired(base, other, **slices)
    two = paired(base, candidates={"control": base, "tuned": other}, **slices)
    alone = {(p.candidate, p.variant): p.change for p in PairedExact().estimate(one)}
    among = {(p.candidate, p.variant): p.change for p in PairedExact().estimate(two)}
    assert len(among) == 4 and len(alone) == 2
    for key, draws in alone.items():
        np.testing.assert_array_equal(draws, among[key])
    shuffled = np.random.default_rng(0).permutation(100)
    again = paired(*(np.array(arm)[shuffled] for arm in (base, other)))
    np.testing.assert_array_equal(headline(again).change, alone["tuned", OBSERVED])
    assert not np.array_equal(headline(one, seed=1).change, alone["tuned", OBSERVED])
    for name in ({"measure": "rude"}, {"candidates": {"twin": other}}):
        assert not np.array_equal(headline(paired(base, other, **name)).change, alone["tuned", OBSERVED])


def test_only_the_total_is_estimated_for_each_candidate():
    outcomes = paired([1, 0, 0, 0], candidates={"x": [1, 1, 0, NAN], "y": [0] * 4}, topic=["a", "a", "b", ""])
    found = PairedExact().estimate(outcomes)
    assert {(p.candidate, p.slice, p.estimator) for p in found} == {
        ("x", "all", "paired_exact"),
        ("y", "all", "paired_exact"),
    }
    first = found[0]
    assert first.counts == {"n11": 1, "n10": 0, "n01": 1, "n00": 1}
    assert first.missing == {"base": 0, "candidate": 1} and first.n == 3


@pytest.mark.parametrize(
    "outcomes",
    [
        paired([[0, 1]], [[1, 1]]),
        paired([0.5, 1], [1, 1]),
        paired([0, 1], [1, 1], more={"clusters": np.array([0, 0])}),
    ],
    ids=["samples", "mean scores", "clusters"],
)
def test_what_no_table_holds_is_left_to_others(outcomes):
    assert PairedExact().estimate(outcomes) == []


def test_the_variants_are_those_that_apply():
    base, other = from_table(5, 5, 9, 81)
    assert set(by_variant(paired(base, other))) == {OBSERVED, OTHER_PRIOR}
    assert set(by_variant(paired(base, other), other_prior=None)) == {OBSERVED}
    lost = paired(base, [NAN, *other[1:]], more={"calibration": calibration(90, 10, 1, 99)})
    assert set(by_variant(lost)) == {OBSERVED, OTHER_PRIOR, BEST_CASE, WORST_CASE, CORRECTED}


def test_missing_scores_widen_the_estimate_by_what_they_may_have_been():
    base, other = [0.0] * 1000, [0.0] * 900 + [NAN] * 100
    found = by_variant(paired(base, other))
    assert found[BEST_CASE].change.mean() == pytest.approx(0.0, abs=0.002)
    assert found[WORST_CASE].change.mean() == pytest.approx(0.1, abs=0.002)
    assert found[WORST_CASE].n == 1000 and found[OBSERVED].n == 900
    assert found[WORST_CASE].counts["n01"] == 100
    assert found[WORST_CASE].missing == found[OBSERVED].missing == {"base": 0, "candidate": 100}


def test_a_wider_prior_pulls_further_from_what_was_seen():
    found = by_variant(paired(*from_table(0, 0, 0, 50)))
    assert found[OBSERVED].draws["base"].mean() == pytest.approx(1 / 52, abs=0.002)
    assert found[OTHER_PRIOR].draws["base"].mean() == pytest.approx(2 / 54, abs=0.004)


def test_strata_weigh_by_their_prompts_not_by_their_scores():
    """Stratum b changes by 0.4 and is three quarters of the suite, though few of its prompts have a score."""
    a, b = [0.0] * 2000, [0.0] * 1000 + [NAN] * 5000
    changed = [0.0] * 600 + [1.0] * 400 + [NAN] * 5000
    outcomes = paired(a + b, a + changed, strata="topic", topic=["a"] * 2000 + ["b"] * 6000)
    assert headline(outcomes).change.mean() == pytest.approx(0.3, abs=0.01)


def test_stated_weights_go_before_the_suites_own_shares():
    base, other = [0] * 2000, [0] * 1000 + [1] * 400 + [0] * 600
    topics = ["a"] * 1000 + ["b"] * 1000
    outcomes = paired(base, other, strata="topic", topic=topics, more={"weights": {"a": 9.0, "b": 1.0}})
    assert headline(outcomes).change.mean() == pytest.approx(0.04, abs=0.004)


def test_a_stratum_of_hardly_any_weight_and_no_score_does_no_harm():
    topics = ["a"] * 100 + ["b"] * 10
    more = {"weights": {"a": 1.0, "b": 1e-6}, "calibration": calibration(by="topic", a=(90, 10, 0, 90), b=(9, 1, 0, 9))}
    outcomes = paired([0] * 100 + [NAN] * 10, [0] * 110, strata="topic", topic=topics, more=more)
    for posterior in PairedExact().estimate(outcomes):
        assert np.isfinite(posterior.change).all()
    assert headline(outcomes).draws["base"].mean() < 0.02


@pytest.mark.parametrize("strata, size", [(7, 50), (35, 10), (100, 3)])
def test_fine_strata_do_not_multiply_the_prior(strata, size):
    topics = np.repeat(np.arange(strata), size)
    n = topics.size
    silent = headline(paired([0] * n, [0] * n, strata="topic", topic=topics))
    assert silent.draws["base"].mean() < 1.5 / n
    loud = headline(paired([0] * n, [1] * n, strata="topic", topic=topics))
    assert loud.change.mean() > 1 - 2.5 / n


def test_an_unscored_stratum_is_a_failed_diagnostic():
    base = [0.0] * 60 + [NAN] * 40
    found = by_variant(paired(base, [0.0] * 100, strata="topic", topic=["a"] * 60 + ["b"] * 40))
    sentence = "the base has no scored completion on stratum 'topic=b' of suite 'suite'"
    assert found[OBSERVED].diagnostics.failures == found[OTHER_PRIOR].diagnostics.failures == (sentence,)
    # what is not known of two fifths of the suite stays uncertain
    low, high = eti(found[OBSERVED].draws["base"])
    assert high - low > 0.3


def test_what_is_not_known_of_a_weighed_stratum_stays_uncertain():
    base = [0.0] * 60 + [NAN] * 40
    more = {"weights": {"a": 3.0, "b": 2.0}}
    outcomes = paired(base, [0.0] * 100, strata="topic", topic=["a"] * 60 + ["b"] * 40, more=more)
    low, high = eti(headline(outcomes).draws["base"])
    assert high - low > 0.3


def test_an_unscored_arm_is_a_failed_diagnostic():
    found = by_variant(paired([1, 0, 0], [NAN] * 3, topic=["a", "a", "b"]))
    assert found[OBSERVED].n == 0 and not found[OBSERVED].diagnostics.passed
    assert found[OBSERVED].diagnostics.failures == ("the candidate has no scored completion on suite 'suite'",)


@pytest.mark.parametrize("strata", [None, "topic"])
def test_an_empty_suite_gives_the_prior_and_a_failure(strata):
    found = headline(paired([], [], strata=strata, topic=[]))
    assert found.diagnostics.failures == ("suite 'suite' has no prompt",)
    assert found.draws["base"].mean() == pytest.approx(0.5, abs=0.03)
    assert found.change.shape == (20_000,)


@pytest.mark.parametrize(
    "settings",
    [
        {"draws": 10},
        {"prior": 0.0},
        {"prior": -1.0},
        {"prior": NAN},
        {"prior": float("inf")},
        {"other_prior": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ToxauditError, match="paired_exact"):
        PairedExact(**settings).check()
    PairedExact().check()
    PairedExact(other_prior=None).check()


@pytest.mark.parametrize("strata", [1, 5])
def test_ten_seeds_agree_on_the_probability_of_an_increase(strata):
    """2,400 prompts, strata of unequal size, probabilities from a half to 0.95."""
    for n01, n10 in ((70, 51), *((52 + more, 50) for more in range(6))):
        base, other = from_table(20, n10, n01, 2400 - 20 - n10 - n01)
        topics = np.random.default_rng(0).choice(strata, 2400, p=np.arange(1, strata + 1) / (strata * (strata + 1) / 2))
        outcomes = paired(base, other, strata="topic", topic=topics)
        found = [(headline(outcomes, seed=seed, other_prior=None).change > 0).mean() for seed in range(10)]
        assert max(found) - min(found) <= 0.01, found


@pytest.mark.thorough
@pytest.mark.parametrize(
    "rates, size, change",
    [
        ([0.009], 50, 0.0),
        ([0.009], 50, 0.03),
        ([0.009], 50, 0.1),
        ([0.05], 50, 0.05),
        ([0.2], 1000, 0.03),
        ([0.004, 0.006, 0.009, 0.012, 0.014], 50, 0.0),
        ([0.01, 0.02, 0.04, 0.06, 0.12], 50, 0.03),
        ([0.01, 0.02, 0.04, 0.06, 0.12], 300, 0.03),
        ([0.1] * 20, 4, 0.1),
    ],
)
def test_intervals_cover_the_truth(rates, size, change):
    """95 % intervals of the change and of both rates, strata of equal size, 400 simulated audits."""
    random = np.random.default_rng(12)
    topics = np.repeat(np.arange(len(rates)), size)
    truth = {"base": np.mean(rates), "candidate": np.mean(rates) + change, "change": change}
    covered = dict.fromkeys(truth, 0)
    for audit in range(400):
        arms = [from_table(*random.multinomial(size, cells(rate, change))) for rate in rates]
        base, other = (sum((arm[i] for arm in arms), []) for i in (0, 1))
        outcomes = paired(base, candidates={str(audit): other}, strata="topic", topic=topics)
        found = headline(outcomes, draws=1000, other_prior=None)
        for name, value in truth.items():
            low, high = eti({**found.draws, "change": found.change}[name])
            covered[name] += low <= value <= high
    assert covered["change"] / 400 >= 0.93, covered
    # one rate is a single binomial: at 0.9 % of 50 prompts, two events (7 % of audits) put any interval above the truth
    assert min(covered["base"], covered["candidate"]) / 400 >= 0.90, covered


def test_a_weighted_stratum_without_a_prompt_fails_in_words():
    outcomes = paired([0, 1] * 30, [0, 0] * 30, strata="topic", topic=["a"] * 60)
    found = headline(replace(outcomes, weights={"a": 0.5, "b": 0.5}))
    assert found.diagnostics.failures == ("stratum 'topic=b' of suite 'suite' has a weight but no prompt",)
