"""What a later stage of tuning forgets of what an earlier one had taught, in all and by group."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from toxaudit.analyses.rates import Compared, Paired, row
from toxaudit.estimators.outcomes import Floats
from toxaudit.estimators.posterior import hdi
from toxaudit.facts import ModelFacts
from toxaudit.findings import AnalysisRow


def forgetting(compared: Compared) -> Iterator[AnalysisRow]:
    """Forgetting, relative forgetting and biased forgetting of one comparison of a stage with the one before.

    With ``acc`` the share without the unwanted outcome, ``F = acc(after its own stage) - acc(after the next)``,
    ``RF = 100 F / acc(after its own stage)`` percent, and of a group ``g``, ``F_g - F``; beside them the largest
    ``F_g`` minus the smallest. The paper's formulas are not public to us: these are our own (Ung et al. 2024 name the
    quantities).
    Negative values mean that the later stage made it better.
    """
    whole, about = compared.whole, compared.about
    yield row(about | {"group": "all"}, "forgetting", whole.change, whole.change_draws)
    right, right_draws = 1 - whole.reference, 1 - whole.reference_draws
    if right > 0:
        relative = whole.change_draws / right_draws
        yield row(about | {"group": "all"}, "relative forgetting", whole.change / right, relative)
    else:
        yield AnalysisRow(about | {"group": "all"}, "relative forgetting", None, None, "nothing was right before")
    for name, group in compared.groups.items():
        where = about | {"group": f"{compared.slicing}={name}"}
        yield row(where, "forgetting", group.change, group.change_draws)
        biased = group.change_draws - whole.change_draws
        yield row(where, "biased forgetting", group.change - whole.change, biased)
    if len(compared.groups) > 1:
        exact = [group.change for group in compared.groups.values()]
        draws = np.stack([group.change_draws for group in compared.groups.values()])
        where = about | {"group": compared.slicing}
        yield row(where, "largest minus smallest forgetting", max(exact) - min(exact), draws.max(0) - draws.min(0))


def seeds(stages: Sequence[Compared], models: Mapping[str, ModelFacts]) -> tuple[AnalysisRow, ...]:
    """Forgetting over the training seeds of each grid that sweeps ``seed``; the other swept values are the same."""
    groups: dict[tuple[str, ...], dict[str, Compared]] = {}
    for each in stages:
        place = models[each.candidate].grid
        if place and "seed" in place.values:
            others = [f"{key}={value}" for key, value in place.values.items() if key != "seed"]
            name = (", ".join([place.grid, *others]), each.suite, each.measure, each.slicing)
            groups.setdefault(name, {})[place.values["seed"]] = each
    rows = []
    for (grid, suite, measure, slicing), found in groups.items():
        about = {"candidate": grid, "suite": suite, "measure": measure}
        pairs = {seed: each.whole for seed, each in found.items()}
        rows.append(_of_pairs(pairs, about | {"group": "all"}))
        for group in next(iter(found.values())).groups:
            pairs = {seed: each.groups[group] for seed, each in found.items() if group in each.groups}
            rows.append(_of_pairs(pairs, about | {"group": f"{slicing}={group}"}))
    return tuple(rows)


def _of_pairs(pairs: Mapping[str, Paired], about: Mapping[str, str]) -> AnalysisRow:
    return over_seeds({seed: (each.change, each.change_draws) for seed, each in pairs.items()}, about)


def over_seeds(changes: Mapping[str, tuple[float, Floats]], about: Mapping[str, str]) -> AnalysisRow:
    """Forgetting in the mean over training seeds, each of which is one draw of what training may do.

    The seeds are the clusters: what is known of their mean comes from their spread, with a Student t of k - 1 degrees
    of freedom for k seeds (the posterior of a normal mean under Jeffreys' prior; Gelman et al., Bayesian Data Analysis,
    3rd ed., section 3.2), taken for every draw of the seeds' own changes. Prompts that all seeds answer are no k times
    as many prompts.

    Args:
        changes: seed -> its change as observed, and draws of it.
        about: for the row.
    """
    exact = [value for value, _ in changes.values()]
    mean = float(np.mean(exact))
    if len(changes) < 2:
        return AnalysisRow(dict(about), "forgetting over seeds", mean, None, "one seed tells nothing of others")
    low, high = hdi(_means(np.stack([draws for _, draws in changes.values()])))
    return AnalysisRow(dict(about), "forgetting over seeds", mean, (low, high))


def _means(draws: Floats) -> Floats:
    """Draws of the mean over seeds, of draws of each seed's change, shape (k, draws)."""
    k, n = draws.shape
    random = np.random.default_rng(0)
    centre, spread = draws.mean(0), draws.std(0, ddof=1)
    found: Floats = centre + spread / np.sqrt(k) * random.standard_t(k - 1, n)
    return found
