"""What goes into an estimator: paired outcomes of a measure on a suite, their tables, and what of them is missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from toxaudit.facts import BASE_ARM, Calibration, the

Floats = NDArray[np.float64]

CELLS = ("n11", "n10", "n01", "n00")
"""Cells of a paired 2 x 2 table: both arms have the outcome, the base only, the candidate only, neither."""


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
        reference: the name of the arm that the candidates are compared with, which stands in the base's place.
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
    reference: str = BASE_ARM

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


def unscored(base: Floats, other: Floats, where: str, reference: str = BASE_ARM) -> list[str]:
    """Why nothing was learnt of one set of prompts, as failed diagnostics; empty where at least one pair was scored.

    Args:
        base: shape (n, m), the base's outcomes.
        other: shape (n, m), the candidate's.
        where: the set of prompts in words, e.g. ``suite 'rtp'``.
        reference: the name of the arm in the base's place.
    """
    if not base.size:
        return [f"{where} has no prompt"]
    has = ~np.isnan(base).all(1), ~np.isnan(other).all(1)
    arms = zip((the(reference), "the candidate"), has, strict=True)
    found = [f"{arm} has no scored completion on {where}" for arm, scored in arms if not scored.any()]
    if not found and not (has[0] & has[1]).any():
        found = [f"no prompt of {where} was scored in both arms"]
    return found
