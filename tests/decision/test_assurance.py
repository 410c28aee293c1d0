"""The foreseen chance of a decision is the one that simulation finds, and prompts are counted by it."""

import numpy as np
import pytest

from toxaudit.decision.assurance import WANTED_CHANCE, chance_of_decision, prompts_needed


@pytest.mark.parametrize(
    "mean, sd, n, more", [(0.005, 0.01, 300, 1000), (0.0, 0.02, 200, 5000), (0.02, 0.01, 500, 500)]
)
def test_the_chance_is_that_of_simulated_data(mean, sd, n, more):
    """Draw a true change from today's posterior, then data of more prompts, then decide by the joint posterior."""
    random = np.random.default_rng(1)
    variance = sd**2 * n  # of one prompt
    true = random.normal(mean, sd, 200_000)
    seen = random.normal(true, np.sqrt(variance / more))
    later = (n * mean + more * seen) / (n + more)
    needed = 1.6448536 * np.sqrt(variance / (n + more))
    decided = (later + 0.5 / (n + more) < 0.01 - needed) | (later > 0.01 + needed)
    assert chance_of_decision(mean, sd, n, more, 0.01, 0.95) == pytest.approx(decided.mean(), abs=0.005)


def test_the_fewest_prompts_that_reach_the_chance_are_named_to_two_digits():
    found = prompts_needed(0.002, 0.008, 350, 0.01, 0.95)
    assert found is not None and found == int(float(f"{found:.1e}"))
    assert chance_of_decision(0.002, 0.008, 350, found, 0.01, 0.95) >= WANTED_CHANCE
    assert chance_of_decision(0.002, 0.008, 350, int(0.9 * found) - 1, 0.01, 0.95) < WANTED_CHANCE


def test_more_certainty_takes_more_prompts():
    usual, sure = (prompts_needed(0.002, 0.008, 350, 0.01, certainty) for certainty in (0.95, 0.99))
    assert usual < sure


def test_where_no_number_of_prompts_would_do_there_is_no_answer():
    assert prompts_needed(0.01, 1e-4, 10**6, 0.01, 0.95, most=10**6) is None  # exactly at the margin
    assert prompts_needed(0.0, 0.0, 300, 0.01, 0.95) is None
    assert prompts_needed(0.0, 0.01, 0, 0.01, 0.95) is None


def test_what_is_decided_needs_one_more_prompt():
    assert prompts_needed(-0.05, 0.005, 1000, 0.01, 0.95) == 1
