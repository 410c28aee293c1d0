"""How a change in total comes out under other assumptions than those of the estimate that decides."""

from collections.abc import Iterator
from dataclasses import dataclass

from toxaudit.card import words
from toxaudit.card.index import Candidate, Index
from toxaudit.card.words import Measured
from toxaudit.decision.headline import usable
from toxaudit.facts import ScorerFacts
from toxaudit.records import ALONE, BEST_CASE, CORRECTED, LABELLED, OBSERVED, OTHER_PRIOR, WORST_CASE, Estimate

REPLICATED = {"unpaired_beta": "unpaired", "best_replication": "Student's t"}
"""What estimators do that repeat other studies: what they warn of belongs to their own rows only."""

VARIANTS = {
    LABELLED: "all scores, and people's labels of some of these answers",
    CORRECTED: "scores corrected for the scorer's errors",
    OBSERVED: "scores as they are",
    BEST_CASE: "unscored answers counted in the candidate's favour",
    WORST_CASE: "unscored answers counted against the candidate",
    OTHER_PRIOR: "another prior",
    ALONE: "the slice's own prompts alone",
}
"""What an estimate was made of, in the order in which a table shows it."""

OTHERS = {
    "paired_exact": "the exact paired tables",
    "paired_bb": "the Bayesian bootstrap over prompts or templates",
    "hier_paired": "the hierarchical model's total",
}
"""Other estimators, in the order in which a table shows them; then come unknown ones, then replications."""


@dataclass(frozen=True)
class SensitivityRow:
    """One assumption and what it makes of the change.

    ``estimator`` is empty where it is that of the row above; ``decision`` is what the gate makes of this change alone;
    ``shift`` is in SDs of the change that decides.
    """

    assumption: str
    estimator: str
    reading: str
    change: Measured
    p_increase: str
    p_above_margin: str
    decision: str
    shift: str
    decides: bool


@dataclass(frozen=True)
class SensitivityTable:
    """A critical measure of one candidate: what decides, then the same under other assumptions."""

    measure: str
    statement: str
    rows: tuple[SensitivityRow, ...]
    summary: str


def tables(index: Index, candidate: Candidate) -> Iterator[SensitivityTable]:
    """A candidate's critical measures of which there is more than the one estimate that decides."""
    for deciding, scorer in candidate.critical_totals:
        if others := _others(candidate, deciding):
            yield SensitivityTable(
                measure=index.label(deciding.suite, scorer.name),
                statement=words.capital(words.statement(deciding, scorer)),
                rows=tuple(_row(index, candidate, each, deciding, scorer) for each in (deciding, *others)),
                summary=_summary(candidate, deciding, others),
            )


def cases(candidate: Candidate, deciding: Estimate) -> dict[str, Estimate]:
    """The same change by the same estimator under other assumptions, by variant."""
    return {each.variant: each for each in _others(candidate, deciding) if each.estimator == deciding.estimator}


def _others(candidate: Candidate, deciding: Estimate) -> list[Estimate]:
    """The other totals of the same measure: first those of the same estimator, replications last."""
    variants, names, last = list(VARIANTS), list(OTHERS), list(REPLICATED)

    def place(estimate: Estimate) -> tuple[bool, int, int, int]:
        name, variant = estimate.estimator, estimate.variant
        return (
            name != deciding.estimator,
            last.index(name) if name in last else -1,
            names.index(name) if name in names else len(names),
            variants.index(variant) if variant in variants else len(variants),
        )

    return sorted(candidate.others.get((deciding.suite, deciding.measure), ()), key=place)


def _row(
    index: Index, candidate: Candidate, estimate: Estimate, deciding: Estimate, scorer: ScorerFacts
) -> SensitivityRow:
    decides = estimate is deciding
    p_increase, p_above_margin = words.chances(estimate, index.margins_differ)
    return SensitivityRow(
        assumption=words.capital(_assumption(estimate, deciding)),
        estimator=estimate.estimator if decides or estimate.estimator != deciding.estimator else "",
        reading=words.reading(estimate, scorer),
        change=words.rates(estimate)[-1],
        p_increase=p_increase,
        p_above_margin=p_above_margin,
        decision=_decision(candidate, estimate),
        shift=_shift(estimate, deciding),
        decides=decides,
    )


def _decision(candidate: Candidate, estimate: Estimate) -> str:
    own = candidate.own_decision(estimate)
    if own is None:
        return "never decides"
    return words.marked(own) if usable(estimate) else "not usable"


def _assumption(estimate: Estimate, deciding: Estimate) -> str:
    """An estimate's assumptions in words, as far as they differ from those of the one that decides."""
    variant = VARIANTS.get(estimate.variant, estimate.variant)
    if estimate is deciding:
        return f"the result above: {variant}"
    if estimate.estimator in REPLICATED:
        said = "; ".join(warning.rstrip(".") for warning in estimate.diagnostics.warnings)
        return f"{REPLICATED[estimate.estimator]}: {said or 'it never decides'}"
    corrects = deciding.variant in (CORRECTED, LABELLED)
    as_they_are = corrects and estimate.variant not in (CORRECTED, BEST_CASE, WORST_CASE)
    raw = "; scores not corrected" if as_they_are else ""
    if estimate.estimator == deciding.estimator:
        return f"{variant}, not corrected" if raw and estimate.variant == OBSERVED else f"{variant}{raw}"
    model = OTHERS.get(estimate.estimator, "another estimator")
    return f"{model}{raw}" if estimate.variant == OBSERVED else f"{model}; {variant}{raw}"


def _shift(estimate: Estimate, deciding: Estimate) -> str:
    """How far a change lies from the one that decides, in posterior SDs of the latter."""
    here, there = estimate.quantities["change"], deciding.quantities["change"]
    if not there.sd > 0:
        return "unknown"
    text = words.signed((here.mean - there.mean) / there.sd, 1)
    return text if text[0] == "−" or not float(text) else f"+{text}"


def _summary(candidate: Candidate, deciding: Estimate, others: list[Estimate]) -> str:
    """Whether the change would be decided otherwise under another assumption."""
    if not usable(deciding):
        return "Nothing below can stand in for it"
    own = candidate.own_decision(deciding)
    if own is None:
        return "The gate decides nothing by this change alone"
    differ = sum(candidate.own_decision(each) not in (own, None) for each in others if usable(each))
    alone = f"By this change alone the measure is {own}"
    if not differ:
        return f"{alone}, and no other assumption below makes it anything else"
    return f"{alone}; {differ} of the other assumptions below would make it something else"
