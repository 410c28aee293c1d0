"""Simulated audits whose true rates are known: prompts with traits of their own, arms that share most of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toxaudit.estimators.outcomes import Floats, PairedOutcomes, Slicing
from toxaudit.facts import Calibration, Confusion

Counts = NDArray[np.int64]

SIZES = (300, 300, 300, 300, 1200)
"""Prompts of five strata, as in the founding paper's suite."""

LOGITS = (-2.2, -4.6, -3.6, -3.4, -3.9)
"""The base's logit of toxicity in each stratum, for a prompt of average trait."""

SPREAD, SHARED = 2.0, 0.8
"""Standard deviation of a prompt's trait on the logit scale, and the share of its variance common to all arms."""

LOW, HIGH = (0.25, 8.0), (6.0, 0.5)
"""Beta parameters of a classifier's score below and above one half, each on its own half of 0..1: most scores of
harmless completions lie near 0 and most of toxic ones near 1."""

SLICE = "topic"
"""The name of the slice by which simulated suites are divided."""

_POINTS, _RAW = np.polynomial.hermite_e.hermegauss(80)
_WEIGHTS = _RAW / _RAW.sum()


@dataclass(frozen=True)
class World:
    """A population of prompts, a base and K candidates; ``draw`` makes one audit's outcomes of it.

    Prompt i of stratum s has in arm k the probability logistic(logit_s + shift_ks + u_i + v_ik) of the outcome, where
    the traits u_i (common to all arms) and v_ik (the arm's own) are normal and of variance ``SHARED`` and
    1 - ``SHARED`` of ``spread`` squared.

    Attributes:
        shifts: shape (K, S), each candidate's shift of the logit in each stratum.
        sizes: prompts of each stratum, S of them.
        logits: the base's logit in each stratum.
        spread: standard deviation of a prompt's trait, in logits.
        samples: completions per prompt and arm.
        templates: number of templates of which prompts are variations, dealt out in turn; None for none.
        templated: share of each trait's variance that a template's prompts have in common.
        errors: shape (S, 2), sensitivity and specificity of the scorer in each stratum; None for no errors.
        lost: probabilities that a candidate's score is missing, without and with the outcome. The base's are kept.
        creep: added to the first Beta parameter of the candidates' scores below one half: harmless scores rise.
    """

    shifts: Floats
    sizes: tuple[int, ...] = SIZES
    logits: tuple[float, ...] = LOGITS
    spread: float = SPREAD
    samples: int = 1
    templates: int | None = None
    templated: float = 0.5
    errors: Floats | None = None
    lost: tuple[float, float] = (0.0, 0.0)
    creep: float = 0.0

    @property
    def shares(self) -> Floats:
        """Shape (S,), each stratum's share of the prompts."""
        return np.array(self.sizes) / sum(self.sizes)

    @property
    def names(self) -> list[str]:
        """Of the K candidates."""
        return [f"candidate {number + 1}" for number in range(len(self.shifts))]

    def rates(self) -> Floats:
        """True rates, shape (1 + K, S), the base first."""
        base = np.array(self.logits)
        return rate(np.vstack([base, base + self.shifts]), self.spread)

    def changes(self) -> Floats:
        """True changes of each candidate: shape (K, 1 + S), in total and then in each stratum."""
        rates = self.rates()
        change: Floats = rates[1:] - rates[0]
        return np.column_stack([change @ self.shares, change])

    def mean_scores(self) -> Floats:
        """True mean raw scores in total, shape (1 + K,), the base first."""
        low = np.array([LOW[0]] + [LOW[0] + self.creep] * len(self.shifts))
        high = 0.5 + 0.5 * HIGH[0] / sum(HIGH)
        toxic = self.rates() @ self.shares
        found: Floats = toxic * high + (1 - toxic) * 0.5 * low / (low + LOW[1])
        return found

    def draw(self, random: np.random.Generator, scores: bool = False) -> PairedOutcomes:
        """One audit's outcomes, divided into strata, with raw scores where asked for."""
        stratum = np.repeat(np.arange(len(self.sizes)), self.sizes)
        cluster = None if self.templates is None else np.arange(stratum.size) % self.templates
        logits = np.array(self.logits)[stratum] + self._trait(cluster, stratum.size, SHARED, random)
        arms: list[Floats] = []
        for shift in np.vstack([np.zeros(len(self.sizes)), self.shifts]):
            own = logits + shift[stratum] + self._trait(cluster, stratum.size, 1 - SHARED, random)
            arms.append((random.random((stratum.size, self.samples)) < logistic(own)[:, None]).astype(float))
        raw = self._scores(arms, random) if scores else None
        seen = [self._seen(arm, stratum, number > 0, random) for number, arm in enumerate(arms)]
        slicing = Slicing(tuple(f"s{number}" for number in range(len(self.sizes))), stratum)
        names = dict(zip(self.names, seen[1:], strict=True))
        slices = {SLICE: slicing}
        return PairedOutcomes("simulated", "toxic", seen[0], names, slices, SLICE, clusters=cluster, scores=raw)

    def _trait(
        self, cluster: NDArray[np.intp] | None, n: int, part: float, random: np.random.Generator
    ) -> NDArray[np.float64]:
        """One trait of each prompt, with ``part`` of the whole variance, shape (n,)."""
        scale = self.spread * np.sqrt(part)
        own: Floats = random.normal(size=n)
        if cluster is None or self.templates is None:
            return np.asarray(scale * own)
        common = random.normal(size=self.templates)[cluster]
        mixed = np.sqrt(self.templated) * common + np.sqrt(1 - self.templated) * own
        return np.asarray(scale * mixed)

    def _seen(self, arm: Floats, stratum: NDArray[np.intp], candidate: bool, random: np.random.Generator) -> Floats:
        """What a scorer with errors and gaps makes of one arm's outcomes."""
        seen = arm
        if self.errors is not None:
            sensitivity, specificity = self.errors[stratum].T[:, :, None]
            seen = (random.random(arm.shape) < np.where(arm == 1, sensitivity, 1 - specificity)).astype(float)
        if candidate and any(self.lost):
            gone = random.random(arm.shape) < np.where(arm == 1, self.lost[1], self.lost[0])
            seen = np.where(gone, np.nan, seen)
        return seen

    def _scores(self, arms: Sequence[Floats], random: np.random.Generator) -> dict[str, Floats]:
        found = {}
        for name, arm in zip(["base", *self.names], arms, strict=True):
            first = LOW[0] if name == "base" else LOW[0] + self.creep
            low, high = random.beta(first, LOW[1], arm.shape), random.beta(*HIGH, arm.shape)
            found[name] = np.where(arm == 1, 0.5 + 0.5 * high, 0.5 * low)
        return found


def logistic(x: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    found: Floats = 1 / (1 + np.exp(-x))
    return found


def rate(logit: Floats, spread: float = SPREAD) -> Floats:
    """Mean of logistic(logit + spread z) over standard normal z, by Gauss-Hermite quadrature with 80 points."""
    found: Floats = logistic(np.asarray(logit)[..., None] + spread * _POINTS) @ _WEIGHTS
    return found


def logit_of(wanted: float, spread: float = SPREAD) -> float:
    """The logit whose ``rate`` is ``wanted``, by bisection."""
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if float(rate(np.array(middle), spread)) < wanted else (low, middle)
    return (low + high) / 2


def cells(base: float, candidate: float) -> Floats:
    """Probabilities of a paired table's cells in one stratum, shape (4,): both, base only, candidate only, neither.

    Given the trait that both arms share, their outcomes are independent.

    Args:
        base: its rate in the population of prompts, in (0, 1).
        candidate: its rate.
    """
    shared, own = SPREAD * np.sqrt(SHARED) * _POINTS, SPREAD * np.sqrt(1 - SHARED)
    given = [rate(logit_of(each) + shared, float(own)) for each in (base, candidate)]
    both = float((given[0] * given[1]) @ _WEIGHTS)
    return np.array([both, base - both, candidate - both, 1 - base - candidate + both])


def of_table(table: Counts) -> PairedOutcomes:
    """Outcomes of one candidate without strata that make up a table of whole numbers, shape (4,)."""
    return of_tables(np.asarray(table)[None, None, :])


def of_tables(tables: Counts) -> PairedOutcomes:
    """Outcomes that make up the tables of K candidates in S strata, shape (K, S, 4), with one base for all candidates.

    Within a stratum, prompts with the base's outcome come first, and so do the candidate's own among each kind; what
    one candidate has in common with another is not kept, and no estimator uses it.
    """
    counts = np.asarray(tables, dtype=np.intp)
    base, candidates, stratum = [], [], []
    for s in range(counts.shape[1]):
        n11, n10, n01, n00 = counts[:, s].T
        has, has_not = n11[0] + n10[0], n01[0] + n00[0]
        base.append(np.repeat([1.0, 0.0], [has, has_not]))
        candidates.append([np.repeat([1.0, 0.0, 1.0, 0.0], row) for row in counts[:, s]])
        stratum.append(np.full(has + has_not, s, dtype=np.intp))
    arms = {f"candidate {k + 1}": np.concatenate([each[k] for each in candidates]) for k in range(len(counts))}
    if counts.shape[1] == 1:
        return PairedOutcomes("simulated", "toxic", base[0], arms)
    slices = {SLICE: Slicing(tuple(f"s{s}" for s in range(counts.shape[1])), np.concatenate(stratum))}
    return PairedOutcomes("simulated", "toxic", np.concatenate(base), arms, slices, SLICE)


def seed_from(table: Counts) -> int:
    """A seed of a table's own, shape (4,), so that the Monte Carlo errors of many estimates do not go one way."""
    return int(table @ np.array([1, 10_007, 100_003, 1_000_003]))


def labels(errors: Floats, positive: int, negative: int, random: np.random.Generator, by_stratum: bool) -> Calibration:
    """A scorer's counts on labelled completions.

    Args:
        errors: shape (S, 2), its true sensitivity and specificity in each stratum.
        positive: completions with the outcome, of each stratum where ``by_stratum``.
        negative: completions without it.
        random: the source of random numbers.
        by_stratum: whether each stratum has its own; else the first stratum's errors are those of all.
    """
    counts = {}
    for s, (sensitivity, specificity) in enumerate(errors if by_stratum else errors[:1]):
        hits, passes = int(random.binomial(positive, sensitivity)), int(random.binomial(negative, specificity))
        counts[f"s{s}" if by_stratum else ""] = Confusion(hits, positive - hits, negative - passes, passes)
    return Calibration("simulated labels", SLICE if by_stratum else None, counts)
