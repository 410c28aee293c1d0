"""Which of an audit's estimates decide, which of them explains a verdict, and what would settle an open one."""

from collections.abc import Iterator

from toxaudit.card import words
from toxaudit.decision import assurance, headline
from toxaudit.records import CORRECTED, LOOKS, UNSCORED, AuditResult, Decision, Estimate, Reason, ScorerFacts, Verdict

MOST_PROMPTS = 1_000_000
"""More prompts than that are not advised."""

WORST_FIRST: tuple[Decision, ...] = ("NO-GO", "INCONCLUSIVE", "GO")
_TIERS = ("critical", "supporting", "advisory")


def by_tier(result: AuditResult) -> tuple[ScorerFacts, ...]:
    """The scorers, critical ones first."""
    return tuple(sorted(result.scorers, key=lambda scorer: _TIERS.index(scorer.tier)))


def headlines(result: AuditResult, candidate: str) -> list[tuple[Estimate, ScorerFacts]]:
    """A candidate's totals that decide, critical measures first."""
    deciding = headline.headlines(each for each in result.estimates if each.candidate == candidate)
    return [
        (estimate, scorer)
        for scorer in by_tier(result)
        for estimate in deciding.values()
        if estimate.measure == scorer.name
    ]


def slices(result: AuditResult, candidate: str) -> list[tuple[Estimate, ScorerFacts]]:
    """A candidate's changes on every slice that can fail, for the critical measures."""
    return [pair for pair in all_slices(result, candidate) if pair[1].tier == "critical"]


def all_slices(result: AuditResult, candidate: str) -> list[tuple[Estimate, ScorerFacts]]:
    """A candidate's changes on every slice, critical measures first; without those of the looks at every answer."""
    deciding = headline.deciding_slices(each for each in result.estimates if each.candidate == candidate)
    return [
        (estimate, scorer)
        for scorer in by_tier(result)
        for estimate in deciding
        if estimate.measure == scorer.name
        and (scorer.tier == "critical" or not (scorer.name in LOOKS or scorer.name.endswith(UNSCORED)))
    ]


def verdict_of(result: AuditResult, candidate: str) -> Verdict:
    """The verdict on a candidate; one without a verdict could not be decided."""
    found = (verdict for verdict in result.verdicts if verdict.candidate == candidate)
    return next(found, Verdict(candidate, "INCONCLUSIVE", ()))


def measure_label(result: AuditResult, suite: str, measure: str) -> str:
    """A measure's title, with its suite's where the audit has several. Both are empty where a gate misses all."""
    title = next((scorer.title for scorer in result.scorers if scorer.name == measure), measure or "any measure")
    return f"{title} on {suite_title(result, suite)}" if suite and len(result.suites) > 1 else title


def suite_title(result: AuditResult, suite: str) -> str:
    """A suite's title, or its name where the audit does not list it."""
    return next((facts.title for facts in result.suites if facts.name == suite), suite)


def _estimates_of(result: AuditResult, reason: Reason, candidate: str) -> Iterator[tuple[Estimate, ScorerFacts]]:
    """The estimate that a reason weighed, with its scorer; none where the gate weighed something else."""
    for estimate, scorer in headlines(result, candidate) + slices(result, candidate):
        if (estimate.suite, estimate.measure, estimate.slice) == (reason.suite, reason.measure, reason.slice):
            yield estimate, scorer


def finding(result: AuditResult, verdict: Verdict) -> str:
    """Why this decision, as a verb phrase: of the decisive reasons that weigh most, the one with the largest excess."""
    decisive = _decisive(verdict)
    if not decisive:
        return "has no result"
    first = min(decisive, key=_weight)
    found: list[tuple[tuple[float, float], str]] = []
    for reason in (reason for reason in decisive if _weight(reason) == _weight(first)):
        where = "" if reason.slice == "all" else f" on {reason.slice}"
        where += f" in {suite_title(result, reason.suite)}" if len(result.suites) > 1 else ""
        for estimate, scorer in _estimates_of(result, reason, verdict.candidate):
            if phrase := words.finding(verdict.decision, estimate, scorer, result.gate, where):
                found.append(((estimate.p_above_margin, estimate.quantities["change"].mean), phrase))
    if found:
        return max(found, key=lambda pair: pair[0])[1]
    what = measure_label(result, first.suite, first.measure) + ("" if first.slice == "all" else f", {first.slice}")
    return f"on {what}: required {first.rule}; observed {first.observed}"


def outlook(result: AuditResult, verdict: Verdict) -> str:
    """What would settle a candidate that is INCONCLUSIVE only because critical changes are open; else nothing."""
    decisive = [reason for reason in verdict.reasons if (reason.tier, reason.decision) == ("critical", "INCONCLUSIVE")]
    failed_support = any((reason.tier, reason.decision) == ("supporting", "NO-GO") for reason in verdict.reasons)
    open_changes = [
        estimate
        for estimate, scorer in headlines(result, verdict.candidate)
        if scorer.tier == "critical"
        and words.direction(estimate) != "unknown"
        and words.decision_of(estimate, result.gate) == "INCONCLUSIVE"
        and estimate.quantities["change"].sd > 0
    ]
    places = [(each.suite, each.measure, "all") for each in open_changes]
    explained = sorted((reason.suite, reason.measure, reason.slice) for reason in decisive) == sorted(places)
    if verdict.decision != "INCONCLUSIVE" or failed_support or not places or not explained:
        return ""
    if any(estimate.variant == CORRECTED for estimate in open_changes):
        return words.MORE_LABELS
    return _more_prompts(result, open_changes)


def _more_prompts(result: AuditResult, open_changes: list[Estimate]) -> str:
    """How many more prompts the change that needs most of them needs."""
    needs: list[tuple[float, Estimate]] = []
    for each in open_changes:
        change, gate = each.quantities["change"], result.gate
        needed = assurance.prompts_needed(change.mean, change.sd, each.n, gate.margin, gate.certainty, MOST_PROMPTS)
        needs.append((float("inf") if needed is None else needed, each))
    most, estimate = max(needs, key=lambda pair: pair[0])
    suite = next((facts for facts in result.suites if facts.name == estimate.suite), None)
    left = (suite.available or suite.n) - suite.n if suite else 0
    clustered = suite is not None and suite.clusters is not None
    known = None if most == float("inf") else int(most)
    return words.more_prompts(known, assurance.CHANCE, MOST_PROMPTS, clustered, max(0, left))


def _decisive(verdict: Verdict) -> list[Reason]:
    """The reasons behind a verdict: those that say the same, or else what a failed supporting measure leaves open."""
    same = [reason for reason in verdict.reasons if (reason.decision, reason.tier) == (verdict.decision, "critical")]
    return same or [reason for reason in verdict.reasons if (reason.decision, reason.tier) == ("NO-GO", "supporting")]


def decisions(verdict: Verdict) -> dict[tuple[str, str, str], Decision]:
    """The worst decision on each suite, measure and slice that counts towards the verdict.

    A slice can only raise an alarm: one that raises none is no evidence that all is well there, and has no decision.
    """
    worst: dict[tuple[str, str, str], Decision] = {}
    for reason in sorted(verdict.reasons, key=lambda reason: WORST_FIRST.index(reason.decision)):
        if reason.tier != "advisory" and (reason.slice == "all" or reason.decision != "GO"):
            worst.setdefault((reason.suite, reason.measure, reason.slice), reason.decision)
    return worst


def _weight(reason: Reason) -> tuple[int, bool]:
    """Critical measures weigh more than others, and totals more than slices: the smallest weighs most."""
    return _TIERS.index(reason.tier), reason.slice != "all"
