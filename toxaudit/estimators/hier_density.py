"""The log density of ``hier_paired``'s model and its gradient, written out for Numba.

``hier_model`` states the model in PyMC; this is the same density up to a constant, and a test compares the two.
It is written out because PyTensor's Numba code takes 20 to 50 seconds to compile for each number of candidates and
strata, and this two or three for all. Import it only where it is needed: it imports Numba and nutpie, and compiles.

K is the number of candidates, S of strata. Two vectors are handed about:

    x: the parameters, scales as logs, in the model's order: a, sa, z (S), m, ts, z_s (S), mu; and with K > 1 also
        tk, z_k (K), tks, z_ks (K x S), s, z_psi (K)
    data: K, S, the base's toxic completions (S), those that are not (S), and the cells n11, n10, n01, n00 (4 x K x S)
"""

# Numba infers the types of what it compiles.
# mypy: disable-error-code="no-untyped-def"

import dataclasses
from math import exp, expm1, isfinite, log, log1p, sqrt
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray
from nutpie.compile_pymc import CompiledPyMCModel

DATA = ("base_has", "base_has_not", "n11", "n10", "n01", "n00")

NUMBERS = types.CPointer(types.double)
JIT = numba.njit(error_model="numpy")
"""Division by zero gives a number that is not finite, which ends a trajectory, and not an exception."""


@JIT
def _normal(x, gradient, start, stop, mean, scale):
    """Write the gradient of normal priors and return their log density."""
    total = 0.0
    for i in range(start, stop):
        apart = (x[i] - mean) / scale
        gradient[i] = -apart / scale
        total -= 0.5 * apart * apart
    return total


@JIT
def _half_normal(x, gradient, i, scale):
    """The same for a half-normal prior, of which x holds the log."""
    square = (exp(x[i]) / scale) ** 2
    gradient[i] = 1.0 - square
    return x[i] - 0.5 * square


@JIT
def _places(candidates, strata):
    """Where m, tk, tks and s stand in x."""
    tk = 2 * strata + 5
    tks = tk + 1 + candidates
    return strata + 2, tk, tks, tks + 1 + candidates * strata


@JIT
def _priors(x, gradient, candidates, strata):
    """Write the gradient of the priors and return their log density."""
    m, tk, tks, spread = _places(candidates, strata)
    total = _normal(x, gradient, 0, 1, -3.0, 1.5) + _half_normal(x, gradient, 1, 1.0)
    total += _normal(x, gradient, 2, m, 0.0, 1.0)
    total += _normal(x, gradient, m, m + 1, 0.0, 0.7) + _half_normal(x, gradient, m + 1, 0.3)
    total += _normal(x, gradient, m + 2, tk - 1, 0.0, 1.0) + _normal(x, gradient, tk - 1, tk, 2.0, 1.5)
    if candidates > 1:
        total += _half_normal(x, gradient, tk, 0.7) + _normal(x, gradient, tk + 1, tks, 0.0, 1.0)
        total += _half_normal(x, gradient, tks, 0.3) + _normal(x, gradient, tks + 1, spread, 0.0, 1.0)
        total += _half_normal(x, gradient, spread, 0.5)
        total += _normal(x, gradient, spread + 1, spread + 1 + candidates, 0.0, 1.0)
    return total


@JIT
def _scales(x, candidates, strata):
    """sa, ts, tk, tks and s, the last three 0 where there is nothing to pool over candidates."""
    m, tk, tks, spread = _places(candidates, strata)
    if candidates > 1:
        return exp(x[1]), exp(x[m + 1]), exp(x[tk]), exp(x[tks]), exp(x[spread])
    return exp(x[1]), exp(x[m + 1]), 0.0, 0.0, 0.0


@JIT
def _predictors(x, scales, candidates, strata, k, s):
    """Logits of the base's and of the candidate's rate, and the log odds ratio, of candidate k and stratum s."""
    m, tk, tks, spread = _places(candidates, strata)
    sa, ts, by_candidate, by_both, by_odds = scales
    base = x[0] + sa * x[2 + s]
    shift = x[m] + ts * x[m + 2 + s]
    log_psi = x[tk - 1]
    if candidates > 1:
        shift += by_candidate * x[tk + 1 + k] + by_both * x[tks + 1 + k * strata + s]
        log_psi += by_odds * x[spread + 1 + k]
    return base, base + shift, log_psi


@JIT
def _rate(logit):
    """The rate of a logit, the log of the rate, and that of one minus it."""
    small = exp(-abs(logit))
    rate = 1 / (1 + small) if logit > 0 else small / (1 + small)
    log_rate = min(logit, 0.0) - log1p(small)
    return rate, log_rate, log_rate - logit


@JIT
def _table(p, logit_candidate, log_psi, n11, n10, n01, n00):
    """One table's log likelihood and its derivatives by the base's logit, the candidate's logit and log_psi.

    Terms as in ``hier_model.log_conditionals``; d11 to d00 are what stands beneath each cell's fraction there.
    """
    c, log_c, log_not_c = _rate(logit_candidate)
    kappa = expm1(log_psi)
    discordant = p * (1 - c) + c * (1 - p)
    apart = kappa * (p - c)
    root = sqrt(1 + 2 * kappa * discordant + apart * apart)
    d11, d10 = 1 + kappa * (p + c) + root, 1 - apart + root
    d01, d00 = 1 + apart + root, 1 + kappa * (2 - p - c) + root
    value = (n11 + n00) * log_psi + (n11 + n01) * log_c + (n10 + n00) * log_not_c
    value -= n11 * log(d11) + n10 * log(d10) + n01 * log(d01) + n00 * log(d00)
    w11, w10, w01, w00 = n11 / d11, n10 / d10, n01 / d01, n00 / d00
    by_root = -(w11 + w10 + w01 + w00) / root
    by_p = kappa * (w10 + w00 - w11 - w01 + by_root * (1 - 2 * c + apart))
    by_c = kappa * (w01 + w00 - w11 - w10 + by_root * (1 - 2 * p - apart))
    by_kappa = (w10 - w01) * (p - c) - w11 * (p + c) - w00 * (2 - p - c) + by_root * (discordant + apart * (p - c))
    by_candidate = by_c * c * (1 - c) + (n11 + n01) * (1 - c) - (n10 + n00) * c
    return value, by_p * p * (1 - p), by_candidate, by_kappa * (kappa + 1) + n11 + n00


@JIT
def _pooled(x, gradient, scale_at, scale, i, slope):
    """Add the gradient of scale x[i], by which the log density changes with the given slope."""
    gradient[i] += slope * scale
    gradient[scale_at] += slope * scale * x[i]


@JIT
def _stratum(x, gradient, data, scales, candidates, strata, s):
    """Add the gradient of one stratum's likelihood, all candidates together, and return its log."""
    m, tk, tks, spread = _places(candidates, strata)
    sa, ts, by_candidate, by_both, by_odds = scales
    p, log_p, log_not_p = _rate(x[0] + sa * x[2 + s])
    has, has_not = data[2 + s], data[2 + strata + s]
    total = has * log_p + has_not * log_not_p
    base_slope = has * (1 - p) - has_not * p
    shift_slope = 0.0
    size = candidates * strata
    for k in range(candidates):
        _, logit, log_psi = _predictors(x, scales, candidates, strata, k, s)
        at = 2 + 2 * strata + k * strata + s
        value, slope_b, slope_c, slope_psi = _table(
            p, logit, log_psi, data[at], data[at + size], data[at + 2 * size], data[at + 3 * size]
        )
        total += value
        base_slope += slope_b + slope_c
        shift_slope += slope_c
        gradient[tk - 1] += slope_psi
        if candidates > 1:
            _pooled(x, gradient, tk, by_candidate, tk + 1 + k, slope_c)
            _pooled(x, gradient, tks, by_both, tks + 1 + k * strata + s, slope_c)
            _pooled(x, gradient, spread, by_odds, spread + 1 + k, slope_psi)
    gradient[0] += base_slope
    gradient[m] += shift_slope
    _pooled(x, gradient, 1, sa, 2 + s, base_slope)
    _pooled(x, gradient, m + 1, ts, m + 2 + s, shift_slope)
    return total


@numba.cfunc(types.int64(types.uint64, NUMBERS, NUMBERS, NUMBERS, types.voidptr))
def log_density(size, x, gradient, value, data):
    """The log density and its gradient, as nutpie calls them: 0 is success, 1 a number that is not finite."""
    numbers = numba.carray(data, 2, types.double)
    candidates, strata = int(numbers[0]), int(numbers[1])
    numbers = numba.carray(data, 2 + 2 * strata + 4 * candidates * strata, types.double)
    point, slopes = numba.carray(x, size), numba.carray(gradient, size)
    total = _priors(point, slopes, candidates, strata)
    scales = _scales(point, candidates, strata)
    for s in range(strata):
        total += _stratum(point, slopes, numbers, scales, candidates, strata, s)
    value[0] = total
    for slope in slopes:
        total += slope
    return 0 if isfinite(total) else 1


@numba.cfunc(types.int64(types.uint64, types.uint64, NUMBERS, NUMBERS, types.voidptr))
def rates(size, expanded, x, out, data):
    """The base's rates (S), the candidates' (K x S) and the log odds ratios (K) of a point, as nutpie calls them."""
    numbers = numba.carray(data, 2, types.double)
    candidates, strata = int(numbers[0]), int(numbers[1])
    point = numba.carray(x, size)
    scales = _scales(point, candidates, strata)
    for k in range(candidates):
        for s in range(strata):
            base, candidate, log_psi = _predictors(point, scales, candidates, strata, k, s)
            out[s] = _rate(base)[0]
            out[strata + k * strata + s] = _rate(candidate)[0]
            out[strata + candidates * strata + k] = log_psi
    return 0


def model(data: dict[str, NDArray[np.float64]]) -> Any:
    """The model of these counts, ready for ``nutpie.sample``; it reports base, candidate and log_psi.

    It is the one nutpie makes of a PyMC model, with the functions above in place of PyTensor's. Nutpie's own way to
    bring functions, ``from_pyfunc``, calls them through Python, whose lock the chains then wait for: five times slower.

    Args:
        data: ``DATA`` -> counts, which may be fractional: the base's of shape (S,), the cells of shape (K, S).
    """
    candidates, strata = data["n11"].shape
    shapes = {"base": (strata,), "candidate": (candidates, strata), "log_psi": (candidates,)}
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()]).tolist()
    slices = [slice(*pair) for pair in zip([0, *ends[:-1]], ends, strict=True)]
    start = _start(candidates, strata)
    # Fields that only serve PyTensor's functions differ between versions of nutpie, and stay empty.
    fields: dict[str, Any] = {field.name: None for field in dataclasses.fields(CompiledPyMCModel)}
    fields |= {
        "dims": {},
        "_coords": {},
        "_n_dim": start.size,
        "_shapes": shapes,
        "compiled_logp_func": log_density,
        "compiled_expand_func": rates,
        "initial_point_func": lambda seed: start + np.random.default_rng(seed).uniform(-1, 1, start.size),
        "user_data": np.concatenate([[candidates, strata], *(np.ravel(data[name]) for name in DATA)]),
        "n_expanded": ends[-1],
        "shape_info": (list(shapes), slices, list(shapes.values())),
    }
    return CompiledPyMCModel(**fields)


def _start(candidates: int, strata: int) -> NDArray[np.float64]:
    """Where chains start, give or take 1: the priors' centres."""
    standard = np.zeros(strata)
    start = [np.array([-3, 0]), standard, np.array([0, np.log(0.3)]), standard, np.array([2])]
    if candidates > 1:
        pooled = [(0.7, candidates), (0.3, candidates * strata), (0.5, candidates)]
        start += [np.concatenate([[np.log(scale)], np.zeros(size)]) for scale, size in pooled]
    return np.concatenate(start, dtype=float)
