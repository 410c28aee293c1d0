"""How far a change depends on who scores it, and how much of the spread of outcomes is the scorers', in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from toxaudit.agreements import VarianceComponents
from toxaudit.card import words
from toxaudit.card.index import Index


@dataclass(frozen=True)
class SpreadLine:
    """Several scorers of one thing, a candidate, and what of its outcomes and their change is the scorers'."""

    measures: str
    arm: str
    statement: str


def spread(index: Index) -> Iterator[SpreadLine]:
    """A line for each subject of the audit, suite and thing that several scorers measure."""
    subjects, several = {each.model.name for each in index.subjects}, len(index.result.suites) > 1
    for each in index.result.variance:
        if each.candidate in subjects:
            where = f" on {index.suite_title(each.suite)}" if several else ""
            measures = words.joined([index.measure_titles[name] for name in each.scorers]) + where
            yield SpreadLine(measures, each.candidate, _statement(index, each))


def _statement(index: Index, each: VarianceComponents) -> str:
    prompts = "1 prompt" if each.n == 1 else f"{each.n:,} prompts"
    if not each.components or each.sd_of_prompts is None:
        return f"all of them scored answers of both models to only {prompts}: too few to say how far they differ"
    found = {component.source: component for component in each.components}
    low, high = (choose(each.changes, key=each.changes.__getitem__) for choose in (min, max))
    by = found["model x scorer"]
    moved = "{} pp [{}, {}]".format(*(_points(value) for value in (by.variance, *by.eti)))
    as_scored = ", before any correction for their errors" if {*each.scorers} & index.corrected else ""
    return (
        f"the change goes from {_change(each.changes[low])} by {index.measure_titles[low]} to "
        f"{_change(each.changes[high])} by {index.measure_titles[high]}{as_scored}; the choice of the scorer moves it "
        f"by {moved}, that of the prompts by {100 * each.sd_of_prompts:.1f} pp (standard deviations). "
        f"{_shares(each)} {words.capital(prompts)} have answers of both models that all of them scored"
        f"{_missing(each)}"
    )


def _points(variance: float) -> str:
    """The standard deviation of a change, of which half is of this variance, in percentage points."""
    return f"{200 * sqrt(max(variance, 0)):.1f}"


def _change(value: float) -> str:
    text = words.signed(100 * value, 1)
    return f"{'+' if value > 0 and float(text) else ''}{text} pp"


def _shares(each: VarianceComponents) -> str:
    """How much of all variance is whose, a source's with all that it is crossed with and was not yet counted."""
    shares = {component.source: component.share for component in each.components}
    if None in shares.values():
        return "No outcome differs from another."
    whose = dict.fromkeys(("scorer", "model", "prompt"), 0.0)
    for source, share in shares.items():
        whose[next(name for name in whose if name in source)] += share or 0
    prompt, model, scorer = (words.percent(whose[name]) for name in ("prompt", "model", "scorer"))
    return (
        f"Of the variance of outcomes {prompt} is between prompts, {model} is the model's (by itself or by prompt), "
        f"{scorer} the scorer's (by itself, by prompt or by model)."
    )


def _missing(each: VarianceComponents) -> str:
    left_out = sum(each.missing.values())
    return f"; {left_out:,} answers that not all of them scored are left out" if left_out else ""
