"""What a card says, gathered from an audit's result as ready strings, so that a template only places words."""

from collections.abc import Iterator
from dataclasses import dataclass

from toxaudit.card import methods, sensitivity, words
from toxaudit.card.findings import (
    WORST_FIRST,
    all_slices,
    finding,
    headlines,
    measure_label,
    outlook,
    slices,
    verdict_of,
)
from toxaudit.card.methods import AgreementRow, ErrorRow, EstimatorLine, ScorerLine, SuiteLine
from toxaudit.card.notices import notices
from toxaudit.card.sensitivity import SensitivityTable
from toxaudit.card.words import Measured
from toxaudit.records import UNSCORED, AuditResult, Decision, Estimate, ModelFacts, Reason, ScorerFacts, Verdict


@dataclass(frozen=True)
class GateRow:
    """One line of a gate's table."""

    measure: str
    slice: str
    tier: str
    rule: str
    observed: str
    decision: str


@dataclass(frozen=True)
class ResultRow:
    """One line of a results table."""

    measure: str
    slice: str
    n: str
    base: Measured
    candidate: Measured
    change: Measured
    p_increase: str
    p_above_margin: str
    new: str
    repaired: str
    reading: str


@dataclass(frozen=True)
class ArmFacts:
    """One arm of the audit: what it is, and exactly what was loaded. ``short`` is the reference without checksum."""

    name: str
    kind: str
    reference: str
    short: str
    revision: str
    digest: str
    identity: str
    dtype: str
    training: str
    notes: str


@dataclass(frozen=True)
class SkippedLine:
    """A candidate that was not audited, and why."""

    name: str
    reference: str
    reason: str


@dataclass(frozen=True)
class CandidateFacts:
    """One candidate: its verdict, and the tables that led to it.

    ``control`` is empty for a real candidate; ``outlook``, what would settle an open verdict, is empty for a control
    and wherever nothing useful can be said.
    """

    arm: ArmFacts
    control: str
    decision: str
    finding: str
    outlook: str
    gate: tuple[GateRow, ...]
    results: tuple[ResultRow, ...]
    slices: tuple[ResultRow, ...]
    sensitivity: tuple[SensitivityTable, ...]


@dataclass(frozen=True)
class CardFacts:
    """All that a card's template may place.

    Real candidates and controls are apart, so that neither drowns the other; where all are controls, they stand as
    candidates. ``notices`` are what a reader must know before any number: failed controls, unscored
    completions, diagnostics that failed or warn. ``legend`` says how numbers are to be read.
    """

    title: str
    date: str
    version: str
    decision: Decision
    headline: str
    notices: tuple[str, ...]
    base: ArmFacts
    candidates: tuple[CandidateFacts, ...]
    controls: tuple[CandidateFacts, ...]
    skipped: tuple[SkippedLine, ...]
    rule: str
    margin: str
    legend: str
    suites: tuple[SuiteLine, ...]
    sampling: str
    scorers: tuple[ScorerLine, ...]
    errors: tuple[ErrorRow, ...]
    agreements: tuple[AgreementRow, ...]
    generation: str
    estimators: tuple[EstimatorLine, ...]
    limitations: tuple[str, ...]
    plot: str
    command: str
    versions: tuple[tuple[str, str], ...]


def gather(result: AuditResult) -> CardFacts:
    """The facts of a card, in the order in which a reader needs them."""
    candidates = tuple(_candidate(result, model) for model in result.candidates if not model.expect)
    controls = tuple(_candidate(result, model) for model in result.candidates if model.expect)
    if not candidates:
        candidates, controls = controls, ()
    return CardFacts(
        title=result.title,
        date=result.date,
        version=result.version,
        decision=result.decision,
        headline=_headline(result),
        notices=tuple(notices(result)),
        base=_arm(result.base),
        candidates=candidates,
        controls=controls,
        skipped=tuple(SkippedLine(each.name, each.reference, each.reason.rstrip(".")) for each in result.skipped),
        rule=result.gate.rule.rstrip("."),
        margin=words.points(result.gate.margin),
        legend=_legend(result),
        suites=tuple(methods.suites(result)),
        sampling=methods.sampling(result),
        scorers=tuple(methods.scorers(result)),
        errors=tuple(methods.error_rows(result)),
        agreements=tuple(methods.agreements(result)),
        generation=methods.generation(result),
        estimators=tuple(methods.estimators(result)),
        limitations=tuple(_limitations(result)),
        plot=_plot(candidates),
        command=result.command,
        versions=tuple(result.versions.items()),
    )


def verdict_line(result: AuditResult, verdict: Verdict) -> str:
    """One candidate's verdict as a sentence, for a terminal; a control's says whether it was met."""
    expect = next((model.expect for model in result.candidates if model.name == verdict.candidate), None)
    sentence = words.decision_sentence(verdict.decision, verdict.candidate, finding(result, verdict))
    if expect is None:
        return words.visible(f"{sentence} {words.sentence(outlook(result, verdict))}".rstrip())
    met = "as expected" if verdict.decision == expect else f"but {expect} was expected"
    return words.visible(f"{sentence} ({words.control(expect).capitalize()}, {met}.)")


def statements(result: AuditResult) -> list[str]:
    """One line per candidate and critical measure, for a terminal: which way, how much, how probably too much."""
    return [
        words.visible(f"{model.name}, {measure_label(result, estimate.suite, scorer.name)}: ")
        + words.visible(words.statement(estimate, scorer))
        for model in result.candidates
        for estimate, scorer in headlines(result, model.name)
        if scorer.tier == "critical"
    ]


def _arm(model: ModelFacts) -> ArmFacts:
    return ArmFacts(
        name=model.name,
        kind=model.kind,
        reference=model.reference,
        short=words.reference(model.reference),
        revision=model.revision or "",
        digest=model.digest,
        identity=(model.revision or model.digest)[:12],
        dtype=model.dtype,
        training=(model.training or "").rstrip("."),
        notes="; ".join([*model.notes, *_system(model)]),
    )


def _system(model: ModelFacts) -> list[str]:
    """Its own system prompt, where it was given one; an empty one stands for none."""
    if model.system_instruction is None:
        return []
    said = model.system_instruction
    return [f"in its chat template it was given the system prompt “{said}”" if said else "it got no system prompt"]


def _candidate(result: AuditResult, model: ModelFacts) -> CandidateFacts:
    verdict = verdict_of(result, model.name)
    return CandidateFacts(
        arm=_arm(model),
        control=words.control(model.expect),
        decision=words.expectation(verdict.decision, model.expect),
        finding=finding(result, verdict),
        outlook="" if model.expect else words.sentence(outlook(result, verdict)),
        gate=tuple(_gate_rows(result, verdict)),
        results=tuple(_result_row(result, *pair) for pair in headlines(result, model.name)),
        slices=tuple(_result_row(result, *pair) for pair in all_slices(result, model.name)),
        sensitivity=() if model.expect else tuple(sensitivity.tables(result, model.name)),
    )


def _gate_rows(result: AuditResult, verdict: Verdict) -> Iterator[GateRow]:
    """The gate's table: one row per total, and one for all slices with the same rule and result."""
    alike: dict[tuple[str, ...], list[Reason]] = {}
    for reason in verdict.reasons:
        part = "all" if reason.slice == "all" else ""
        alike.setdefault((reason.suite, reason.measure, reason.rule, reason.decision, part), []).append(reason)
    for reasons in alike.values():
        first, several = reasons[0], len(reasons) > 1
        yield GateRow(
            measure=measure_label(result, first.suite, first.measure),
            slice=f"{len(reasons)} slices" if several else first.slice,
            tier=first.tier,
            rule=first.rule,
            observed="the same result on each" if several else first.observed,
            decision=words.result(first.decision, first.tier, total=first.slice == "all"),
        )


def _result_row(result: AuditResult, estimate: Estimate, scorer: ScorerFacts) -> ResultRow:
    """A line of a table. A ratio of rates is said of totals only, and a mean score is neither new nor repaired."""
    times = words.times(estimate, scorer) if estimate.slice == "all" else ""
    new, repaired = ("–", "–") if words.is_mean(scorer) else map(words.count, _flipped(estimate))
    return ResultRow(
        measure=measure_label(result, estimate.suite, scorer.name),
        slice=estimate.slice,
        n=f"{estimate.n:,}",
        base=words.rate(estimate.quantities["base"]),
        candidate=words.rate(estimate.quantities["candidate"]),
        change=words.change(estimate.quantities["change"]),
        p_increase=words.probability(estimate.p_increase),
        p_above_margin=words.probability(estimate.p_above_margin),
        new=new,
        repaired=repaired,
        reading=words.reading(estimate, scorer) + (f": {times}" if times else ""),
    )


def _flipped(estimate: Estimate) -> tuple[float, float]:
    return estimate.counts["n01"], estimate.counts["n10"]


def _legend(result: AuditResult) -> str:
    """How the numbers of the results are to be read."""
    rates = "Rates are shares of completions with the outcome"
    if any(methods.corrected(result, scorer) for scorer in result.scorers):
        rates += ", corrected for the scorer's errors where these are known (new and repaired ones are as scored)"
    if any(words.is_mean(scorer) for scorer in result.scorers):
        rates += "; mean scores, which are neither new nor repaired, are percent of the scorer's scale"
    return rates


def _headline(result: AuditResult) -> str:
    """The verdict line, without its decision: the worst real candidate's finding, or what failed before it."""
    if failed := result.failed_controls:
        return f"{words.joined(list(failed))} did not come out as expected, so no other number here can be trusted"
    real = [verdict_of(result, model.name) for model in result.candidates if not model.expect]
    if not real and result.skipped:
        return f"{words.joined([each.name for each in result.skipped])} could not be audited"
    if not real:
        return "every control came out as expected; no other candidate was audited"
    worst = min(real, key=lambda verdict: WORST_FIRST.index(verdict.decision))
    if result.skipped and worst.decision == "GO":
        unknown = words.joined([each.name for each in result.skipped])
        return f"{unknown} could not be audited; {worst.candidate} {finding(result, worst)}"
    return f"{worst.candidate} {finding(result, worst)}"


def _limitations(result: AuditResult) -> Iterator[str]:
    real = [model for model in result.candidates if not model.expect] or list(result.candidates)
    widest: dict[tuple[str, str], tuple[Estimate, ScorerFacts]] = {}
    for pair in (pair for model in real for pair in headlines(result, model.name) if pair[1].tier == "critical"):
        key = (pair[0].suite, pair[0].measure)
        widest[key] = max(widest.get(key, pair), pair, key=lambda found: words.half_width(found[0]))
    for estimate, scorer in widest.values():
        of = f" of {measure_label(result, estimate.suite, scorer.name)}" if len(widest) > 1 else ""
        yield f"Resolution{of}: {words.resolution(estimate, scorer)} at worst; a smaller one can be missed"
    if any(slices(result, model.name) for model in real):
        yield "Slices: harm confined to one slice of one candidate is drawn towards the others and can be missed"
    yield from _scorer_limits(result)
    yield "Intervals are about the population these prompts were drawn from, not about every use of the model"
    yield "Not tested: anything not listed above, such as other languages, long conversations, tools and attacks"


def _scorer_limits(result: AuditResult) -> Iterator[str]:
    """What is not known of scorers, or assumed where their errors are."""
    known = [scorer.title for scorer in result.scorers if methods.corrected(result, scorer)]
    unknown = [
        scorer.title
        for scorer in result.scorers
        if not methods.corrected(result, scorer) and not scorer.name.endswith(UNSCORED)
    ]
    if not known:
        yield "Scorers are classifiers or rules with errors of their own, and the same error counts in both models"
        return
    yield (
        f"Correcting {words.joined(known)} takes these completions to be like the labelled ones, and the error rates "
        "to be the same in both models"
    )
    if unknown:
        yield f"Not corrected for errors of their own, which count in both models: {words.joined(unknown)}"


def _plot(candidates: tuple[CandidateFacts, ...]) -> str:
    """What the forest plot shows, for those who do not see it."""
    numbers = [f"{each.arm.name}, {row.measure} {row.change}" for each in candidates for row in each.results]
    shown = "; ".join(numbers[:12]) + (f"; and {len(numbers) - 12} more in the tables" if len(numbers) > 12 else "")
    return f"Forest plot of the change from the base in percentage points, with 95 % intervals: {shown or 'no result'}"
