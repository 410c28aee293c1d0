"""The hierarchical estimate recovers simulated truth, samples soundly in extreme tables, and owns up where it fails."""

import numpy as np
import pytest

from toxaudit.errors import ToxauditError
from toxaudit.estimators.hier_paired import HierPaired, log_conditionals
from toxaudit.estimators.outcomes import PairedOutcomes, eti
from toxaudit.estimators.paired_exact import PairedExact

NAN = float("nan")
TOPICS = ("a", "b", "c")


def logistic(x):
    return 1 / (1 + np.exp(-x))


def paired(arms, topics):
    """One PairedOutcomes for each candidate; ``arms`` maps ``base`` and the candidates to outcomes."""
    base = np.array(arms["base"], dtype=float)
    return [
        PairedOutcomes(name, "suite", "toxic", base, np.array(other, dtype=float), {"topic": np.array(topics)}, "topic")
        for name, other in arms.items()
        if name != "base"
    ]


def world(seed, sizes, logits, shifts, spread=2.0):
    """Outcomes with a trait of each prompt, four fifths of it shared by all arms, and the rates behind them.

    Returns:
        outcomes, and the true rates: arm -> shape (strata,).
    """
    random = np.random.default_rng(seed)
    stratum = np.repeat(np.arange(len(sizes)), sizes)
    shared = random.normal(size=stratum.size) * spread * np.sqrt(0.8)
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    arms, rates = {}, {}
    for name, shift in {"base": np.zeros(len(sizes)), **shifts}.items():
        logit = np.asarray(logits) + shift
        own = random.normal(size=stratum.size) * spread * np.sqrt(0.2)
        arms[name] = random.random(stratum.size) < logistic(logit[stratum] + shared + own)
        rates[name] = logistic(logit[:, None] + spread * points) @ (weights / weights.sum())
    return paired(arms, np.array([f"s{number}" for number in stratum])), rates


def by_name(posteriors):
    return {(posterior.candidate, posterior.slice): posterior for posterior in posteriors}


def width(posterior):
    low, high = eti(posterior.draws["change"])
    return high - low


SIZES, LOGITS = (400, 600, 1000), (-2.2, -3.6, -4.2)
SHIFTS = {"worse": np.array([0.8, 0.8, 0.8]), "same": np.zeros(3)}


@pytest.fixture(scope="module")
def simulated():
    outcomes, rates = world(5, SIZES, LOGITS, SHIFTS)
    return outcomes, rates, HierPaired().estimate(outcomes)


def test_it_recovers_a_simulated_difference(simulated):
    outcomes, rates, found = simulated
    shares = np.array(SIZES) / sum(SIZES)
    posteriors = by_name(found)
    for candidate in SHIFTS:
        change = rates[candidate] - rates["base"]
        truths = {"all": change @ shares} | {f"topic=s{s}": change[s] for s in range(3)}
        for title, truth in truths.items():
            low, high = eti(posteriors[candidate, title].draws["change"], 0.99)
            assert low <= truth <= high, (candidate, title)
    worse = posteriors["worse", "all"].draws["change"]
    assert (worse > 0).mean() > 0.99
    assert worse.std() < 0.015


def test_it_reports_the_total_and_each_stratum_with_draws_that_fit_together(simulated):
    outcomes, _, found = simulated
    assert [p.slice for p in found] == ["all", "topic=s0", "topic=s1", "topic=s2"] * 2
    assert [p.candidate for p in found[::4]] == ["worse", "same"]
    posteriors = by_name(found)
    for posterior in found:
        assert {name: draws.shape for name, draws in posterior.draws.items()} == dict.fromkeys(
            ("base", "candidate", "change"), (4000,)
        )
        np.testing.assert_allclose(
            posterior.draws["change"], posterior.draws["candidate"] - posterior.draws["base"], atol=1e-12
        )
        assert set(posterior.diagnostics.values) == {"max_rhat", "min_ess", "divergences"}
        assert posterior.diagnostics.passed and posterior.estimator == "hier_paired"
    total = sum(posteriors["worse", f"topic=s{s}"].draws["change"] * SIZES[s] / sum(SIZES) for s in range(3))
    np.testing.assert_allclose(posteriors["worse", "all"].draws["change"], total, atol=1e-12)
    # both candidates of a fit are compared with one base
    np.testing.assert_array_equal(posteriors["worse", "all"].draws["base"], posteriors["same", "all"].draws["base"])


def test_it_agrees_with_the_exact_total_and_narrows_the_slices(simulated):
    outcomes, _, found = simulated
    exact = by_name(PairedExact().estimate(outcomes))
    for posterior in found:
        other = exact[posterior.candidate, posterior.slice]
        assert (posterior.counts, posterior.n, posterior.missing) == (other.counts, other.n, other.missing)
        if posterior.slice == "all":
            apart = posterior.draws["change"].mean() - other.draws["change"].mean()
            assert abs(apart) < 0.5 * other.draws["change"].std()
    slices = [posterior for posterior in found if posterior.slice != "all"]
    assert sum(map(width, slices)) < 0.9 * sum(width(exact[p.candidate, p.slice]) for p in slices)


def test_the_same_seed_and_any_order_give_the_same_draws(simulated):
    outcomes, _, _ = simulated
    short = {"draws": 200, "tune": 200, "chains": 2}
    again = by_name(HierPaired(**short).estimate(outcomes[::-1]))
    other = by_name(HierPaired(**short, seed=1).estimate(outcomes))
    for key, posterior in by_name(HierPaired(**short).estimate(outcomes)).items():
        np.testing.assert_array_equal(posterior.draws["change"], again[key].draws["change"])
        assert not np.array_equal(posterior.draws["change"], other[key].draws["change"])


@pytest.mark.parametrize("rate", [0.0, 0.04, 1.0])
@pytest.mark.parametrize("candidate", ["identical", "always", "never"])
def test_extreme_tables_sample_soundly(rate, candidate):
    """Empty cells: a candidate equal to the base beside one that is equal, always or never toxic; 3 x 50 prompts."""
    base = np.random.default_rng(1).random(150) < rate
    other = {"identical": base, "always": np.ones(150), "never": np.zeros(150)}[candidate]
    found = HierPaired().estimate(paired({"base": base, "control": base, "other": other}, np.repeat(TOPICS, 50)))
    assert {failure for posterior in found for failure in posterior.diagnostics.failures} == set()
    control = by_name(found)["control", "all"].draws["change"]
    assert abs(control.mean()) < 0.02
    change = by_name(found)["other", "all"].draws["change"].mean()
    assert change == pytest.approx(np.mean(other) - base.mean(), abs=0.1)


def test_too_little_sampling_is_a_failed_diagnostic_on_every_posterior(simulated):
    found = HierPaired(draws=100, tune=100, chains=2).estimate(simulated[0])
    for posterior in found:
        assert any("effective sample size" in failure for failure in posterior.diagnostics.failures)
        assert posterior.diagnostics.values["min_ess"] < 400


def test_unscored_strata_fail_in_words_and_spare_the_others():
    base = np.array([0.0] * 45 + [1.0] * 5 + [0.0] * 50 + [NAN] * 50)
    other = np.array([0.0] * 100 + [1.0] * 50)
    found = by_name(HierPaired().estimate(paired({"base": base, "x": other, "y": other}, np.repeat(TOPICS, 50))))
    assert found["x", "topic=c"].diagnostics.failures == (
        "the base has no scored completion on slice 'topic=c' of suite 'suite'",
    )
    assert found["x", "topic=c"].n == 0 and found["x", "topic=c"].missing == {"base": 50, "candidate": 0}
    assert found["x", "topic=a"].diagnostics.passed and found["x", "all"].n == 100


def test_prompts_without_a_stratum_count_in_the_total_only():
    outcomes = paired({"base": [0] * 90, "x": [0] * 90, "y": [1] * 90}, np.repeat(["a", "b", ""], 30))
    found = by_name(HierPaired().estimate(outcomes))
    assert {title for _, title in found} == {"all", "topic=a", "topic=b"}
    assert found["x", "all"].n == 90


def test_where_there_is_nothing_to_pool_there_is_no_estimate():
    assert HierPaired().estimate([]) == []
    assert HierPaired().estimate(paired({"base": [0, 1], "x": [1, 1]}, ["a", "a"])) == []
    assert HierPaired().estimate([PairedOutcomes("x", "suite", "toxic", np.zeros(2), np.ones(2))]) == []
    assert HierPaired().estimate(paired({"base": [], "x": []}, np.array([], dtype=str))) == []


def test_candidates_of_one_fit_share_a_base():
    topics = ["a", "b"]
    strangers = paired({"base": [0, 1], "x": [1, 1]}, topics) + paired({"base": [1, 1], "y": [1, 1]}, topics)
    with pytest.raises(ValueError, match="share the base"):
        HierPaired().estimate(strangers)


@pytest.mark.parametrize("settings", [{"chains": 1}, {"draws": 10}, {"tune": 0}, {"target_accept": 1.0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ToxauditError, match="hier_paired"):
        HierPaired(**settings).check()
    HierPaired().check()


@pytest.mark.parametrize("log_psi", [-3.0, 0.0, 2.0, 12.0])
def test_conditional_probabilities_are_those_of_plackett(log_psi):
    """Margins are kept and the odds ratio is psi, for rates from 1e-6 to 1 - 1e-6."""
    logits = np.array([-13.8, -4.0, -0.5, 0.0, 2.0, 13.8])
    found = log_conditionals(logits[None, :], logits[:, None], np.full((1, 1), log_psi))
    conditional = {cell: 2 * np.exp(value.eval()) for cell, value in found.items()}
    p, c = logistic(logits)[None, :], logistic(logits)[:, None]
    np.testing.assert_allclose(conditional["n11"] + conditional["n10"], 1, rtol=1e-9)
    np.testing.assert_allclose(conditional["n01"] + conditional["n00"], 1, rtol=1e-9)
    np.testing.assert_allclose(p * conditional["n11"] + (1 - p) * conditional["n01"], np.broadcast_to(c, (6, 6)))
    odds = np.log(conditional["n11"] * conditional["n00"] / (conditional["n10"] * conditional["n01"]))
    np.testing.assert_allclose(odds, log_psi, atol=1e-6)


@pytest.mark.slow
def test_one_candidate_alone_is_estimated_too():
    outcomes, rates = world(6, SIZES, LOGITS, {"worse": SHIFTS["worse"]})
    found = HierPaired().estimate(outcomes)
    assert [p.slice for p in found] == ["all", "topic=s0", "topic=s1", "topic=s2"]
    assert found[0].diagnostics.passed
    low, high = eti(found[0].draws["change"], 0.99)
    assert low <= (rates["worse"] - rates["base"]) @ np.array(SIZES) / sum(SIZES) <= high
    same = HierPaired().estimate(paired({"base": np.zeros(150), "control": np.zeros(150)}, np.repeat(TOPICS, 50)))
    assert same[0].diagnostics.passed and abs(same[0].draws["change"].mean()) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes, total_bar, slices_bar", [((300, 300, 300, 300, 1200), 0.93, 0.93), ((50,) * 5, 0.9, 0.9)]
)
def test_intervals_cover_the_truth(sizes, total_bar, slices_bar):
    """95 % intervals over 80 simulated audits of two candidates, whose strata differ in their shifts."""
    random = np.random.default_rng(9)
    shares = np.array(sizes) / sum(sizes)
    total, slices = [], []
    for audit in range(80):
        shifts = {"worse": 0.5 + 0.2 * random.normal(size=5), "near": 0.1 * random.normal(size=5)}
        outcomes, rates = world(audit, sizes, (-2.2, -4.6, -3.6, -3.4, -3.9), shifts)
        for (candidate, title), posterior in by_name(HierPaired(draws=500, tune=500).estimate(outcomes)).items():
            change = rates[candidate] - rates["base"]
            truth = change @ shares if title == "all" else change[int(title[-1])]
            low, high = eti(posterior.draws["change"])
            (total if title == "all" else slices).append(low <= truth <= high)
    assert np.mean(total) >= total_bar, (np.mean(total), np.mean(slices))
    assert np.mean(slices) >= slices_bar, (np.mean(total), np.mean(slices))
