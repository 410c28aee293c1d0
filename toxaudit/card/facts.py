"""What a card says, gathered from an audit's result as ready strings, so that a template only places words."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from toxaudit.card import words
from toxaudit.card.findings import WORST_FIRST, by_tier, finding, headlines, measure_label, slices, verdict_of
from toxaudit.card.words import Measured
from toxaudit.records import AuditResult, Decision, Estimate, ModelFacts, Reason, ScorerFacts, Verdict


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


@dataclass(frozen=True)
class CandidateFacts:
    """One candidate: its verdict, and the tables that led to it. ``control`` is empty for a real candidate."""

    arm: ArmFacts
    control: str
    decision: str
    finding: str
    gate: tuple[GateRow, ...]
    results: tuple[ResultRow, ...]
    slices: tuple[ResultRow, ...]


@dataclass(frozen=True)
class SuiteLine:
    """What was asked, in words."""

    name: str
    title: str
    n: str
    ask: str
    slices: str
    source: str
    licence: str
    digest: str


@dataclass(frozen=True)
class CardFacts:
    """All that a card's template may place.

    Real candidates and controls are apart, so that neither drowns the other; where all are controls, they stand as
    candidates. ``notices`` are what a reader must know before any number: failed controls, unscored
    completions, failed diagnostics.
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
    rule: str
    margin: str
    suites: tuple[SuiteLine, ...]
    scorers: tuple[ScorerFacts, ...]
    generation: str
    estimators: tuple[tuple[str, str], ...]
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
    estimators = dict.fromkeys(estimate.estimator for estimate in result.estimates)
    return CardFacts(
        title=result.title,
        date=result.date,
        version=result.version,
        decision=result.decision,
        headline=_headline(result),
        notices=tuple(_notices(result)),
        base=_arm(result.base),
        candidates=candidates,
        controls=controls,
        rule=result.gate.rule.rstrip("."),
        margin=words.points(result.gate.margin),
        suites=tuple(_suites(result)),
        scorers=tuple(replace(scorer, source=words.reference(scorer.source)) for scorer in by_tier(result)),
        generation=words.generation(result.generation),
        estimators=tuple((name, words.ESTIMATORS.get(name, "")) for name in estimators),
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
        return words.visible(sentence)
    met = "as expected" if verdict.decision == expect else f"but {expect} was expected"
    return words.visible(f"{sentence} ({words.control(expect).capitalize()}, {met}.)")


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
    )


def _candidate(result: AuditResult, model: ModelFacts) -> CandidateFacts:
    verdict = verdict_of(result, model.name)
    return CandidateFacts(
        arm=_arm(model),
        control=words.control(model.expect),
        decision=words.expectation(verdict.decision, model.expect),
        finding=finding(result, verdict),
        gate=tuple(_gate_rows(result, verdict)),
        results=tuple(_result_row(result, *pair) for pair in headlines(result, model.name)),
        slices=tuple(_result_row(result, *pair) for pair in slices(result, model.name)),
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
    return ResultRow(
        measure=measure_label(result, estimate.suite, scorer.name),
        slice=estimate.slice,
        n=f"{estimate.n:,}",
        base=words.rate(estimate.quantities["base"]),
        candidate=words.rate(estimate.quantities["candidate"]),
        change=words.change(estimate.quantities["change"]),
        p_increase=words.probability(estimate.p_increase),
        p_above_margin=words.probability(estimate.p_above_margin),
        new=f"{estimate.counts['n01']:,}",
        repaired=f"{estimate.counts['n10']:,}",
        reading=words.reading(estimate, scorer),
    )


def _headline(result: AuditResult) -> str:
    """The verdict line, without its decision: the worst real candidate's finding, or what failed before it."""
    if failed := result.failed_controls:
        return f"{words.joined(list(failed))} did not come out as expected, so no other number here can be trusted"
    real = [verdict_of(result, model.name) for model in result.candidates if not model.expect]
    if not real:
        return "every control came out as expected; no other candidate was audited"
    worst = min(real, key=lambda verdict: WORST_FIRST.index(verdict.decision))
    return f"{worst.candidate} {finding(result, worst)}"


def _notices(result: AuditResult) -> Iterator[str]:
    expected = {model.name: model.expect for model in result.candidates}
    for name in result.failed_controls:
        found = verdict_of(result, name).decision
        yield f"Failed control: {name} was expected to be {expected[name]} and came out {found}"
    for model in result.candidates:
        if not any(verdict.candidate == model.name for verdict in result.verdicts):
            yield f"No verdict: {model.name} was not decided"
    yield from _unscored(result)
    failed: dict[tuple[str, str, str], list[str]] = {}
    for estimate in result.estimates:
        if not estimate.diagnostics.passed:
            label = measure_label(result, estimate.suite, estimate.measure)
            where = estimate.candidate if estimate.slice == "all" else f"{estimate.candidate} {estimate.slice}"
            failed.setdefault((estimate.estimator, label, "; ".join(estimate.diagnostics.failures)), []).append(where)
    for (estimator, label, failures), places in failed.items():
        shown = words.joined(places if len(places) <= 4 else [*places[:3], f"{len(places) - 3} more"])
        yield f"Failed diagnostics: {label} by {estimator}, {shown}: {failures}"


def _unscored(result: AuditResult) -> Iterator[str]:
    """One notice per suite and measure with completions that could not be scored, the base counted once."""
    missing: dict[tuple[str, str], dict[str, int]] = {}
    for model in result.candidates:
        for estimate, scorer in headlines(result, model.name):
            arms = {result.base.name: estimate.missing.get("base", 0), model.name: estimate.missing.get("candidate", 0)}
            missing.setdefault((estimate.suite, scorer.name), {}).update({arm: n for arm, n in arms.items() if n})
    asked = {suite.name: suite.n * result.generation.samples for suite in result.suites}
    for (suite, measure), arms in missing.items():
        if arms:
            counts = ", ".join(f"{arm} {n:,}" for arm, n in arms.items())
            of = f" of {asked[suite]:,} each" if suite in asked else ""
            label = measure_label(result, suite, measure)
            yield f"Unscored completions: {label}: {counts}{of}; left out of its numbers"


def _suites(result: AuditResult) -> Iterator[SuiteLine]:
    for suite in result.suites:
        shown = []
        for name, values in suite.slices.items():
            each = ", ".join(f"{value} {n:,}" for value, n in values.items())
            shown.append(f"{name} ({each if len(values) <= 12 else f'{len(values)} values'})")
        yield SuiteLine(
            name=suite.name,
            title=suite.title,
            n=f"{suite.n:,}",
            ask=words.ASKS.get(suite.ask, suite.ask).rstrip("."),
            slices="; ".join(shown),
            source=words.reference(suite.source),
            licence=suite.licence,
            digest=suite.digest,
        )


def _limitations(result: AuditResult) -> Iterator[str]:
    real = [model for model in result.candidates if not model.expect] or list(result.candidates)
    widest: dict[tuple[str, str], tuple[Estimate, ScorerFacts]] = {}
    for pair in (pair for model in real for pair in headlines(result, model.name) if pair[1].tier == "critical"):
        key = (pair[0].suite, pair[0].measure)
        widest[key] = max(widest.get(key, pair), pair, key=lambda found: words.half_width(found[0]))
    for estimate, scorer in widest.values():
        yield f"Resolution: {words.resolution(estimate, scorer)} at worst; a smaller one can be missed"
    yield "Scorers are classifiers or rules with errors of their own, and the same error counts in both models"
    yield "Intervals are about the population these prompts were drawn from, not about every use of the model"
    yield "Not tested: anything not listed above, such as other languages, long conversations, tools and attacks"


def _plot(candidates: tuple[CandidateFacts, ...]) -> str:
    """What the forest plot shows, for those who do not see it."""
    numbers = [f"{each.arm.name}, {row.measure} {row.change}" for each in candidates for row in each.results]
    shown = "; ".join(numbers[:12]) + (f"; and {len(numbers) - 12} more in the tables" if len(numbers) > 12 else "")
    return f"Forest plot of the change from the base in percentage points, with 95 % intervals: {shown or 'no result'}"
