"""Each study runs at any size, and its bars fail where the estimator or the gate is wrong."""

import numpy as np
import pytest

from toxaudit.decision import chances
from toxaudit.decision.certainty import Certainty
from toxaudit.decision.gate import MarginGate
from toxaudit.estimators import paired_exact, scorer_error, totals
from toxaudit.estimators.posterior import Posterior, hdi
from toxaudit.findings import Reason
from toxaudit.studies import (
    coverage,
    dependence,
    edges,
    foresight,
    gate_errors,
    labels,
    looks,
    means,
    policies,
    pooled,
    sbc,
    scorer_errors,
    silence,
    slice_rules,
)
from toxaudit.studies.worlds import SLICE

pytestmark = pytest.mark.thorough


def half_as_wide(draws, mass=0.95):
    low, high = hdi(draws, mass)
    middle, half = (low + high) / 2, (high - low) / 4
    return middle - half, middle + half


def missed(found):
    return [bar.name for bar in found.bars if not bar.met]


def well_formed(found):
    assert all(len(row) == len(found.columns) for row in found.rows) and found.rows
    assert found.bars and all(np.isfinite(bar.reached) for bar in found.bars)
    assert found.asks.endswith("?") and found.says.endswith(".")
    return True


def few_prompts(replicates=200):
    return coverage.single_stratum(replicates, 2, draws=1000, prompts=(50, 250))


class PriorAlone:
    """In place of ``HierPaired``: ignores the data, so that truths from the prior are ranked evenly all the same."""

    bias = 0.0

    def __init__(self, seed, **settings):
        self.random = np.random.default_rng(seed)

    def estimate(self, outcomes):
        worlds = [sbc.prior(5, self.random) for _ in range(99)]
        base = np.stack([world[0] for world in worlds])
        other = np.stack([world[1] for world in worlds])
        other = other ** (1 - self.bias)
        (name,) = outcomes.candidates
        return [
            Posterior(name, "", "", f"{SLICE}=s{s}", "", 1, {}, {}, {"base": base[:, s], "candidate": other[:, s]})
            for s in range(5)
        ]


class Unpooled:
    """In place of ``HierPaired``: the exact posterior of each slice, and of the total, far from their estimates."""

    away = 0.0

    def __init__(self, **settings):
        pass

    def estimate(self, outcomes):
        exact = paired_exact.PairedExact(draws=1000, other_prior=None)
        found = exact.estimate(outcomes)
        slicing = outcomes.slices[SLICE]
        for number, value in enumerate(slicing.values):
            for each in exact.estimate(outcomes.only(slicing.codes == number)):
                draws = each.draws | {"candidate": each.draws["candidate"] + self.away}
                found.append(Posterior(each.candidate, "", "", f"{SLICE}={value}", "", 1, {}, each.counts, draws))
        return found


def test_the_exact_estimate_covers_and_the_comparators_do_not():
    found = few_prompts()
    assert well_formed(found) and not missed(found)
    worst = np.array([[float(cell) for cell in row[3:6]] for row in found.rows]).min(0)
    assert worst[0] > 0.9 and worst[1] < 0.8 and worst[2] < 0.65


def test_a_prior_of_next_to_nothing_misses_the_coverage_bar(monkeypatch):
    def make(**settings):
        return paired_exact.PairedExact(**settings | {"prior": 0.01})

    monkeypatch.setattr(coverage, "PairedExact", make)
    assert missed(few_prompts(100))


def test_intervals_half_as_wide_miss_every_coverage_bar(monkeypatch):
    for module in (coverage, scorer_errors, dependence, pooled):
        monkeypatch.setattr(module, "hdi", half_as_wide)
    monkeypatch.setattr(pooled, "HierPaired", Unpooled)
    assert missed(few_prompts(25)) and len(missed(coverage.five_strata(30, 2))) == 2
    assert len(missed(scorer_errors.scorer_errors(20, 2))) == 4
    assert len(missed(dependence.templates_and_samples(25, 2))) == 3
    assert len(missed(pooled.pooled_coverage(12, 2, [2]))) == 4


def test_strata_and_seeds():
    assert well_formed(coverage.five_strata(100, 2)) and not missed(coverage.five_strata(100, 2))
    assert well_formed(coverage.seeds(2, 2))


def test_seeds_that_matter_miss_the_bar(monkeypatch):
    def rough(**settings):
        return paired_exact.PairedExact(**settings | {"draws": 1000})

    monkeypatch.setattr(coverage, "PairedExact", rough)
    assert missed(coverage.seeds(10, 3))


@pytest.fixture
def small_gate(monkeypatch):
    monkeypatch.setattr(gate_errors, "PROMPTS", (250, 1000))
    chances.boundaries.cache_clear()
    yield
    chances.boundaries.cache_clear()


def test_the_gate_keeps_its_error_rates(small_gate):
    found = gate_errors.gate_errors(10)
    assert well_formed(found) and not missed(found)


def test_a_gate_less_certain_than_it_says_misses_its_bars(small_gate, monkeypatch):
    monkeypatch.setattr(Certainty, "decision", lambda bars, within, beyond: "GO")
    assert missed(gate_errors.gate_errors(10)) == ["gate: audits whose verdict is not the computed one"]


def test_a_rule_of_less_certainty_passes_and_fails_too_much(small_gate, monkeypatch):
    monkeypatch.setattr(gate_errors, "CERTAINTY", 0.85)
    names = missed(gate_errors.gate_errors(10))
    assert {"gate: false pass at the margin, worst cell", "gate: false fail at the margin, worst cell"} <= set(names)


def test_a_candidate_at_the_margin_seldom_passes_where_hardly_anything_happens():
    found = silence.silence((53, 70))
    assert well_formed(found) and not missed(found)


def test_a_rule_that_passes_on_silence_misses_its_bar(monkeypatch):
    monkeypatch.setattr(chances, "AGAINST", 0.0)
    chances.boundaries.cache_clear()
    assert missed(silence.silence((53, 70))) == ["silence: false pass at the margin, worst of the grid"]
    chances.boundaries.cache_clear()


def test_what_lies_at_the_edges_is_joined_or_refused(monkeypatch):
    found = edges.edges(40, 2)
    assert well_formed(found) and not missed(found)
    monkeypatch.setattr(totals, "SMALLEST_STRATUM", 1)
    monkeypatch.setattr(totals, "TOO_FEW_CLUSTERS", 1)
    monkeypatch.setattr(scorer_error, "LEAST_YOUDEN", -1.0)
    assert missed(edges.edges(40, 2)) == [
        "edges: coverage, 200 strata of 1 with stated shares",
        "edges: used, templates 1 of 600 and 59 of 10",
        "edges: used, sensitivity 0.1, specificity 0.9, 50 labels of each kind",
    ]


def test_whole_rules_keep_their_errors_and_are_foretold():
    found = policies.policies(60, 2, (400,))
    assert well_formed(found) and not missed(found)


def test_rules_without_a_family_wise_error_miss_the_bar(monkeypatch):
    monkeypatch.setattr(policies, "gate", lambda rule: MarginGate(family_error=1.0))
    assert missed(policies.policies(60, 2, (400,))) == ["policies: NO-GO with all measures at the margin, worst row"]


def test_rounds_keep_the_error_rates_and_peeking_does_not():
    found = looks.looks(60, 2, available=(2400,))
    assert well_formed(found) and not missed(found)


def test_rounds_that_stop_at_a_verdict_miss_the_bar(monkeypatch):
    def peek(probabilities, available, gate, random):
        return ("GO" if looks.peeking(probabilities, 1, random)[0] else "NO-GO"), available

    monkeypatch.setattr(looks, "adaptive_audit", peek)
    assert "rounds: false pass at the margin, worst cell" in missed(looks.looks(60, 2, available=(2400,)))


def test_the_closed_form_foretells_what_the_pilot_s_own_posterior_brings():
    found = foresight.foresight(25, 2)
    assert well_formed(found) and found.bars[0].met


def test_a_form_that_promises_too_much_misses_its_bars(monkeypatch):
    monkeypatch.setattr(foresight, "chance_of_decision", lambda *numbers: 0.95)
    assert len(missed(foresight.foresight(25, 2))) == 1


def test_sbc_passes_what_is_calibrated_and_finds_what_is_biased(monkeypatch):
    monkeypatch.setattr(sbc, "HierPaired", PriorAlone)
    found = sbc.sbc(60)
    assert well_formed(found) and not missed(found)
    monkeypatch.setattr(PriorAlone, "bias", 0.3)
    assert missed(sbc.sbc(60))


@pytest.mark.parametrize("psi", [0.2, 1.0000001, 8.0])
def test_tables_from_the_prior_have_the_rates_and_the_odds_ratio_they_were_drawn_from(psi):
    base, candidate = np.array([0.1, 0.3]), np.array([0.2, 0.25])
    found = sbc.tables(base, candidate, psi, 2_000_000, np.random.default_rng(1))
    n11, n10, n01, n00 = found.T / 2_000_000
    np.testing.assert_allclose(n11 + n10, base, atol=0.002)
    np.testing.assert_allclose(n11 + n01, candidate, atol=0.002)
    np.testing.assert_allclose(n11 * n00 / (n10 * n01), psi, rtol=0.03)


def test_pooled_studies_run_and_count_alarms(monkeypatch):
    monkeypatch.setattr(pooled, "HierPaired", Unpooled)
    assert well_formed(pooled.pooled_coverage(4, 2, [2]))
    monkeypatch.setattr(slice_rules, "HierPaired", Unpooled)
    assert well_formed(slice_rules.slice_rules(4, 2, candidates=2))
    monkeypatch.setattr(Unpooled, "away", 0.1)
    assert len(missed(slice_rules.slice_rules(4, 2, candidates=2))) == 2
    monkeypatch.setattr(slice_rules, "weighed", lambda each, *_: Reason("", "", "", "critical", "", "", "GO"))
    assert [name for name in missed(slice_rules.slice_rules(4, 1, candidates=2)) if "found" in name]


def test_scorer_errors_are_corrected():
    found = scorer_errors.scorer_errors(30, 2)
    assert well_formed(found) and not missed(found)


def test_labels_of_the_answers_set_right_what_any_scorer_does(monkeypatch):
    found = labels.labels_of_answers(20, 2, labels.WORLDS[:1], (100, 300))
    assert well_formed(found) and not missed(found)
    monkeypatch.setattr(labels, "hdi", half_as_wide)
    found = labels.labels_of_answers(20, 2, labels.WORLDS[:1], (300,))
    assert len([name for name in missed(found) if "coverage" in name]) == 3


def test_labels_of_whom_one_likes_miss_their_bars(monkeypatch):
    """Drawn among the prompts of which the candidate alone is counted, they say nothing of the others."""
    monkeypatch.setattr(labels, "allocation", lambda there, wanted: [2] * min(wanted, int(there[2])))
    assert missed(labels.labels_of_answers(20, 2, labels.WORLDS[:1], (300,)))


def test_templates_samples_and_missing_scores():
    found = dependence.templates_and_samples(60, 2)
    assert well_formed(found) and not missed(found)
    found = dependence.missing_scores(60, 2)
    assert well_formed(found) and not missed(found)


def test_bounds_that_leave_out_missing_scores_miss_their_bars(monkeypatch):
    monkeypatch.setattr(dependence, "WORST_CASE", "observed")
    monkeypatch.setattr(dependence, "BEST_CASE", "observed")
    assert missed(dependence.missing_scores(60, 2))


class Skewed:
    """In place of BEST: looks at the lower half of scores only, and so sees a creep and misses a rise."""

    def __init__(self, **settings):
        self.random = np.random.default_rng(1)

    def estimate(self, outcomes):
        change = np.median(outcomes.scores["candidate 1"]) - np.median(outcomes.scores["base"])
        draws = {"base": np.zeros(500), "candidate": change + self.random.normal(0, 1e-4, 500)}
        return [Posterior("candidate 1", "", "", "all", "", 1, {}, {}, draws)]


def test_mean_scores_mislead_where_rates_do_not(monkeypatch):
    monkeypatch.setattr(means, "BestReplication", Skewed)
    found = means.mean_scores(6, 2)
    assert well_formed(found) and not missed(found)
    assert means.rising(0.04).changes()[0, 0] == pytest.approx(0.04)
    monkeypatch.setattr(means, "hdi", lambda draws: (0.5, 0.6))
    assert "means: paired_exact covers a rise" in missed(means.mean_scores(6, 2))
