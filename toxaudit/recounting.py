"""What a run's samples say of its numbers: prompts, missing scores and tables, counted again from each score."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from toxaudit import labels, thoughts
from toxaudit.estimators.agreement import agreement
from toxaudit.estimators.extremes import cases
from toxaudit.estimators.outcomes import (
    Floats,
    Labelled,
    PairedOutcomes,
    Slicing,
    as_counts,
    missing,
    missing_in_both,
    per_prompt,
    tabulate,
)
from toxaudit.estimators.strata import divide
from toxaudit.estimators.totals import unlearnt
from toxaudit.estimators.two_phase import soundness
from toxaudit.facts import MEAN_SCORE, LabelFacts, ScorerFacts, SuiteFacts
from toxaudit.machine import progress
from toxaudit.records import BEST_CASE, CORRECTED, LABELLED, OBSERVED, UNSCORED, WORST_CASE, AuditResult, Estimate
from toxaudit.results import rows_of, samples_file
from toxaudit.scorers.base import OPERATORS

WATCHED = (OBSERVED, CORRECTED, LABELLED)
"""The variants of totals that decide, against which stands what was not learnt of a suite."""

_RULE = re.compile(r"score (>=|>|<=|<) (\S+)$")
"""How the outcome of a measure with a threshold reads, and how a variant with another one ends."""


@dataclass
class SuiteSamples:
    """A suite's samples in the order of prompts: each arm's scores by measure, NaN where missing, and what it said."""

    facts: SuiteFacts
    prompts: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    scores: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    said: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    with_texts: bool = False

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one row."""
        arm = row["model"]
        if self.with_texts:
            self.said.setdefault(arm, []).append((row["prompt"], row["text"], str(row.get("finish"))))
        self.prompts.setdefault(row["prompt_id"], row["slices"])
        self.asked.setdefault(arm, []).append((row["prompt_id"], row["sample"]))
        for measure, score in row["scores"].items():
            value = score["value"]
            self.scores.setdefault((arm, measure), []).append(np.nan if value is None else value)

    def pairs(self, candidate: str) -> list[labels.Pair]:
        """Of each prompt, in its order: its text, what the base said, and what a candidate said."""
        both = zip(self.said["base"], self.said[candidate], strict=True)
        return [(prompt, base, own) for (prompt, base, _), (_, own, _) in both]

    def answers(self, arm: str) -> list[str]:
        """What an arm answered to each prompt, without its thoughts."""
        return [each.answer for each in thoughts.parted([(text, finish) for _, text, finish in self.said[arm]])]


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
        suite = samples_of(run, facts, with_texts=any(each.suite == facts.name for each in result.labels))
        arms, asked = {"base", *(model.name for model in result.candidates)}, list(suite.asked.values())
        found = [*_of_suite(number, suite), (f"suites.{number}, arms", arms, set(suite.asked))]
        if any(each != asked[0] for each in asked):
            found.append((f"suites.{number}, prompts", "the same for all arms", "others for some"))
        elif arms == set(suite.asked):
            found += [*_of_estimates(result, suite), *_of_pairs(result, suite), *_of_labels(run, result, suite)]
        for place, said, meant in found:
            yield place, said, meant, file.name


def samples_of(run: Path, facts: SuiteFacts, with_texts: bool) -> SuiteSamples:
    """What a run's file of samples holds of a suite; texts, which may be large, only where they are asked for.

    Raises:
        ToxauditError: if the file is of no use.
    """
    suite = SuiteSamples(facts, with_texts=with_texts)
    for row in rows_of(run / samples_file(facts.name)):
        suite.add(row)
    return suite


def _of_labels(run: Path, result: AuditResult, suite: SuiteSamples) -> Iterator[tuple[str, Any, Any]]:
    """What people said, beside the run's own copy of their labels; an estimate by labels has some, and the reverse."""
    name, file = suite.facts.name, run / labels.COPY
    said = labels.read(file) if file.is_file() else labels.LabelFile()
    mine = {(each.measure, each.candidate): number for number, each in enumerate(result.labels) if each.suite == name}
    made = {(e.measure, e.candidate): e for e in result.estimates if (e.suite, e.variant) == (name, LABELLED)}
    for measure, candidate in {**mine, **made}:
        about, estimate = (measure, candidate), made.get((measure, candidate))
        place = f"labels.{mine[about]}" if about in mine else f"labels of {candidate} and '{measure}'"
        found = _labelled(suite, said, about, result.scorers, file)
        if found is None or about not in mine or estimate is None:
            yield place, about in mine and estimate is not None, f"not so, by {labels.COPY}"
            continue
        told, facts = found
        yield place, result.labels[mine[about]], facts
        against = set(soundness(told).failures) - set(estimate.diagnostics.failures)
        yield f"{place}, failures left out", set(), against


def _labelled(
    suite: SuiteSamples, said: labels.LabelFile, about: tuple[str, str], scorers: Sequence[ScorerFacts], file: Path
) -> tuple[Labelled, LabelFacts] | None:
    """What people said of a change, as the run's samples and its copy of their labels make it; None for nothing."""
    measure, candidate = about
    draw = next((draw for draw in said.draws if draw.about == (suite.facts.name, measure, candidate)), None)
    scorer = next((scorer for scorer in scorers if scorer.name == measure), None)
    if draw is None or scorer is None or not suite.said or candidate not in suite.asked:
        return None
    base, own = (outcomes_of(suite, arm, scorer) for arm in ("base", candidate))
    if base is None or own is None or base.shape[1] > 1:
        return None
    scored = per_prompt(base), per_prompt(own)
    return labels.matched(str(file), said, draw, scorer.outcome, suite.pairs(candidate), *scored)


def _of_suite(number: int, suite: SuiteSamples) -> Iterator[tuple[str, Any, Any]]:
    yield f"suites.{number}.n", suite.facts.n, len(suite.prompts)
    counted: dict[str, dict[str, int]] = {}
    for slices in suite.prompts.values():
        for name, value in slices.items():
            counted.setdefault(name, {})
            counted[name][value] = counted[name].get(value, 0) + 1
    yield f"suites.{number}.slices", suite.facts.slices, counted


def _of_pairs(result: AuditResult, suite: SuiteSamples) -> Iterator[tuple[str, Any, Any]]:
    scorers = {scorer.name: scorer for scorer in result.scorers}
    for number, pair in enumerate(result.agreements):
        if pair.suite == suite.facts.name:
            one, other = (outcomes_of(suite, pair.model, scorers[name]) for name in (pair.first, pair.second))
            if one is not None and other is not None:
                names = pair.suite, pair.model, pair.first, pair.second
                yield f"agreements.{number}", pair, agreement(*names, one.ravel(), other.ravel())


def _of_estimates(result: AuditResult, suite: SuiteSamples) -> Iterator[tuple[str, Any, Any]]:
    scorers = {scorer.name: scorer for scorer in result.scorers}
    made: dict[tuple[str, str, str], PairedOutcomes | None] = {}
    for number, each in enumerate(result.estimates):
        if each.suite != suite.facts.name:
            continue
        rule = each.variant if _RULE.search(each.variant) else ""
        key = (each.candidate, each.measure, rule)
        if key not in made:
            made[key] = _compared(suite, each, scorers, rule)
        if (outcomes := made[key]) is None:
            yield f"estimates.{number}.n", each.n, "nothing, for want of scores"
        else:
            counted = _counted(outcomes, each)
            for what in ("n", "samples", "missing", "missing_in_both", "counts"):
                yield f"estimates.{number}.{what}", getattr(each, what), getattr(counted, what)
            against = set(counted.diagnostics.failures) - set(each.diagnostics.failures)
            if against:
                yield f"estimates.{number}.diagnostics.failures", each.diagnostics.failures, tuple(sorted(against))


def _compared(
    suite: SuiteSamples, each: Estimate, scorers: Mapping[str, ScorerFacts], variant: str
) -> PairedOutcomes | None:
    """The paired outcomes that an estimate was made of; None where they can't be told."""
    scorer = scorers[each.measure.removesuffix(UNSCORED)]
    base, own = (outcomes_of(suite, arm, scorer, variant) for arm in ("base", each.candidate))
    if base is None or own is None:
        return None
    facts, names = suite.facts, list(dict.fromkeys(name for slices in suite.prompts.values() for name in slices))
    if each.measure.endswith(UNSCORED):
        base, own = (np.isnan(values).astype(float) for values in (base, own))
        names = [name for name in names if name == facts.strata]
    prompts = suite.prompts.values()
    return PairedOutcomes(
        facts.name,
        each.measure,
        base,
        {each.candidate: own},
        slices={name: Slicing.of(slices.get(name, "") for slices in prompts) for name in names},
        strata=facts.strata,
        weights=facts.weights,
        shares=facts.shares if facts.n < (facts.available or 0) else None,
    )


def outcomes_of(suite: SuiteSamples, arm: str, scorer: ScorerFacts, variant: str = "") -> Floats | None:
    """Shape (n, m): the outcomes of n prompts' m samples; None where they can't be told."""
    found = suite.scores.get((arm, scorer.name), [])
    if len(found) != len(suite.asked[arm]) or len(found) % len(suite.prompts):
        return None
    scores, rule = np.array(found, dtype=float), variant or scorer.outcome
    if rule.startswith(MEAN_SCORE):
        outcomes = scores if scorer.rises else 1 - scores
    elif told := _RULE.search(rule):
        outcomes = np.where(np.isnan(scores), np.nan, OPERATORS[told[1]](scores, float(told[2])))
    else:
        return None
    if ((outcomes < 0) | (outcomes > 1)).any():
        return None
    return outcomes.reshape(len(suite.prompts), -1)


def _counted(outcomes: PairedOutcomes, each: Estimate) -> Estimate:
    """The estimate with the numbers that its outcomes give, and with what then stands against it."""
    own = outcomes.candidates[each.candidate]
    arms = {variant: (base, other) for variant, base, other in cases(outcomes.base, own)}
    variant = each.variant if each.variant in (BEST_CASE, WORST_CASE) else OBSERVED
    base, other = (per_prompt(arm) for arm in arms.get(variant, arms[OBSERVED]))
    chosen, told = np.ones(len(base), dtype=bool), (outcomes.base, own)
    if each.slice != "all":
        name, _, value = each.slice.partition("=")
        slicing = outcomes.slices.get(name, Slicing((), np.full(len(base), -1)))
        chosen = slicing.codes == (slicing.values.index(value) if value in slicing.values else len(slicing.values))
        told = (outcomes.base[chosen], own[chosen])
    elif each.estimator == "hier_paired":
        chosen = _weighing(outcomes)
    table = tabulate(base, other, np.where(chosen, 0, -1), 1)[0]
    failures = unlearnt(outcomes, each.candidate) if _watched(each) else ()
    return replace(
        each,
        n=round(table.sum()),
        samples=outcomes.base.shape[1],
        missing=missing(*told),
        missing_in_both=None if each.estimator == "hier_paired" else missing_in_both(*told),
        counts=as_counts(table),
        diagnostics=replace(each.diagnostics, failures=failures),
    )


def _watched(each: Estimate) -> bool:
    """Whether what was not learnt of a suite stands against this estimate."""
    return each.slice == "all" and each.variant in WATCHED and each.estimator in ("paired_exact", "paired_bb")


def _weighing(outcomes: PairedOutcomes) -> Any:
    """Shape (n,): the prompts of strata that weigh in the total of the hierarchical estimate."""
    names = sorted(outcomes.slices, key=lambda name: name != outcomes.strata)
    by = next((name for name in names if len(outcomes.slices[name].values) > 1), None)
    strata = divide(outcomes, by)
    return (strata.weights > 0)[strata.codes]
