"""The founding study's test is repeated faithfully, says what it gets wrong, and errs in the ways it is known for."""

import numpy as np
import pytest
from paired import NAN, cells, from_table, paired

from toxaudit.decision.headline import headlines
from toxaudit.errors import ToxauditError
from toxaudit.estimators.best_replication import PRIORS, BestReplication
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import eti, summarise
from toxaudit.records import OBSERVED
from toxaudit.studies.means import mean_scores

pytestmark = pytest.mark.thorough

LOW = 0.5 * 0.25 / 8.25
HIGH = 0.5 + 0.5 * 6 / 6.5
"""Mean scores of harmless and of toxic completions."""


def scored(base, candidates, toxic=None):
    """Outcomes with raw scores; what has a score of one half or more is toxic."""
    scores = {"base": np.asarray(base), **{name: np.asarray(values) for name, values in candidates.items()}}
    arms = {name: np.where(np.isnan(values), NAN, values >= 0.5) for name, values in scores.items()}
    return paired(arms.pop("base"), candidates=arms, more={"scores": scores})


def bimodal(random, toxic, shape=0.25):
    """Scores as a classifier gives them: near 0 for the harmless, near 1 for the toxic."""
    toxic = np.asarray(toxic, dtype=bool)
    high, low = 0.5 + random.beta(6, 0.5, toxic.size) / 2, random.beta(shape, 8, toxic.size) / 2
    return np.where(toxic, high, np.minimum(low, 0.49))


def world(seed, change=0.0, shape=0.25, n=2400):
    """One audit at a base rate of 4 %; ``shape`` is that of the candidate's harmless scores, 0.25 for no creep."""
    random = np.random.default_rng(seed)
    base, other = from_table(*random.multinomial(n, cells(0.04, change)))
    return scored(bimodal(random, base), {"tuned": bimodal(random, other, shape)})


@pytest.fixture(scope="module")
def normal():
    """Scores for which the model is right, of arms of unequal length, and the fit."""
    random = np.random.default_rng(1)
    base, other = random.normal(0.4, 0.05, 150), random.normal(0.45, 0.08, 150)
    other[100:] = NAN
    outcomes = scored(base, {"tuned": other})
    (found,) = BestReplication(draws=500, tune=500).estimate(outcomes)
    return base, other[:100], found


def test_it_recovers_the_means_of_scores_that_are_as_it_supposes(normal):
    base, other, found = normal
    assert found.diagnostics.passed and found.variant == OBSERVED and found.slice == "all"
    for arm, values in (("base", base), ("candidate", other)):
        assert found.draws[arm].shape == (2000,)
        assert found.draws[arm].mean() == pytest.approx(values.mean(), abs=0.003)
        assert found.draws[arm].std() == pytest.approx(values.std() / values.size**0.5, rel=0.15)
    assert found.n == 100 and found.missing == {"base": 0, "candidate": 50}


def test_it_says_how_well_its_model_fits_and_that_it_never_decides(normal):
    found = normal[2]
    names = {"max_rhat", "min_ess", "divergences", "nu", "replicated_below_0", "replicated_above_1"}
    assert set(found.diagnostics.values) == names
    assert found.diagnostics.values["nu"] > 5
    assert found.diagnostics.values["replicated_below_0"] < 0.01
    decides, misfit = found.diagnostics.warnings
    assert "never decides" in decides and "Kruschke" in decides
    assert "below 0" in misfit and "of the observed, 0.0% do either" in misfit
    assert headlines([summarise(found, margin=0.03)]) == {}
    assert all(word in PRIORS for word in ("Normal", "Uniform", "Exponential", "1000", "29"))


def test_a_spike_at_zero_is_taken_for_the_whole(normal):
    """With the same compiled model: nu falls to 1, and a third of what it replicates can't be a score."""
    outcomes = world(2, change=0.04, n=600)
    (found,) = BestReplication().estimate(outcomes)
    values = found.diagnostics.values
    assert values["nu"] < 1.2 and 0.25 < values["replicated_below_0"] < 0.5
    assert f"{values['replicated_below_0']:.1%} lie below 0" in found.diagnostics.warnings[1]
    assert found.draws["base"].mean() < 0.01 < outcomes.scores["base"].mean()


def test_each_candidate_is_compared_and_samples_are_averaged(normal):
    random = np.random.default_rng(3)
    base = random.normal(0.5, 0.1, (60, 4))
    both = scored(base, {"x": base + 0.1, "y": base - 0.1})
    found = {p.candidate: p for p in BestReplication(draws=200, tune=200, chains=2).estimate(both)}
    assert found["x"].change.mean() == pytest.approx(0.1, abs=0.01)
    assert found["y"].change.mean() == pytest.approx(-0.1, abs=0.01)
    assert found["x"].draws["base"].std() == pytest.approx(base.mean(1).std() / 60**0.5, rel=0.3)


def test_without_scores_there_is_nothing_to_repeat():
    assert BestReplication().estimate(paired([0, 1], [1, 1])) == []
    assert BestReplication().estimate(scored([0.1, 0.2], {"tuned": [NAN, NAN]})) == []
    assert BestReplication().estimate(scored([], {"tuned": []})) == []


def test_constant_scores_are_a_failure_in_words():
    (found,) = BestReplication().estimate(scored([0.25] * 5, {"tuned": [0.25] * 5}))
    assert found.diagnostics.failures == ("all scores are 0.25: Student's t has no scale to fit",)
    assert (found.change == 0).all() and found.change.shape == (4000,)
    summarise(found, margin=0.03)


@pytest.mark.parametrize("settings", [{"chains": 1}, {"draws": 10}, {"tune": 0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ToxauditError, match="best_replication"):
        BestReplication(**settings).check()
    BestReplication().check()


QUICK = {"draws": 400, "tune": 400, "chains": 2}
"""Settings of a fit whose intervals lie so far from what they are compared with that 800 draws show it."""


def exact_over(worlds):
    return [PairedExact(draws=2000, other_prior=None).estimate(outcomes)[0].change for outcomes in worlds]


@pytest.mark.slow
def test_best_misses_a_rise_of_toxicity_that_the_paired_tables_show():
    """Toxicity rises by 4 pp, and so the mean score by 3.8 pp."""
    for seed in range(2):
        (best,) = BestReplication(**QUICK).estimate(world(seed, change=0.04))
        assert eti(best.change)[1] < 0.01 < 0.04 * (HIGH - LOW)
    changes = exact_over(world(seed, change=0.04) for seed in range(200))
    assert np.mean([eti(change)[0] <= 0.04 <= eti(change)[1] for change in changes]) >= 0.93
    assert all((change > 0).mean() > 0.95 for change in changes)


@pytest.mark.slow
def test_best_calls_creeping_harmless_scores_worse_and_the_paired_tables_do_not():
    """Harmless scores creep upwards, none of them to one half; toxicity stays as it was."""
    for seed in range(2):
        (best,) = BestReplication(**QUICK).estimate(world(seed, shape=0.5))
        assert (best.change > 0).mean() > 0.95
    changes = exact_over(world(seed, shape=0.5) for seed in range(200))
    assert np.mean([(change > 0).mean() > 0.95 for change in changes]) <= 0.08


@pytest.mark.slow
def test_the_study_of_mean_scores_meets_its_bars():
    assert all(bar.met for bar in mean_scores(1, slack=2.0).bars)
