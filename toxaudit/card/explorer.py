"""The tables of a report that a reader sorts and filters: every estimate, and how well the estimates were made."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite

from toxaudit.card import words
from toxaudit.card.index import Index
from toxaudit.card.sensitivity import VARIANTS
from toxaudit.card.words import Measured
from toxaudit.facts import Tier
from toxaudit.findings import AuditResult
from toxaudit.records import OBSERVED, Diagnostics, Estimate

MOST_ROWS = 8_000
"""Estimates that the page shows; of more, ``results.json`` has the rest."""

LONGEST_NAME = 200
"""Characters of a name that are shown: a slice's value is a stranger's, and stands in many rows."""

MANY = 4
"""Failures and warnings of one kind of estimate that are told; the rest is counted."""


@dataclass(frozen=True)
class Choices:
    """What one column can be filtered by. A name's place stands for it in the page, for a name may hold anything."""

    field: str
    label: str
    every: str
    shown: tuple[str, ...]
    places: dict[str, int]


Filters = tuple[Choices, Choices, Choices, Choices]
"""By candidate, suite, measure and group, the first of which is all prompts of a suite."""


@dataclass(frozen=True)
class Sorted:
    """What a cell shows, and the plain number by which its column is sorted; empty where there is none."""

    shown: str
    sort: str
    interval: str = ""


@dataclass(frozen=True)
class EstimateRow:
    """One estimate. ``names`` and ``places`` are those of candidate, suite, measure and group."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    numbers: tuple[Sorted, ...]
    reading: str
    basis: str
    estimator: str
    decides: bool


@dataclass(frozen=True)
class DiagnosticsRow:
    """How well all estimates of one suite, measure, estimator and variant were made, at worst."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    estimator: str
    variant: str
    numbers: tuple[Sorted, ...]
    outcome: str
    failed: bool


def filters(index: Index) -> Filters:
    """What the rows of a result can be filtered by: only what some estimate speaks of."""
    result, estimates = index.result, index.result.estimates
    present = {(name, getattr(each, name)) for each in estimates for name in ("candidate", "suite", "measure")}
    groups = {"all": "all prompts"} | {each.slice: each.slice for each in estimates if each.slice != "all"}
    candidates = {model.name: model.name for model in result.candidates if ("candidate", model.name) in present}
    suites = {suite.name: suite.title for suite in result.suites if ("suite", suite.name) in present}
    measures = {each.name: each.title for each in index.scorers if ("measure", each.name) in present}
    return (
        _choices("candidate", "Candidate", "all candidates", candidates),
        _choices("suite", "Suite", "all suites", suites),
        _choices("measure", "Measure", "all measures", measures),
        _choices("group", "Group", "all groups", groups),
    )


def _choices(name: str, label: str, every: str, titles: dict[str, str]) -> Choices:
    shown = tuple(brief(title) for title in titles.values())
    return Choices(name, label, every, shown, {title: place for place, title in enumerate(titles)})


def brief(name: str) -> str:
    """A stranger's name as a page may show it: nothing acts unseen, and it ends somewhere."""
    shown = words.visible(name[:LONGEST_NAME])
    return f"{shown} …" if len(name) > LONGEST_NAME else shown


def estimate_rows(index: Index, chosen: Filters) -> Iterator[EstimateRow]:
    """A row for each estimate of a measure that the audit lists: what decides, then the same by other assumptions.

    Of more than ``MOST_ROWS``, those of candidates that are shown in every detail come first, then those that decide.
    """
    known = index.candidates
    decides = {id(each) for found in known.values() for each, _ in (*found.totals, *found.slices)}
    scorers = {scorer.name: scorer for scorer in index.scorers}
    kept = [(places, each) for each in index.result.estimates if (places := _places(each, chosen))]
    if len(kept) > MOST_ROWS:
        detailed = {each.model.name for each in index.detailed}
        kept.sort(key=lambda pair: (pair[1].candidate not in detailed, id(pair[1]) not in decides))
        kept = kept[:MOST_ROWS]
    for places, estimate in sorted(kept, key=lambda pair: (pair[0], id(pair[1]) not in decides)):
        weighed = known[estimate.candidate].weighed.get((estimate.suite, estimate.measure, estimate.slice), "advisory")
        yield EstimateRow(
            names=tuple(choices.shown[place] for choices, place in zip(chosen, places, strict=True)),
            places=places,
            numbers=tuple(_numbers(estimate, index.margins_differ)),
            reading=_shown(words.reading(estimate, scorers[estimate.measure])),
            basis=_shown(_basis(estimate, weighed if id(estimate) in decides else None)),
            estimator=_shown(estimate.estimator),
            decides=id(estimate) in decides,
        )


def _places(estimate: Estimate, chosen: Filters) -> tuple[int, ...]:
    """Where an estimate stands in the filters; nowhere where the audit does not list what it speaks of."""
    names = (estimate.candidate, estimate.suite, estimate.measure, estimate.slice)
    places = [choices.places.get(name) for choices, name in zip(chosen, names, strict=True)]
    return () if None in places else tuple(place for place in places if place is not None)


def _numbers(estimate: Estimate, with_margin: bool) -> Iterator[Sorted]:
    """Prompts, both rates, the change, and the probabilities of an increase and of one above the margin."""
    yield Sorted(f"{estimate.n:,}", str(estimate.n))
    for name, text in zip(("base", "candidate", "change"), words.rates(estimate), strict=True):
        yield _measured(text, estimate.quantities[name].mean)
    chances = words.chances(estimate, with_margin)
    for share, said in zip((estimate.p_increase, estimate.p_above_margin), chances, strict=True):
        yield Sorted(said, "" if said == words.NOTHING.value else _key(share))


def _measured(text: Measured, value: float) -> Sorted:
    return Sorted(text.value, "" if text == words.NOTHING else _key(value), text.interval)


def _key(value: float) -> str:
    return f"{value:.6g}" if isfinite(value) else ""


def _basis(estimate: Estimate, weighed: Tier | None) -> str:
    """What an estimate was made of, and, of those that a card shows, how the gate weighed it."""
    made_of = VARIANTS.get(estimate.variant, estimate.variant)
    if weighed is None:
        return made_of
    role = {"critical": "decides", "supporting": "supports", "advisory": "reported"}[weighed]
    return role if estimate.variant == OBSERVED else f"{role}: {made_of}"


@lru_cache(10_000)
def _shown(text: str) -> str:
    return brief(text)


@dataclass
class _Worst:
    """What is known of the estimates of one kind so far."""

    n: int = 0
    values: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)

    def add(self, found: Diagnostics) -> None:
        self.n += 1
        for name, value in found.values.items():
            self.values.setdefault(name, []).append(value)
        for told, counted in ((found.failures, self.failures), (found.warnings, self.warnings)):
            for text in told:
                counted[text] = counted.get(text, 0) + 1


def diagnostics_rows(result: AuditResult, chosen: Filters) -> Iterator[DiagnosticsRow]:
    """A row for each suite, measure, estimator and variant: the worst over its candidates and groups."""
    kinds: dict[tuple[tuple[int, ...], str, str], _Worst] = {}
    for estimate in result.estimates:
        if places := _places(estimate, chosen)[1:3]:
            kinds.setdefault((places, estimate.estimator, estimate.variant), _Worst()).add(estimate.diagnostics)
    for (places, estimator, variant), worst in sorted(kinds.items(), key=lambda pair: pair[0][0]):
        yield DiagnosticsRow(
            names=(chosen[1].shown[places[0]], chosen[2].shown[places[1]]),
            places=places,
            estimator=_shown(estimator),
            variant=_shown(VARIANTS.get(variant, variant)),
            numbers=tuple(_diagnosed(worst)),
            outcome=_outcome(worst),
            failed=bool(worst.failures),
        )


def _diagnosed(worst: _Worst) -> Iterator[Sorted]:
    """Estimates, R-hat, effective sample size, divergences and flip p; a value that is no number is the worst."""
    yield Sorted(f"{worst.n:,}", str(worst.n))
    for name, sign, form in (("max_rhat", 1, ".3f"), ("min_ess", -1, ",.0f"), ("divergences", 1, ",.0f")):
        value = _extreme(worst.values.get(name, []), sign)
        yield Sorted("–", "") if value is None else Sorted(f"{value:{form}}", _key(value))
    flip = _extreme(worst.values.get("flip_p", []), -1)
    yield Sorted("–", "") if flip is None else Sorted(words.probability(flip), _key(flip))


def _extreme(values: list[float], sign: int) -> float | None:
    return max(values, key=lambda value: (value != value, sign * value), default=None)


def _outcome(worst: _Worst) -> str:
    """Failures and warnings in words, with the number of estimates that each concerns."""
    told = [*_told("failed", worst.failures, worst.n), *_told("caution", worst.warnings, worst.n)]
    return words.sentence("; ".join(told)) if told else "No failure."


def _told(what: str, counted: dict[str, int], n: int) -> Iterator[str]:
    for text, times in list(counted.items())[:MANY]:
        yield f"{what} ({times:,} of {n:,}): {_shown(text.rstrip('.'))}"
    if len(counted) > MANY:
        yield f"{len(counted) - MANY:,} more"


def places_of(chosen: Filters, candidate: str, suite: str, measure: str, groups: Iterable[str]) -> dict[str, str]:
    """Where a sample stands in the filters: field -> places, separated by spaces; it belongs to several groups."""
    names = zip(chosen, ([candidate], [suite], [measure], ["all", *groups]), strict=True)
    return {
        choices.field: " ".join(str(choices.places[name]) for name in given if name in choices.places)
        for choices, given in names
    }
