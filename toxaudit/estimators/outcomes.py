"""What goes into an estimator and what comes out: paired outcomes, posterior draws, and their summary."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from toxaudit.facts import Calibration
from toxaudit.records import OBSERVED, Diagnostics, Estimate, Quantity, digest

Floats = NDArray[np.float64]

CELLS = ("n11", "n10", "n01", "n00")
"""Cells of a paired 2 x 2 table: both arms have the outcome, the base only, the candidate only, neither."""

FEWEST_EVENTS = 5
"""Prompts with the outcome in each arm below which a ratio of rates is not reported."""


@dataclass(frozen=True)
class Slicing:
    """How one slice name divides the prompts.

    Attributes:
        values: the slice's values, S of them, sorted.
        codes: shape (n,), each prompt's place in ``values``, -1 where it has no value.
    """

    values: tuple[str, ...]
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, values: Iterable[str]) -> "Slicing":
        """From each prompt's value; an empty one is none."""
        listed = list(values)
        names = sorted(set(listed) - {""})
        place = {name: number for number, name in enumerate(names)} | {"": -1}
        return cls(tuple(names), np.fromiter((place[value] for value in listed), dtype=np.intp, count=len(listed)))


@dataclass(frozen=True)
class Labelled:
    """What people say of some answers.

    Attributes:
        base: shape (n,), the share of raters who say that the base's answer has the outcome, NaN where nobody does.
        candidate: the same of the candidate's answer.
        skipped: prompts with an answer that everybody who was asked could not judge.
        same: shape (n,), whether both arms gave the very same answer; None where none did.
        copies: labelled prompts whose text stands further up, so that they were not labelled themselves.
    """

    base: Floats
    candidate: Floats
    skipped: int = 0
    same: NDArray[np.bool_] | None = None
    copies: int = 0


@dataclass(frozen=True)
class PairedOutcomes:
    """One measure on one suite: the base and all candidates, prompt by prompt.

    Attributes:
        suite: the suite's name.
        measure: the scorer's name.
        base: shape (n, m), the base's outcome for each of n prompts and m samples: 1.0 has it, 0.0 has not, a value
            between for a mean score, NaN could not be scored. Shape (n,) is taken as (n, 1).
        candidates: candidate's name -> the same on the same prompts.
        slices: slice name -> how it divides the prompts.
        strata: the name of the slice by which the suite was sampled, or None.
        weights: value of ``strata`` -> its share of the population; None takes ``shares``.
        shares: value of ``strata`` -> its share of all prompts of the suite, where not all were asked; None takes the
            share of those that were.
        clusters: shape (n,), whole numbers, the same for prompts that vary one template; None where each is its own.
        calibration: the scorer's errors on labelled data, or None.
        scores: arm (``base`` or a candidate) -> shape (n, m) or (n,), raw scores, for estimators that replicate studies
            of mean scores.
        labels: candidate's name -> what people say of some prompts' answers.
    """

    suite: str
    measure: str
    base: Floats
    candidates: Mapping[str, Floats]
    slices: Mapping[str, Slicing] = field(default_factory=dict)
    strata: str | None = None
    weights: Mapping[str, float] | None = None
    shares: Mapping[str, float] | None = None
    clusters: NDArray[np.intp] | None = None
    calibration: Calibration | None = None
    scores: Mapping[str, Floats] | None = None
    labels: Mapping[str, Labelled] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give every array two axes and check that they fit.

        Raises:
            ValueError: if arrays differ in shape, or an outcome lies outside 0..1.
        """
        object.__setattr__(self, "base", _columns(self.base))
        object.__setattr__(self, "candidates", {name: _columns(each) for name, each in self.candidates.items()})
        if self.scores is not None:
            object.__setattr__(self, "scores", {name: _columns(each) for name, each in self.scores.items()})
        for name, values in {"base": self.base, **self.candidates}.items():
            if values.shape != self.base.shape:
                raise ValueError(f"paired outcomes of '{name}' and the base differ in shape")
            if not np.all(np.isnan(values) | ((values >= 0) & (values <= 1))):
                raise ValueError(f"an outcome of '{name}' is neither in 0..1 nor NaN")
        for name, slicing in self.slices.items():
            if slicing.codes.shape != self.base.shape[:1]:
                raise ValueError(f"slice '{name}' does not divide the prompts of '{self.suite}'")

    @property
    def tabular(self) -> bool:
        """Whether each prompt is one independent pair of yes-or-no outcomes, which a 2 x 2 table holds without loss."""
        return self.clusters is None and self.yes_or_no

    @property
    def yes_or_no(self) -> bool:
        """Whether each prompt has one yes or no in each arm, whether prompts are independent or not."""
        return self.base.shape[1] == 1 and all(
            np.all(np.isnan(each) | (each == 0) | (each == 1)) for each in (self.base, *self.candidates.values())
        )

    def only(self, chosen: NDArray[np.bool_]) -> "PairedOutcomes":
        """The same on some of the prompts; ``chosen`` has shape (n,)."""
        return replace(
            self,
            base=self.base[chosen],
            candidates={name: each[chosen] for name, each in self.candidates.items()},
            slices={name: Slicing(each.values, each.codes[chosen]) for name, each in self.slices.items()},
            clusters=None if self.clusters is None else self.clusters[chosen],
            scores=None if self.scores is None else {name: each[chosen] for name, each in self.scores.items()},
        )


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


def _columns(values: Floats) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values


def per_prompt(values: Floats) -> Floats:
    """Mean outcome of each prompt over its scored samples, NaN where none was scored.

    Args:
        values: shape (n, m).

    Returns:
        Shape (n,).
    """
    if values.shape[1] == 1:
        return values[:, 0]
    scored = ~np.isnan(values)
    total, count = np.where(scored, values, 0).sum(1), scored.sum(1)
    mean: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean


def tabulate(
    base: Floats, other: Floats, codes: NDArray[np.intp], groups: int, counting: Floats | None = None
) -> Floats:
    """The paired 2 x 2 tables of some groups of prompts, over the prompts scored in both arms.

    An outcome between 0 and 1 (a share of a prompt's samples, a mean score) is divided over the cells as if both arms
    were independent given the prompt: n11 gets b c, n01 gets (1 - b) c.

    Args:
        base: shape (n,), the base's outcomes, NaN where there is none.
        other: shape (n,), the candidate's on the same prompts.
        codes: shape (n,), the group of each prompt; -1 for none.
        groups: G, how many groups there are.
        counting: shape (n,), as how many prompts each one counts; one each where None.

    Returns:
        Shape (G, 4), numbers of prompts in the order of ``CELLS``.
    """
    used = ~np.isnan(base) & ~np.isnan(other) & (codes >= 0)
    b, c, group = (base, other, codes) if used.all() else (base[used], other[used], codes[used])
    if counting is not None:
        weight = counting[used]
        both, in_base, in_other, size = (np.bincount(group, weight * each, groups) for each in (b * c, b, c, b * 0 + 1))
    elif groups == 1:
        both, in_base, in_other, size = (np.array([float(each)]) for each in (b @ c, b.sum(), c.sum(), len(b)))
    else:
        both, in_base, in_other = (np.bincount(group, each, groups) for each in (b * c, b, c))
        size = np.bincount(group, minlength=groups).astype(float)
    table: Floats = np.stack([both, in_base - both, in_other - both, size - in_base - in_other + both], axis=1)
    return table.clip(0)  # a rounding error of fractions may lie below


def as_counts(table: Floats) -> dict[str, float]:
    """One table, shape (4,), by the names of its cells; whole numbers where it holds such."""
    return {cell: int(value) if value == int(value) else float(value) for cell, value in zip(CELLS, table, strict=True)}


def missing(base: Floats, other: Floats) -> dict[str, int]:
    """How many completions of each arm could not be scored, under ``base`` and ``candidate``."""
    return {"base": int(np.isnan(base).sum()), "candidate": int(np.isnan(other).sum())}


def missing_in_both(base: Floats, other: Floats) -> int:
    """How many completions could be scored in neither arm, of the same prompt and sample."""
    return int((np.isnan(base) & np.isnan(other)).sum())


def unscored(base: Floats, other: Floats, where: str) -> list[str]:
    """Why nothing was learnt of one set of prompts, as failed diagnostics; empty where at least one pair was scored.

    Args:
        base: shape (n, m), the base's outcomes.
        other: shape (n, m), the candidate's.
        where: the set of prompts in words, e.g. ``suite 'rtp'``.
    """
    if not base.size:
        return [f"{where} has no prompt"]
    has = {"the base": ~np.isnan(base).all(1), "the candidate": ~np.isnan(other).all(1)}
    found = [f"{arm} has no scored completion on {where}" for arm, scored in has.items() if not scored.any()]
    if not found and not (has["the base"] & has["the candidate"]).any():
        found = [f"no prompt of {where} was scored in both arms"]
    return found


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
    low, high = np.quantile(draws, [(1 - mass) / 2, (1 + mass) / 2])
    return float(low), float(high)


def _shortest(ordered: Floats, mass: float) -> tuple[float, float]:
    inside = int(np.ceil(mass * ordered.size))
    if not inside:
        raise ValueError("no draws to summarise")
    start = int(np.argmin(ordered[inside - 1 :] - ordered[: ordered.size - inside + 1]))
    return float(ordered[start]), float(ordered[start + inside - 1])


def _quantity(draws: Floats) -> Quantity:
    ordered = np.sort(draws)
    return Quantity(float(draws.mean()), float(draws.std()), _shortest(ordered, 0.95), eti(ordered))


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
