"""Missing scores are taken at both ends of what they may have been."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from paired import NAN

from toxaudit.estimators.extremes import cases
from toxaudit.records import BEST_CASE, OBSERVED, WORST_CASE

outcome = st.sampled_from([0.0, 1.0, NAN])
pairs = st.lists(st.tuples(outcome, outcome), min_size=1, max_size=30)


def columns(rows):
    table = np.array(rows, dtype=float)
    return table[:, :1], table[:, 1:]


@given(pairs)
def test_best_and_worst_case_bound_every_completion_of_the_missing_scores(rows):
    base, other = columns(rows)
    found = {variant: (b, c) for variant, b, c in cases(base, other)}
    if len(found) == 1:
        assert not np.isnan([base, other]).any()
        return
    change = {variant: float((c - b).mean()) for variant, (b, c) in found.items()}
    for guess in (0.0, 0.5, 1.0):
        filled = float((np.nan_to_num(other, nan=guess) - np.nan_to_num(base, nan=guess)).mean())
        assert change[BEST_CASE] <= filled <= change[WORST_CASE]
    both = ~np.isnan(base) & ~np.isnan(other)
    # the pairs scored in both arms are in all three; no other pair lies outside -1..1
    seen = float((other - base)[both].sum())
    assert change[BEST_CASE] * len(rows) <= seen + (~both).sum()
    assert change[WORST_CASE] * len(rows) >= seen - (~both).sum()


@given(pairs)
def test_scores_that_are_there_stay_as_they_are(rows):
    base, other = columns(rows)
    for variant, b, c in cases(base, other):
        np.testing.assert_array_equal(b[~np.isnan(base)], base[~np.isnan(base)])
        np.testing.assert_array_equal(c[~np.isnan(other)], other[~np.isnan(other)])
        assert variant == OBSERVED or not np.isnan([b, c]).any()


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_missing_score_on_either_side_moves_the_mean_change_the_way_it_may(b, c, present):
    rows = [(present, NAN), (NAN, present), (b, c)]
    found = {variant: float(np.nanmean(other) - np.nanmean(base)) for variant, base, other in cases(*columns(rows))}
    assert found[BEST_CASE] <= found[OBSERVED] + 1e-12 <= found[WORST_CASE] + 2e-12
