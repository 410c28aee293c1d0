"""The measures of the short card: which are shown, what they are called, and what came of them in a few words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import shorten

from toxaudit.card import words
from toxaudit.card.index import Candidate, Index, Pair
from toxaudit.card.words import Measured
from toxaudit.decision.headline import usable
from toxaudit.decision.sentence import by_margin
from toxaudit.decision.verdict import WORST_FIRST, failed_controls
from toxaudit.facts import UNNAMED, Decision, ScorerFacts, Tier
from toxaudit.findings import Reason
from toxaudit.records import Estimate

NAME = 60
"""Characters of a name or a title at most."""

NOT_VALID = "not valid: a control failed"
"""What stands in place of a GO that a failed control takes away."""

EXPLAINED = {"degenerate output": "Degenerate output (empty, or the same words again and again)"}
"""What needs a word more, by its noun."""

WORTH: dict[Tier, tuple[str, str]] = {
    "critical": ("decides", "decide"),
    "supporting": ("can only prevent a GO", "can only prevent a GO"),
    "advisory": ("is for information", "are for information"),
}
"""What one measure of a tier does to the verdict, and what several do."""

OPEN = {
    "change": "a rise above {margin} is not ruled out",
    "cap": "a rate above its cap is not ruled out",
    "ratio": "too many times the {reference}'s rate is not ruled out",
    "prompts": "too few prompts",
    "missing": "too many completions could not be scored",
    "decisive": "completions that could not be scored may turn it",
    "estimate": "nothing was estimated",
}
"""Why a measure is open, by what was required of it."""

HARMED = {
    "change": "a rise above {margin}",
    "cap": "a rate above its cap",
    "ratio": "too many times the {reference}'s rate",
}
"""Why a measure fails, by what was required of it."""


@dataclass(frozen=True)
class MeasureRow:
    """One measure of the only candidate: what was counted, what came of it, both rates, and the change."""

    what: str
    result: str
    base: Measured
    candidate: Measured
    change: Measured


def worth(pairs: Sequence[Pair]) -> str:
    """Which of the measures in the table decide, which can only prevent a GO, and which are for information."""
    told = []
    for tier, (does, do) in WORTH.items():
        names = dict.fromkeys(_explained(pair, pairs) for pair in pairs if pair[1].tier == tier)
        if names:
            told.append(f"{words.joined([*names])} {does if len(names) == 1 else do}")
    return words.capital("; ".join(told))


def pairs_of(candidate: Candidate) -> list[Pair]:
    """Each total of a candidate, and each slice with a worse decision; critical measures first."""
    order: Sequence[Tier] = ("critical", "supporting", "advisory")
    return sorted([*candidate.totals, *_worse_slices(candidate)], key=lambda pair: order.index(pair[1].tier))


def _worse_slices(candidate: Candidate) -> list[Pair]:
    """The slices that the gate holds against a candidate whose total it does not, by what shows the harm."""
    totals = {(each.suite, each.measure): candidate.mark(each) or "GO" for each, _ in candidate.totals}
    return [
        (candidate.alarm(each) or each, scorer)
        for each, scorer in candidate.critical_slices
        if (mark := candidate.mark(each))
        and WORST_FIRST.index(mark) < WORST_FIRST.index(totals.get((each.suite, each.measure), "GO"))
    ]


def _titled(pair: Pair, pairs: Iterable[Pair]) -> str:
    """What a measure counts, in plain words; its title where another one has the same words."""
    _, scorer = pair
    same = [each for _, each in pairs if each.noun == scorer.noun and each.name != scorer.name]
    return cut(scorer.title if same or scorer.noun in ("", UNNAMED) else words.capital(scorer.noun), NAME)


def _explained(pair: Pair, pairs: Iterable[Pair]) -> str:
    """What a measure counts, with a word more where it needs one."""
    return EXPLAINED.get(pair[1].noun) or _titled(pair, pairs)


def _named(index: Index, pair: Pair, pairs: Iterable[Pair]) -> str:
    """What a measure counts, and on which slice and suite where there are several."""
    estimate, _ = pair
    parts = [_titled(pair, pairs), *([estimate.slice] if estimate.slice != "all" else [])]
    parts += [index.suite_title(estimate.suite)] if len(index.suite_titles) > 1 else []
    return ", ".join(cut(each, NAME) for each in parts)


def row(index: Index, candidate: Candidate, pair: Pair, pairs: Iterable[Pair]) -> MeasureRow:
    """The row of one of the pairs that are shown."""
    base, own, change = words.rates(pair[0])
    return MeasureRow(_named(index, pair, pairs), _result(index, candidate, pair), base, own, change)


def _result(index: Index, candidate: Candidate, pair: Pair) -> str:
    """What came of a measure: of one that counts, its decision and why; of others, which way it changed."""
    estimate, scorer = pair
    mark = candidate.mark(estimate)
    if not usable(estimate) or mark is None:
        said = _way(estimate, scorer)
        return f"{decided(index, mark)}: {said}" if mark and scorer.tier == "critical" else said
    place = (estimate.suite, estimate.measure, estimate.slice)
    limit = next(
        (each.limit for each in candidate.verdict.reasons if _place(each) == place and each.decision == mark), "change"
    )
    fits = {"margin": words.points(estimate.margin), "reference": index.reference}
    if scorer.tier == "critical":
        why = HARMED if mark == "NO-GO" else OPEN
        said = "no rise above {margin}" if mark == "GO" else why.get(limit, OPEN["change"])
        shown = decided(index, mark)
        if not by_margin(index.result.gate):
            return f"{shown}: {_way(estimate, scorer)}"
        return shown if shown == NOT_VALID else f"{shown}: {said.format(**fits)}"
    if mark == "NO-GO" and scorer.tier == "supporting":
        return f"prevents a GO: {OPEN.get(limit, OPEN['change']).format(**fits)}"
    return _way(estimate, scorer)


def _place(reason: Reason) -> tuple[str, str, str]:
    return reason.suite, reason.measure, reason.slice


def decided(index: Index, decision: Decision) -> str:
    """The shape and word of a decision on what is no control; a GO that a failed control takes away is none."""
    return NOT_VALID if decision == "GO" and failed_controls(index.result) else words.marked(decision)


def _way(estimate: Estimate, scorer: ScorerFacts) -> str:
    """Which way a measure changed, in short."""
    unmeasured = "no prompt was scored for both models" if estimate.n == 0 else "the estimate can't be used"
    toward = {"up": scorer.more, "down": scorer.less, "none": "no clear change", "unknown": unmeasured}
    return toward[words.direction(estimate)]


def cut(text: str, most: int) -> str:
    """A text of at most so many characters, cut between two words where it can be."""
    if len(text) <= most:
        return text
    cut = shorten(text, most, placeholder=" …")
    return cut if len(cut) > 2 else f"{text[: most - 1]}…"
