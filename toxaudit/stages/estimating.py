"""Scores -> paired outcomes -> posteriors -> estimates: where the stages' records meet and fits are stored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from toxaudit.agreements import Agreement, VarianceComponents
from toxaudit.decision.headline import LABELS_READ_BY, deciding, headlines
from toxaudit.decision.sampling import width
from toxaudit.estimators import archive
from toxaudit.estimators.agreement import agreement
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.outcomes import Floats, PairedOutcomes, Slicing
from toxaudit.estimators.posterior import Posterior
from toxaudit.estimators.strata import clusters_of
from toxaudit.estimators.variance import of_one_thing, variance_components
from toxaudit.extensions import Estimator
from toxaudit.facts import BASE_ARM, UNNAMED
from toxaudit.records import OBSERVED, UNSCORED, Asked, Estimate, Scored, Scores
from toxaudit.spec.schema import AuditSpec
from toxaudit.store import identities
from toxaudit.store.shelves import Store

THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Thresholds, besides its own, at which a measure of graded scores is estimated."""


@dataclass(frozen=True)
class Together:
    """Candidates that are compared with one reference in one fit: the real ones, or the controls."""

    reference: str
    candidates: tuple[str, ...]
    controls: bool


def outcomes(
    spec: AuditSpec, suites: Mapping[str, Asked], scored: Scored, only: Sequence[str] | None = None
) -> Iterator[PairedOutcomes]:
    """Comparisons for each suite and scorer: of each reference with its real candidates, then with its controls.

    What a hierarchical estimator shares between candidates thus stays among their kind and reference.

    Args:
        spec: the audit's.
        suites: name -> the prompts asked.
        scored: every completion's score by every scorer.
        only: the scorers wanted; None for all.
    """
    for suite, asked in suites.items():
        design = _design(asked)
        for measure in asked.facts.scorers:
            scorer = spec.scorers[measure]
            if only is None or measure in only:
                for together in apart(spec):
                    scores, reference = _arms_scores(together, asked, measure, scored), together.reference
                    made = {arm: _outcomes(values, scorer.outcome) for arm, values in scores.items()}
                    errors, base = scorer.known_errors(), made.pop(BASE_ARM)
                    worse = {arm: values if scorer.rises else 1 - values for arm, values in scores.items()}
                    yield PairedOutcomes(
                        suite, measure, base, made, **design, calibration=errors, scores=worse, reference=reference
                    )
                    if any(np.isnan(values).any() for values in scores.values()):
                        missing = {arm: np.isnan(values).astype(float) for arm, values in scores.items()}
                        whole = design | {
                            "slices": {n: s for n, s in design["slices"].items() if n == design["strata"]}
                        }
                        lacking = missing.pop(BASE_ARM)
                        yield PairedOutcomes(suite, measure + UNSCORED, lacking, missing, **whole, reference=reference)


def at_other_thresholds(
    spec: AuditSpec, suites: Mapping[str, Asked], scored: Scored
) -> Iterator[tuple[str, PairedOutcomes]]:
    """The comparisons as they would be at other thresholds, from the same scores, and each one's name.

    Only of measures whose scores are more than yes or no; of the real candidates.
    """
    for suite, asked in suites.items():
        design = _design(asked)
        for measure in asked.facts.scorers:
            scorer = spec.scorers[measure]
            if scorer.threshold is None:
                continue
            for together in subjects(spec):
                scores = _arms_scores(together, asked, measure, scored)
                if all(np.isin(values[~np.isnan(values)], (0, 1)).all() for values in scores.values()):
                    continue
                for threshold in THRESHOLDS:
                    if threshold != scorer.threshold:
                        other = replace(scorer, threshold=threshold)
                        made = {arm: _outcomes(values, other.outcome) for arm, values in scores.items()}
                        variant = f"counted at score {scorer.operator} {threshold:g}"
                        base = made.pop(BASE_ARM)
                        yield (
                            variant,
                            PairedOutcomes(suite, measure, base, made, **design, reference=together.reference),
                        )


def observed_totals(spec: AuditSpec, store: Store, compared: PairedOutcomes, variant: str) -> list[Posterior]:
    """The observed totals of a comparison, under the name of a variant, by the estimator that decides."""
    for estimator in deciding(spec.estimators.values()):
        found = [
            replace(each, variant=variant)
            for each in posteriors(store, estimator, compared)
            if (each.variant, each.slice) == (OBSERVED, "all")
        ]
        if found:
            return found
    return []


def agreements(spec: AuditSpec, suites: Mapping[str, Asked], scored: Scored) -> Iterator[Agreement]:
    """How far scorers of one thing, by their noun, agree on each arm's completions of a suite."""
    for suite, asked in suites.items():
        told = [name for name in asked.facts.scorers if spec.scorers[name].threshold is not None]
        for first, second in combinations(told, 2):
            if spec.scorers[first].noun == spec.scorers[second].noun != UNNAMED:
                for arm in (BASE_ARM, *spec.candidates):
                    outcomes = [
                        _outcomes(_scores(scored[arm, suite, name], asked), spec.scorers[name].outcome).ravel()
                        for name in (first, second)
                    ]
                    yield agreement(suite, arm, first, second, *outcomes)


def variances(spec: AuditSpec, suites: Mapping[str, Asked], scored: Scored) -> Iterator[VarianceComponents]:
    """Of each suite, candidate and thing that several scorers measure: what of the spread of outcomes is theirs."""
    for suite, asked in suites.items():
        told = [(name, spec.scorers[name]) for name in asked.facts.scorers]
        listed = [(name, scorer.noun, scorer.threshold is None) for name, scorer in told]
        design = _design(asked)
        for names in of_one_thing(listed, UNNAMED):
            for candidate in spec.candidates:
                compared = {}
                for name in names:
                    base, own = (
                        _outcomes(_scores(scored[arm, suite, name], asked), spec.scorers[name].outcome)
                        for arm in (spec.candidates[candidate].against, candidate)
                    )
                    compared[name] = PairedOutcomes(suite, name, base, {candidate: own}, **design)
                yield variance_components(spec.scorers[names[0]].noun, candidate, compared)


def _arms_scores(together: Together, asked: Asked, measure: str, scored: Scored) -> dict[str, Floats]:
    """The scores of candidates that are compared together, and of their reference as ``base``; shape (n, m) each."""
    arms = {BASE_ARM: together.reference} | {name: name for name in together.candidates}
    return {name: _scores(scored[arm, asked.facts.name, measure], asked) for name, arm in arms.items()}


def apart(spec: AuditSpec) -> list[Together]:
    """The candidates that are compared together: of each reference the real ones, then of each the controls."""
    found: dict[tuple[bool, str], list[str]] = {}
    for name, candidate in spec.candidates.items():
        controls = bool(candidate.control or candidate.expect)
        found.setdefault((controls, candidate.against), []).append(name)
    groups = (Together(reference, tuple(names), controls) for (controls, reference), names in found.items())
    return sorted(groups, key=lambda each: each.controls)


def subjects(spec: AuditSpec) -> list[Together]:
    """Those of real candidates; or, where all are controls, these."""
    groups = apart(spec)
    return [each for each in groups if not each.controls] or groups


def posteriors(store: Store, estimator: Estimator, compared: PairedOutcomes) -> list[Posterior]:
    """An estimator's posteriors, from the store where it has them; what reads no labels is not named by any."""
    compared = compared if estimator.kind == LABELS_READ_BY else replace(compared, labels={})
    settings, outcomes = asdict(estimator), archive.outcomes_digest(compared)
    identity = identities.Posteriors(estimator.kind, settings, outcomes, identities.MODELS.get(estimator.kind))
    return archive.unpacked(store.document(identity, lambda: archive.packed(estimator.estimate(compared))))


def widths(spec: AuditSpec, suites: Mapping[str, Asked], scored: Scored) -> dict[str, list[float]]:
    """Suite -> widths of the 95 % HDIs of those changes that decide, in 0..1.

    Controls don't count, unless all candidates are: a positive control's change is as wide as it is large.
    """
    critical, counting = spec.critical(), {name for each in subjects(spec) for name in each.candidates}
    found: dict[str, list[float]] = {suite: [] for suite in suites}
    for compared in outcomes(spec, suites, scored, list({measure for _, measure in critical})):
        if (compared.suite, compared.measure) in critical and set(compared.candidates) <= counting:
            made = headlines(_made(spec, compared))
            found[compared.suite] += [
                width(made.get((candidate, compared.suite, compared.measure))) for candidate in compared.candidates
            ]
    return found


def fewest_prompts(spec: AuditSpec) -> dict[str, int]:
    """Suite -> the prompts that what counts on it must have at least, however much fewer may tell."""
    found: dict[str, list[int]] = {suite: [0] for suite in spec.suites}
    for (suite, _), limits in spec.counting().items():
        found[suite].append(limits.min_prompts)
    return {suite: max(least) for suite, least in found.items()}


def smallest_margins(spec: AuditSpec) -> dict[str, float]:
    """Suite -> the smallest margin of what decides on it, in 0..1; the gate's own where nothing does."""
    found: dict[str, list[float]] = {suite: [] for suite in spec.suites}
    for (suite, _), limits in spec.critical().items():
        found[suite].append(limits.margin)
    return {suite: min(margins, default=spec.gate.margin) for suite, margins in found.items()}


def _made(spec: AuditSpec, compared: PairedOutcomes) -> list[Estimate]:
    """The totals that can decide, not stored."""
    estimators, measures = deciding(spec.estimators.values()), spec.measures()
    made = (each for estimator in estimators for each in estimator.estimate(compared))
    return [summarised(each, spec.gate, measures) for each in made]


def _design(asked: Asked) -> dict[str, Any]:
    """The fields that all comparisons on a suite share."""
    names = list(dict.fromkeys(name for prompt in asked.prompts for name in prompt.slices))
    clusters = clusters_of(prompt.cluster for prompt in asked.prompts) if asked.facts.clusters else None
    return {
        "slices": {name: Slicing.of(prompt.slices.get(name, "") for prompt in asked.prompts) for name in names},
        "strata": asked.facts.strata,
        "weights": asked.facts.weights,
        "shares": asked.facts.shares if asked.facts.n < (asked.facts.available or 0) else None,
        "clusters": clusters,
    }


def _scores(scores: Scores, asked: Asked) -> Floats:
    """Shape (n, m): the scores of n prompts' m samples, NaN where missing; not a copy."""
    values = np.asarray(scores.values).reshape(len(asked.prompts), -1)
    values.setflags(write=False)
    return values


def _outcomes(scores: Floats, outcome: Callable[[float], float]) -> Floats:
    """Outcomes in 0..1 of scores, in the shape of these."""
    flat = [value if np.isnan(value) else outcome(value) for value in scores.ravel().tolist()]
    return np.array(flat, dtype=float).reshape(scores.shape)
