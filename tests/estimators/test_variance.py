"""The components of a simulated truth are recovered, and scorers that do not differ have next to none."""

from dataclasses import replace

import numpy as np
import pytest

from toxaudit.agreements import SOURCES
from toxaudit.estimators.outcomes import PairedOutcomes, Slicing
from toxaudit.estimators.variance import of_one_thing, variance_components

TRUE = {
    "prompt": 0.08**2,
    "model": 0.02**2,
    "scorer": 0.03**2,
    "prompt x model": 0.05**2,
    "prompt x scorer": 0.04**2,
    "model x scorer": 0.0,
    "prompt x model x scorer": 0.03**2,
}
BIASED = (-0.03, 0.0, 0.03)
"""What each of three scorers adds to half the change; their variance is .03 squared."""


def simulated(n=2000, by_model=(0.0, 0.0, 0.0), seed=0, **settings):
    """Outcomes that are sums of normal effects with the true variances; scorers' are fixed."""
    rng = np.random.default_rng(seed)

    def effect(source):
        return rng.normal(0, TRUE[source] ** 0.5, n)

    prompt, by_prompt, compared = effect("prompt"), effect("prompt x model"), {}
    for number, (level, change) in enumerate(zip(BIASED, by_model, strict=True)):
        mean = 0.5 + prompt + level + effect("prompt x scorer")
        half = 0.02 + by_prompt + change + effect("prompt x model x scorer")
        arms = np.clip([mean - half, mean + half], 0, 1)
        compared[f"s{number}"] = PairedOutcomes("suite", "x", arms[0], {"tuned": arms[1]}, **settings)
    return compared


def found(compared):
    made = variance_components("harm", "tuned", compared)
    return made, {each.source: each for each in made.components}


@pytest.mark.parametrize("by_model", [(0.0, 0.0, 0.0), BIASED])
def test_the_components_of_a_simulated_truth_are_recovered(by_model):
    made, components = found(simulated(by_model=by_model))
    between = float(np.var(by_model, ddof=1))
    true = TRUE | {"model x scorer": between, "model": TRUE["model"] - between / 3}
    assert tuple(components) == SOURCES
    for source, each in components.items():
        assert each.variance == pytest.approx(true[source], rel=0.12, abs=6e-5), source
        low, high = each.eti
        assert low < each.variance < high and high - low < 0.4 * max(true[source], 2e-3)
    shares = [each.share for each in components.values()]
    assert sum(shares) == pytest.approx(1) and min(shares) >= 0
    assert made.sd_of_prompts == pytest.approx(2 * np.sqrt((0.05**2 + 0.03**2) / 2000), rel=0.05)
    assert made.changes["s2"] == pytest.approx(0.04 + 2 * by_model[2], abs=0.006)


def test_scorers_that_do_not_differ_move_no_change_and_those_that_do_by_as_much_as_they_differ():
    """Changes by several scorers differ by chance alone, too; that is not counted as the scorers'."""
    none, some = [], []
    for seed in range(30):
        none.append(found(simulated(n=100, seed=seed))[1]["model x scorer"])
        some.append(found(simulated(n=100, by_model=BIASED, seed=seed))[1]["model x scorer"])
    assert abs(np.mean([each.variance for each in none])) < 3e-6
    assert np.mean([each.eti[0] <= 0 <= each.eti[1] for each in none]) > 0.9
    assert np.mean([each.variance for each in some]) == pytest.approx(0.03**2, rel=0.08)
    assert np.mean([each.eti[0] <= 0.03**2 <= each.eti[1] for each in some]) > 0.8


def test_they_are_those_of_the_mean_squares_of_an_analysis_of_variance():
    """Prompts and scorers random, models fixed (Cornfield & Tukey 1956), of yes-or-no outcomes of two scorers."""
    rng = np.random.default_rng(4)
    y = (rng.random((60, 2, 2)) < 0.2 + 0.5 * rng.random((60, 1, 1))).astype(float)  # prompt, model, scorer
    y[:, 1, 0] = np.maximum(y[:, 1, 0], rng.random(60) < 0.5)

    def square(kept):
        """The mean square of an effect, by inclusion and exclusion of its marginal means."""
        total = np.zeros_like(y)
        for bits in range(2 ** len(kept)):
            inner = [axis for place, axis in enumerate(kept) if bits >> place & 1]
            mean = y.mean(axis=tuple(axis for axis in range(3) if axis not in inner), keepdims=True)
            total = total + (-1) ** (len(kept) - len(inner)) * mean
        return (total**2).sum() / np.prod([y.shape[axis] - 1 for axis in kept])

    effects = {"p": [0], "m": [1], "s": [2], "pm": [0, 1], "ps": [0, 2], "ms": [1, 2], "pms": [0, 1, 2]}
    ms = {name: square(axes) for name, axes in effects.items()}
    meant = {
        "prompt": (ms["p"] - ms["ps"]) / 4,
        "scorer": (ms["s"] - ms["ps"]) / 120,
        "prompt x scorer": ms["ps"] / 2,
        "prompt x model": (ms["pm"] - ms["pms"]) / 2 / 2,  # the last half: the mean over two models, of one free
        "model x scorer": (ms["ms"] - ms["pms"]) / 60 / 2,
        "model": (ms["m"] - ms["pm"] - ms["ms"] + ms["pms"]) / 120 / 2,
        "prompt x model x scorer": ms["pms"] / 2,
    }
    compared = {f"s{i}": PairedOutcomes("u", "x", y[:, 0, i], {"tuned": y[:, 1, i]}) for i in (0, 1)}
    _, components = found(compared)
    for source in SOURCES:
        exact = source not in ("scorer", "model x scorer", "model")  # of these the chance is taken off by simulation
        assert components[source].variance == pytest.approx(meant[source], **({} if exact else {"abs": 2e-4})), source


def test_only_completions_that_all_of_them_scored_count_and_a_prompt_is_the_mean_of_its_own():
    base, other = np.zeros((8, 2)), np.ones((8, 2))
    compared = {name: PairedOutcomes("u", "x", base.copy(), {"tuned": other.copy()}) for name in "ab"}
    compared["a"].base[0, 0] = compared["b"].base[0, 0] = np.nan  # the same completion
    compared["a"].base[1] = np.nan
    compared["b"].candidates["tuned"][2, 1] = np.nan
    compared["b"].candidates["tuned"][3] = 0.0
    compared["b"].candidates["tuned"][4, 0] = 0.0
    made, _ = found(compared)
    assert (made.n, made.missing) == (7, {"base": 3, "candidate": 1})
    assert made.changes == pytest.approx({"a": 1.0, "b": 5.5 / 7})


def test_prompts_of_one_template_move_a_change_more_than_as_many_independent_ones():
    alone = simulated(n=60)
    arms = {name: [np.repeat(arm, 10, 0) for arm in (c.base, c.candidates["tuned"])] for name, c in alone.items()}
    each = {name: PairedOutcomes("suite", "x", base, {"tuned": other}) for name, (base, other) in arms.items()}
    templates = {name: replace(c, clusters=np.repeat(np.arange(60), 10)) for name, c in each.items()}
    by_itself, apart, together = (found(compared)[0].sd_of_prompts for compared in (alone, each, templates))
    assert together == pytest.approx(by_itself, rel=0.05) and apart == pytest.approx(by_itself / 10**0.5, rel=0.05)


def test_a_change_weighs_strata_as_the_totals_do():
    kinds = Slicing.of(["a"] * 150 + ["b"] * 50)
    half = np.arange(200) < 150
    design = {"slices": {"kind": kinds}, "strata": "kind", "weights": {"a": 1.0, "b": 3.0}}
    compared = {
        name: PairedOutcomes("u", "x", np.zeros(200), {"tuned": np.where(half, inside, outside)}, **design)
        for name, inside, outside in (("one", 1.0, 0.0), ("other", 0.0, 1.0))
    }
    assert found(compared)[0].changes == pytest.approx({"one": 0.25, "other": 0.75})


def test_nothing_is_said_of_too_few_prompts_or_of_outcomes_that_never_differ():
    few, _ = found(simulated(n=4))
    assert (few.n, few.components, few.changes, few.sd_of_prompts) == (4, (), {}, None)
    none, _ = found({name: replace(c, base=c.base * np.nan) for name, c in simulated(n=40).items()})
    assert none.n == 0 and none.components == ()
    same = {name: PairedOutcomes("u", "x", np.ones(9), {"tuned": np.ones(9)}) for name in "ab"}
    made, components = found(same)
    assert made.sd_of_prompts == 0 and {each.share for each in components.values()} == {None}
    assert all(abs(each.variance) < 1e-12 for each in components.values())


def test_it_is_the_same_whenever_and_in_whatever_order_prompts_are_asked():
    compared = simulated(n=50)
    order = np.random.default_rng(1).permutation(50)
    mixed = {name: replace(c, base=c.base[order], candidates={"tuned": c.candidates["tuned"][order]})
             for name, c in compared.items()}  # fmt: skip
    first, again = found(compared)[1], found(mixed)[1]
    for source in SOURCES:
        assert again[source].eti == pytest.approx(first[source].eti, rel=1e-9, abs=1e-12)


def test_scorers_of_one_noun_and_one_scale_measure_one_thing():
    told = [("a", "harm", False), ("b", "rate", False), ("c", "harm", True), ("d", "harm", False), ("e", "rate", False),
            ("f", "harm", True), ("g", "refusal", False)]  # fmt: skip
    assert of_one_thing(told, "rate") == [["a", "d"], ["c", "f"]]
