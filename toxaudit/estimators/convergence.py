"""Whether chains agree, and how many independent draws theirs are worth (Vehtari et al. 2021, Bayesian Analysis 16(2)).

ArviZ computes the same, to the last bit in its version 0.23. To import it takes longer than an audit's sampling, since
it brings plots along, and it ranks draws of one quantity three times.
"""

from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TAILS = (0.05, 0.95)
"""The quantiles whose chances tell how well tails are known."""


def convergence(chains: Floats) -> tuple[float, float]:
    """R-hat and the effective sample size of one quantity: the worse of bulk and tails.

    Args:
        chains: shape (chains, draws), at least 2 chains of 4 draws.

    Returns:
        Both, not a number where the draws say nothing of it.
    """
    if np.isnan(chains).any():
        return float("nan"), float("nan")
    halves = _halves(chains)
    bulk = _normal_scores(halves)
    ordered = np.sort(chains, axis=None)
    with np.errstate(divide="ignore", invalid="ignore"):  # of chains that never moved
        folded = _normal_scores(np.abs(halves - np.median(halves)))
        rhat = max(_rhat(bulk), _rhat(folded))
        tails = [_effective(_halves((chains <= _quantile(ordered, at)).astype(float))) for at in TAILS]
        return float(rhat), float(np.min([_effective(bulk), *tails]))


def _halves(chains: Floats) -> Floats:
    """The first halves of all chains, then the second ones: a chain that drifts disagrees with itself."""
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def _normal_scores(values: Floats) -> Floats:
    """What a standard normal distribution has in the place of each value among all: Blom's scores of average ranks."""
    flat = values.ravel()
    order = np.argsort(flat)
    ordered = flat[order]
    places = np.arange(1, flat.size + 1)
    differs = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])
    first = np.maximum.accumulate(np.where(differs[:-1], places, 0))
    last = np.minimum.accumulate(np.where(differs[1:], places, flat.size)[::-1])[::-1]
    scores = np.empty(flat.size)
    scores[order] = _scores_of_ranks(flat.size)[first + last]
    return scores.reshape(values.shape)


@lru_cache(maxsize=4)
def _scores_of_ranks(size: int) -> Floats:
    """Twice a rank among so many -> its normal score; of equal values a rank may lie between two whole numbers."""
    from scipy.special import ndtri

    scores: Floats = ndtri((np.arange(2 * size + 1) / 2 - 3 / 8) / (size - 2 * (3 / 8) + 1))
    return scores


def _variance(values: Floats) -> Floats:
    """The sample variance along the last axis, by sums in the order of the values."""
    n = values.shape[-1]
    total, squares = np.cumsum(values, axis=-1)[..., -1], np.cumsum(values * values, axis=-1)[..., -1]
    found: Floats = (squares / n - (total / n) ** 2) * (n / (n - 1))
    return found


def _rhat(chains: Floats) -> float:
    """How much larger the spread of all draws is than that within chains."""
    n = chains.shape[1]
    between = n * _variance(chains.mean(axis=1))
    return float(np.sqrt((between / np.mean(_variance(chains)) + n - 1) / n))


def _quantile(ordered: Floats, at: float) -> float:
    """A quantile of sorted values, between the two nearest in proportion."""
    place = ordered.size * at + (1 - at)
    below = int(np.clip(place, 1, ordered.size - 1))
    share = min(max(place - below, 0.0), 1.0)
    return float((1 - share) * ordered[below - 1] + share * ordered[below])


def _effective(chains: Floats) -> float:
    """The effective sample size, by the correlations up to where their sums in pairs are no longer positive (Geyer)."""
    if np.ptp(chains) < np.finfo(float).resolution:
        return chains.size
    count, n = chains.shape
    covariance = _autocovariance(chains)
    within = covariance[0] * n / (n - 1.0)
    spread = within * (n - 1.0) / n + _variance(chains.mean(axis=1))
    correlation = 1.0 - (within - covariance) / spread
    correlation[0] = 1.0
    if np.isnan(correlation[1]):
        return float("nan")
    kept = _falling(correlation.tolist())
    size = count * n
    return float(size / max(-1.0 + 2.0 * np.sum(kept[:-1]) + kept[-1], 1 / np.log10(size)))


def _falling(correlation: list[float]) -> list[float]:
    """The correlations by lag, in pairs, as far as these are positive; made to fall, where they rise.

    After them stands that of the next lag, or 0 where it counts no more.
    """
    pairs = [list(pair) for pair in zip(correlation[::2], correlation[1::2], strict=False)]
    last = max(0, len(correlation) // 2 - 2 + len(correlation) % 2)  # beyond, too few draws are that far apart
    end = next((at for at, pair in enumerate(pairs[:last]) if not sum(pair) > 0), last)
    for earlier, later in pairwise(pairs[:end]):
        if sum(later) > sum(earlier):
            later[:] = [sum(earlier) / 2] * 2
    even, odd = pairs[end]
    return [*chain.from_iterable(pairs[:end]), even if even > 0 or even + odd >= 0 else 0.0]


def _autocovariance(chains: Floats) -> Floats:
    """The autocovariance at every lag, as the mean of all chains."""
    from scipy.fftpack import next_fast_len

    n = chains.shape[1]
    length = next_fast_len(2 * n)
    waves = np.fft.rfft(chains - chains.mean(axis=1, keepdims=True), n=length, axis=1)
    lags = np.fft.irfft(waves * np.conjugate(waves), n=length, axis=1)[:, :n] / n
    means: Floats = np.ascontiguousarray(lags.T).mean(axis=1)
    return means
