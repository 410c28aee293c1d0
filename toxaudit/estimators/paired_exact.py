"""The exact paired estimate: a Dirichlet posterior over each 2 x 2 table, without sampling chains."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toxaudit.errors import ToxauditError
from toxaudit.estimators.outcomes import PairedOutcomes, Posterior, missing, seed_of, tabulate, unscored
from toxaudit.records import Diagnostics
from toxaudit.registry import register

SMALLEST_STRATUM = 50
"""Strata with fewer scored pairs are joined into one: below it, 95 % intervals begin to cover less than 93 %.

In simulation (rates 0.9 % to 20 %, change +3 pp): coverage .935 to .947 with 5 or 7 strata of 50, .923 at worst with 7
of 20, .80 at worst with 100 of 3; joined, .92 to .97.
"""

CELLS = ("n11", "n10", "n01", "n00")


@register("estimator", "paired_exact")
class PairedExact:
    """Rates and their change from the paired table, per stratum, by conjugacy.

    A prompt falls in one of four cells: both arms have the outcome (probability theta_11), the base only (theta_10),
    the candidate only (theta_01), neither (theta_00). Under a Dirichlet(a, a, a, a) prior the posterior is
    Dirichlet(n11 + a, n10 + a, n01 + a, n00 + a) (Gelman et al., Bayesian Data Analysis, 3rd ed., section 3.4), the
    base's rate theta_11 + theta_10, the candidate's theta_11 + theta_01, the change theta_01 - theta_10.

    The headline weighs strata by their share of all prompts of the suite, scored or not. The strata share one prior in
    the same proportion, so that it weighs 4 a prompts however many strata there are: with a whole prior in each of 7
    strata of 50 prompts, a true rate of 0.9 % is estimated as 2.8 %, and its interval covers it 1 time in 20.

    Attributes:
        draws: posterior draws per posterior.
        seed: a posterior's draws follow from it and from the names of candidate, suite, measure and slice.
        prior: a, the prior observations per cell; 1/2 is Jeffreys' prior.
    """

    draws: int = 4000
    seed: int = 0
    prior: float = 0.5

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if self.draws < 1000:
            raise ToxauditError(f"paired_exact: draws is {self.draws}; probabilities near 0.95 need at least 1000.")
        if not 0 < self.prior < float("inf"):
            raise ToxauditError(f"paired_exact: prior is {self.prior}; it must be a positive number.")

    def estimate(self, outcomes: Sequence[PairedOutcomes]) -> list[Posterior]:
        """Posteriors of slice ``all`` and of every single slice value, for each candidate.

        Args:
            outcomes: every candidate of one suite and measure.
        """
        return [posterior for each in outcomes for posterior in (self._headline(each), *self._slices(each))]

    def _headline(self, outcomes: PairedOutcomes) -> Posterior:
        total = {name: np.zeros(self.draws) for name in ("base", "candidate", "change")}
        for stratum, chosen in _strata(outcomes).items():
            table = tabulate(outcomes.base[chosen], outcomes.other[chosen])
            weight = float(chosen.mean()) if chosen.size else 1.0
            for name, draws in self._sample(table, self.prior * weight, outcomes, "all", stratum).items():
                total[name] += weight * draws
        return _posterior(outcomes, "all", np.ones(outcomes.base.shape, dtype=bool), total, _failures(outcomes))

    def _slices(self, outcomes: PairedOutcomes) -> list[Posterior]:
        found = []
        for name, values in sorted(outcomes.slices.items()):
            for value in np.unique(values[values != ""]):
                chosen = np.asarray(values == value)
                title = f"{name}={value}"
                table = tabulate(outcomes.base[chosen], outcomes.other[chosen])
                draws = self._sample(table, self.prior, outcomes, title, "")
                where = f"slice '{title}' of suite '{outcomes.suite}'"
                failures = unscored(outcomes.base[chosen], outcomes.other[chosen], where)
                found.append(_posterior(outcomes, title, chosen, draws, failures))
        return found

    def _sample(
        self, table: dict[str, int], prior: float, outcomes: PairedOutcomes, title: str, stratum: str
    ) -> dict[str, NDArray[np.float64]]:
        """Draws of both rates and the change, each of shape (draws,), from one table."""
        names = ("paired_exact", outcomes.suite, outcomes.measure, outcomes.candidate, title, stratum)
        random = np.random.default_rng(seed_of(self.seed, *names))
        theta = random.dirichlet([table[cell] + prior for cell in CELLS], size=self.draws)
        theta_11, theta_10, theta_01, _ = theta.T
        return {"base": theta_11 + theta_10, "candidate": theta_11 + theta_01, "change": theta_01 - theta_10}


def _strata(outcomes: PairedOutcomes) -> dict[str, NDArray[np.bool_]]:
    """Which prompts, shape (n,), form each stratum; the small ones form one together, under the empty name."""
    everything = np.ones(outcomes.base.shape, dtype=bool)
    if outcomes.strata is None or not everything.size:
        return {"": everything}
    values = outcomes.slices[outcomes.strata]
    scored = ~np.isnan(outcomes.base) & ~np.isnan(outcomes.other)
    large = [value for value in np.unique(values) if (scored & (values == value)).sum() >= SMALLEST_STRATUM]
    groups = {f"{outcomes.strata}={value}": np.asarray(values == value) for value in large}
    rest = ~np.isin(values, large)
    return groups | ({"": rest} if rest.any() else {})


def _failures(outcomes: PairedOutcomes) -> list[str]:
    """What stands against the headline: nothing scored at all, else the strata with nothing scored."""
    found = unscored(outcomes.base, outcomes.other, f"suite '{outcomes.suite}'")
    if found or outcomes.strata is None:
        return found
    values = outcomes.slices[outcomes.strata]
    for value in np.unique(values):
        chosen = values == value
        where = f"stratum '{outcomes.strata}={value}' of suite '{outcomes.suite}'"
        found += unscored(outcomes.base[chosen], outcomes.other[chosen], where)
    return found


def _posterior(
    outcomes: PairedOutcomes,
    title: str,
    chosen: NDArray[np.bool_],
    draws: dict[str, NDArray[np.float64]],
    failures: Sequence[str],
) -> Posterior:
    base, other = outcomes.base[chosen], outcomes.other[chosen]
    table = tabulate(base, other)
    return Posterior(
        candidate=outcomes.candidate,
        suite=outcomes.suite,
        measure=outcomes.measure,
        slice=title,
        estimator="paired_exact",
        n=sum(table.values()),
        missing=missing(base, other),
        counts=table,
        draws=draws,
        diagnostics=Diagnostics(failures=tuple(failures)),
    )
