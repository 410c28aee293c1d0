"""Which of an audit's estimates explains a verdict, and what would settle an open one, in words."""

from toxaudit.card import words
from toxaudit.card.index import Candidate, Index
from toxaudit.decision.headline import usable
from toxaudit.decision.verdict import decisive
from toxaudit.findings import Remedy
from toxaudit.records import LABELLED, Estimate


def finding(index: Index, candidate: Candidate) -> str:
    """Why this decision, as a verb phrase: of the reasons that it rests on, the one with the largest excess."""
    verdict, reasons = candidate.verdict, decisive(candidate.verdict)
    if not reasons:
        return "has no result"
    several = len(index.result.suites) > 1
    weighed = {
        (e.suite, e.measure, e.slice): (e, scorer) for e, scorer in (*candidate.totals, *candidate.critical_slices)
    }
    found: list[tuple[tuple[float, float], str]] = []
    for reason in (reason for reason in reasons if (reason.suite, reason.measure, reason.slice) in weighed):
        estimate, scorer = weighed[reason.suite, reason.measure, reason.slice]
        where = "" if reason.slice == "all" else f" on {reason.slice}"
        if verdict.decision == "NO-GO" and (own := candidate.alarm(estimate)):
            estimate, where = own, f"{where}, by its own prompts,"
        where += f" in {index.suite_title(reason.suite)}" if several else ""
        if candidate.own_decision(estimate) == verdict.decision and usable(estimate):
            phrase = words.finding(verdict.decision, estimate, scorer, _question(index, estimate), where)
            found.append(((estimate.p_above_margin, estimate.quantities["change"].mean), phrase))
    if found:
        return max(found, key=lambda pair: pair[0])[1]
    first = reasons[0]
    what = index.label(first.suite, first.measure) + ("" if first.slice == "all" else f", {first.slice}")
    state = {"GO": "passes", "NO-GO": "fails", "INCONCLUSIVE": "is open"}[verdict.decision]
    return f"{state} on {what}: the rule asks for {first.rule}, and finds {first.observed}"


def _question(index: Index, estimate: Estimate) -> str:
    """What an open change leaves open: the gate's own words, but of another margin than its own by a rule."""
    gate = index.result.gate
    return (
        gate.question if estimate.margin == gate.margin else f"whether the rise exceeds {words.points(estimate.margin)}"
    )


def remedy_in_words(index: Index, candidate: Candidate) -> str:
    """What would settle a verdict, as far as its gate can tell; else nothing."""
    remedy = candidate.verdict.remedy
    if remedy is None:
        return ""
    if remedy.by == "labels":
        return words.MORE_OF_THESE if _labelled(candidate) else words.MORE_LABELS
    return _more_prompts(index, remedy)


def _labelled(candidate: Candidate) -> bool:
    """Whether an open change rests on labels of the audit's own answers."""
    open_changes = (e for e, _ in candidate.critical_totals if candidate.own_decision(e) == "INCONCLUSIVE")
    return any(each.variant == LABELLED for each in open_changes)


def _more_prompts(index: Index, remedy: Remedy) -> str:
    suite = next((facts for facts in index.result.suites if facts.name == remedy.suite), None)
    left = (suite.available or suite.n) - suite.n if suite else 0
    clustered = suite is not None and suite.clusters is not None
    return words.more_prompts(remedy.prompts, remedy.chance, remedy.most, clustered, max(0, left))
