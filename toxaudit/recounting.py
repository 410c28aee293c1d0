"""What a run's samples say of its numbers: prompts, missing scores and tables, counted again from each score."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from toxaudit.decision.headline import HEADLINES
from toxaudit.estimators.agreement import agreement
from toxaudit.estimators.extremes import cases
from toxaudit.estimators.outcomes import (
    PairedOutcomes,
    Slicing,
    as_counts,
    missing,
    missing_in_both,
    per_prompt,
    tabulate,
)
from toxaudit.estimators.strata import design_effect, divide
from toxaudit.estimators.totals import unlearnt
from toxaudit.estimators.variance import of_one_thing, variance_components
from toxaudit.facts import UNNAMED, ScorerFacts
from toxaudit.findings import AuditResult
from toxaudit.machine import progress
from toxaudit.records import BEST_CASE, CORRECTED, LABELLED, OBSERVED, UNSCORED, WORST_CASE, Estimate
from toxaudit.rereading import THRESHOLD, Samples, outcomes_of, paired_outcomes
from toxaudit.results.files import samples_file
from toxaudit.results.reading import rows_of

ROUNDING = 1e-9
"""Relative difference of a computed number that another order of sums, or version of NumPy, may make."""

WATCHED = (LABELLED, CORRECTED, OBSERVED)
"""The variants of totals that can decide."""


def recounted(run: Path, result: AuditResult) -> Iterator[tuple[str, Any, Any, str]]:
    """Every number of a result beside what its samples make it: the place, what is said, what is meant, the file.

    Suites of which no samples are there are named on the screen, and passed over.

    Args:
        run: the folder of a finished run.
        result: what its file of results says.

    Raises:
        ToxauditError: if a file of samples is of no use.
    """
    for number, facts in enumerate(result.suites):
        file = run / samples_file(facts.name)
        if not file.is_file():
            progress.say(f"{file} is not there: numbers of prompts and of missing scores could not be counted again.")
            continue
        suite = Samples(facts)
        for row in rows_of(file):
            suite.add(row)
        arms, asked = {*result.arms}, list(suite.asked.values())
        found = [*_of_suite(number, suite), (f"suites.{number}, arms", sorted(arms), sorted(suite.asked))]
        if any(each != asked[0] for each in asked):
            found.append((f"suites.{number}, prompts", "the same for all arms", "others for some"))
        elif arms == set(suite.asked):
            found += [*_of_estimates(result, suite), *_of_pairs(result, suite), *_of_variance(result, suite)]
        for place, said, meant in found:
            yield place, said, meant, file.name


def _of_suite(number: int, suite: Samples) -> Iterator[tuple[str, Any, Any]]:
    yield f"suites.{number}.n", suite.facts.n, len(suite.prompts)
    counted: dict[str, dict[str, int]] = {}
    for slices in suite.prompts.values():
        for name, value in slices.items():
            counted.setdefault(name, {})
            counted[name][value] = counted[name].get(value, 0) + 1
    yield f"suites.{number}.slices", suite.facts.slices, counted


def _of_pairs(result: AuditResult, suite: Samples) -> Iterator[tuple[str, Any, Any]]:
    scorers = {scorer.name: scorer for scorer in result.scorers}
    for number, pair in enumerate(result.agreements):
        if pair.suite == suite.facts.name:
            one, other = (outcomes_of(suite, pair.model, scorers[name]) for name in (pair.first, pair.second))
            if one is not None and other is not None:
                names = pair.suite, pair.model, pair.first, pair.second
                yield f"agreements.{number}", pair, agreement(*names, one.ravel(), other.ravel())


def _of_variance(result: AuditResult, suite: Samples) -> Iterator[tuple[str, Any, Any]]:
    scorers = {scorer.name: scorer for scorer in result.scorers}
    listed = [scorers[name] for name in suite.facts.scorers if name in scorers]
    groups = of_one_thing(((each.name, each.noun, each.is_mean) for each in listed), UNNAMED)
    for number, said in enumerate(result.variance):
        if said.suite != suite.facts.name:
            continue
        compared = {}
        for name in next((group for group in groups if {*said.scorers} & {*group}), []):
            base, own = (
                outcomes_of(suite, arm, scorers[name]) for arm in (result.against(said.candidate), said.candidate)
            )
            if base is not None and own is not None:
                compared[name] = paired_outcomes(suite, name, base, {said.candidate: own})
        if len(compared) < 2:
            yield f"variance.{number}.scorers", said.scorers, "none that measure one thing"
        else:
            noun = scorers[next(iter(compared))].noun
            yield f"variance.{number}", said, variance_components(noun, said.candidate, compared)


def _of_estimates(result: AuditResult, suite: Samples) -> Iterator[tuple[str, Any, Any]]:
    scorers = {scorer.name: scorer for scorer in result.scorers}
    made: dict[tuple[str, str, str], PairedOutcomes | None] = {}
    effects: dict[tuple[str, str, str, str | None], float] = {}  # all values of a slice have the same
    for number, estimate in enumerate(result.estimates):
        if estimate.suite != suite.facts.name:
            continue
        rule = estimate.variant if THRESHOLD.search(estimate.variant) else ""
        key = (estimate.candidate, estimate.measure, rule)
        if key not in made:
            made[key] = _compared(suite, estimate, result.against(estimate.candidate), scorers, rule)
        if (outcomes := made[key]) is None:
            yield f"estimates.{number}.n", estimate.n, "nothing, for want of scores"
        else:
            counted = _counted(outcomes, estimate)
            for what in ("n", "samples", "missing", "missing_in_both", "counts"):
                yield f"estimates.{number}.{what}", getattr(estimate, what), getattr(counted, what)
            effect = 1.0
            if estimate.estimator == "hier_paired":
                by = _divided_by(outcomes, estimate)
                if (*key, by) not in effects:
                    effects[*key, by] = _design_effect(outcomes, estimate.candidate, by)
                effect = effects[*key, by]
            if not isclose(estimate.design_effect, effect, rel_tol=ROUNDING):
                yield f"estimates.{number}.design_effect", estimate.design_effect, effect
            if against := set(counted.diagnostics.failures) - set(estimate.diagnostics.failures):
                yield f"estimates.{number}.diagnostics.failures", estimate.diagnostics.failures, tuple(sorted(against))


def _compared(
    suite: Samples, estimate: Estimate, reference: str, scorers: Mapping[str, ScorerFacts], variant: str
) -> PairedOutcomes | None:
    """The paired outcomes that an estimate was made of; None where they can't be told."""
    scorer = scorers[estimate.measure.removesuffix(UNSCORED)]
    base, own = (outcomes_of(suite, arm, scorer, variant) for arm in (reference, estimate.candidate))
    if base is None or own is None:
        return None
    if estimate.measure.endswith(UNSCORED):
        base, own = (np.isnan(values).astype(float) for values in (base, own))
    of_strata, candidates = estimate.measure.endswith(UNSCORED), {estimate.candidate: own}
    return paired_outcomes(suite, estimate.measure, base, candidates, of_strata, reference)


def _counted(outcomes: PairedOutcomes, estimate: Estimate) -> Estimate:
    """The estimate with the numbers that its outcomes give, and with what then stands against it."""
    own = outcomes.candidates[estimate.candidate]
    arms = {variant: (base, other) for variant, base, other in cases(outcomes.base, own)}
    variant = estimate.variant if estimate.variant in (BEST_CASE, WORST_CASE) else OBSERVED
    base, other = (per_prompt(arm) for arm in arms.get(variant, arms[OBSERVED]))
    chosen, told = np.ones(len(base), dtype=bool), (outcomes.base, own)
    if estimate.slice != "all":
        name, _, value = estimate.slice.partition("=")
        slicing = outcomes.slices.get(name, Slicing((), np.full(len(base), -1)))
        chosen = slicing.codes == (slicing.values.index(value) if value in slicing.values else len(slicing.values))
        told = (outcomes.base[chosen], own[chosen])
    elif estimate.estimator == "hier_paired":
        chosen = _weighing(outcomes)
    table = tabulate(base, other, np.where(chosen, 0, -1), 1)[0]
    failures = unlearnt(outcomes, estimate.candidate) if _watched(estimate) else ()
    return replace(
        estimate,
        n=round(table.sum()),
        samples=outcomes.base.shape[1],
        missing=missing(*told),
        missing_in_both=None if estimate.estimator == "hier_paired" else missing_in_both(*told),
        counts=as_counts(table),
        diagnostics=replace(estimate.diagnostics, failures=failures),
    )


def _divided_by(outcomes: PairedOutcomes, estimate: Estimate) -> str | None:
    """The slices into which the hierarchical estimate divides the prompts; None for no division."""
    by = _pooled_by(outcomes) if estimate.slice == "all" else estimate.slice.partition("=")[0]
    return by if by in outcomes.slices else None


def _design_effect(outcomes: PairedOutcomes, candidate: str, by: str | None) -> float:
    """By how much less than their number prompts say, as the hierarchical estimate counts them."""
    one = replace(outcomes, candidates={candidate: outcomes.candidates[candidate]})
    return design_effect(one, divide(one, by))


def _watched(estimate: Estimate) -> bool:
    """Whether what was not learnt of a suite stands against this estimate: against all totals that can decide."""
    return estimate.slice == "all" and estimate.variant in WATCHED and estimate.estimator in HEADLINES


def _weighing(outcomes: PairedOutcomes) -> Any:
    """Shape (n,): the prompts of strata that weigh in the total of the hierarchical estimate."""
    strata = divide(outcomes, _pooled_by(outcomes))
    return (strata.weights > 0)[strata.codes]


def _pooled_by(outcomes: PairedOutcomes) -> str | None:
    """The slices over which the hierarchical estimate takes its total."""
    names = sorted(outcomes.slices, key=lambda name: name != outcomes.strata)
    return next((name for name in names if len(outcomes.slices[name].values) > 1), None)
