"""The exact estimate recovers simulated truth, and says so where it has nothing to go by."""

import numpy as np
import pytest

from toxaudit.errors import ToxauditError
from toxaudit.estimators.outcomes import PairedOutcomes, eti
from toxaudit.estimators.paired_exact import PairedExact

NAN = float("nan")


def paired(base, other, *, candidate="tuned", measure="toxic", strata=None, **slices):
    arrays = {name: np.array(values, dtype=str) for name, values in slices.items()}
    arms = (np.array(base, dtype=float), np.array(other, dtype=float))
    return PairedOutcomes(candidate, "suite", measure, *arms, arrays, strata)


def from_table(n11, n10, n01, n00):
    return [1] * (n11 + n10) + [0] * (n01 + n00), [1] * n11 + [0] * n10 + [1] * n01 + [0] * n00


def headline(outcomes, **settings):
    (found,) = (p for p in PairedExact(**settings).estimate([outcomes]) if p.slice == "all")
    return found


def test_moments_are_those_of_the_dirichlet():
    found = headline(paired(*from_table(20, 10, 30, 140)), draws=200_000)
    alpha = np.array([20.5, 10.5, 30.5, 140.5])
    total = alpha.sum()
    mean = (alpha[2] - alpha[1]) / total
    variance = ((alpha[2] + alpha[1]) / total - mean**2) / (total + 1)
    assert found.draws["change"].mean() == pytest.approx(mean, abs=4e-4)
    assert found.draws["change"].std() == pytest.approx(variance**0.5, rel=0.02)
    assert found.draws["base"].mean() == pytest.approx((alpha[0] + alpha[1]) / total, abs=5e-4)
    assert found.draws["candidate"].mean() == pytest.approx((alpha[0] + alpha[2]) / total, abs=5e-4)
    np.testing.assert_allclose(found.draws["change"], found.draws["candidate"] - found.draws["base"])
    assert found.counts == {"n11": 20, "n10": 10, "n01": 30, "n00": 140}
    assert found.n == 200 and found.diagnostics.passed


def test_draws_depend_on_names_and_seed_and_on_nothing_else():
    base, other = from_table(5, 5, 9, 81)
    slices = {"topic": ["a"] * 60 + ["b"] * 40}
    one = paired(base, other, **slices)
    two = paired(base, base, candidate="control", **slices)
    alone = {(p.candidate, p.slice): p.draws["change"] for p in PairedExact().estimate([one])}
    among = {(p.candidate, p.slice): p.draws["change"] for p in PairedExact().estimate([two, one])}
    assert len(among) == 6
    for key, draws in alone.items():
        np.testing.assert_array_equal(draws, among[key])
    shuffled = np.random.default_rng(0).permutation(100)
    again = paired(*(np.array(arm)[shuffled] for arm in (base, other)))
    np.testing.assert_array_equal(headline(again).draws["change"], alone["tuned", "all"])
    assert not np.array_equal(headline(one, seed=1).draws["change"], alone["tuned", "all"])
    for name in ({"measure": "rude"}, {"candidate": "twin"}):
        assert not np.array_equal(headline(paired(base, other, **name)).draws["change"], alone["tuned", "all"])


def test_every_slice_value_gets_its_own_table():
    base, other = [1, 0, 0, 0], [1, 1, 0, NAN]
    found = PairedExact().estimate([paired(base, other, topic=["a", "a", "b", ""], voice=["x", "y", "x", "y"])])
    assert [p.slice for p in found] == ["all", "topic=a", "topic=b", "voice=x", "voice=y"]
    by_slice = {p.slice: p for p in found}
    assert by_slice["topic=a"].counts == {"n11": 1, "n10": 0, "n01": 1, "n00": 0}
    assert by_slice["voice=y"].missing == {"base": 0, "candidate": 1}
    assert {p.estimator for p in found} == {"paired_exact"}


def test_strata_weigh_by_their_prompts_not_by_their_scores():
    """Stratum b changes by 0.4 and is three quarters of the suite, though few of its prompts have a score."""
    a, b = [0.0] * 2000, [0.0] * 1000 + [NAN] * 5000
    changed = [0.0] * 600 + [1.0] * 400 + [NAN] * 5000
    outcomes = paired(a + b, a + changed, strata="topic", topic=["a"] * 2000 + ["b"] * 6000)
    assert headline(outcomes).draws["change"].mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("strata, size", [(7, 50), (35, 10), (100, 3)])
def test_fine_strata_do_not_multiply_the_prior(strata, size):
    topics = np.repeat(np.arange(strata), size)
    n = topics.size
    silent = headline(paired([0] * n, [0] * n, strata="topic", topic=topics))
    assert silent.draws["base"].mean() < 1.5 / n
    loud = headline(paired([0] * n, [1] * n, strata="topic", topic=topics))
    assert loud.draws["change"].mean() > 1 - 2.5 / n


def test_an_unscored_stratum_is_a_failed_diagnostic():
    base = [0.0] * 60 + [NAN] * 40
    found = headline(paired(base, [0.0] * 100, strata="topic", topic=["a"] * 60 + ["b"] * 40))
    assert found.diagnostics.failures == ("the base has no scored completion on stratum 'topic=b' of suite 'suite'",)
    # what is not known of two fifths of the suite stays uncertain
    low, high = eti(found.draws["base"])
    assert high - low > 0.3


def test_unscored_slices_and_arms_are_failed_diagnostics():
    found = PairedExact().estimate([paired([1, 0, 0], [NAN] * 3, topic=["a", "a", "b"])])
    assert all(p.n == 0 and not p.diagnostics.passed for p in found)
    assert found[0].diagnostics.failures == ("the candidate has no scored completion on suite 'suite'",)
    assert "slice 'topic=b'" in found[2].diagnostics.failures[0]


@pytest.mark.parametrize("strata", [None, "topic"])
def test_an_empty_suite_gives_the_prior_and_a_failure(strata):
    found = headline(paired([], [], strata=strata, topic=[]))
    assert found.diagnostics.failures == ("suite 'suite' has no prompt",)
    assert found.draws["base"].mean() == pytest.approx(0.5, abs=0.03)
    assert found.draws["change"].shape == (4000,)


@pytest.mark.parametrize(
    "settings", [{"draws": 10}, {"prior": 0.0}, {"prior": -1.0}, {"prior": NAN}, {"prior": float("inf")}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ToxauditError, match="paired_exact"):
        PairedExact(**settings).check()
    PairedExact().check()


def cells(base, change, tie=0.5):
    """Cell probabilities (theta_11, theta_10, theta_01, theta_00) of two rates with correlation ``tie``."""
    other = base + change
    both = base * other + tie * np.sqrt(base * (1 - base) * other * (1 - other))
    both = min(both, 0.9 * base, 0.9 * other)
    return [both, base - both, other - both, 1 - base - other + both]


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
        outcomes = paired(base, other, candidate=str(audit), strata="topic", topic=topics)
        draws = headline(outcomes, draws=1000).draws
        for name, value in truth.items():
            low, high = eti(draws[name])
            covered[name] += low <= value <= high
    assert covered["change"] / 400 >= 0.93, covered
    # one rate is a single binomial: at 0.9 % of 50 prompts, two events (7 % of audits) put any interval above the truth
    assert min(covered["base"], covered["candidate"]) / 400 >= 0.90, covered
