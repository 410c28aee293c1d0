"""The log density of ``hier_paired``'s model and its gradient, written out for Numba.

``model.py`` states the model in PyMC; this is the same density up to a constant, and a test compares the two. It is
written out because PyTensor's Numba code takes 20 to 50 seconds to compile for each number of strata, and this two or
three for all, once. Import it only where it is needed: it imports Numba and nutpie.

Effects that the data know well are sampled as themselves, those they hardly know by their standard scores, and others
in between (partial non-centring: Papaspiliopoulos, Roberts & Sköld 2007, Statistical Science 22(1), section 2.2). With
mean mu, scale tau and a weight w in 0..1, an effect theta = mu + tau z is x = w mu + tau^w z in the vector below, where
z is its standard score. Standard scores alone take 30 times as many steps with a million prompts.

Chains are slow in heavy tails. So the Cauchy score of m is sinh(x), where x has the density 1 / cosh(x) up to a
constant; and where the data hardly know it, a shift's score, which is Student's t with two degrees of freedom, is
sqrt(2) sinh(x / 2), where x has the density 1 / cosh(x / 2)^2, that of the logistic distribution.

S is the number of strata. Two vectors are handed about:

    x: the parameters, scales as logs, in the model's order: a, sa, middle (S), m (as such an x), ts, shift
        (S), log_psi
    data: S, the base's toxic completions (S), those that are not (S), the cells n11, n10, n01, n00 (4 x S), and the
        weights of middle (S) and shift (S)
"""

# Numba infers the types of what it compiles.
# mypy: disable-error-code="no-untyped-def"

import dataclasses
from math import cosh, exp, expm1, isfinite, log, log1p, sinh, sqrt, tanh
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray
from nutpie.compile_pymc import CompiledPyMCModel

from toxaudit.estimators.hierarchical import priors
from toxaudit.estimators.hierarchical.compiling import compiled
from toxaudit.estimators.hierarchical.start import known, starts

DATA = ("base_has", "base_has_not", "n11", "n10", "n01", "n00")

SQRT_2 = 2**0.5

HARDLY = 0.5
"""Weight below which the data hardly know a shift."""

NUMBERS = types.CPointer(types.double)
JIT = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Division by zero gives a number that is not finite, which ends a trajectory, and not an exception. Nothing but what
is compiled calls these, so that ways in for Python and C, a fifth of what there is to compile, are left out."""


@JIT
def _normal(x, gradient, i, mean, scale):
    """Write the gradient of a normal prior and return its log density."""
    apart = (x[i] - mean) / scale
    gradient[i] = -apart / scale
    return -0.5 * apart * apart


@JIT
def _half_normal(x, gradient, i, value, scale):
    """The same for a half-normal prior of a value, of which x holds the log."""
    square = (value / scale) ** 2
    gradient[i] = 1.0 - square
    return x[i] - 0.5 * square


@JIT
def _log_cosh(x):
    """The log of cosh(x), up to a constant, for any x."""
    return abs(x) + log1p(exp(-2 * abs(x)))


@JIT
def _student(score):
    """The log density of Student's t with two degrees of freedom and its derivative."""
    return -1.5 * log1p(score * score / 2), -3 * score / (2 + score * score)


@JIT
def _shared(x, strata):
    """What all strata share of a point: both scales, the mean of shifts, its derivative by m over M, and kappa.

    Functions of single numbers take most of the time, so none of these is computed twice.
    """
    m = strata + 2
    return exp(x[1]), exp(x[m + 1]), priors.M * sinh(x[m]), cosh(x[m]), expm1(x[2 * strata + 4])


@JIT
def _priors(x, gradient, strata, sa, ts):
    """Write the gradient of the priors of all but the effects, and return their log density."""
    m = strata + 2
    gradient[:] = 0.0
    total = _normal(x, gradient, 0, *priors.A) + _half_normal(x, gradient, 1, sa, priors.SA)
    total += _half_normal(x, gradient, m + 1, ts, priors.TS) + _normal(x, gradient, 2 * strata + 4, *priors.LOG_PSI)
    gradient[m] = -tanh(x[m])
    return total - _log_cosh(x[m])


@JIT
def _effect(x, mean, scale, log_scale, weight):
    """An effect, its standard score, and by what that grows with x."""
    inside = exp(-weight * log_scale)
    score = (x - weight * mean) * inside
    return mean + scale * score, score, inside


@JIT
def _pull(gradient, i, scale_at, scale, score, inside, weight, slope, own):
    """Add the gradient of effect x[i] and of its log scale, by which the log density changes with the given slope.

    ``own`` is the derivative of the log prior of its standard score, ``inside`` as ``_effect`` returns it.

    Returns:
        The derivative by the effect's mean.
    """
    by_score = slope * scale + own
    gradient[i] += by_score * inside
    gradient[scale_at] += slope * scale * score - weight * (by_score * score + 1)
    return slope - weight * by_score * inside


@JIT
def _middle(x, data, strata, s, sa):
    """The middle of both arms' logits in stratum s, its standard score, and by what that grows with x."""
    return _effect(x[2 + s], x[0], sa, x[1], data[1 + 6 * strata + s])


@JIT
def _shift(x, data, strata, s, mean, ts):
    """The shift of the logit in stratum s, its standard score, and by what that grows with x where the data know it."""
    m, weight = strata + 2, data[1 + 7 * strata + s]
    if weight < HARDLY:
        score = SQRT_2 * sinh(x[m + 2 + s] / 2)
        return mean + ts * score, score, 0.0
    return _effect(x[m + 2 + s], mean, ts, x[m + 1], weight)


@JIT
def _pull_shift(x, gradient, data, strata, s, ts, slope_of_m, score, inside, slope):
    """Add the gradient of the shift in stratum s, of its mean and of its log scale; return its prior's log density."""
    m, weight = strata + 2, data[1 + 7 * strata + s]
    at = m + 2 + s
    by_mean = slope
    if weight < HARDLY:
        half = x[at] / 2
        gradient[at] += slope * ts * cosh(half) / SQRT_2 - tanh(half)
        gradient[m + 1] += slope * ts * score
        prior = -2 * _log_cosh(half)
    else:
        value, own = _student(score)
        by_mean = _pull(gradient, at, m + 1, ts, score, inside, weight, slope, own)
        prior = value - weight * x[m + 1]
    gradient[m] += by_mean * priors.M * slope_of_m
    return prior


@JIT
def _rate(logit):
    """The rate of a logit, the log of the rate, and that of one minus it."""
    small = exp(-abs(logit))
    rate = 1 / (1 + small) if logit > 0 else small / (1 + small)
    log_rate = min(logit, 0.0) - log1p(small)
    return rate, log_rate, log_rate - logit


@JIT
def _table(p, logit_candidate, log_psi, kappa, n11, n10, n01, n00):
    """One table's log likelihood and its derivatives by the base's logit, the candidate's logit and log_psi.

    Terms as in ``model.log_conditionals``; d11 to d00 are what stands beneath each cell's fraction there.
    """
    c, log_c, log_not_c = _rate(logit_candidate)
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
def _stratum(x, gradient, data, strata, s, shared):
    """Add the gradient of one stratum's likelihood and effects, and return their log density."""
    odds = 2 * strata + 4
    sa, ts, mean, slope_of_m, kappa = shared
    middle, middle_score, middle_inside = _middle(x, data, strata, s, sa)
    shift, shift_score, shift_inside = _shift(x, data, strata, s, mean, ts)
    p, log_p, log_not_p = _rate(middle - shift / 2)
    has, has_not = data[1 + s], data[1 + strata + s]
    n11, n10 = data[1 + 2 * strata + s], data[1 + 3 * strata + s]
    n01, n00 = data[1 + 4 * strata + s], data[1 + 5 * strata + s]
    value, base_slope, slope, odds_slope = _table(p, middle + shift / 2, x[odds], kappa, n11, n10, n01, n00)
    base_slope += has * (1 - p) - has_not * p
    gradient[odds] += odds_slope
    by_shift = (slope - base_slope) / 2
    prior = _pull_shift(x, gradient, data, strata, s, ts, slope_of_m, shift_score, shift_inside, by_shift)
    weight = data[1 + 6 * strata + s]
    gradient[0] += _pull(gradient, 2 + s, 1, sa, middle_score, middle_inside, weight, slope + base_slope, -middle_score)
    prior -= 0.5 * middle_score * middle_score + weight * x[1]
    return value + has * log_p + has_not * log_not_p + prior


@JIT
def _numbers(data):
    """S and the whole vector of data behind a pointer to it."""
    strata = int(numba.carray(data, 1, types.double)[0])
    return strata, numba.carray(data, 1 + 8 * strata, types.double)


@compiled(types.int64(types.uint64, NUMBERS, NUMBERS, NUMBERS, types.voidptr))
def log_density(size, x, gradient, value, data):
    """The log density and its gradient, as nutpie calls them: 0 is success, 1 a number that is not finite."""
    strata, numbers = _numbers(data)
    point, slopes = numba.carray(x, size), numba.carray(gradient, size)
    shared = _shared(point, strata)
    total = _priors(point, slopes, strata, shared[0], shared[1])
    for s in range(strata):
        total += _stratum(point, slopes, numbers, strata, s, shared)
    value[0] = total
    for slope in slopes:
        total += slope
    return 0 if isfinite(total) else 1


@compiled(types.int64(types.uint64, types.uint64, NUMBERS, NUMBERS, types.voidptr))
def rates(size, expanded, x, out, data):
    """The base's rates (S), the candidate's (S) and the log odds ratio of a point, as nutpie calls them."""
    strata, numbers = _numbers(data)
    point = numba.carray(x, size)
    sa, ts, mean, _, _ = _shared(point, strata)
    for s in range(strata):
        middle, shift = _middle(point, numbers, strata, s, sa)[0], _shift(point, numbers, strata, s, mean, ts)[0]
        out[s] = _rate(middle - shift / 2)[0]
        out[strata + s] = _rate(middle + shift / 2)[0]
    out[2 * strata] = point[2 * strata + 4]
    return 0


def model(data: dict[str, NDArray[np.float64]]) -> Any:
    """The model of these counts, ready for ``nutpie.sample``; it reports base, candidate and log_psi.

    It is the one nutpie makes of a PyMC model, with the functions above in place of PyTensor's. Nutpie's own way to
    bring functions, ``from_pyfunc``, calls them through Python, whose lock the chains then wait for: five times slower.

    Args:
        data: ``DATA`` -> counts of each stratum, shape (S,), which may be fractional.
    """
    strata = len(data["n11"])
    shapes = {"base": (strata,), "candidate": (strata,), "log_psi": ()}
    slices = [slice(0, strata), slice(strata, 2 * strata), slice(2 * strata, 2 * strata + 1)]
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
        "user_data": np.concatenate([[strata], *(data[name] for name in DATA), *weights]),
        "n_expanded": 2 * strata + 1,
        "shape_info": (list(shapes), slices, list(shapes.values())),
    }
    return CompiledPyMCModel(**fields)
