"""Analyses of groups, on tables whose answers are known."""

import numpy as np
import pytest

from toxaudit.analyses.accuracy_parity import accuracy_parity
from toxaudit.analyses.bias_gap import harmful_bias_gap
from toxaudit.analyses.forgetting import forgetting, over_seeds
from toxaudit.analyses.rates import compared
from toxaudit.facts import ModelFacts
from toxaudit.records import ALONE, OBSERVED, Diagnostics, Estimate

TABLES = {"all": (30, 10, 50, 110), "group=a": (10, 5, 35, 50), "group=b": (20, 5, 15, 60)}


def estimate(slice, table, variant=ALONE, design_effect=1.0):
    return Estimate(
        candidate="later",
        suite="bbq",
        measure="wrong",
        slice=slice,
        estimator="x",
        n=sum(table),
        missing={},
        counts=dict(zip(("n11", "n10", "n01", "n00"), table, strict=True)),
        quantities={},
        p_increase=0.5,
        p_above_margin=0.5,
        p_within_margin=0.5,
        margin=0.01,
        diagnostics=Diagnostics(),
        variant=variant,
        design_effect=design_effect,
    )


@pytest.fixture(scope="module")
def found():
    whole = estimate("all", TABLES["all"], OBSERVED)
    groups = [estimate(name, table) for name, table in TABLES.items() if name != "all"]
    (made,) = compared([whole, *groups])
    return made


def named(rows):
    return {(row.quantity, row.about.get("group") or row.about.get("arm")): row for row in rows}


def test_forgetting_is_exact(found):
    rows = named(forgetting(found))
    expected = {
        ("forgetting", "all"): 80 / 200 - 40 / 200,
        ("relative forgetting", "all"): (40 / 200) / (160 / 200),
        ("forgetting", "group=a"): 45 / 100 - 15 / 100,
        ("forgetting", "group=b"): 35 / 100 - 25 / 100,
        ("biased forgetting", "group=a"): 0.3 - 0.2,
        ("biased forgetting", "group=b"): 0.1 - 0.2,
        ("largest minus smallest forgetting", "group"): 0.2,
    }
    assert rows.keys() == expected.keys()
    for key, value in expected.items():
        assert abs(rows[key].value - value) < 1e-9
        low, high = rows[key].interval
        assert low < value < high


def test_relative_forgetting_of_what_was_never_right_has_no_value():
    whole = estimate("all", (10, 0, 0, 0), OBSERVED)
    (made,) = compared([whole, estimate("group=a", (10, 0, 0, 0))])
    relative = named(forgetting(made))["relative forgetting", "all"]
    assert relative.value is None and relative.interval is None and relative.note


def test_a_suite_without_groups_is_forgotten_in_total():
    """Such as one of capability, which a later stage of safety may forget."""
    (made,) = compared([estimate("all", TABLES["all"], OBSERVED)])
    rows = named(forgetting(made))
    assert set(rows) == {("forgetting", "all"), ("relative forgetting", "all")}
    assert rows["forgetting", "all"].value == pytest.approx(0.2)
    assert not list(accuracy_parity(made)) and not list(harmful_bias_gap(made))


def test_accuracy_parity_is_exact_for_both_arms(found):
    rows = named(accuracy_parity(found))
    for arm, value in (("reference", 0.10), ("candidate", 0.10), ("change", 0.0)):
        assert abs(rows["accuracy parity", arm].value - value) < 1e-9
    assert rows["accuracy parity", "change"].interval[0] < 0 < rows["accuracy parity", "change"].interval[1]


def test_one_group_has_no_parity(found):
    whole = estimate("all", TABLES["all"], OBSERVED)
    (made,) = compared([whole, estimate("group=a", TABLES["group=a"])])
    assert not list(accuracy_parity(made))


def test_the_bias_gap_is_the_size_of_the_paired_change(found):
    rows = named(harmful_bias_gap(found))
    assert abs(rows["harmful bias gap", "group=a"].value - 0.3) < 1e-9
    assert abs(rows["harmful bias gap", "group=b"].value - 0.1) < 1e-9
    assert abs(rows["right answers, LoRA minus full", "group=a"].value + 0.3) < 1e-9
    assert rows["harmful bias gap", "group=b"].interval[0] >= 0


@pytest.mark.parametrize(
    ("kind", "training", "whole"),
    [
        ("trained", "all weights, 24 examples of rows.jsonl", True),
        ("trained", "from instruct: all weights, 24 examples", True),
        ("trained", "LoRA r=4, 8 examples; then all weights, 8 examples", True),
        ("trained", "all weights, 8 examples; then LoRA r=4, 8 examples", False),
        ("trained", "from all weights: LoRA r=4", False),
        ("merge", "merged without training: base + 0.5 x (a - base)", False),
        ("fine-tune", None, False),
    ],
)
def test_a_recipe_tuned_all_weights_if_its_last_stage_did(kind, training, whole):
    assert ModelFacts("a", kind, "r", "0" * 64, "float32", training=training).tuned_whole is whole


def test_intervals_cover_and_templates_widen_them():
    """Of many tables drawn from known rates, the interval of forgetting holds the true one about 19 times in 20."""
    random, inside, widths = np.random.default_rng(3), 0, []
    truth = 0.15 - 0.05
    for number in range(200):
        table = tuple(map(int, random.multinomial(150, [0.10, 0.05, 0.15, 0.70])))
        whole = estimate("all", table, OBSERVED)
        (made,) = compared([whole, estimate(f"g={number}", table)])
        low, high = named(forgetting(made))["forgetting", "all"].interval
        inside += low <= truth <= high
        widths.append(high - low)
    assert 180 <= inside <= 199
    (made,) = compared([estimate("all", table, OBSERVED, design_effect=4.0), estimate("g=x", table, design_effect=4.0)])
    low, high = named(forgetting(made))["forgetting", "all"].interval
    assert high - low == pytest.approx(2 * widths[-1], rel=0.15)


def test_seeds_are_clusters_and_not_three_times_the_prompts():
    """Three seeds that agree on average but differ much tell far less than one large suite."""
    random = np.random.default_rng(0)
    tight = {name: (value, random.normal(value, 0.001, 20_000)) for name, value in (("0", 0.1), ("1", 0.2), ("2", 0.3))}
    row = over_seeds(tight, {"candidate": "later"})
    assert row.value == pytest.approx(0.2)
    low, high = row.interval
    assert high - low == pytest.approx(2 * 4.303 * 0.1 / np.sqrt(3), rel=0.1)  # Student t of 2 degrees of freedom
    alone = over_seeds(dict(list(tight.items())[:1]), {})
    assert alone.value == 0.1 and alone.interval is None and alone.note
