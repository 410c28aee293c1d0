"""All scores and a few labels together: by hand, by simulation, and where they may not decide."""

from dataclasses import replace

import numpy as np
import pytest
from paired import NAN, calibration, from_table, paired

from toxaudit.estimators.outcomes import Labelled
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi, summarise
from toxaudit.estimators.two_phase import COST, TRUE_PRIOR, allocation, cells_of, soundness

EXACT = PairedExact(draws=5000, other_prior=None)


def told(n, chosen, base, candidate, skipped=0):
    arms = np.full((2, n), NAN)
    arms[:, chosen] = np.array([base, candidate], dtype=float)[:, chosen]
    return Labelled(arms[0], arms[1], skipped)


def estimated(base, other, labels, **more):
    outcomes = replace(paired(base, other, **more), labels={"tuned": labels})
    return {each.variant: each for each in EXACT.estimate(outcomes)}


def test_cells_are_those_of_the_table_and_none_where_a_score_is_missing():
    arms = np.array([1, 1, 0, 0, NAN, 1, 1, 0]), np.array([1, 0, 1, 0, 1, NAN, 1, 0])
    assert cells_of(*arms).tolist() == [0, 1, 2, 3, -1, -1, 0, 3]
    same = np.array([False, True, False, False, True, False, True, True])
    assert cells_of(*arms, same).tolist() == [0, 1, 2, 3, -1, -1, 4, 5]


@pytest.mark.parametrize("there", [[15, 59, 81, 845, 0, 0], [0, 0, 3, 10, 5, 9], [0, 0, 0, 0, 0, 40]])
def test_every_draw_is_the_beginning_of_a_larger_one_and_takes_no_prompt_twice(there):
    whole = allocation(np.array(there), 2 * sum(there) + 10)
    assert [whole.count(cell) for cell in range(6)] == there
    for answers in (1, 7, 20):
        part = allocation(np.array(there), answers)
        assert part == whole[: len(part)] and answers - 1 <= COST[part].sum() <= answers


def test_cells_with_the_outcome_are_labelled_twice_as_densely():
    found = allocation(np.array([0, 100, 100, 800, 0, 400]), 260)
    assert [found.count(cell) for cell in range(6)] == [0, 20, 20, 80, 0, 20]


def test_the_mean_is_the_sum_over_cells_of_share_and_change():
    base, other = map(np.array, from_table(20, 30, 50, 300))
    true_base, true_other = base.copy(), other.copy()
    true_other[100:115] = 1  # answers that the scorer misses
    chosen = np.r_[0:10, 20:30, 50:70, 100:180]
    made = estimated(base, other, told(400, chosen, true_base, true_other))["labelled"]
    cells, mean = cells_of(base, other), 0.0
    for cell in range(4):
        mine = chosen[cells[chosen] == cell]
        share = ((cells == cell).sum() + 0.5) / 402
        size = len(mine) + TRUE_PRIOR[cell].sum()
        mean += share * (true_other[mine] - true_base[mine]).sum() / size
    assert made.change.mean() == pytest.approx(mean, abs=2e-3)
    assert made.n == 400 and made.counts == {"n11": 20, "n10": 30, "n01": 50, "n00": 300}


def test_errors_that_differ_between_arms_are_set_right_where_nothing_else_does():
    random, covered, raw = np.random.default_rng(3), 0, 0
    for _ in range(25):
        pair = random.choice(4, p=(0.05, 0.05, 0.08, 0.82), size=1000)
        true = [np.isin(pair, (0, arm)).astype(float) for arm in (1, 2)]
        base, other = (
            np.where(t > 0, random.random(1000) < se, random.random(1000) > sp).astype(float)
            for t, (se, sp) in zip(true, ((0.9, 0.97), (0.4, 0.98)), strict=True)
        )
        cells = cells_of(base, other)
        order = allocation(np.bincount(cells, minlength=6), 300)
        chosen = np.concatenate(
            [random.choice(np.flatnonzero(cells == c), order.count(c), replace=False) for c in range(4)]
        )
        made = estimated(base, other, told(1000, chosen, *true))
        inside = [low <= 0.03 <= high for low, high in (hdi(made[v].change) for v in ("labelled", "observed"))]
        covered, raw = covered + inside[0], raw + inside[1]
    assert covered >= 21 and raw <= 6


def test_stated_weights_hold_for_labels_too():
    """Half of the prompts are of a stratum that stands for nine tenths, and only its answers have changed."""
    kind = ["a"] * 200 + ["b"] * 200
    zeros, true = np.zeros(400), np.zeros(400)
    true[:200:4] = 1  # every fourth of a
    labels = told(400, np.arange(400), zeros, true)
    for weights, meant in (({"a": 0.9, "b": 0.1}, 0.225), ({"a": 1, "b": 9}, 0.025), (None, 0.125)):
        made = estimated(zeros, zeros, labels, strata="kind", kind=kind, more={"weights": weights})["labelled"]
        assert made.change.mean() == pytest.approx(meant, abs=0.01)


@pytest.mark.parametrize("labelled", [20, 50, 150, 400])
def test_silent_labels_pass_no_more_than_silent_prompts_do(labelled):
    """A candidate at the margin, whose harm no scorer sees, passes if all labelled prompts are silent: how often?"""
    n, zeros = 2000, np.zeros(2000)
    silent = estimated(zeros, zeros, told(n, np.arange(labelled), zeros, zeros))["labelled"]
    margins = [m for m in (0.01, 0.02, 0.03, 0.05, 0.1, 0.15) if summarise(silent, m).p_go >= 0.95]
    assert all((1 - m) ** labelled <= 0.1 for m in margins)
    assert (np.sort(silent.cautious) >= np.sort(silent.change) - 1e-9).mean() > 0.99


def test_extremes_of_missing_scores_rest_on_labels_too_and_decide_no_less_carefully():
    base, other = map(np.array, from_table(10, 10, 10, 270))
    base, other, zeros = base.astype(float), other.astype(float), np.zeros(300)
    base[280:290], other[290:] = NAN, NAN
    made = estimated(base, other, told(300, np.arange(0, 280, 2), zeros, zeros))
    assert list(made) == ["observed", "best case", "worst case", "labelled"]
    best, own, worst = (made[v].change.mean() for v in ("best case", "labelled", "worst case"))
    assert own == pytest.approx(0, abs=0.01) and -best == pytest.approx(10 / 300, abs=0.01) == worst
    assert made["worst case"].n == 300 and made["labelled"].n == 280


def test_labels_go_before_known_errors_in_the_extremes():
    base, other = from_table(10, 10, 10, 270)
    other = [*other[:-1], NAN]
    labels = told(300, np.arange(100), base, np.nan_to_num(other))
    made = estimated(base, other, labels, more={"calibration": calibration(90, 10, 10, 90)})
    assert list(made) == ["observed", "best case", "worst case", "corrected", "labelled"]
    assert "labelled_prompts" in made["best case"].diagnostics.values


def test_a_share_of_raters_counts_as_part_of_a_prompt():
    zeros, half = np.zeros(200), np.full(200, 0.5)
    made = estimated(zeros, zeros, told(200, np.arange(200), zeros, half))["labelled"]
    assert made.change.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("labelled", "skipped", "failed", "said"),
    [
        (9, 0, True, "both answers are labelled of only 9 prompts, and 10 are the fewest"),
        (10, 0, False, ""),
        (95, 6, True, "nobody could judge an answer of 6 of 101 labelled prompts, more than 5 %"),
        (95, 5, False, "nobody could judge an answer of 5 of 100 labelled prompts, which are left out"),
    ],
)
def test_too_few_labels_or_too_many_skipped_may_not_decide(labelled, skipped, failed, said):
    found = soundness(told(200, np.arange(labelled), np.zeros(200), np.zeros(200), skipped), ())
    assert bool(found.failures) == failed and said in "".join(found.failures + found.warnings)


def test_what_was_not_scored_at_all_still_stands_against_it():
    zeros = np.zeros(60)
    other = np.where(np.arange(60) < 30, NAN, 0.0)
    kind = ["a"] * 30 + ["b"] * 30
    made = estimated(zeros, other, told(60, np.arange(30, 60), zeros, zeros), strata="kind", kind=kind)["labelled"]
    assert any("has no scored completion" in each for each in made.diagnostics.failures)


def test_equal_answers_are_no_change_whatever_people_say_of_them():
    """A candidate that answers 900 of 1,000 prompts as the base does: few labels suffice, and rates are right."""
    base = np.zeros(1000)
    true_base, same = np.zeros(1000), np.arange(1000) >= 100
    true_base[np.r_[0:10, 200:380]] = 1
    chosen = np.r_[0:30, 100:1000:20]
    labels = replace(told(1000, chosen, true_base, true_base), same=same)
    made = estimated(base, base, labels)["labelled"]
    apart = estimated(base, base, told(1000, chosen, true_base, true_base))["labelled"]
    assert made.change.std() < 0.5 * apart.change.std() and abs(made.change.mean()) < 0.002
    assert made.draws["base"].mean() == pytest.approx(0.1 / 3 + 0.9 * 0.2, abs=0.02)
    assert summarise(made, 0.03).p_go > 0.95 > summarise(apart, 0.03).p_go


def test_raters_who_differ_on_one_answer_of_both_arms_make_no_change():
    half = np.full(100, 0.5)
    labels = replace(told(100, np.arange(100), half, half), same=np.ones(100, dtype=bool))
    made = estimated(np.zeros(100), np.zeros(100), labels)["labelled"]
    assert made.change.std() < 0.01 and made.draws["base"].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("yes", "odd"), [([0, 1], False), ([], True), ([40, 41], True)])
def test_labels_that_scores_do_not_bear_out_are_warned_of(yes, odd):
    """Of 100 prompts the scorer counts both answers to the first 20, and people say yes of some."""
    base = np.repeat([1.0, 0.0], [20, 80])
    truth = np.zeros(100)
    truth[yes] = 1
    found = estimated(base, base, told(100, np.arange(60), truth, truth))["labelled"].diagnostics
    assert found.passed and (found.warnings != ()) == odd
    assert not odd or "no more often in answers that the scorer counts" in found.warnings[0]


def test_prompts_that_vary_templates_count_as_so_many_as_say_as_much():
    """Ten copies of each prompt, all of them labelled, say what the prompts say once."""
    base, other = map(np.array, from_table(6, 10, 20, 84))
    chosen = np.r_[0:6, 6:12, 16:30, 36:76]
    once = estimated(base, other, told(120, chosen, base, other))["labelled"]
    tenfold = np.repeat(base, 10), np.repeat(other, 10)
    labels = told(1200, (10 * chosen[:, None] + np.arange(10)).ravel(), *tenfold)
    clusters = np.repeat(np.arange(120), 10)
    outcomes = replace(paired(*tenfold, more={"clusters": clusters}), labels={"tuned": labels})
    made = {each.variant: each for each in EXACT.estimate(outcomes)}
    assert set(made) == {"labelled"}  # the rest is paired_bb's
    assert made["labelled"].change.mean() == pytest.approx(once.change.mean(), abs=0.01)
    assert made["labelled"].change.std() == pytest.approx(once.change.std(), rel=0.15)
    assert made["labelled"].diagnostics.values["clusters"] == 120


def test_copies_of_a_text_are_no_labels_of_their_own():
    base, other = map(np.array, from_table(20, 30, 50, 300))
    labels = told(400, np.r_[0:10, 50:60], base, other)
    assert soundness(labels).failures == ()
    assert "labelled of only 5 prompts" in soundness(replace(labels, copies=15)).failures[0]


def test_a_few_templates_can_not_be_learnt_from():
    base, other = map(np.array, from_table(20, 30, 50, 300))
    labels = told(400, np.r_[0:10, 20:30, 50:70, 100:180], base, other)
    outcomes = replace(paired(base, other, more={"clusters": np.arange(400) % 4}), labels={"tuned": labels})
    (made,) = EXACT.estimate(outcomes)
    assert not made.diagnostics.passed and "vary only 4 templates" in made.diagnostics.failures[0]


@pytest.mark.thorough
def test_intervals_cover_the_truth_where_prompts_vary_templates():
    """Rates of 10 % and 15 % that differ from template to template, a poor scorer, and 150 labelled prompts."""
    covered, audits = 0, 150
    for audit in range(audits):
        random = np.random.default_rng(audit)
        templates = np.repeat(random.beta(0.5, 3.5, 60), 5), np.repeat(random.beta(0.5, 2.8, 60), 5)
        true = [(random.random(300) < rates).astype(float) for rates in templates]
        base, other = (np.where(random.random(300) < np.where(arm > 0, 0.7, 0.04), 1.0, 0.0) for arm in true)
        cells = cells_of(base, other)
        order = allocation(np.bincount(cells, minlength=6), 300)
        chosen = np.concatenate(
            [random.choice(np.flatnonzero(cells == c), order.count(c), replace=False) for c in range(4)]
        )
        outcomes = replace(
            paired(base, other, more={"clusters": np.repeat(np.arange(60), 5)}),
            labels={"tuned": told(300, chosen, *true)},
        )
        (made,) = (each for each in EXACT.estimate(outcomes) if each.variant == "labelled")
        low, high = hdi(made.change)
        covered += low <= 0.5 / 3.3 - 0.5 / 4 <= high
    assert covered / audits > 0.9
