"""Simulation-based calibration of the hierarchical model: where truths come from its prior, ranks are uniform.

Talts et al. 2018 (arXiv:1804.06788, theorem 1): draw parameters from the prior, data from these, and posterior draws
from the data; the rank of the parameter among its draws is then uniform, whatever the model, if all is coded right.
The prior is written here a second time, in NumPy and from the documentation, so that a slip in the model shows.
"""

from typing import Any

import numpy as np

from toxaudit.estimators.hier_paired import HierPaired
from toxaudit.estimators.outcomes import Floats
from toxaudit.estimators.posterior import Posterior
from toxaudit.records import OBSERVED
from toxaudit.studies.findings import Bar, Plot, Series, Study, share
from toxaudit.studies.worlds import SLICE, Counts, logistic, of_tables

REQUIRED = 0.01
KEPT = 99
"""Draws kept of each posterior, so that a rank is one of 100."""

TINY = 1e-15
"""The smallest distance of a rate from 0 and 1: heavy tails give some that no number tells from them."""

FIT: dict[str, Any] = {"draws": 250, "tune": 300, "chains": 4}
"""Settings of a fit."""


def prior(strata: int, random: np.random.Generator) -> tuple[Floats, Floats, float]:
    """One draw of the prior documented in ``HierPaired``.

    Returns:
        The base's rates and the candidate's, each of shape (S,); the odds ratio.
    """
    middle = random.normal(-3, 1.5) + abs(random.normal(0, 1)) * random.normal(size=strata)
    shift = 0.15 * random.standard_cauchy() + abs(random.normal(0, 0.2)) * random.standard_t(2, size=strata)
    psi = float(np.exp(random.normal(2, 1.5)))
    return logistic(middle - shift / 2), logistic(middle + shift / 2), psi


def tables(base: Floats, candidate: Floats, psi: float, n: int, random: np.random.Generator) -> Counts:
    """Tables, shape (S, 4), of n prompts per stratum whose arms an odds ratio ties (Plackett 1965, JASA 60)."""
    a = 1 + (base + candidate) * (psi - 1)
    both = 2 * psi * base * candidate / (a + np.sqrt(a**2 - 4 * psi * (psi - 1) * base * candidate))
    has = random.binomial(n, base)
    n11 = random.binomial(has, np.clip(both / base, 0, 1))
    n01 = random.binomial(n - has, np.clip((candidate - both) / (1 - base), 0, 1))
    return np.stack([n11, has - n11, n01, n - has - n01], axis=-1)


def quantities(base: Floats, candidate: Floats) -> dict[str, Floats]:
    """What is ranked: rates and changes, and what follows from these of the hyper-parameters.

    Args:
        base: shape (D, S), rates.
        candidate: shape (D, S).

    Returns:
        Name -> shape (D,).
    """
    shift = _logit(candidate) - _logit(base)
    change = candidate - base
    return {
        "base, total": base.mean(-1),
        "change, total": change.mean(-1),
        "change, one slice": change[:, 0],
        "candidate, one slice": candidate[:, -1],
        "mean shift (m)": np.median(shift, axis=1),
        "shifts' spread over slices (ts)": shift.std(1),
        "base's spread over slices (sa)": _logit(base).std(1),
    }


def _logit(rates: Floats) -> Floats:
    inside = rates.clip(TINY, 1 - TINY)
    found: Floats = np.log(inside) - np.log1p(-inside)
    return found


def _draws(posteriors: list[Posterior], strata: int) -> tuple[Floats, Floats]:
    """``KEPT`` draws of the rates of base and candidate, evenly spaced, each of shape (KEPT, S)."""
    by = {each.slice: each.draws for each in posteriors if each.variant == OBSERVED}
    titles = [f"{SLICE}=s{s}" for s in range(strata)]
    step = len(by[titles[0]]["base"]) // KEPT
    kept = slice(step - 1, step * KEPT, step)
    base, candidate = (np.stack([by[title][arm][kept] for title in titles], axis=-1) for arm in ("base", "candidate"))
    return base, candidate


def _ranks(settings: dict[str, Any], strata: int, n: int, random: np.random.Generator) -> dict[str, float]:
    """One data set: the share of posterior draws below each true quantity, evenly spread within its rank."""
    base, candidate, psi = prior(strata, random)
    outcomes = of_tables(tables(base, candidate, psi, n, random)[None])
    draws = quantities(*_draws(HierPaired(**settings).estimate(outcomes), strata))
    truths = quantities(base[None], candidate[None])
    return {name: (int((draws[name] < truth).sum()) + random.random()) / (KEPT + 1) for name, truth in truths.items()}


def sbc(fits: int, fit: dict[str, Any] = FIT, strata: int = 5, n: int = 200, seed: int = 9) -> Study:
    """Ranks of true rates, changes and shifts among their posterior draws.

    Args:
        fits: simulated data sets.
        fit: settings of ``hier_paired``.
        strata: S of each.
        n: prompts per stratum.
        seed: of prior and data.
    """
    from scipy.stats import kstest

    random = np.random.default_rng(seed)
    places = [_ranks(fit | {"seed": number}, strata, n, random) for number in range(fits)]
    rows, bars, series = [], [], []
    for name in places[0]:
        found = np.array([each[name] for each in places])
        p = float(kstest(found, "uniform").pvalue)
        inside = [float((np.abs(found - 0.5) < mass / 2).mean()) for mass in (0.95, 0.5)]
        rows.append((name, share(p), share(float(found.mean())), *map(share, inside)))
        bars.append(Bar(f"SBC: KS p, {name}", "at least", REQUIRED, p))
        series.append(Series(name, list(np.sort(found)), list((np.arange(fits) + 0.5) / fits)))
    return Study(
        "sbc",
        "Simulation-based calibration of the hierarchical model",
        "Does the model's posterior mean what it says, where the truth comes from its own prior?",
        f"{fits:,} data sets of {strata} slices of {n} prompts. A rank of 0 is a truth "
        "below all its posterior draws, 1 one above all. Ranks must be uniform: mean .5, half of them in the middle "
        "half. KS p is the Kolmogorov-Smirnov test's; each of seven has one chance in a hundred to lie below .01 "
        "though all is right.",
        ("quantity", "KS p", "mean rank", "in the middle 95 %", "in the middle 50 %"),
        tuple(rows),
        tuple(bars),
        Plot("rank of the truth among posterior draws", "share of data sets below", tuple(series), diagonal=True),
    )
