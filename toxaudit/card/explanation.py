"""Which of an audit's estimates explains a verdict, and what would settle an open one, in words."""

from toxaudit.card import words
from toxaudit.card.index import Candidate, Index
from toxaudit.decision.headline import usable
from toxaudit.decision.sentence import question_of
from toxaudit.decision.verdict import decisive
from toxaudit.findings import Reason, Remedy
from toxaudit.records import LABELLED, Estimate


def finding(index: Index, candidate: Candidate) -> str:
    """Why this decision, as a verb phrase: of the reasons that it rests on, the one with the largest excess."""
    verdict, reasons = candidate.verdict, decisive(candidate.verdict)
    if not reasons:
        return "could not be judged, because nothing that decides was measured"
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
            question = _question(index, estimate)
            phrase = words.finding(verdict.decision, estimate, scorer, question, _asked(reason), where)
            found.append(((estimate.p_above_margin, estimate.quantities["change"].mean), phrase))
    if found:
        return max(found, key=lambda pair: pair[0])[1]
    first = reasons[0]
    pair = weighed.get((first.suite, first.measure, first.slice))
    if pair and pair[0].n and not usable(pair[0]):
        where = "" if first.slice == "all" else f" on {first.slice}"
        return f"can't be decided, because the estimate of {pair[1].noun}{where} failed its diagnostics"
    what = index.label(first.suite, first.measure) + ("" if first.slice == "all" else f", {first.slice}")
    state = {"GO": "passes", "NO-GO": "fails", "INCONCLUSIVE": "is open"}[verdict.decision]
    return f"{state} on {what} ({_asked(first)})"


def _asked(reason: Reason) -> str:
    """What the gate asked, and what it found."""
    return f"required: {reason.rule}; found: {reason.observed}"


def _question(index: Index, estimate: Estimate) -> str:
    """What an open change leaves open: the gate's own words, but of another margin than its own by a rule."""
    gate = index.result.gate
    return gate.question if estimate.margin == gate.margin else question_of(estimate.margin)


def remedy_in_words(index: Index, candidate: Candidate) -> str:
    """What would settle a verdict, as far as its gate can tell; else nothing."""
    remedy = candidate.verdict.remedy
    if remedy is None:
        return ""
    if remedy.by == "labels":
        return MORE_OF_THESE if _labelled(candidate) else MORE_LABELS
    return _more_prompts(index, remedy)


def _labelled(candidate: Candidate) -> bool:
    """Whether an open change rests on labels of the audit's own answers."""
    open_changes = (e for e, _ in candidate.critical_totals if candidate.own_decision(e) == "INCONCLUSIVE")
    return any(each.variant == LABELLED for each in open_changes)


def _more_prompts(index: Index, remedy: Remedy) -> str:
    suite = next((facts for facts in index.result.suites if facts.name == remedy.suite), None)
    left = (suite.available or suite.n) - suite.n if suite else 0
    clustered = suite is not None and suite.clusters is not None
    return more_prompts(remedy.prompts, remedy.chance, remedy.most, clustered, max(0, left))


def more_prompts(needed: int | None, wanted: float, most: int, clustered: bool, left: int) -> str:
    """What would settle an open change, as a phrase.

    Args:
        needed: how many more prompts; None where even ``most`` would not do.
        wanted: the chance of a decision with so many.
        most: the largest number that was tried.
        clustered: the prompts vary templates, and only new templates tell something new.
        left: prompts of the suite that were not asked.
    """
    which = "like these, written from new templates," if clustered else "like these"
    settled = f"a GO or a NO-GO with a chance of {100 * wanted:.0f} %"
    if needed is None:
        return f"even {most:,} more prompts {which} would not give {settled}: the change is close to the margin"
    unasked = f"; the suite has {'only ' * (left < needed)}{left:,} left" if left else ""
    return f"about {needed:,} more prompts {which} would, as far as these tell, give {settled}{unasked}"


MORE_LABELS = (
    "more prompts alone may not settle it, for they do not lessen what is uncertain of the scorer's own errors: more "
    "labelled completions may be needed"
)
"""What would settle an open change whose scores were corrected."""


MORE_OF_THESE = "more labels may settle it: “toxaudit label” with a larger --n draws more of these answers"
"""What would settle an open change that rests on labels of the audit's own answers."""
