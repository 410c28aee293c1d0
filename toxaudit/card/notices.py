"""What a reader must know before any number: failed controls, missing scores, diagnostics that failed or warn."""

from collections.abc import Iterable, Iterator
from textwrap import shorten

from toxaudit.card import elsewhere, responsiveness, rules, words
from toxaudit.card.index import Candidate, Index
from toxaudit.card.sensitivity import cases
from toxaudit.decision.controls import unmet
from toxaudit.decision.headline import REPLICATIONS
from toxaudit.decision.verdict import failed_controls
from toxaudit.facts import ModelFacts, SuiteFacts, the
from toxaudit.records import BEST_CASE, WORST_CASE, Estimate

LONGEST_SYSTEM = 100
"""Characters of a system prompt that a notice quotes; the methods have all of it."""

OF_MISSING = ("missing", "decisive")
"""Limits of a verdict's lines that are about scores that are missing."""

MANY = 4
"""Places beyond which a notice counts the rest."""


def notices(index: Index) -> Iterator[str]:
    """One phrase each, the gravest first."""
    result = index.result
    yield from _grave(index)
    yield from _unscored(index)
    yield from _failed(index)
    counted = [each for each in result.estimates if each.estimator not in REPLICATIONS]
    warned = ((each, warning) for each in counted for warning in each.diagnostics.warnings)
    yield from _places(index, "Caution", warned)


def that_matter(index: Index) -> Iterator[str]:
    """Those that change how a verdict is to be read: unscored completions only where they keep a measure open."""
    yield from _grave(index)
    weighed = (reason for reason in index.reasons if reason.tier != "advisory" and reason.limit in OF_MISSING)
    yield from _unscored(index, {(each.suite, each.measure) for each in weighed if each.decision != "GO"})
    yield from _failed(index)


def _grave(index: Index) -> Iterator[str]:
    result = index.result
    yield from rules.notices(result)
    for name in failed_controls(result):
        control = index.candidates[name]
        yield f"Failed control: {name} {unmet(control.model, control.verdict.decision)}"
    yield from responsiveness.notices(index)
    if result.skipped:
        yield "Not audited: " + words.joined([f"{each.name} ({each.reference})" for each in result.skipped])
    for model in result.candidates:
        if not any(verdict.candidate == model.name for verdict in result.verdicts):
            yield f"No verdict: {model.name} was not decided"
    yield from _asked_differently(index)
    yield from elsewhere.notices(result)


def _failed(index: Index) -> Iterator[str]:
    """Diagnostics that failed, so that what they are of can't be used."""
    counted = (each for each in index.result.estimates if each.estimator not in REPLICATIONS)
    failed = ((each, "; ".join(each.diagnostics.failures)) for each in counted if each.diagnostics.failures)
    yield from _places(index, "Failed diagnostics", failed)


def _asked_differently(index: Index) -> Iterator[str]:
    """One notice per candidate that got another system prompt than the base, so that this is part of its change."""
    result = index.result
    for model in result.candidates:
        for suite in (each for each in result.suites if each.ask == "chat"):
            base, own = (_system(arm, suite) for arm in (result.reference(model.name), model))
            if base != own:
                yield (
                    f"Asked differently: {model.name} with {own}, {the(model.against)} with {base}: the change is that "
                    "of model and system prompt together"
                )
                break


def _system(arm: ModelFacts, suite: SuiteFacts) -> str:
    text = suite.system_instruction if arm.system_instruction is None else arm.system_instruction
    return f"the system prompt “{shorten(text, LONGEST_SYSTEM, placeholder=' …')}”" if text else "no system prompt"


def _places(index: Index, what: str, found: Iterable[tuple[Estimate, str]]) -> Iterator[str]:
    """One notice per text and the places it concerns, however many estimates and measures these are."""
    alike: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for estimate, text in found:
        key = (index.label(estimate.suite, estimate.measure), text.rstrip("."))
        estimators, places = alike.setdefault(key, ({}, {}))
        estimators[estimate.estimator] = None
        places[estimate.candidate if estimate.slice == "all" else f"{estimate.candidate} {estimate.slice}"] = None
    labels: dict[tuple[str, str, str], list[str]] = {}
    for (label, text), (estimators, places) in alike.items():
        labels.setdefault((words.joined(list(estimators)), _listed(list(places)), text), []).append(label)
    for (by, where, text), measures in labels.items():
        yield f"{what}: {words.joined(measures)} by {by}, {where}: {text}"


def _listed(names: list[str]) -> str:
    return words.joined(names if len(names) <= MANY else [*names[: MANY - 1], f"{len(names) - MANY + 1} more"])


def _unscored(index: Index, places: set[tuple[str, str]] | None = None) -> Iterator[str]:
    """One notice per suite and measure with completions that could not be scored, the base counted once.

    Args:
        index: of the result.
        places: the suites and measures that are told of; None for all.
    """
    result = index.result
    missing: dict[tuple[str, str], dict[str, int]] = {}
    bounds: dict[tuple[str, str], list[str]] = {}
    for name, candidate in index.candidates.items():
        for estimate, scorer in candidate.totals:
            key = (estimate.suite, scorer.name)
            arms = {
                candidate.model.against: estimate.missing.get("base", 0),
                name: estimate.missing.get("candidate", 0),
            }
            missing.setdefault(key, {}).update({arm: n for arm, n in arms.items() if n})
            if not candidate.model.expect and (bound := _bounds(candidate, estimate)):
                bounds.setdefault(key, []).append(bound)
    samples = result.generation.samples
    asked = {suite.name: suite.n * (1 if suite.choices else samples) for suite in result.suites}
    for (suite, measure), arms in missing.items():
        if arms and (places is None or (suite, measure) in places):
            counts = ", ".join(f"{arm} {n:,}" for arm, n in arms.items())
            of = f" of {asked[suite]:,} each" if suite in asked else ""
            label = index.label(suite, measure)
            shown = bounds.get((suite, measure), [])
            extremes = "".join(f". {bound}" for bound in shown[:MANY])
            yield f"Unscored completions: {label}: {counts}{of} could not be scored and are excluded{extremes}"


def _bounds(candidate: Candidate, deciding: Estimate) -> str:
    """What a candidate's change would be at both ends of what its missing scores may have been."""
    found = cases(candidate, deciding)
    if WORST_CASE not in found or BEST_CASE not in found:
        return ""
    worst, best = (words.change(found[case].quantities["change"]) for case in (WORST_CASE, BEST_CASE))
    return f"Counting the unscored answers against {deciding.candidate} gives {worst}, in its favour {best}"
