"""Posterior draws come back as they were saved, and outcomes have the same name only where they are the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paired import NAN, calibration, paired

from toxaudit.estimators import archive
from toxaudit.estimators.outcomes import CELLS, Labelled, PairedOutcomes, Slicing
from toxaudit.estimators.posterior import Posterior, summarise
from toxaudit.facts import Confusion
from toxaudit.records import OTHER_PRIOR, Diagnostics


def posterior(seed, draws=50, **fields):
    random = np.random.default_rng(seed)
    arms = {"base": random.random(draws), "candidate": random.random(draws)}
    made = Posterior("c", "s", "m", "all", "e", 10, {"base": 1, "candidate": 0}, {"n11": 1, "n01": 0.5}, arms)
    return replace(made, **fields)


@pytest.fixture
def posteriors():
    sick = Diagnostics({"max_rhat": 1.5, "min_ess": 3.0}, ("no", "never"), ("care",))
    cautious = np.random.default_rng(9).random(50)
    odd = posterior(1, 7, variant=OTHER_PRIOR, candidate="ä \u2028")
    return [posterior(0, cautious=cautious, missing_in_both=1), odd, posterior(2, diagnostics=sick)]


def test_what_was_packed_is_read_back(posteriors):
    found = archive.unpacked(archive.packed(posteriors))
    assert len(found) == len(posteriors)
    for was, now in zip(posteriors, found, strict=True):
        assert replace(was, draws={}, cautious=None) == replace(now, draws={}, cautious=None)
        np.testing.assert_array_equal(was.cautious, now.cautious)
        for arm in ("base", "candidate"):
            np.testing.assert_array_equal(was.draws[arm], now.draws[arm])


@pytest.mark.parametrize("some", [[], [posterior(0, 0)]])
def test_no_posterior_and_no_draws_are_read_back_too(some):
    found = archive.unpacked(archive.packed(some))
    assert [each.draws["base"].size for each in found] == [0] * len(some)


def test_the_file_of_draws_names_every_draw(posteriors, tmp_path):
    import pyarrow.parquet as pq

    archive.write_draws(posteriors, tmp_path / "draws.parquet")
    table = pq.read_table(tmp_path / "draws.parquet").to_pydict()
    assert set(table) == {*archive.NAMES, *archive.RATES}
    assert table["variant"] == ["observed"] * 50 + [OTHER_PRIOR] * 7 + ["observed"] * 50
    assert table["candidate"][50:57] == ["ä \u2028"] * 7
    assert table["candidate_rate"][57:] == posteriors[2].draws["candidate"].tolist()
    np.testing.assert_array_equal(table["cautious_change"][:50], posteriors[0].cautious)
    assert np.isnan(table["cautious_change"][50:57]).all()
    assert [file.name for file in tmp_path.iterdir()] == ["draws.parquet"]


def full():
    return paired(
        [0.0, 1.0, NAN, 0.5],
        candidates={"x": [1.0, 1.0, 0.0, 0.0], "y": [0.0, NAN, 0.0, 0.25]},
        strata="topic",
        topic=["a", "a", "b", ""],
        voice=["x", "y", "x", "y"],
        more={
            "weights": {"a": 1.0, "b": 2.0},
            "clusters": np.array([0, 0, 1, 1]),
            "calibration": calibration(by="topic", a=(9, 1, 2, 8), b=(5, 5, 1, 9)),
            "scores": {"base": np.array([[0.1], [0.9], [NAN], [0.5]]), "x": np.array([[0.6], [0.7], [0.1], [0.2]])},
        },
    )


def bumped(values, place=0, by=0.125):
    changed = np.array(values)
    changed[place] = 0.375 if changed.dtype == float else changed[place] + 1
    return changed


def told(of_base: float, skipped: int = 0) -> Labelled:
    return Labelled(np.array([of_base, np.nan, np.nan, np.nan]), np.full(4, np.nan), skipped)


CHANGES = {
    "suite": {"suite": "other"},
    "measure": {"measure": "other"},
    "a base outcome": {"base": bumped(full().base)},
    "a missing base outcome": {"base": bumped(full().base, 2)},
    "a candidate's outcome": {"candidates": {**full().candidates, "y": bumped(full().candidates["y"])}},
    "a candidate's name": {"candidates": {"x": full().candidates["x"], "z": full().candidates["y"]}},
    "exchanged candidates": {"candidates": {"y": full().candidates["x"], "x": full().candidates["y"]}},
    "a candidate less": {"candidates": {"x": full().candidates["x"]}},
    "a prompt's slice": {"slices": {**full().slices, "topic": Slicing.of(["a", "b", "b", ""])}},
    "a slice's name": {"slices": {"topic": full().slices["topic"], "tone": full().slices["voice"]}},
    "a slice's value": {"slices": {**full().slices, "voice": Slicing.of(["x", "z", "x", "z"])}},
    "the strata": {"strata": "voice", "weights": None},
    "no strata": {"strata": None},
    "a weight": {"weights": {"a": 1.0, "b": 2.5}},
    "no weights": {"weights": None},
    "shares of all prompts": {"shares": {"a": 0.5, "b": 0.5}},
    "a cluster": {"clusters": bumped(full().clusters)},
    "no clusters": {"clusters": None},
    "a labelled count": {
        "calibration": replace(full().calibration, counts={**full().calibration.counts, "a": Confusion(9, 1, 2, 9)})
    },
    "the calibration's source": {"calibration": replace(full().calibration, source="others")},
    "no calibration": {"calibration": None},
    "a score": {"scores": {**full().scores, "x": bumped(full().scores["x"])}},
    "no scores": {"scores": None},
    "labels": {"labels": {"x": told(1.0)}},
    "the reference": {"reference": "first"},
}


def test_a_label_and_what_was_skipped_change_the_digest():
    same = replace(told(1.0), same=np.ones(4, dtype=bool))
    digests = {
        archive.outcomes_digest(replace(full(), labels={"x": labels}))
        for labels in (told(1.0), told(0.5), told(1.0, 1), same)
    }
    assert len(digests) == 4


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_changes_the_digest(change):
    assert archive.outcomes_digest(replace(full(), **CHANGES[change])) != archive.outcomes_digest(full())


def test_all_fields_of_outcomes_are_changed_above():
    changed = {name for change in CHANGES.values() for name in change}
    assert changed == set(PairedOutcomes.__dataclass_fields__)


def test_prompts_with_samples_differ_from_as_many_prompts():
    values = np.array([0.0, 1.0, 1.0, 0.0])
    flat, deep = paired(values, values), paired(values.reshape(2, 2), values.reshape(2, 2))
    assert archive.outcomes_digest(flat) != archive.outcomes_digest(deep)


def test_the_order_of_names_leaves_the_digest_as_it_is():
    outcomes = full()
    turned = replace(
        outcomes,
        candidates=dict(reversed(outcomes.candidates.items())),
        slices=dict(reversed(outcomes.slices.items())),
        weights=dict(reversed(outcomes.weights.items())),
        scores=dict(reversed(outcomes.scores.items())),
        calibration=replace(outcomes.calibration, counts=dict(reversed(outcomes.calibration.counts.items()))),
    )
    assert archive.outcomes_digest(turned) == archive.outcomes_digest(outcomes)
    assert archive.outcomes_digest(full()) == archive.outcomes_digest(outcomes)


def test_a_folder_with_a_colon_is_no_address(posteriors, tmp_path, monkeypatch):
    """pyarrow takes ``s3:/x`` and the like for an address."""
    monkeypatch.chdir(tmp_path)
    folder = Path("s3:/bucket")
    folder.mkdir(parents=True)
    archive.write_draws(posteriors[:1], folder / "draws.parquet")
    whole = replace(posteriors[0], counts=dict.fromkeys(CELLS, 1))
    assert archive.read_rates(folder / "draws.parquet", [summarise(whole, 0.03)])
