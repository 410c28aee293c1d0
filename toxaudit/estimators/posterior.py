"""What comes out of an estimator: posterior draws of both rates, and their summary."""

from dataclasses import dataclass, field

import numpy as np

from toxaudit.estimators.outcomes import Floats
from toxaudit.records import OBSERVED, Diagnostics, Estimate, Quantity, digest

FEWEST_EVENTS = 5
"""Prompts with the outcome in each arm below which a ratio of rates is not reported."""


@dataclass(frozen=True)
class Posterior:
    """Posterior draws of one candidate's rate and its base's, on one suite or one slice of it.

    ``draws`` holds ``base`` and ``candidate``, each of shape (draws,). ``cautious`` holds draws of the change under the
    prior by which a GO is decided (see ``facts.AGAINST``), of the same shape; None where the estimator never decides
    one.
    The other fields are those of ``records.Estimate``.
    """

    candidate: str
    suite: str
    measure: str
    slice: str
    estimator: str
    n: int
    missing: dict[str, int]
    counts: dict[str, float]
    draws: dict[str, Floats]
    variant: str = OBSERVED
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    samples: int = 1
    missing_in_both: int | None = None
    design_effect: float = 1.0
    cautious: Floats | None = None

    @property
    def change(self) -> Floats:
        """Candidate minus base, shape (draws,)."""
        return self.draws["candidate"] - self.draws["base"]


def seed_of(seed: int, *names: str) -> int:
    """A seed for one posterior, made of the user's seed and the posterior's own names.

    Draws therefore do not depend on what else an audit holds, nor on the order in which it is estimated.

    Returns:
        An integer in [0, 2**63), as much as samplers written in other languages accept.
    """
    return int(digest(str(seed), *names), 16) >> 193


def hdi(draws: Floats, mass: float = 0.95) -> tuple[float, float]:
    """Highest-density interval: the shortest one that holds ``mass`` of the draws (Chen & Shao 1999, section 2).

    Args:
        draws: shape (draws,), of a posterior with one mode; several modes get the one interval that spans them.
        mass: posterior probability inside, in (0, 1].
    """
    return _shortest(np.sort(draws), mass)


def eti(draws: Floats, mass: float = 0.95) -> tuple[float, float]:
    """Equal-tailed interval: ``(1 - mass) / 2`` of the draws lie below it, and as many above.

    Args:
        draws: shape (draws,).
        mass: posterior probability inside, in (0, 1).
    """
    return _between(np.sort(draws), mass)


def _shortest(ordered: Floats, mass: float) -> tuple[float, float]:
    inside = int(np.ceil(mass * ordered.size))
    if not inside:
        raise ValueError("no draws to summarise")
    start = int(np.argmin(ordered[inside - 1 :] - ordered[: ordered.size - inside + 1]))
    return float(ordered[start]), float(ordered[start + inside - 1])


def _between(ordered: Floats, mass: float) -> tuple[float, float]:
    """As ``np.quantile`` takes both ends of draws in any order, which it orders anew."""
    places = np.array([(1 - mass) / 2, (1 + mass) / 2]) * (ordered.size - 1)
    low, high = np.interp(places, np.arange(ordered.size), ordered)
    return float(low), float(high)


def _quantity(draws: Floats) -> Quantity:
    ordered = np.sort(draws)
    return Quantity(float(draws.mean()), float(draws.std()), _shortest(ordered, 0.95), _between(ordered, 0.95))


def _ratio(posterior: Posterior) -> Quantity | None:
    """The candidate's rate over the base's, where both arms have events enough to know it."""
    counts, draws = posterior.counts, posterior.draws
    events = counts["n11"] + min(counts["n10"], counts["n01"])
    if events < FEWEST_EVENTS or not (draws["base"] > 0).all():
        return None
    return _quantity(draws["candidate"] / draws["base"])


def summarise(posterior: Posterior, margin: float, cap: float | None = None, ratio: float | None = None) -> Estimate:
    """A posterior in the few numbers that a gate and a card need.

    ``p_within_margin`` is the posterior probability of Kruschke's region of practical equivalence (ROPE),
    [-margin, margin].

    Args:
        posterior: draws of both rates, in 0..1.
        margin: the change the gate tolerates, in 0..1.
        cap: the gate's limit on the candidate's own rate, in 0..1, or None.
        ratio: the gate's limit on it as a multiple of the base's, or None. Where neither shows an outcome, the rates
            are as uncertain as their priors, and no ratio is probable: it can't pass on silence.
    """
    change, candidate = posterior.change, posterior.draws["candidate"]
    return Estimate(
        candidate=posterior.candidate,
        suite=posterior.suite,
        measure=posterior.measure,
        slice=posterior.slice,
        estimator=posterior.estimator,
        variant=posterior.variant,
        samples=posterior.samples,
        n=posterior.n,
        missing=posterior.missing,
        missing_in_both=posterior.missing_in_both,
        design_effect=posterior.design_effect,
        counts=posterior.counts,
        quantities={name: _quantity(draws) for name, draws in {**posterior.draws, "change": change}.items()},
        ratio=_ratio(posterior),
        p_increase=float((change > 0).mean()),
        p_above_margin=float((change > margin).mean()),
        p_within_margin=float((np.abs(change) <= margin).mean()),
        p_go=None if posterior.cautious is None else float((posterior.cautious < margin).mean()),
        margin=margin,
        diagnostics=posterior.diagnostics,
        cap=cap,
        p_below_cap=None if cap is None else float((candidate < cap).mean()),
        ratio_limit=ratio,
        p_below_ratio=None if ratio is None else float((candidate < ratio * posterior.draws["base"]).mean()),
    )
