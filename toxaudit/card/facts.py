"""What a card says, gathered from an audit's result as ready strings, so that a template only places words."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from toxaudit.card import words
from toxaudit.card.words import Measured
from toxaudit.records import AuditResult, Decision, Estimate, ModelFacts, Reason, ScorerFacts, Verdict

HEADLINE, BY_SLICE = "paired_exact", "hier_paired"
"""The estimators whose totals, and whose slices, a card shows."""

_WORST_FIRST: tuple[Decision, ...] = ("NO-GO", "INCONCLUSIVE", "GO")
_TIERS = ("critical", "supporting", "advisory")


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
    """All that a card's template may place. Real candidates and controls are apart, so that neither drowns the other.

    Where all are controls, they stand as candidates. ``notices`` are what a reader must know before any number: failed controls, unscored completions, bad diagnostics.
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
        generation=_generation(result),
        estimators=tuple((name, words.ESTIMATORS.get(name, "")) for name in estimators),
        limitations=tuple(_limitations(result)),
        plot=_plot(candidates),
        command=result.command,
        versions=tuple(result.versions.items()),
    )


def by_tier(result: AuditResult) -> tuple[ScorerFacts, ...]:
    """The scorers, critical ones first."""
    return tuple(sorted(result.scorers, key=lambda scorer: _TIERS.index(scorer.tier)))


def headlines(result: AuditResult, candidate: str) -> list[tuple[Estimate, ScorerFacts]]:
    """A candidate's totals, critical measures first."""
    return [
        (estimate, scorer)
        for scorer in by_tier(result)
        for estimate in result.estimates
        if (estimate.candidate, estimate.measure) == (candidate, scorer.name)
        and (estimate.estimator, estimate.slice) == (HEADLINE, "all")
    ]


def slices(result: AuditResult, candidate: str) -> list[tuple[Estimate, ScorerFacts]]:
    """A candidate's changes on every slice, for the critical measures."""
    return [
        (estimate, scorer)
        for scorer in result.scorers
        for estimate in result.estimates
        if (estimate.candidate, estimate.measure, scorer.tier) == (candidate, scorer.name, "critical")
        and estimate.estimator == BY_SLICE
        and estimate.slice != "all"
    ]


def verdict_of(result: AuditResult, candidate: str) -> Verdict:
    """The verdict on a candidate; one without a verdict could not be decided."""
    found = (verdict for verdict in result.verdicts if verdict.candidate == candidate)
    return next(found, Verdict(candidate, "INCONCLUSIVE", ()))


def measure_label(result: AuditResult, suite: str, measure: str) -> str:
    """A measure's title, with its suite's where the audit has several."""
    title = next((scorer.title for scorer in result.scorers if scorer.name == measure), measure)
    return f"{title} on {_suite_title(result, suite)}" if len(result.suites) > 1 else title


def _suite_title(result: AuditResult, suite: str) -> str:
    return next((facts.title for facts in result.suites if facts.name == suite), suite)


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
        finding=_finding(result, verdict),
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
            decision=words.expectation(first.decision, None),
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


def _estimates_of(result: AuditResult, reason: Reason, candidate: str) -> Iterator[tuple[Estimate, ScorerFacts]]:
    """The estimate that a reason weighed, with its scorer; none where the gate weighed something else."""
    for estimate, scorer in headlines(result, candidate) + slices(result, candidate):
        if (estimate.suite, estimate.measure, estimate.slice) == (reason.suite, reason.measure, reason.slice):
            yield estimate, scorer


def _finding(result: AuditResult, verdict: Verdict) -> str:
    """Why this decision, as a verb phrase: of the decisive reasons that weigh most, the one with the largest excess."""
    decisive = [reason for reason in verdict.reasons if reason.decision == verdict.decision]
    if not decisive:
        return "has no result"
    first = min(decisive, key=_weight)
    found: list[tuple[tuple[float, float], str]] = []
    for reason in (reason for reason in decisive if _weight(reason) == _weight(first)):
        where = "" if reason.slice == "all" else f" on {reason.slice}"
        where += f" in {_suite_title(result, reason.suite)}" if len(result.suites) > 1 else ""
        for estimate, scorer in _estimates_of(result, reason, verdict.candidate):
            if phrase := words.finding(verdict.decision, estimate, scorer, result.gate, where):
                found.append(((estimate.p_above_margin, estimate.quantities["change"].mean), phrase))
    if found:
        return max(found, key=lambda pair: pair[0])[1]
    what = measure_label(result, first.suite, first.measure) + ("" if first.slice == "all" else f", {first.slice}")
    return f"on {what}: required {first.rule}; observed {first.observed}"


def _weight(reason: Reason) -> tuple[int, bool]:
    """Critical measures weigh more than others, and totals more than slices: the smallest weighs most."""
    return _TIERS.index(reason.tier), reason.slice != "all"


def verdict_line(result: AuditResult, verdict: Verdict) -> str:
    """One candidate's verdict as a sentence, for a terminal; a control's says whether it was met."""
    expect = next((model.expect for model in result.candidates if model.name == verdict.candidate), None)
    sentence = words.decision_sentence(verdict.decision, words.visible(verdict.candidate), _finding(result, verdict))
    if expect is None:
        return sentence
    met = "as expected" if verdict.decision == expect else f"but {expect} was expected"
    return f"{sentence} ({words.control(expect).capitalize()}, {met}.)"


def _headline(result: AuditResult) -> str:
    """The verdict line, without its decision: the worst real candidate's finding, or what failed before it."""
    if failed := result.failed_controls:
        return f"{words.joined(list(failed))} did not come out as expected, so no other number here can be trusted"
    real = [verdict_of(result, model.name) for model in result.candidates if not model.expect]
    if not real:
        return "every control came out as expected; no other candidate was audited"
    worst = min(real, key=lambda verdict: _WORST_FIRST.index(verdict.decision))
    return f"{worst.candidate} {_finding(result, worst)}"


def _notices(result: AuditResult) -> Iterator[str]:
    expected = {model.name: model.expect for model in result.candidates}
    for name in result.failed_controls:
        found = verdict_of(result, name).decision
        yield f"Failed control: {name} was expected to be {expected[name]} and came out {found}"
    for model in result.candidates:
        if not any(verdict.candidate == model.name for verdict in result.verdicts):
            yield f"No verdict: {model.name} was not decided"
    yield from _unscored(result)
    for estimate in result.estimates:
        if not estimate.diagnostics.passed:
            where = f"{estimate.candidate}, {measure_label(result, estimate.suite, estimate.measure)}, {estimate.slice}"
            yield f"Failed diagnostics: {estimate.estimator} for {where}: {'; '.join(estimate.diagnostics.failures)}"


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
            yield f"Unscored completions: {measure_label(result, suite, measure)}: {counts}{of}; left out of its numbers"


def _suites(result: AuditResult) -> Iterator[SuiteLine]:
    for suite in result.suites:
        shown = (
            f"{name} ({', '.join(f'{value} {n:,}' for value, n in values.items())})"
            if len(values) <= 12
            else f"{name} ({len(values)} values)"
            for name, values in suite.slices.items()
        )
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


def _generation(result: AuditResult) -> str:
    made = result.generation
    how = "greedy decoding" if made.temperature == 0 else f"sampling at temperature {made.temperature:g}"
    times = "1 completion" if made.samples == 1 else f"{made.samples} completions"
    return f"{times} per prompt, {how}, at most {made.max_new_tokens} new tokens, seed {made.seed}, {made.backend}"


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
