"""Adaptive sampling asks a fair share of every stratum, stops by precision, and foresees how many that takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.decision.sampling import Adaptive, All, width
from toxaudit.errors import ToxauditError
from toxaudit.records import Diagnostics, Estimate, Prompt, Quantity


def prompts(*sizes):
    return [
        Prompt(id=f"{stratum}/{i}", suite="s", text=f"text {i}", slices={"topic": f"t{stratum}"})
        for stratum, size in enumerate(sizes)
        for i in range(size)
    ]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.data())
def test_any_number_of_first_prompts_holds_strata_in_proportion(sizes, data):
    asked = Adaptive().order(prompts(*sizes), "topic")
    assert sorted(prompt.id for prompt in asked) == sorted(prompt.id for prompt in prompts(*sizes))
    n = data.draw(st.integers(1, sum(sizes)))
    for stratum, size in enumerate(sizes):
        found = sum(prompt.slices["topic"] == f"t{stratum}" for prompt in asked[:n])
        assert abs(found - n * size / sum(sizes)) <= len(sizes)


def test_the_order_is_random_by_the_seed_and_owes_nothing_to_the_file():
    asked = prompts(50)
    first = Adaptive().order(asked, None)
    assert first == Adaptive().order(asked[::-1], None) != asked
    assert first != Adaptive(seed=1).order(asked, None)


@pytest.mark.parametrize(
    "asked, widths, expected",
    [
        (200, [0.015], 200),  # 1.6 margins of 1 pp are 0.016
        (200, [0.017], 300),  # a little more: a step
        (200, [0.032, 0.01], 800),  # twice as wide: four times as many
        (200, [0.32], 2400),  # all there are
        (2400, [0.32], 2400),
    ],
)
def test_rounds_go_on_until_the_widest_interval_is_narrow(asked, widths, expected):
    assert Adaptive().next_round(asked, 2400, widths, 0.01) == expected


@given(st.integers(1, 5000), st.lists(st.floats(0.0001, 1), min_size=1, max_size=3), st.floats(0.001, 0.5))
def test_a_round_asks_more_or_is_the_last(asked, widths, margin):
    available = 5000
    wanted = Adaptive().next_round(asked, available, widths, margin)
    assert asked <= wanted <= available
    assert (wanted == asked) == (max(widths) <= 1.6 * margin or asked == available)


def test_without_rounds_everything_is_asked_in_the_order_of_the_file():
    asked = prompts(3, 4)
    assert All().order(asked, "topic") == asked
    assert All().first_round(7) == 7 and All().next_round(7, 7, [1.0], 0.01) == 7
    assert Adaptive(first=200).first_round(70) == 70


@pytest.mark.parametrize("settings", [{"first": 10}, {"step": 0}, {"width": 0.0}, {"width": 3.0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ToxauditError, match="sampling"):
        Adaptive(**settings).check()
    Adaptive().check()


def test_the_width_that_ends_the_rounds_is_reached_in_few_of_them():
    """With a width that shrinks as the root of n, from 200 prompts to what is needed in at most three rounds."""
    for noise in (0.9, 1.0, 1.1):
        asked, rounds = 200, 1
        while True:
            wanted = Adaptive().next_round(asked, 100_000, [noise * 0.3 / np.sqrt(asked)], 0.01)
            if wanted == asked:
                break
            asked, rounds = wanted, rounds + 1
        assert rounds <= 3 and noise * 0.3 / np.sqrt(asked) <= 0.016


def test_a_change_that_can_not_be_used_is_as_wide_as_can_be():
    def of(low, high, n=100, failures=()):
        change = {"change": Quantity(0.0, 0.01, (low, high), (low, high))}
        fields = ("tuned", "rtp", "toxic", "all", "paired_exact", n, {}, {}, change, 0.5, 0.1, 0.9, 0.03)
        return Estimate(*fields, diagnostics=Diagnostics(failures=failures))

    assert width(of(-0.01, 0.03)) == pytest.approx(0.04)
    nan = float("nan")
    unusable = (None, of(-0.01, 0.03, n=0), of(-0.01, 0.03, failures=("chains disagree",)), of(nan, nan))
    assert [width(each) for each in unusable] == [float("inf")] * 4
