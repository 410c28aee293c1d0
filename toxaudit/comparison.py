"""Scores -> paired outcomes -> posteriors -> estimates: where the stages' records meet and fits are stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.estimators.outcomes import Floats, PairedOutcomes, Posterior, Slicing, summarise
from toxaudit.records import HEADLINES, Estimate, Prompt, Score, SuiteFacts, headlines
from toxaudit.results import Scored
from toxaudit.spec import AuditSpec
from toxaudit.store import Store


@dataclass(frozen=True)
class Asked:
    """A suite and the prompts of it that were asked."""

    prompts: list[Prompt]
    facts: SuiteFacts


def outcomes(
    spec: AuditSpec, suites: Mapping[str, Asked], scored: Scored, only: Sequence[str] | None = None
) -> Iterator[PairedOutcomes]:
    """One comparison for each suite and scorer: the base and its real candidates, then the base and the controls.

    What a hierarchical estimator shares between candidates thus stays among their kind.

    Args:
        spec: the audit's.
        suites: name -> the prompts asked.
        scored: every completion's score by every scorer.
        only: the scorers wanted; None for all.
    """
    for suite, asked in suites.items():
        design = _design(asked)
        for measure, scorer in spec.scorers.items():
            if only is None or measure in only:
                errors = scorer.known_errors()
                for names in apart(spec):
                    scores = {arm: _scores(scored[arm, suite, measure], asked) for arm in ("base", *names)}
                    made = {arm: _outcomes(values, scorer) for arm, values in scores.items()}
                    yield PairedOutcomes(
                        suite, measure, made.pop("base"), made, **design, calibration=errors, scores=scores
                    )


def apart(spec: AuditSpec) -> list[list[str]]:
    """The names of real candidates, and of controls; no empty list."""
    controls = [name for name, candidate in spec.candidates.items() if candidate.control or candidate.expect]
    real = [name for name in spec.candidates if name not in controls]
    return [group for group in (real, controls) if group]


def posteriors(store: Store, estimator: Any, compared: PairedOutcomes) -> list[Posterior]:
    """An estimator's posteriors, from the store where it has them."""
    identity = {
        "version": 3,
        "estimator": estimator.kind,
        "settings": asdict(estimator),
        "outcomes": archive.outcomes_digest(compared),
    }
    return archive.read(store.folder("posteriors", identity, partial(_save, estimator, compared)))


def widths(spec: AuditSpec, suites: Mapping[str, Asked], scored: Scored) -> dict[str, list[float]]:
    """Suite -> widths of the 95 % HDIs of those changes that decide, in 0..1.

    Controls don't count, unless all candidates are: a positive control's change is as wide as it is large.
    """
    critical = [name for name, scorer in spec.scorers.items() if scorer.tier == "critical"]
    found: dict[str, list[float]] = {suite: [] for suite in suites}
    for compared in outcomes(spec, suites, scored, critical):
        if set(compared.candidates) <= set(apart(spec)[0]):
            made = headlines(_made(spec, compared))
            found[compared.suite] += [
                _width(made.get((candidate, compared.suite, compared.measure))) for candidate in compared.candidates
            ]
    return found


def _width(estimate: Estimate | None) -> float:
    """The width of a change's 95 % HDI; infinite where there is none, or none to be used."""
    if estimate is None or not estimate.diagnostics.passed:
        return float("inf")
    low, high = estimate.quantities["change"].hdi
    return high - low


def check_design(spec: AuditSpec, suites: Mapping[str, Asked]) -> None:
    """Refuse what no selected estimator could take, and calibrations that don't fit a suite, before anything is spent.

    Raises:
        ToxauditError: so it is.
    """
    kinds = {estimator.kind for estimator in spec.estimators.values()}
    for suite, asked in suites.items():
        for name, scorer in spec.scorers.items():
            why = f"suite '{suite}' has templates (cluster)" if asked.facts.clusters else ""
            why = why or ("generation.samples is above 1" if spec.generation.samples > 1 else "")
            why = why or (f"scorers.{name} takes the mean score" if scorer.threshold is None else "")
            if why and scorer.tier != "advisory" and "paired_bb" not in kinds:
                raise ToxauditError(f"{why}, which paired_exact does not take: add paired_bb to 'estimator: [...]'.")
    _check_calibrations(spec, suites)


def _check_calibrations(spec: AuditSpec, suites: Mapping[str, Asked]) -> None:
    """Refuse a calibration by a slice that a suite doesn't have, or some of whose values it doesn't know."""
    for name, scorer in spec.scorers.items():
        errors = scorer.known_errors()
        if errors is None or errors.by is None:
            continue
        for suite, asked in suites.items():
            where = f"scorers.{name}.calibration is by '{errors.by}'"
            values = {prompt.slices.get(errors.by, "") for prompt in asked.prompts}
            if values == {""}:
                raise ToxauditError(f"{where}, which is no slice of suite '{suite}': use a calibration of all prompts.")
            if unknown := sorted(values - set(errors.counts)):
                shown = unknown[0] or "prompts without a value"
                raise ToxauditError(f"{where}, but has no counts for '{shown}', which suite '{suite}' asks.")


def _made(spec: AuditSpec, compared: PairedOutcomes) -> list[Estimate]:
    """The totals that can decide, not stored."""
    gate, deciding = spec.gate, [each for each in spec.estimators.values() if each.kind in HEADLINES]
    return [summarise(each, gate.margin, gate.cap) for estimator in deciding for each in estimator.estimate(compared)]


def _save(estimator: Any, compared: PairedOutcomes, into: Path) -> None:
    archive.save(estimator.estimate(compared), into)


def _design(asked: Asked) -> dict[str, Any]:
    """What all comparisons on a suite share."""
    names = list(dict.fromkeys(name for prompt in asked.prompts for name in prompt.slices))
    clusters = _clusters(asked.prompts) if asked.facts.clusters else None
    return {
        "slices": {name: Slicing.of(prompt.slices.get(name, "") for prompt in asked.prompts) for name in names},
        "strata": asked.facts.strata,
        "weights": asked.facts.weights,
        "shares": asked.facts.shares if asked.facts.n < (asked.facts.available or 0) else None,
        "clusters": clusters,
    }


def _clusters(prompts: Sequence[Prompt]) -> NDArray[np.intp]:
    """Shape (n,): the template of each prompt; one that varies none is a template of its own."""
    codes = Slicing.of(prompt.cluster for prompt in prompts).codes
    alone = codes < 0
    codes[alone] = codes.max(initial=0) + 1 + np.arange(alone.sum())
    return codes


def _scores(scores: Sequence[Score], asked: Asked) -> Floats:
    """Shape (n, m): the scores of n prompts' m samples, NaN where missing."""
    values = [np.nan if score.value is None else score.value for score in scores]
    return np.array(values, dtype=float).reshape(len(asked.prompts), -1)


def _outcomes(scores: Floats, scorer: Any) -> Floats:
    """The same shape: outcomes in 0..1."""
    flat = [value if np.isnan(value) else scorer.outcome(value) for value in scores.ravel().tolist()]
    return np.array(flat, dtype=float).reshape(scores.shape)
