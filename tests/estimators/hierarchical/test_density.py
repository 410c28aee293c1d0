"""What nutpie samples is the density that the PyMC model states, and the check of flips finds what it should."""

import ctypes

import numpy as np
import pytest

from toxaudit.estimators.hierarchical import model as written
from toxaudit.estimators.hierarchical import priors
from toxaudit.estimators.hierarchical.flip_check import flip_check
from toxaudit.estimators.hierarchical.start import known
from toxaudit.estimators.outcomes import CELLS


def tables_of(random, strata, scale=1.0):
    """Fractional counts, one cell of them 0."""
    data = {name: random.uniform(0, 90 * scale, strata) for name in ("base_has", "base_has_not")}
    data |= {cell: random.uniform(0, 30 * scale, strata) for cell in CELLS}
    data["n01"][0] = 0.0
    return data


def compiled_density(data):
    """x -> log density and gradient, and x -> base, candidate and log_psi, by the functions that nutpie calls."""
    from toxaudit.estimators.hierarchical import density

    model = density.model(data)
    address, number = ctypes.c_void_p, ctypes.c_uint64
    call = ctypes.CFUNCTYPE(ctypes.c_int64, number, *[address] * 4)(model.compiled_logp_func.address)
    write = ctypes.CFUNCTYPE(ctypes.c_int64, number, number, *[address] * 3)(model.compiled_expand_func.address)

    def density(x):
        gradient, value = np.empty(x.size), np.empty(1)
        arrays = (x, gradient, value, model.user_data)
        return call(x.size, *(each.ctypes.data for each in arrays)), value[0], gradient

    def rates(x):
        out = np.empty(model.n_expanded)
        assert write(x.size, out.size, x.ctypes.data, out.ctypes.data, model.user_data.ctypes.data) == 0
        return out

    return density, rates, model.n_dim


def standard_scores(x, data):
    """The point of the PyMC model that x stands for, and what the change of variables adds to the log density."""
    strata = len(data["n11"])
    a, sa, middle, m, ts, shift, log_psi = np.split(x, np.cumsum([1, 1, strata, 1, 1, strata]))
    of_middle, of_shift = known(data)[1]
    added = -of_middle.sum() * sa

    def scores(values, mean, log_scale, weight):
        return (values - weight * mean) * np.exp(-weight * log_scale)

    added += np.log(np.cosh(m))
    m = priors.M * np.sinh(m)
    hardly = of_shift < 0.5
    added += np.log(np.cosh(shift[hardly] / 2) / np.sqrt(2)).sum() - of_shift[~hardly].sum() * ts
    z_s = np.sqrt(2) * np.sinh(shift / 2)
    z_s[~hardly] = scores(shift, m, ts, of_shift)[~hardly]
    return np.concatenate([a, sa, scores(middle, a, sa, of_middle), ts, z_s, m, log_psi]), added[0]


@pytest.mark.thorough
@pytest.mark.parametrize("strata, scale", [(2, 0.2), (3, 1.0), (5, 100.0)])
def test_the_density_and_its_gradient_are_those_of_the_pymc_model(strata, scale):
    import pymc as pm
    import pytensor

    random = np.random.default_rng(strata)
    data = tables_of(random, strata, scale)
    value_of, rates, size = compiled_density(data)
    model = written.model(strata)
    pm.set_data(data, model=model)
    outputs = model.replace_rvs_by_values([model["base"], model["candidate"], model["log_psi"]])
    stated = pytensor.function(model.value_vars, [model.logp(), *outputs], mode="FAST_COMPILE")
    shapes = [each.shape for each in model.initial_point().values()]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    assert ends[-1] == size
    assert any((each > 0.1).any() for each in known(data)[1])
    apart = []
    for spread in (0.1, 0.5, 1.0, 2.0):
        x = random.normal(size=size) * spread
        point, added = standard_scores(x, data)
        parts = [part.reshape(shape) for part, shape in zip(np.split(point, ends[:-1]), shapes, strict=True)]
        value, *expected = stated(*parts)
        status, found, slopes = value_of(x)
        assert status == 0
        apart.append(found - value - added)
        steps = 1e-6 * np.eye(size)
        numeric = [(value_of(x + step)[1] - value_of(x - step)[1]) / 2e-6 for step in steps]
        np.testing.assert_allclose(slopes, numeric, rtol=1e-4, atol=1e-4 * max(1, abs(slopes).max()))
        np.testing.assert_allclose(rates(x), np.concatenate([each.ravel() for each in expected]), rtol=1e-9)
    np.testing.assert_allclose(apart, apart[0], atol=1e-6 * max(1, scale))


@pytest.mark.parametrize("times", [0, 1e-3, 1, 1e6])
def test_effects_are_sampled_as_themselves_where_the_data_know_them(times):
    data = {name: times * counts for name, counts in tables_of(np.random.default_rng(1), 4).items()}
    for weights in known(data)[1]:
        assert ((weights >= 0) & (weights <= 1)).all()
        if times > 1:
            assert (weights > 0.9).all()
        if times < 1e-2:
            assert (weights < 0.1).all()


@pytest.mark.thorough
def test_a_density_that_is_not_finite_is_reported_and_not_raised():
    value_of, _, size = compiled_density(tables_of(np.random.default_rng(0), 2))
    assert value_of(np.full(size, 800.0))[0] == 1
    assert value_of(np.full(size, np.nan))[0] == 1


def replicated(seed, log_psi=3.0):
    """Draws about true rates, and tables of them."""
    random = np.random.default_rng(seed)
    p, c = np.array([0.1, 0.05, 0.2]), np.array([0.12, 0.05, 0.3])
    kappa = np.expm1(log_psi)
    root = np.sqrt(1 + 2 * kappa * (p * (1 - c) + c * (1 - p)) + (kappa * (p - c)) ** 2)
    repaired, toxic = 2 * (1 - c) / (1 + kappa * (c - p) + root), 2 * c / (1 + kappa * (p - c) + root)
    n1 = random.binomial(400, p)
    n10 = random.binomial(n1, repaired)
    n01 = random.binomial(400 - n1, toxic)
    tables = {"n11": n1 - n10, "n10": n10, "n01": n01, "n00": 400 - n1 - n01}
    draws = (np.tile(p, (4000, 1)), np.tile(c, (4000, 1)), np.full(4000, log_psi))
    return draws, {cell: np.asarray(count, dtype=float) for cell, count in tables.items()}


def test_flips_of_the_model_pass_and_others_are_found():
    found = [flip_check(*draws, tables, seed=1) for draws, tables in map(replicated, range(600))]
    for name in ("n01", "n10"):
        values = np.array([getattr(check, name) for check in found])
        assert 0.4 < values.mean() < 0.7 and (values < 0.01).mean() < 0.05
    assert np.mean([check.worst < 0.05 / 6 for check in found]) < 0.07  # six looks at a fit, three strata both ways
    draws, tables = replicated(0)
    tables["n01"][2] += 60.5
    tables["n00"][2] -= 60.5
    check = flip_check(*draws, tables, seed=1)
    assert check.worst == 0 and check.n01 < 0.01


def test_no_flips_at_all_are_no_evidence_against_the_model():
    zero = {cell: np.zeros(3) for cell in CELLS}
    draws, _ = replicated(0)
    check = flip_check(*draws, zero, seed=1)
    assert (check.n01, check.n10, check.worst) == (1, 1, 1)
