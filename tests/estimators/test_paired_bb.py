"""The bootstrap total equals the exact one where both apply, and covers the truth where only it does."""

from functools import cache

import numpy as np
import pytest
from paired import NAN, calibration, from_table, logistic, paired

import toxaudit.estimators.paired_bb as module
from toxaudit.errors import ToxauditError
from toxaudit.estimators.paired_bb import PairedBB
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import eti
from toxaudit.records import BEST_CASE, CORRECTED, OBSERVED, WORST_CASE


def by_variant(outcomes, **settings):
    return {posterior.variant: posterior for posterior in PairedBB(**settings).estimate(outcomes)}


def headline(outcomes, **settings):
    return by_variant(outcomes, **settings)[OBSERVED]


@pytest.mark.parametrize("table", [(20, 10, 30, 140), (0, 0, 1, 49), (0, 0, 0, 30)])
@pytest.mark.parametrize("topics", [None, 2])
def test_for_one_yes_or_no_per_prompt_it_is_the_dirichlet_posterior(table, topics):
    """Moments and quantiles of base, candidate and change, with and without strata."""
    n = sum(table)
    base, other = (np.repeat(arm, topics or 1) for arm in from_table(*table))
    slices = {"topic": np.tile(np.arange(topics), n)} if topics else {}
    outcomes = paired(base, other, strata="topic" if topics else None, **slices)
    found = headline(outcomes, draws=100_000, always=True)
    exact = PairedExact(draws=100_000, other_prior=None).estimate(outcomes)[0]
    sd = exact.change.std()
    for mine, theirs in ((found.draws[arm], exact.draws[arm]) for arm in exact.draws):
        assert mine.mean() == pytest.approx(theirs.mean(), abs=0.02 * sd)
        assert mine.std() == pytest.approx(theirs.std(), rel=0.02)
    spots = [0.025, 0.25, 0.5, 0.75, 0.975]
    np.testing.assert_allclose(np.quantile(found.change, spots), np.quantile(exact.change, spots), atol=0.06 * sd)
    assert (found.counts, found.n, found.missing) == (exact.counts, exact.n, exact.missing)


def test_it_leaves_to_paired_exact_what_that_takes():
    assert PairedBB().estimate(paired([0, 1], [1, 1])) == []
    assert len(PairedBB(always=True).estimate(paired([0, 1], [1, 1]))) == 1
    assert len(PairedBB().estimate(paired([0, 1], [1, 0.5]))) == 1


def test_mean_scores_have_the_mean_and_spread_of_their_prompts():
    random = np.random.default_rng(0)
    base, other = random.beta(2, 5, 2000), random.beta(2, 4, 2000)
    found = headline(paired(base, other), draws=20_000)
    assert found.change.mean() == pytest.approx((other - base).mean(), abs=1e-3)
    assert found.change.std() == pytest.approx((other - base).std() / 2000**0.5, rel=0.03)
    assert found.draws["base"].mean() == pytest.approx(base.mean(), abs=1e-3)
    assert found.n == 2000 and sum(found.counts.values()) == pytest.approx(2000)


def test_pseudo_observations_weigh_half_an_independent_sample():
    """With no event in 50 prompts of m samples, the rate is Beta(1/m, 50 + 1/m): as if 1/m of 50 + 2/m had it."""
    for m in (2, 4, 10):
        found = headline(paired(np.zeros((50, m)), np.zeros((50, m))), draws=20_000)
        assert found.draws["base"].mean() == pytest.approx((1 / m) / (50 + 2 / m), rel=0.06)


def test_samples_that_always_agree_count_as_one():
    base, other = from_table(10, 5, 9, 76)
    once, often = paired(base, other), paired(np.tile(base, (4, 1)).T, np.tile(other, (4, 1)).T)
    one, four = headline(once, draws=50_000, always=True), headline(often, draws=50_000)
    assert four.change.std() == pytest.approx(one.change.std(), rel=0.02)
    assert four.draws["base"].mean() == pytest.approx(one.draws["base"].mean(), abs=1e-3)


def test_draws_depend_on_names_and_seed_and_on_nothing_else(monkeypatch):
    random = np.random.default_rng(0)
    base, other = random.random((2, 100)).round(1)
    alone = headline(paired(base, other)).change
    two = paired(base, candidates={"control": base, "tuned": other})
    among = {p.candidate: p.change for p in PairedBB().estimate(two)}
    np.testing.assert_array_equal(among["tuned"], alone)
    shuffled = random.permutation(100)
    np.testing.assert_array_equal(headline(paired(base[shuffled], other[shuffled])).change, alone)
    assert not np.array_equal(headline(paired(base, other), seed=1).change, alone)
    assert not np.array_equal(headline(paired(base, other, measure="rude")).change, alone)


def test_blocks_bound_the_memory_and_leave_the_posterior_as_it_is(monkeypatch):
    random = np.random.default_rng(0)
    outcomes = paired(*random.random((2, 300)))
    whole = headline(outcomes, draws=20_000)
    monkeypatch.setattr(module, "WEIGHTS_AT_ONCE", 7 * 300)
    parts = headline(outcomes, draws=20_000)
    assert parts.change.shape == (20_000,) and np.unique(parts.change).size == 20_000
    assert parts.change.mean() == pytest.approx(whole.change.mean(), abs=0.05 * whole.change.std())
    assert parts.change.std() == pytest.approx(whole.change.std(), rel=0.05)


def test_strata_weigh_as_the_suite_says():
    base, other = np.full(2000, 0.5), np.repeat([0.5, 0.9], 1000)
    slices = {"strata": "topic", "topic": np.repeat(["a", "b"], 1000)}
    assert headline(paired(base, other, **slices)).change.mean() == pytest.approx(0.2, abs=2e-3)
    weighed = paired(base, other, **slices, more={"weights": {"a": 9.0, "b": 1.0}})
    assert headline(weighed).change.mean() == pytest.approx(0.04, abs=2e-3)
    clustered = {"weights": {"a": 9.0, "b": 1.0}, "clusters": np.arange(2000) // 20}
    assert headline(paired(base, other, **slices, more=clustered)).change.mean() == pytest.approx(0.04, abs=2e-3)


def test_strata_share_one_prior():
    topics = np.repeat(np.arange(100), 3)
    silent = headline(paired(np.zeros((300, 2)), np.zeros((300, 2)), strata="topic", topic=topics))
    assert silent.draws["base"].mean() < 1.5 / 300
    weights = {"weights": {str(topic): 1.0 + topic for topic in range(100)}}
    silent = headline(paired(np.zeros((300, 2)), np.zeros((300, 2)), strata="topic", topic=topics, more=weights))
    assert silent.draws["base"].mean() < 1.5 / 300


def test_missing_samples_are_left_out_and_bounded():
    base = np.zeros((1000, 2))
    other = np.zeros((1000, 2))
    other[:200, 0] = NAN
    found = by_variant(paired(base, other))
    assert found[OBSERVED].n == 1000 and found[OBSERVED].missing == {"base": 0, "candidate": 200}
    assert found[BEST_CASE].change.mean() == pytest.approx(0.0, abs=0.002)
    assert found[WORST_CASE].change.mean() == pytest.approx(0.1, abs=0.003)


def test_what_was_not_scored_is_a_failure_in_words():
    nothing = headline(paired(np.full((3, 2), NAN), np.zeros((3, 2))))
    assert nothing.diagnostics.failures == ("the base has no scored completion on suite 'suite'",)
    assert nothing.draws["base"].mean() == pytest.approx(0.5, abs=0.05)
    empty = headline(paired(np.zeros((0, 2)), np.zeros((0, 2))))
    assert empty.diagnostics.failures == ("suite 'suite' has no prompt",)
    clusters = {"clusters": np.array([], dtype=int)}
    assert not headline(paired([], [], more=clusters)).diagnostics.passed
    rare = {"weights": {"a": 1.0, "b": 1e-7}}
    unscored = paired([0.5] * 60 + [NAN], [0.5] * 61, strata="topic", topic=["a"] * 60 + ["b"], more=rare)
    assert "stratum 'topic=b'" in headline(unscored).diagnostics.failures[0]
    assert np.isfinite(headline(unscored).change).all()


def templates(clusters, size=10):
    random = np.random.default_rng(3)
    rate = logistic(random.normal(-2, 1, clusters))[:, None]
    arms = (random.random((2, clusters, size)) < rate).reshape(2, -1)
    return paired(*arms, more={"clusters": np.repeat(np.arange(clusters) * 7, size)})


def test_few_templates_are_a_warning_and_hardly_any_a_failure():
    assert headline(templates(30)).diagnostics.warnings == ()
    few = headline(templates(29)).diagnostics
    assert few.passed and few.warnings == (
        "the scored prompts vary only 29 templates: with fewer than 30, intervals may be too narrow",
    )
    assert few.values == {"clusters": 29.0, "effective_clusters": pytest.approx(29)}
    hardly = headline(templates(4)).diagnostics
    assert "only 4 templates" in hardly.failures[0]
    assert headline(paired([[0, 1]], [[1, 1]])).diagnostics.values == {}


@pytest.mark.parametrize("sizes, said", [([600] + [10] * 59, 3.9), ([1000 // k for k in range(1, 41)], 11.2)])
def test_templates_of_unequal_size_count_as_what_they_say(sizes, said):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    found = headline(paired(np.zeros(len(codes)), np.zeros(len(codes)), more={"clusters": codes})).diagnostics
    assert found.values == {"clusters": len(sizes), "effective_clusters": pytest.approx(said, abs=0.1)}
    (sentence,) = found.failures or found.warnings
    assert sentence.startswith(
        f"the scored prompts vary only {len(sizes)} templates, of such unequal size that they say no more than {said}"
    )
    assert found.passed == (said > 5)


def test_a_templates_prompts_stand_and_fall_together():
    """100 templates of ten equal prompts say as much as 100 prompts."""
    base, other = from_table(10, 5, 9, 76)
    repeated = paired(np.repeat(base, 10), np.repeat(other, 10), more={"clusters": np.repeat(np.arange(100), 10)})
    once = headline(paired(base, other), draws=50_000, always=True)
    found = headline(repeated, draws=50_000)
    assert found.change.std() == pytest.approx(once.change.std(), rel=0.1)
    alone = headline(paired(np.repeat(base, 10), np.repeat(other, 10)), draws=50_000, always=True)
    assert found.change.std() > 2.5 * alone.change.std()


def test_templates_that_span_strata_are_drawn_once_for_all_of_them():
    """Both strata hold the same values of the same templates, so that a second one says nothing new."""
    random = np.random.default_rng(4)
    values = random.random((2, 60))
    slices = {"strata": "topic", "topic": np.repeat(["a", "b"], 60)}
    spanning = paired(*np.tile(values, 2), **slices, more={"clusters": np.tile(np.arange(60), 2)})
    apart = paired(*np.tile(values, 2), **slices, more={"clusters": np.arange(120)})
    ratio = headline(spanning, draws=20_000).change.std() / headline(apart, draws=20_000).change.std()
    assert ratio == pytest.approx(2**0.5, rel=0.08)


def test_corrected_draws_undo_the_scorers_errors_of_templates_too():
    random = np.random.default_rng(5)
    true = random.random((2, 4000)) < np.array([[0.1], [0.2]])
    reported = np.where(true, random.random(true.shape) < 0.8, random.random(true.shape) > 0.95)
    more = {"clusters": np.arange(4000) // 20, "calibration": calibration(8000, 2000, 500, 9500)}
    found = by_variant(paired(*reported, more=more))
    assert found[CORRECTED].diagnostics.passed
    assert found[CORRECTED].change.mean() == pytest.approx(0.1, abs=0.03)
    assert found[OBSERVED].change.mean() == pytest.approx(0.075, abs=0.02)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ToxauditError, match="paired_bb"):
        PairedBB(draws=10).check()
    PairedBB().check()


POINTS, RAW = np.polynomial.hermite_e.hermegauss(80)


@cache
def logit_of(rate, spread):
    """The logit around which prompts with a normal trait of that spread have that mean rate, by bisection."""
    low, high = -60.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if logistic(middle + spread * POINTS) @ RAW / RAW.sum() < rate:
            low = middle
        else:
            high = middle
    return low


def simulate(random, n, m, rate, change, spread, clusters=None, between=0.0):
    """Outcomes of both arms, shape (2, n, m), whose traits of prompts and of templates share four fifths."""

    def trait(size):
        return random.normal(size=size) * 0.8**0.5 + random.normal(size=(2, size)) * 0.2**0.5

    logit = np.array([[logit_of(each, np.hypot(spread, between))] for each in (rate, rate + change)])
    logit = logit + spread * trait(n)
    if clusters:
        logit = logit + between * np.repeat(trait(clusters), n // clusters, axis=1)
    return (random.random((2, n, m)) < logistic(logit)[:, :, None]).astype(float)


def coverage(audits, n, m, rate, change, spread, clusters=None, between=0.0, honour=True):
    """Shares of audits whose 95 % intervals hold the true base rate, candidate's rate and change."""
    random, covered = np.random.default_rng(30), []
    more = {"clusters": np.repeat(np.arange(clusters), n // clusters)} if clusters and honour else None
    for audit in range(audits):
        arms = simulate(random, n, m, rate, change, spread, clusters, between)
        found = headline(paired(*arms, measure=str(audit), more=more), draws=1000, always=True)
        pairs = ((found.draws["base"], rate), (found.draws["candidate"], rate + change), (found.change, change))
        covered.append([eti(draws)[0] <= truth <= eti(draws)[1] for draws, truth in pairs])
    return np.mean(covered, axis=0)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "n, rate, change, spread, bar",
    [
        (50, 0.009, 0.0, 2.0, 0.93),
        (50, 0.009, 0.03, 2.0, 0.93),
        (50, 0.009, 0.03, 6.0, 0.90),  # a prompt's samples nearly always agree
        (50, 0.05, 0.05, 6.0, 0.93),
        (300, 0.009, 0.0, 6.0, 0.93),
        (300, 0.05, 0.03, 2.0, 0.93),
    ],
)
def test_intervals_of_several_samples_cover_the_truth(n, rate, change, spread, bar):
    found = coverage(400, n, 4, rate, change, spread)
    assert found[2] >= bar, found
    assert found.min() >= 0.90, found


@pytest.mark.slow
@pytest.mark.parametrize("rate, change", [(0.009, 0.0), (0.02, 0.01)])
@pytest.mark.parametrize("spread", [0.01, 2.0, 6.0])
def test_intervals_of_2400_prompts_with_several_samples_cover_the_truth(rate, change, spread):
    found = coverage(250, 2400, 4, rate, change, spread)
    assert found.min() >= 0.93, found


@pytest.mark.thorough
def test_thirty_templates_cover_the_truth_and_ignoring_them_does_not():
    world = {"n": 2400, "m": 1, "rate": 0.1, "change": 0.03, "spread": 1.0, "clusters": 30, "between": 1.0}
    honoured = coverage(200, **world)
    assert honoured[2] >= 0.93 and honoured.min() >= 0.91, honoured
    ignored = coverage(100, **world, honour=False)
    assert ignored[2] < 0.85, ignored


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [10, 30, 100])
@pytest.mark.parametrize("rate, change", [(0.03, 0.02), (0.1, 0.03), (0.3, 0.0)])
@pytest.mark.parametrize("between", [0.5, 1.0])
def test_templates_cover_the_truth(clusters, rate, change, between):
    found = coverage(160, 2400, 1, rate, change, 1.0, clusters, between)
    assert found.min() >= (0.86 if clusters == 10 else 0.90), found
