"""The log density of ``hier_paired``'s model and its gradient, written out for Numba.

``hier_model`` states the model in PyMC; this is the same density up to a constant, and a test compares the two. It is
written out because PyTensor's Numba code takes 20 to 50 seconds to compile for each number of candidates and strata,
and this two or three for all, once. Import it only where it is needed: it imports Numba and nutpie.

Effects that the data know well are sampled as themselves, those they hardly know by their standard scores, and others
in between (partial non-centring: Papaspiliopoulos, Roberts & Sköld 2007, Statistical Science 22(1), section 2.2). With
mean mu, scale tau and a weight w in 0..1, an effect theta ~ N(mu, tau) is x ~ N(w mu, tau^w) in the vector below, its
standard score z = (x - w mu) / tau^w. Standard scores alone take 30 times as many steps with a million prompts.

K is the number of candidates, S of strata. Two vectors are handed about:

    x: the parameters, scales as logs, in the model's order: a, sa, base (S), m, ts, by stratum (S), mu; and with K > 1
        also tk, by candidate (K), tks, by both (K x S), s, odds (K)
    data: K, S, the base's toxic completions (S), those that are not (S), the cells n11, n10, n01, n00 (4 x K x S), and
        the weights of base (S), by stratum (S), by both (K x S) and odds (K); the effects by candidate have weight 0
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

from toxaudit.estimators.hierarchical.compiling import compiled
from toxaudit.estimators.hierarchical.start import known, starts

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
    """Write the gradient of the priors of all but the effects, and return their log density."""
    m, tk, tks, spread = _places(candidates, strata)
    gradient[:] = 0.0
    total = _normal(x, gradient, 0, 1, -3.0, 1.5) + _half_normal(x, gradient, 1, 1.0)
    total += _normal(x, gradient, m, m + 1, 0.0, 0.7) + _half_normal(x, gradient, m + 1, 0.3)
    total += _normal(x, gradient, tk - 1, tk, 2.0, 1.5)
    if candidates > 1:
        total += _half_normal(x, gradient, tk, 0.7) + _half_normal(x, gradient, tks, 0.3)
        total += _half_normal(x, gradient, spread, 0.5)
    return total


@JIT
def _weights(candidates, strata):
    """Where the weights of base, by stratum, by both and odds begin in data."""
    base = 2 + 2 * strata + 4 * candidates * strata
    return base, base + strata, base + 2 * strata, base + 2 * strata + candidates * strata


@JIT
def _effect(x, mean, log_scale, weight):
    """An effect and its standard score."""
    score = (x - weight * mean) * exp(-weight * log_scale)
    return mean + exp(log_scale) * score, score


@JIT
def _pull(x, gradient, i, scale_at, score, weight, slope):
    """Add the gradient of effect x[i] and of its log scale, by which the log density changes with the given slope.

    Returns:
        The derivative by the effect's mean, and the log density of its prior.
    """
    by_score = slope * exp(x[scale_at]) - score
    inside = exp(-weight * x[scale_at])
    gradient[i] += by_score * inside
    gradient[scale_at] += slope * exp(x[scale_at]) * score - weight * (by_score * score + 1)
    return slope - weight * by_score * inside, -0.5 * score * score - weight * x[scale_at]


@JIT
def _odds(x, data, candidates, strata, k):
    """The log odds ratio of candidate k and its standard score."""
    _, tk, _, spread = _places(candidates, strata)
    if candidates == 1:
        return x[tk - 1], 0.0
    return _effect(x[spread + 1 + k], x[tk - 1], x[spread], data[_weights(candidates, strata)[3] + k])


@JIT
def _base(x, data, candidates, strata, s):
    """The logit of the base's rate in stratum s and its standard score."""
    return _effect(x[2 + s], x[0], x[1], data[_weights(candidates, strata)[0] + s])


@JIT
def _by_stratum(x, data, candidates, strata, s):
    """The shift of all candidates in stratum s and its standard score."""
    m = strata + 2
    return _effect(x[m + 2 + s], x[m], x[m + 1], data[_weights(candidates, strata)[1] + s])


@JIT
def _by_candidate(x, candidates, strata, k):
    """The shift of candidate k in all strata, beyond that of all candidates, and its standard score."""
    if candidates == 1:
        return 0.0, 0.0
    tk = _places(candidates, strata)[1]
    return _effect(x[tk + 1 + k], 0.0, x[tk], 0.0)


@JIT
def _shift(x, data, candidates, strata, k, s, mean):
    """The shift of candidate k in stratum s and its standard score, given its mean by candidate and by stratum."""
    if candidates == 1:
        return mean, 0.0
    tks, at = _places(candidates, strata)[2], k * strata + s
    return _effect(x[tks + 1 + at], mean, x[tks], data[_weights(candidates, strata)[2] + at])


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
def _stratum(x, gradient, data, own, odds, slopes, candidates, strata, s):
    """Add the gradient of one stratum's likelihood and effects, and return their log density.

    ``own`` and ``odds`` are the candidates' shifts and log odds ratios; derivatives by these are added to ``slopes``,
    shape (2, K).
    """
    m, _, tks, _ = _places(candidates, strata)
    weights = _weights(candidates, strata)
    logit_base, base_score = _base(x, data, candidates, strata, s)
    shared, shared_score = _by_stratum(x, data, candidates, strata, s)
    p, log_p, log_not_p = _rate(logit_base)
    has, has_not = data[2 + s], data[2 + strata + s]
    total = has * log_p + has_not * log_not_p
    base_slope = has * (1 - p) - has_not * p
    shared_slope = 0.0
    size = candidates * strata
    for k in range(candidates):
        shift, score = _shift(x, data, candidates, strata, k, s, shared + own[k])
        at = 2 + 2 * strata + k * strata + s
        value, slope_b, slope_c, slope_psi = _table(
            p, logit_base + shift, odds[k], data[at], data[at + size], data[at + 2 * size], data[at + 3 * size]
        )
        total += value
        base_slope += slope_b + slope_c
        if candidates > 1:
            i = k * strata + s
            slope_c, prior = _pull(x, gradient, tks + 1 + i, tks, score, data[weights[2] + i], slope_c)
            total += prior
        slopes[0, k] += slope_c
        slopes[1, k] += slope_psi
        shared_slope += slope_c
    slope, prior = _pull(x, gradient, m + 2 + s, m + 1, shared_score, data[weights[1] + s], shared_slope)
    gradient[m] += slope
    total += prior
    slope, prior = _pull(x, gradient, 2 + s, 1, base_score, data[weights[0] + s], base_slope)
    gradient[0] += slope
    return total + prior


@JIT
def _total(x, gradient, data, candidates, strata):
    """Write the gradient and return the log density."""
    _, tk, _, spread = _places(candidates, strata)
    weights = _weights(candidates, strata)
    total = _priors(x, gradient, candidates, strata)
    effects, scores, slopes = np.empty((2, candidates)), np.empty((2, candidates)), np.zeros((2, candidates))
    for k in range(candidates):
        effects[0, k], scores[0, k] = _by_candidate(x, candidates, strata, k)
        effects[1, k], scores[1, k] = _odds(x, data, candidates, strata, k)
    for s in range(strata):
        total += _stratum(x, gradient, data, effects[0], effects[1], slopes, candidates, strata, s)
    for k in range(candidates):
        slope = slopes[1, k]
        if candidates > 1:
            _, prior = _pull(x, gradient, tk + 1 + k, tk, scores[0, k], 0.0, slopes[0, k])
            total += prior
            slope, prior = _pull(x, gradient, spread + 1 + k, spread, scores[1, k], data[weights[3] + k], slope)
            total += prior
        gradient[tk - 1] += slope
    return total


@JIT
def _numbers(data):
    """K, S and the whole vector of data behind a pointer to it."""
    head = numba.carray(data, 2, types.double)
    candidates, strata = int(head[0]), int(head[1])
    size = _weights(candidates, strata)[3] + candidates
    return candidates, strata, numba.carray(data, size, types.double)


@compiled(types.int64(types.uint64, NUMBERS, NUMBERS, NUMBERS, types.voidptr))
def log_density(size, x, gradient, value, data):
    """The log density and its gradient, as nutpie calls them: 0 is success, 1 a number that is not finite."""
    candidates, strata, numbers = _numbers(data)
    slopes = numba.carray(gradient, size)
    total = _total(numba.carray(x, size), slopes, numbers, candidates, strata)
    value[0] = total
    for slope in slopes:
        total += slope
    return 0 if isfinite(total) else 1


@compiled(types.int64(types.uint64, types.uint64, NUMBERS, NUMBERS, types.voidptr))
def rates(size, expanded, x, out, data):
    """The base's rates (S), the candidates' (K x S) and the log odds ratios (K) of a point, as nutpie calls them."""
    candidates, strata, numbers = _numbers(data)
    point = numba.carray(x, size)
    for s in range(strata):
        base = _base(point, numbers, candidates, strata, s)[0]
        shared = _by_stratum(point, numbers, candidates, strata, s)[0]
        out[s] = _rate(base)[0]
        for k in range(candidates):
            own = _by_candidate(point, candidates, strata, k)[0]
            shift = _shift(point, numbers, candidates, strata, k, s, shared + own)[0]
            out[strata + k * strata + s] = _rate(base + shift)[0]
    for k in range(candidates):
        out[strata + candidates * strata + k] = _odds(point, numbers, candidates, strata, k)[0]
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
    estimates, weights = known(data)
    start = starts(estimates, weights)
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
        "user_data": np.concatenate([[candidates, strata], *(np.ravel(data[name]) for name in DATA), *weights]),
        "n_expanded": ends[-1],
        "shape_info": (list(shapes), slices, list(shapes.values())),
    }
    return CompiledPyMCModel(**fields)
