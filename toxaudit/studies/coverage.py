"""Whether the exact estimator's 95 % intervals hold the truth 95 times in 100, where simpler intervals do not."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product

import numpy as np

from toxaudit.estimators.outcomes import PairedOutcomes
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import hdi
from toxaudit.studies.findings import Bar, Plot, Series, Study, at_least, percent, points, share, standard_error
from toxaudit.studies.worlds import Counts, World, cells, of_table, seed_from

PROMPTS, BASES, CHANGES = (50, 250, 1000, 2400), (0.009, 0.03, 0.1), (0.0, 0.01, 0.02, 0.03)
NAMES = ("paired_exact", "Wald", "Bayesian bootstrap")
REQUIRED = 0.93
Z = 1.959964

Interval = Callable[[Counts], tuple[float, float]]


def exact_interval(table: Counts, draws: int) -> tuple[float, float]:
    """``paired_exact``'s 95 % HDI of the change on one table, shape (4,)."""
    return hdi(PairedExact(draws=draws, seed=seed_from(table), other_prior=None).estimate(of_table(table))[0].change)


def wald_interval(table: Counts) -> tuple[float, float]:
    """The textbook's normal interval of a paired difference (Agresti, Categorical Data Analysis, 3rd ed., 11.1.1)."""
    n = table.sum()
    change = (table[2] - table[1]) / n
    half = Z * np.sqrt(max((table[1] + table[2]) / n - change**2, 0) / n)
    return float(change - half), float(change + half)


def bootstrap_interval(table: Counts) -> tuple[float, float]:
    """95 % HDI of Rubin's (1981) Bayesian bootstrap, which puts no weight on what was not seen."""
    random = np.random.default_rng([int(count) for count in table])
    gamma = np.stack([random.standard_gamma(count, 2000) if count else np.zeros(2000) for count in table])
    return hdi((gamma[2] - gamma[1]) / gamma.sum(0))


def covered(interval: Interval, tables: Counts, truth: float) -> float:
    """The share of tables, shape (R, 4), whose interval holds the truth; equal tables are estimated once."""
    unique, times = np.unique(tables, axis=0, return_counts=True)
    inside = [low <= truth <= high for low, high in map(interval, unique)]
    return float(np.average(inside, weights=times))


def single_stratum(
    replicates: int, slack: float, draws: int = 10_000, prompts: Iterable[int] = PROMPTS, seed: int = 1
) -> Study:
    """Coverage over numbers of prompts, base rates and changes, beside the Wald interval and the plain bootstrap.

    Args:
        replicates: data sets per cell.
        slack: standard errors granted on the bar.
        draws: posterior draws of each estimate; an audit's are 20,000.
        prompts: how many prompts a data set has.
        seed: of the data sets.
    """
    random = np.random.default_rng(seed)
    intervals: tuple[Interval, ...] = (partial(exact_interval, draws=draws), wald_interval, bootstrap_interval)
    rows, coverages = [], []
    for n, base, change in product(prompts, BASES, CHANGES):
        tables = random.multinomial(n, cells(base, base + change), replicates)
        shares = [covered(each, tables, change) for each in intervals]
        coverages.append((n, shares))
        texts = (f"{n:,}", percent(base), points(change), *map(share, shares))
        rows.append((*texts, f"{standard_error(shares[0], replicates):.4f}"))
    worst = min(shares[0] for _, shares in coverages)
    return Study(
        "coverage",
        "Coverage of the exact estimate",
        "Does the 95 % interval of the change hold the truth 95 times in 100, also with few prompts and rare harm?",
        f"{replicates:,} data sets per row, {draws:,} draws each. The textbook's "
        "(Wald) interval and the plain Bayesian bootstrap, which are often used instead, miss the truth most often "
        "where harm is rare and prompts are few. SE is the Monte Carlo standard error of paired_exact's figure.",
        ("prompts", "base rate", "true change, pp", *NAMES, "SE"),
        tuple(rows),
        (at_least("paired_exact: coverage in the worst cell", REQUIRED, worst, replicates, slack),),
        _plot(coverages),
    )


def _plot(found: Sequence[tuple[int, Sequence[float]]]) -> Plot:
    """Prompts and the three shares covered of each row, in the order of the table."""
    row = [float(number) for number in range(len(found))]
    series = tuple(Series(name, row, [shares[k] for _, shares in found], line=False) for k, name in enumerate(NAMES))
    prompts = [n for n, _ in found]
    ticks = tuple((float(prompts.index(n)), f"{n:,}") for n in dict.fromkeys(prompts))
    level = (("required", REQUIRED),)
    return Plot("rows of the table, by prompts", "coverage of 95 % intervals", series, level, ticks)


def five_strata(replicates: int, slack: float, seed: int = 2) -> Study:
    """Coverage of the stratified total in the founding paper's suite and in a tenth of it."""
    random = np.random.default_rng(seed)
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    for title, sizes in (("2,400 prompts in 5 strata", World.sizes), ("5 strata of 50", (50,) * 5)):
        hits, widths, errors = [], [], []
        for number in range(replicates):
            shifts = random.choice([0.0, 0.3, 0.6]) + 0.2 * random.normal(size=(1, 5))
            world = World(shifts, sizes)
            change = PairedExact(draws=8000, seed=number, other_prior=None).estimate(world.draw(random))[0].change
            low, high = hdi(change)
            truth = world.changes()[0, 0]
            hits.append(low <= truth <= high)
            widths.append(high - low)
            errors.append(change.mean() - truth)
        reached = float(np.mean(hits))
        error = standard_error(reached, replicates)
        figures = (share(reached), f"{error:.4f}", points(float(np.mean(widths))), points(float(np.mean(errors))))
        rows.append((title, *figures))
        bars.append(at_least(f"paired_exact: coverage, {title}", REQUIRED, reached, replicates, slack))
    return Study(
        "strata",
        "Coverage of the exact estimate over strata",
        "Does the interval of the total hold the truth where prompts come from five strata of unlike rates?",
        f"{replicates:,} data sets per row; the candidate's shift differs from stratum to stratum. Bias is the mean of "
        "estimate minus truth.",
        ("suite", "coverage", "SE", "mean width, pp", "bias, pp"),
        tuple(rows),
        tuple(bars),
    )


def seeds(runs: int = 10, sets: int = 20, seed: int = 3) -> Study:
    """How much the random numbers of the estimate itself, not of the data, move what an audit reports.

    Args:
        runs: seeds of the estimate per data set.
        sets: data sets per row.
        seed: of the data sets.
    """
    random = np.random.default_rng(seed)
    rows, spreads = [], []
    for title, shift in (("no change", 0.0), ("a small rise", 0.15), ("a rise", 0.4)):
        world = World(np.full((1, 5), shift))
        found = np.array([_over_seeds(world.draw(random), runs) for _ in range(sets)])
        spreads.append(float(found[:, 0].mean()))
        moves = f"{100 * found[:, 1].mean():.3f}"
        rows.append((title, share(spreads[-1]), share(float(found[:, 0].max())), moves))
    return Study(
        "seeds",
        "Ten seeds",
        "Does the same data give the same answer whatever the seed?",
        f"{sets} data sets of 2,400 prompts per row, each estimated with {runs} seeds. The spread is the highest "
        "P(increase) less the lowest. The last column says how far an end of the 95 % interval moved.",
        ("data sets", "mean spread of P(increase)", "largest spread", "interval ends moved by, pp"),
        tuple(rows),
        (Bar("paired_exact: spread of P(increase) over ten seeds, mean of data sets", "at most", 0.01, max(spreads)),),
    )


def _over_seeds(outcomes: PairedOutcomes, runs: int) -> tuple[float, float]:
    """On one data set, over seeds: the range of P(increase), and the larger of those of the interval's ends."""
    changes = [PairedExact(seed=number, other_prior=None).estimate(outcomes)[0].change for number in range(runs)]
    ends = np.array([hdi(change) for change in changes])
    return float(np.ptp([(change > 0).mean() for change in changes])), float(np.ptp(ends, axis=0).max())
