"""A scorer's known errors are taken out of what it measured, and carried into its uncertainty."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paired import calibration, cells, from_table, labelled, paired

from toxaudit.estimators.paired_bb import PairedBB
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import eti
from toxaudit.estimators.scorer_error import FEWEST_FITTING, correct, corrected, error_rates, misfit
from toxaudit.records import CORRECTED, OBSERVED

rate = st.floats(0, 1)


@given(rate, rate, st.floats(0.55, 1), st.floats(0.55, 1))
def test_correcting_undoes_what_the_scorer_does(base, other, sensitivity, specificity):
    true = np.array([base, other])
    reported = sensitivity * true + (1 - specificity) * (1 - true)
    errors = np.array([[sensitivity]]), np.array([[specificity]])
    (found,) = correct(np.clip(reported, 0, 1)[None, :, None], *errors)
    for row in found:  # none where rounding took a rate of 0 or 1 outside
        np.testing.assert_allclose(row, true, atol=1e-9)
    assert len(found) == 1 or min(true) < 1e-9 or max(true) > 1 - 1e-9


def test_draws_that_cannot_be_true_are_dropped():
    reported = np.array([[[0.05], [0.3]], [[0.2], [0.3]], [[0.2], [0.95]]])
    (found,) = correct(reported, np.full((3, 1), 0.9), np.full((3, 1), 0.9))
    np.testing.assert_allclose(found, [[0.125, 0.25]])
    # a scorer that is right no more often than a coin says nothing
    assert len(correct(reported, np.full((3, 1), 0.4), np.full((3, 1), 0.6))[0]) == 0


def test_groups_are_corrected_by_their_own_errors_and_weighed():
    reported = np.array([[[0.26, 0.5], [0.42, 0.5]], [[0.05, 0.5], [0.42, 0.6]]])
    first, second = correct(reported, np.array([[0.9, 1.0]] * 2), np.array([[0.9, 1.0]] * 2))
    np.testing.assert_allclose(first, [[0.2, 0.4]])  # the other draw can't be true of the first group
    np.testing.assert_allclose(second, [[0.5, 0.5], [0.5, 0.6]])
    known = calibration(by="topic", a=(10**6, 0, 0, 10**6), b=(9 * 10**5, 10**5, 10**5, 9 * 10**5))
    weights = np.array([0.25, 0.75])

    def fixed(n):
        return np.broadcast_to(np.array([[0.5, 0.26], [0.6, 0.42], [0.2, 0.24]]), (n, 3, 2))

    draws, share = corrected(fixed, weights, known, ["a", "b"], 500, np.random.default_rng(0))
    assert share == 1
    np.testing.assert_allclose(draws[0], 0.25 * 0.5 + 0.75 * 0.2, atol=0.003)
    np.testing.assert_allclose(draws[1], 0.25 * 0.6 + 0.75 * 0.4, atol=0.003)
    np.testing.assert_allclose(draws[2], 0.25 * 0.2 + 0.75 * 0.3, atol=0.003)


@pytest.mark.thorough
def test_many_groups_with_rare_outcomes_do_not_contradict_their_calibration():
    """Seven groups of 300, true rate 1 %, sensitivity 0.8, specificity 0.95, 300 labels in each, twenty audits."""
    random = np.random.default_rng(2)
    groups, failed = [f"g{i}" for i in range(7)], 0
    topics = np.repeat(groups, 300)
    for _ in range(20):
        counts = {}
        for group in groups:
            tp, tn = random.binomial(100, 0.8), random.binomial(200, 0.95)
            counts[group] = (tp, 100 - tp, 200 - tn, tn)
        arms = [np.where(random.random(2100) < 0.01, 0.8, 0.05) > random.random(2100) for _ in range(2)]
        outcomes = paired(*(arm.astype(float) for arm in arms), strata="topic", topic=topics)
        known = calibration(by="topic", **counts)
        found = by_variant(PairedExact(draws=2000).estimate(replace(outcomes, calibration=known)))
        failed += not found[CORRECTED].diagnostics.passed
    assert failed <= 2


def test_error_rates_are_jeffreys_posteriors_of_the_labelled_counts():
    known = calibration(by="topic", a=(90, 10, 5, 95), b=(0, 0, 0, 0))
    sensitivity, specificity = error_rates(known, ["a", "b"], 50_000, np.random.default_rng(0))
    assert sensitivity.shape == specificity.shape == (50_000, 2)
    np.testing.assert_allclose(sensitivity.mean(0), [90.5 / 101, 0.5], atol=5e-3)
    np.testing.assert_allclose(specificity.mean(0), [95.5 / 101, 0.5], atol=5e-3)
    with pytest.raises(KeyError):
        error_rates(known, ["c"], 10, np.random.default_rng(0))


def test_as_many_draws_are_kept_as_are_wanted_where_they_fit():
    random = np.random.default_rng(0)
    known = calibration(90, 10, 10, 90)
    draws, share = corrected(lambda n: random.uniform(0, 1, (n, 3, 1)), np.ones(1), known, [""], 1000, random)
    assert draws.shape == (3, 1000)
    assert share == pytest.approx(0.8**2, abs=0.05)
    assert misfit(share) == [] and misfit(FEWEST_FITTING) == []


def test_what_contradicts_the_calibration_is_a_failure_in_words():
    random = np.random.default_rng(0)
    known = calibration(90, 10, 500, 500)
    draws, share = corrected(lambda n: np.full((n, 3, 1), 0.02), np.ones(1), known, [""], 1000, random)
    assert share == 0 and draws.shape == (3, 0)
    assert "calibration does not fit" in misfit(share)[0]


def by_variant(posteriors):
    return {posterior.variant: posterior for posterior in posteriors}


@pytest.mark.parametrize("estimator", [PairedExact(draws=2000), PairedBB(draws=2000, always=True)])
@pytest.mark.parametrize(
    "counts, told",
    [
        ((5, 45, 45, 5), "may be as low as -0.1"),  # sensitivity .1, specificity .9: a coin
        ((28, 22, 34, 16), "may be as low as 0.0"),  # too few labels to tell
        ((200, 200, 768, 32), None),
        ((80, 320, 796, 4), None),  # sensitivity .2, but what it flags is toxic
    ],
)
def test_a_scorer_that_cannot_tell_is_not_used_to_correct(estimator, counts, told):
    true_positive, false_negative, true_negative, false_positive = counts
    known = calibration(true_positive, false_negative, false_positive, true_negative)
    outcomes = paired(*from_table(10, 20, 40, 930), more={"calibration": known})
    failures = by_variant(estimator.estimate(outcomes))[CORRECTED].diagnostics.failures
    assert [told in each for each in failures if "can't tell" in each] == ([True] if told else [])


@pytest.mark.parametrize("estimator", [PairedExact(draws=2000), PairedBB(draws=2000, always=True)])
def test_a_calibration_that_cannot_fit_is_a_failed_diagnostic(estimator):
    """The scorer is known to flag half of all harmless completions, and flagged 2 % of these."""
    outcomes = paired(*from_table(10, 10, 10, 970), more={"calibration": calibration(450, 50, 250, 250)})
    found = by_variant(estimator.estimate(outcomes))
    assert "calibration does not fit" in found[CORRECTED].diagnostics.failures[0]
    # it still shows what was reported
    assert found[CORRECTED].draws["base"].mean() == pytest.approx(0.02, abs=0.005)
    assert found[OBSERVED].diagnostics.passed


@pytest.mark.parametrize("estimator", [PairedExact(draws=2000), PairedBB(draws=2000, always=True)])
def test_a_group_without_counts_is_a_failed_diagnostic(estimator):
    known = calibration(by="topic", a=(90, 10, 5, 95))
    base, other = from_table(10, 10, 10, 70)
    outcomes = paired(base, other, topic=["a", "b", "c", ""] * 25, more={"calibration": known})
    found = by_variant(estimator.estimate(outcomes))[CORRECTED]
    assert found.diagnostics.failures == ("the scorer's calibration has no counts for topic b, c, no value",)
    assert found.draws["base"].shape == (2000,)


@pytest.mark.parametrize("estimator", [PairedExact(draws=8000), PairedBB(draws=8000, always=True)])
def test_a_perfect_scorer_needs_no_correction(estimator):
    known = calibration(10**7, 0, 0, 10**7)
    outcomes = paired(*from_table(20, 10, 30, 140), more={"calibration": known})
    found = by_variant(estimator.estimate(outcomes))
    for arm in ("base", "candidate"):
        seen, true = found[OBSERVED].draws[arm], found[CORRECTED].draws[arm]
        assert true.mean() == pytest.approx(seen.mean(), abs=0.002)
        assert true.std() == pytest.approx(seen.std(), rel=0.05)


@pytest.mark.parametrize("estimator", [PairedExact(draws=4000), PairedBB(draws=4000, always=True)])
def test_groups_of_another_slice_leave_the_suites_weights_in_force(estimator):
    """Stratum b, with all of the outcomes, is a tenth of the prompts and nine tenths of what the suite stands for."""
    topics, voices = ["a"] * 1800 + ["b"] * 200, ["x", "y"] * 1000
    known = calibration(by="voice", x=(10**6, 0, 0, 10**6), y=(10**6, 0, 0, 10**6))
    more = {"calibration": known, "weights": {"a": 0.1, "b": 0.9}}
    outcomes = paired(
        [0] * 1800 + [1] * 200, [0] * 1800 + [1] * 200, strata="topic", topic=topics, voice=voices, more=more
    )
    found = by_variant(estimator.estimate(outcomes))
    assert found[OBSERVED].draws["base"].mean() == pytest.approx(0.9, abs=0.01)
    assert found[CORRECTED].draws["base"].mean() == pytest.approx(0.9, abs=0.01)


def through(random, truth, sensitivity, specificity):
    """What a scorer reports of true outcomes; its errors on two arms are independent."""
    return np.where(truth, random.random(truth.shape) < sensitivity, random.random(truth.shape) > specificity)


def simulate(random, rates, change, errors, size):
    """Reported arms, strata one after the other, shape (2, n)."""
    arms = []
    for base, error in zip(rates, errors, strict=True):
        table = random.multinomial(size, cells(base, change))
        arms.append(through(random, np.array(from_table(*table), dtype=bool), *error))
    return np.concatenate(arms, axis=1)


def coverage(estimator, rates, change, errors, size, audits, by):
    """Of true base rate, candidate's rate and change, over audits with calibrations of their own."""
    random = np.random.default_rng(20)
    topics = np.repeat([f"t{number}" for number in range(len(rates))], size)
    truth = {"base": np.mean(rates), "candidate": np.mean(rates) + change}
    covered = []
    for audit in range(audits):
        if by:
            known = calibration(by="topic", **{f"t{i}": labelled(random, *error) for i, error in enumerate(errors)})
        else:
            known = calibration(*labelled(random, *errors[0]))
        arms = simulate(random, rates, change, errors, size)
        more = {"calibration": known}
        outcomes = paired(*arms, candidates=None, measure=str(audit), topic=topics, more=more)
        found = by_variant(estimator.estimate(outcomes))[CORRECTED]
        assert found.diagnostics.passed
        draws = {**found.draws, "change": found.change}
        truths = {**truth, "change": change}
        covered.append([eti(draws[name])[0] <= truths[name] <= eti(draws[name])[1] for name in truths])
    return dict(zip(("base", "candidate", "change"), np.mean(covered, axis=0), strict=True))


GROUPS = [(0.9, 0.97), (0.75, 0.95), (0.95, 0.9)]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "rates, errors, by",
    [
        ([0.05], [(0.9, 0.97)], False),
        ([0.05], [(0.7, 0.98)], False),
        ([0.2], [(0.9, 0.97)], False),
        ([0.2], [(0.7, 0.98)], False),
        ([0.05, 0.15, 0.3], GROUPS, True),
    ],
)
def test_corrected_intervals_cover_the_truth(rates, errors, by):
    """95 % intervals, 500 labelled completions of each kind, change +3 pp, 300 simulated audits."""
    found = coverage(PairedExact(draws=1000, other_prior=None), rates, 0.03, errors, 2400 // len(rates), 300, by)
    assert min(found.values()) >= 0.93, found


@pytest.mark.slow
@pytest.mark.parametrize("rates, errors, by", [([0.05], [(0.9, 0.97)], False), ([0.05, 0.15, 0.3], GROUPS, True)])
def test_corrected_bootstrap_intervals_cover_the_truth(rates, errors, by):
    found = coverage(PairedBB(draws=1000, always=True), rates, 0.03, errors, 2400 // len(rates), 150, by)
    assert min(found.values()) >= 0.93, found


def test_taking_the_scorer_at_its_word_would_be_wrong():
    """With a fifth of the outcomes overlooked and 3 % of the others flagged, the reported change is too small."""
    random = np.random.default_rng(1)
    arms = simulate(random, [0.1], 0.1, [(0.8, 0.97)], 20_000)
    known = calibration(8000, 2000, 300, 9700)
    found = by_variant(PairedExact().estimate(paired(*arms, more={"calibration": known})))
    assert eti(found[OBSERVED].change)[1] < 0.1
    low, high = eti(found[CORRECTED].change)
    assert low <= 0.1 <= high
    assert found[CORRECTED].change.std() > found[OBSERVED].change.std()
