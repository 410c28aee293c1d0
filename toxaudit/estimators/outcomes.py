"""What goes into an estimator and what comes out: paired outcomes, posterior draws, and their summary."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toxaudit.records import Diagnostics, Estimate, Quantity, digest


@dataclass(frozen=True)
class PairedOutcomes:
    """One measure on one suite, for the base and one candidate, prompt by prompt.

    Attributes:
        candidate: the candidate's name.
        suite: the suite's name.
        measure: the scorer's name.
        base: shape (n,), the base's outcome per prompt: 1.0 has it, 0.0 has not, NaN could not be scored.
        other: shape (n,), the candidate's outcome on the same prompts.
        slices: slice name -> shape (n,), each prompt's value of that slice, empty where it has none.
        strata: the name of the slice by which the suite was sampled, or None.
    """

    candidate: str
    suite: str
    measure: str
    base: NDArray[np.float64]
    other: NDArray[np.float64]
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    strata: str | None = None


@dataclass(frozen=True)
class Posterior:
    """Posterior draws of one candidate's rates and their change, on one suite or one slice of it.

    ``draws`` holds ``base``, ``candidate`` and ``change`` (candidate minus base), each of shape (draws,). The other
    fields are those of ``records.Estimate``.
    """

    candidate: str
    suite: str
    measure: str
    slice: str
    estimator: str
    n: int
    missing: dict[str, int]
    counts: dict[str, int]
    draws: dict[str, NDArray[np.float64]]
    diagnostics: Diagnostics = field(default_factory=Diagnostics)


def tabulate(base: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, int]:
    """The paired 2 x 2 table over the prompts scored in both arms.

    Args:
        base: shape (n,), the base's outcomes: 1.0, 0.0, or NaN where it could not be scored.
        other: shape (n,), the candidate's outcomes on the same prompts.

    Returns:
        Number of prompts: ``n11`` both arms have the outcome, ``n10`` the base only, ``n01`` the candidate only,
        ``n00`` neither.

    Raises:
        ValueError: the arms differ in length, or an outcome is neither 0, 1 nor NaN.
    """
    if base.shape != other.shape:
        raise ValueError(f"paired outcomes differ in shape: {base.shape} and {other.shape}")
    if not all(np.all(np.isnan(arm) | (arm == 0) | (arm == 1)) for arm in (base, other)):
        raise ValueError("an outcome is 1.0, 0.0 or NaN")
    # A comparison with NaN is false, so a prompt that one arm misses falls in no cell.
    return {
        "n11": int(((base == 1) & (other == 1)).sum()),
        "n10": int(((base == 1) & (other == 0)).sum()),
        "n01": int(((base == 0) & (other == 1)).sum()),
        "n00": int(((base == 0) & (other == 0)).sum()),
    }


def missing(base: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, int]:
    """How many completions of each arm could not be scored, under ``base`` and ``candidate``."""
    return {"base": int(np.isnan(base).sum()), "candidate": int(np.isnan(other).sum())}


def unscored(base: NDArray[np.float64], other: NDArray[np.float64], where: str) -> list[str]:
    """Why nothing was learnt of one set of prompts, as failed diagnostics; empty where at least one pair was scored.

    Args:
        base: shape (n,), the base's outcomes.
        other: shape (n,), the candidate's.
        where: the set of prompts in words, e.g. ``suite 'rtp'``.
    """
    if not base.size:
        return [f"{where} has no prompt"]
    arms = {"the base": base, "the candidate": other}
    found = [f"{arm} has no scored completion on {where}" for arm, values in arms.items() if np.isnan(values).all()]
    if not found and not sum(tabulate(base, other).values()):
        found = [f"no prompt of {where} was scored in both arms"]
    return found


def seed_of(seed: int, *names: str) -> int:
    """A seed for one posterior, made of the user's seed and the posterior's own names.

    Draws therefore do not depend on what else an audit holds, nor on the order in which it is estimated.

    Returns:
        An integer in [0, 2**63), as much as samplers written in other languages accept.
    """
    return int(digest(str(seed), *names), 16) >> 193


def hdi(draws: NDArray[np.float64], mass: float = 0.95) -> tuple[float, float]:
    """Highest-density interval: the shortest one that holds ``mass`` of the draws (Chen & Shao 1999, section 2).

    Args:
        draws: shape (draws,), of a posterior with one mode; several modes get the one interval that spans them.
        mass: posterior probability inside, in (0, 1].
    """
    ordered = np.sort(draws)
    inside = int(np.ceil(mass * ordered.size))
    if not inside:
        raise ValueError("no draws to summarise")
    start = int(np.argmin(ordered[inside - 1 :] - ordered[: ordered.size - inside + 1]))
    return float(ordered[start]), float(ordered[start + inside - 1])


def eti(draws: NDArray[np.float64], mass: float = 0.95) -> tuple[float, float]:
    """Equal-tailed interval: ``(1 - mass) / 2`` of the draws lie below it, and as many above.

    Args:
        draws: shape (draws,).
        mass: posterior probability inside, in (0, 1).
    """
    low, high = np.quantile(draws, [(1 - mass) / 2, (1 + mass) / 2])
    return float(low), float(high)


def summarise(posterior: Posterior, margin: float, cap: float | None = None) -> Estimate:
    """A posterior in the few numbers that a gate and a card need.

    ``p_within_margin`` is the posterior probability of Kruschke's region of practical equivalence (ROPE),
    [-margin, margin].

    Args:
        posterior: draws of the rates and of their change, in 0..1.
        margin: the change the gate tolerates, in 0..1.
        cap: the gate's limit on the candidate's own rate, in 0..1, or None.
    """
    change = posterior.draws["change"]
    return Estimate(
        candidate=posterior.candidate,
        suite=posterior.suite,
        measure=posterior.measure,
        slice=posterior.slice,
        estimator=posterior.estimator,
        n=posterior.n,
        missing=posterior.missing,
        counts=posterior.counts,
        quantities={
            name: Quantity(float(draws.mean()), hdi(draws), eti(draws)) for name, draws in posterior.draws.items()
        },
        p_increase=float((change > 0).mean()),
        p_above_margin=float((change > margin).mean()),
        p_within_margin=float((np.abs(change) <= margin).mean()),
        margin=margin,
        diagnostics=posterior.diagnostics,
        cap=cap,
        p_below_cap=None if cap is None else float((posterior.draws["candidate"] < cap).mean()),
    )
