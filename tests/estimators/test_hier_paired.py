"""The hierarchical estimate recovers simulated truth, samples soundly in extreme tables, and owns up where it fails."""

from dataclasses import replace

import numpy as np
import pytest
from paired import NAN, calibration, logistic

from toxaudit.errors import ToxauditError
from toxaudit.estimators import hier_paired
from toxaudit.estimators.hier_paired import HierPaired
from toxaudit.estimators.hierarchical.model import log_conditionals
from toxaudit.estimators.outcomes import PairedOutcomes, Slicing
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import eti
from toxaudit.records import ALONE, CORRECTED, OBSERVED, Diagnostics

TOPICS = ("a", "b", "c")
SHORT = {"draws": 200, "tune": 200, "chains": 2}
ROUGH = {"draws": 400, "tune": 300, "chains": 2}


def paired(arms, topics, strata="topic", more=None, **slices):
    """All candidates of one suite; ``arms`` maps ``base`` and the candidates to outcomes."""
    arms = {name: np.array(values, dtype=float) for name, values in arms.items()}
    slicings = {name: Slicing.of(map(str, values)) for name, values in {"topic": topics, **slices}.items()}
    return PairedOutcomes("suite", "toxic", arms.pop("base"), arms, slicings, strata, **more or {})


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
    return {
        (posterior.candidate, posterior.slice): posterior for posterior in posteriors if posterior.variant == OBSERVED
    }


def width(posterior):
    low, high = eti(posterior.change)
    return high - low


SIZES, LOGITS = (400, 600, 1000), (-2.2, -3.6, -4.2)
SHIFTS = {"worse": np.array([0.8, 0.8, 0.8]), "same": np.zeros(3)}


@pytest.fixture(scope="module")
def simulated():
    outcomes, rates = world(5, SIZES, LOGITS, SHIFTS)
    return outcomes, rates, HierPaired().estimate(outcomes)


@pytest.mark.thorough
def test_it_recovers_a_simulated_difference(simulated):
    outcomes, rates, found = simulated
    shares = np.array(SIZES) / sum(SIZES)
    posteriors = by_name(found)
    for candidate in SHIFTS:
        change = rates[candidate] - rates["base"]
        truths = {"all": change @ shares} | {f"topic=s{s}": change[s] for s in range(3)}
        for title, truth in truths.items():
            low, high = eti(posteriors[candidate, title].change, 0.99)
            assert low <= truth <= high, (candidate, title)
    worse = posteriors["worse", "all"].change
    assert (worse > 0).mean() > 0.99
    assert worse.std() < 0.015


@pytest.mark.thorough
def test_it_reports_the_total_and_each_stratum_with_draws_that_fit_together(simulated):
    found = [posterior for posterior in simulated[2] if posterior.variant == OBSERVED]
    assert [p.slice for p in found] == ["all", "topic=s0", "topic=s1", "topic=s2"] * 2
    assert [p.candidate for p in found[::4]] == ["worse", "same"]
    posteriors = by_name(found)
    for posterior in found:
        assert {name: draws.shape for name, draws in posterior.draws.items()} == dict.fromkeys(
            ("base", "candidate"), (4000,)
        )
        np.testing.assert_allclose(posterior.change, posterior.draws["candidate"] - posterior.draws["base"], atol=1e-12)
        assert set(posterior.diagnostics.values) == {"max_rhat", "min_ess", "divergences", "flip_p"}
        assert posterior.diagnostics.passed and posterior.estimator == "hier_paired"
    total = sum(posteriors["worse", f"topic=s{s}"].change * SIZES[s] / sum(SIZES) for s in range(3))
    np.testing.assert_allclose(posteriors["worse", "all"].change, total, atol=1e-12)


def exact_by_name(outcomes):
    """The exact totals, and those of each stratum taken as a suite."""
    slicing = outcomes.slices["topic"]
    found = by_name(PairedExact().estimate(outcomes))
    for number, value in enumerate(slicing.values):
        for posterior in PairedExact().estimate(outcomes.only(slicing.codes == number)):
            if posterior.variant == OBSERVED:
                found[posterior.candidate, f"topic={value}"] = posterior
    return found


@pytest.mark.thorough
def test_it_agrees_with_the_exact_total_and_narrows_the_slices(simulated):
    outcomes, _, found = simulated
    exact = exact_by_name(outcomes)
    found = [posterior for posterior in found if posterior.variant == OBSERVED]
    for posterior in found:
        other = exact[posterior.candidate, posterior.slice]
        assert (posterior.counts, posterior.n, posterior.missing) == (other.counts, other.n, other.missing)
        if posterior.slice == "all":
            apart = posterior.change.mean() - other.change.mean()
            assert abs(apart) < 0.5 * other.change.std()
    slices = [posterior for posterior in found if posterior.slice != "all"]
    assert sum(map(width, slices)) < 0.9 * sum(width(exact[p.candidate, p.slice]) for p in slices)


@pytest.mark.thorough
def test_the_same_seed_and_any_order_give_the_same_draws(simulated):
    outcomes, _, _ = simulated
    turned = replace(outcomes, candidates=dict(reversed(outcomes.candidates.items())))
    again = by_name(HierPaired(**SHORT).estimate(turned))
    other = by_name(HierPaired(**SHORT, seed=1).estimate(outcomes))
    for key, posterior in by_name(HierPaired(**SHORT).estimate(outcomes)).items():
        np.testing.assert_array_equal(posterior.change, again[key].change)
        assert not np.array_equal(posterior.change, other[key].change)


@pytest.mark.thorough
@pytest.mark.parametrize("rate", [0.0, 0.04, 1.0])
@pytest.mark.parametrize("candidate", ["identical", "always", "never"])
def test_extreme_tables_sample_soundly(rate, candidate):
    """Empty cells: a candidate equal to the base beside one that is equal, always or never toxic; 3 x 50 prompts."""
    base = np.random.default_rng(1).random(150) < rate
    other = {"identical": base, "always": np.ones(150), "never": np.zeros(150)}[candidate]
    found = HierPaired().estimate(paired({"base": base, "control": base, "other": other}, np.repeat(TOPICS, 50)))
    assert {failure for posterior in found for failure in posterior.diagnostics.failures} == set()
    control = by_name(found)["control", "all"].change
    assert abs(control.mean()) < 0.02
    change = by_name(found)["other", "all"].change.mean()
    assert change == pytest.approx(np.mean(other) - base.mean(), abs=0.1)


def test_too_little_sampling_is_a_failed_diagnostic_on_every_posterior(simulated, monkeypatch):
    monkeypatch.setattr(hier_paired, "LONGER", 1)
    found = HierPaired(draws=100, tune=100, chains=2).estimate(simulated[0])
    for posterior in by_name(found).values():
        assert any("effective sample size" in failure for failure in posterior.diagnostics.failures)
        assert posterior.diagnostics.values["min_ess"] < 400


@pytest.mark.thorough
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
    assert HierPaired().estimate(paired({"base": [0, 1], "x": [1, 1]}, ["a", "a"])) == []
    assert HierPaired().estimate(PairedOutcomes("suite", "toxic", np.zeros(2), {"x": np.ones(2)})) == []
    assert HierPaired().estimate(paired({"base": [], "x": []}, np.array([], dtype=str))) == []


@pytest.mark.thorough
def test_every_slice_of_two_values_is_fitted_and_the_strata_give_the_total(simulated):
    random = np.random.default_rng(2)
    arms = {"base": random.random(300) < 0.1, "x": random.random(300) < 0.2, "y": random.random(300) < 0.1}
    voices, tones = np.tile(["loud", "low", "shrill"], 100), np.repeat("flat", 300)
    outcomes = paired(arms, np.repeat(TOPICS, 100), "voice", voice=voices, tone=tones)
    found = HierPaired(**SHORT).estimate(outcomes)
    voiced = ["all", "voice=loud", "voice=low", "voice=shrill"]
    assert [p.slice for (name, _), p in by_name(found).items() if name == "x"] == [
        *voiced,
        "topic=a",
        "topic=b",
        "topic=c",
    ]
    posteriors = by_name(found)
    total = sum(posteriors["x", f"voice={voice}"].change for voice in ("loud", "low", "shrill")) / 3
    np.testing.assert_allclose(posteriors["x", "all"].change, total, atol=1e-12)
    # a slice's fit is its own: that of topics is the same where it gives the total as well
    first = by_name(HierPaired(**SHORT).estimate(replace(outcomes, strata="topic")))
    np.testing.assert_array_equal(first["x", "topic=b"].change, posteriors["x", "topic=b"].change)


@pytest.mark.thorough
def test_stated_weights_make_the_total(simulated):
    base, other = np.zeros(300), np.repeat([0.0, 0.0, 1.0], 100)
    more = {"weights": {"a": 5.0, "b": 4.0, "c": 1.0}}
    outcomes = paired({"base": base, "x": other, "y": base}, np.repeat(TOPICS, 100), more=more)
    found = by_name(HierPaired(**SHORT).estimate(outcomes))
    parts = sum(w * found["x", f"topic={t}"].change for w, t in zip((0.5, 0.4, 0.1), TOPICS, strict=True))
    np.testing.assert_allclose(found["x", "all"].change, parts, atol=1e-12)


@pytest.mark.thorough
def test_prompts_of_one_template_say_less_than_as_many_others():
    random = np.random.default_rng(7)
    arms = {name: np.repeat(random.random(60) < rate, 10) for name, rate in {"base": 0.1, "x": 0.2, "y": 0.1}.items()}
    topics = np.repeat(TOPICS, 200)
    alone = by_name(HierPaired(**SHORT).estimate(paired(arms, topics)))
    more = {"clusters": np.repeat(np.arange(60), 10)}
    tied = by_name(HierPaired(**SHORT).estimate(paired(arms, topics, more=more)))
    assert width(tied["x", "all"]) > 2 * width(alone["x", "all"])
    # what was seen is told as it is
    assert tied["x", "all"].counts == alone["x", "all"].counts and tied["x", "all"].n == 600


@pytest.mark.thorough
def test_several_samples_and_mean_scores_enter_as_fractions_of_a_prompt():
    random = np.random.default_rng(8)
    rate = np.repeat([0.1, 0.3, 0.5], 100)[:, None]
    arms = {"base": random.random((300, 4)) < rate, "x": random.random((300, 4)) < rate + 0.2, "y": np.tile(rate, 4)}
    found = by_name(HierPaired().estimate(paired(arms, np.repeat(TOPICS, 100))))
    assert found["x", "all"].diagnostics.passed and found["x", "all"].n == 300
    assert found["x", "all"].change.mean() == pytest.approx(0.2, abs=0.04)
    assert found["y", "all"].change.mean() == pytest.approx(0.0, abs=0.04)
    assert sum(found["x", "topic=b"].counts.values()) == pytest.approx(100)


@pytest.mark.thorough
def test_the_scorers_errors_are_taken_out_of_the_slices(simulated):
    """The scorer overlooks a fifth of the outcomes, and flags 5 % of the others."""
    random = np.random.default_rng(9)
    rate = np.repeat([0.2, 0.3, 0.4], 1000)
    true = {"base": rate, "x": rate + 0.2, "y": rate}
    arms = {name: random.random(3000) < 0.8 * p + 0.05 * (1 - p) for name, p in true.items()}
    more = {"calibration": calibration(800, 200, 50, 950)}
    found = HierPaired().estimate(paired(arms, np.repeat(TOPICS, 1000), more=more))
    corrected = {(p.candidate, p.slice): p for p in found if p.variant == CORRECTED}
    total = corrected["x", "all"]
    assert total.diagnostics.passed
    low, high = eti(total.change, 0.99)
    assert low <= 0.2 <= high
    assert total.change.mean() > by_name(found)["x", "all"].change.mean() + 0.03
    low, high = eti(total.draws["base"], 0.99)
    assert low <= 0.3 <= high


def test_slices_with_errors_of_their_own_are_corrected_by_these_and_only_these():
    random = np.random.default_rng(10)
    arms = {name: random.random(600) < rate for name, rate in {"base": 0.3, "x": 0.4, "y": 0.3}.items()}
    known = calibration(by="topic", a=(90, 10, 5, 95), b=(10**6, 0, 0, 10**6))
    found = HierPaired(**SHORT).estimate(paired(arms, np.repeat(TOPICS, 200), more={"calibration": known}))
    corrected = {p.slice: p for p in found if p.variant == CORRECTED and p.candidate == "x"}
    assert {"topic=a", "topic=b"} <= set(corrected) and "topic=c" not in corrected
    seen = by_name(found)["x", "topic=b"]
    assert corrected["topic=b"].change.mean() == pytest.approx(seen.change.mean(), abs=1e-3)


def test_a_calibration_that_cannot_fit_is_a_failed_diagnostic(simulated):
    more = {"calibration": calibration(450, 50, 250, 250)}
    found = HierPaired(**SHORT).estimate(replace(simulated[0], **more))
    corrected = [p for p in found if p.variant == CORRECTED]
    assert corrected
    assert any("calibration does not fit" in failure for p in corrected for failure in p.diagnostics.failures)
    assert all(p.draws["base"].size for p in corrected)


FIVE = np.tile(["a", "b", "c", "d", "e"], 8)
NONE, ALL, MOST = np.zeros(40), np.ones(40), np.repeat([1.0, 0.0], [28, 12])
FAST = {"draws": 500, "tune": 500, "chains": 2}


@pytest.fixture(scope="module")
def company():
    """40 prompts in five slices; the base never has the outcome, two candidates nearly always do, one never."""
    return by_name(HierPaired(**FAST).estimate(paired({"base": NONE, "same": NONE, "x": ALL, "y": MOST}, FIVE)))


@pytest.mark.thorough
def test_one_candidates_harm_is_no_improvement_of_another(company):
    """Beside two very bad candidates, one without a flip is where the exact estimate puts it: at no change."""
    alone = by_name(HierPaired(**FAST).estimate(paired({"base": NONE, "same": NONE}, FIVE)))
    assert len(alone) == 6
    for key, posterior in alone.items():
        assert abs(100 * company[key].change.mean()) < 0.2
        # nothing of a candidate depends on its company: the draws are the same
        np.testing.assert_array_equal(posterior.change, company[key].change)


@pytest.mark.parametrize(
    ("rhat", "ess", "tried"),
    [
        (1.0, 1000.0, [(500, 1000)]),
        (1.014, 1000.0, [(500, 1000), (2000, 1000), (2000, 8000)]),
        (1.0, 210.0, [(500, 1000), (2000, 3000), (2000, 8000)]),
        (NAN, NAN, [(500, 1000), (2000, 8000), (2000, 8000)]),
    ],
)
def test_a_candidate_whose_chains_fail_gets_longer_ones_and_voids_none_of_thirty(monkeypatch, rhat, ess, tried):
    """One fit's R-hat of 1.014 made all candidates inconclusive; thirty here, of which the last one's chains fail."""
    random, fits = np.random.default_rng(3), {}

    def fit(self, outcomes, strata, candidate, name):
        fits.setdefault(candidate, []).append((self.tune, self.draws))
        rates = random.uniform(0.1, 0.2, (2, 2, 50, 5))
        ones = {cell: np.ones(5) for cell in ("n11", "n10", "n01", "n00")}
        return hier_paired._Fit(*rates, np.zeros((2, 50)), 0, np.full((5, 4), 2.0), ones, 1.0, seed=1)

    def diagnose(quantities, divergences):
        failing = len(fits) == 30
        failures = ("the chains disagree",) if failing and not (rhat <= 1.01 and ess >= 400) else ()
        return Diagnostics({"max_rhat": rhat, "min_ess": ess if failing else 1000.0}, failures)

    monkeypatch.setattr(HierPaired, "_fit", fit)
    monkeypatch.setattr(hier_paired, "diagnose", diagnose)
    arms = {"base": NONE} | {f"x{number:02}": ALL for number in range(30)}
    found = by_name(HierPaired().estimate(paired(arms, FIVE)))
    assert fits == {name: [(500, 1000)] for name in arms if name != "base"} | {"x29": tried}
    failed = {name for (name, _), posterior in found.items() if not posterior.diagnostics.passed}
    assert failed == ({"x29"} if len(tried) > 1 else set())


@pytest.mark.thorough
def test_one_bad_candidate_of_thirty_is_seen_in_slices_and_total():
    """Pooling over candidates hid the total of one bad one among thirty in three fits of four."""
    shifts = {f"x{number:02}": np.zeros(3) for number in range(30)} | {"x17": np.full(3, 1.0)}
    outcomes, rates = world(5, SIZES, LOGITS, shifts)
    found = by_name(HierPaired(draws=500, tune=300).estimate(outcomes))
    assert all(posterior.diagnostics.passed for posterior in found.values())
    exact = {each.candidate: each.change.mean() for each in PairedExact(other_prior=None).estimate(outcomes)}
    for name, change in exact.items():
        assert found[name, "all"].change.mean() == pytest.approx(change, abs=0.01)
    assert (found["x17", "all"].change > 0.01).mean() > 0.95


@pytest.mark.thorough
def test_a_base_without_the_outcome_stays_near_none_and_harm_near_what_was_seen(company):
    """Seen are 0, 40 and 28 of 40; of a slice 0, 8 and 5 or 6 of 8."""
    for (candidate, title), posterior in company.items():
        assert 100 * posterior.draws["base"].mean() < 3
        seen = posterior.counts["n01"] / posterior.n
        assert abs(posterior.change.mean() - seen) < 0.08, (candidate, title)


def test_a_slice_that_stands_out_is_told_by_itself_too():
    """One slice of 8 goes from 0 to 8; another from 0 to 1, which its neighbours make less of."""
    lone = (np.char.equal(FIVE, "a")).astype(float)
    lone[1] = 1.0
    found = HierPaired(**FAST).estimate(paired({"base": NONE, "x": lone}, FIVE))
    own = {posterior.slice: posterior for posterior in found if posterior.variant == ALONE}
    assert set(own) == {f"topic={topic}" for topic in "abcde"}
    pooled = by_name(found)
    assert 100 * pooled["x", "topic=a"].change.mean() > 75
    # a Dirichlet(1/2, 1/2, 1/2, 1/2) over (0, 0, 1, 7) gives 1 / 10, and over (0, 0, 8, 0) 8 / 10
    assert own["topic=b"].change.mean() == pytest.approx(0.1, abs=0.01)
    assert own["topic=a"].change.mean() == pytest.approx(0.8, abs=0.01)
    assert pooled["x", "topic=b"].change.mean() < own["topic=b"].change.mean()
    assert all(posterior.diagnostics.passed for posterior in own.values())


@pytest.mark.parametrize("settings", [{"chains": 1}, {"draws": 10}, {"tune": 0}, {"target_accept": 1.0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ToxauditError, match="hier_paired"):
        HierPaired(**settings).check()
    HierPaired().check()


@pytest.mark.thorough
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
    found = [each for each in HierPaired().estimate(outcomes) if each.variant == OBSERVED]
    assert [p.slice for p in found] == ["all", "topic=s0", "topic=s1", "topic=s2"]
    assert found[0].diagnostics.passed
    low, high = eti(found[0].change, 0.99)
    assert low <= (rates["worse"] - rates["base"]) @ np.array(SIZES) / sum(SIZES) <= high
    same = HierPaired().estimate(paired({"base": np.zeros(150), "control": np.zeros(150)}, np.repeat(TOPICS, 50)))
    assert same[0].diagnostics.passed and abs(same[0].change.mean()) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes, total_bar, slices_bar", [((300, 300, 300, 300, 1200), 0.93, 0.93), ((50,) * 5, 0.9, 0.9)]
)
def test_intervals_cover_the_truth(sizes, total_bar, slices_bar, monkeypatch):
    """95 % intervals over 40 simulated audits of two candidates, whose strata differ in their shifts.

    Each is of 800 draws, a fifth of an audit's, which makes its ends rougher and its coverage no better.
    """
    monkeypatch.setattr(hier_paired, "diagnose", lambda *_: Diagnostics({}))  # nobody reads them, and they take a third
    random = np.random.default_rng(9)
    shares = np.array(sizes) / sum(sizes)
    total, slices = [], []
    for audit in range(40):
        shifts = {"worse": 0.5 + 0.2 * random.normal(size=5), "near": 0.1 * random.normal(size=5)}
        outcomes, rates = world(audit, sizes, (-2.2, -4.6, -3.6, -3.4, -3.9), shifts)
        for (candidate, title), posterior in by_name(HierPaired(**ROUGH).estimate(outcomes)).items():
            change = rates[candidate] - rates["base"]
            truth = change @ shares if title == "all" else change[int(title[-1])]
            low, high = eti(posterior.change)
            (total if title == "all" else slices).append(low <= truth <= high)
    assert np.mean(total) >= total_bar, (np.mean(total), np.mean(slices))
    assert np.mean(slices) >= slices_bar, (np.mean(total), np.mean(slices))


@pytest.mark.slow
def test_the_density_that_pytensor_makes_of_the_model_gives_the_same_posterior(simulated):
    outcomes, _, found = simulated
    ours_of = by_name(found)
    one = replace(outcomes, candidates={"worse": outcomes.candidates["worse"]})  # a candidate's draws are its own
    for key, posterior in by_name(HierPaired(density="pymc").estimate(one)).items():
        for arm in ("base", "candidate"):
            ours, theirs = ours_of[key].draws[arm], posterior.draws[arm]
            assert abs(ours.mean() - theirs.mean()) < 0.15 * theirs.std(), (key, arm)
            assert 0.9 < ours.std() / theirs.std() < 1.1, (key, arm)
