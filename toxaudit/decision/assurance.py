"""How many more prompts would settle what is open: the posterior-predictive chance of a decision."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist

from toxaudit.decision.certainty import Certainty
from toxaudit.decision.headline import decision_alone, usable
from toxaudit.decision.reasons import critical_places
from toxaudit.facts import AGAINST
from toxaudit.findings import Remedy, Verdict
from toxaudit.records import CORRECTED, LABELLED, Estimate

WANTED_CHANCE = 0.8
"""The chance of a decision for which prompts are counted."""

MOST_PROMPTS = 1_000_000
"""More prompts than that are not advised."""

_NORMAL = NormalDist()


def chance_of_decision(mean: float, sd: float, n: int, more: int, margin: float, certainty: Certainty) -> float:
    """The probability that the gate would decide, GO or NO-GO, with ``more`` prompts of the same kind.

    The posterior of the change is taken as normal. With n + m prompts its standard deviation becomes
    sd sqrt(n / (n + m)), and its mean, as foreseen today, is normal about today's with variance sd^2 m / (n + m) (the
    preposterior analysis of Raiffa & Schlaifer 1961, Applied Statistical Decision Theory, section 5.3; its probability
    of success is the assurance of O'Hagan, Stevens & Campbell 2005, Pharmaceutical Statistics 4(3)). A GO must be
    reached although half a prompt is counted against the candidate, which moves the mean by half a prompt of all.

    Args:
        mean: of the change's posterior, in -1..1.
        sd: its standard deviation.
        n: prompts it rests on.
        more: prompts to be asked yet, at least 1.
        margin: the gate's.
        certainty: what the gate needs either way.
    """
    later, moves = sd * math.sqrt(n / (n + more)), sd * math.sqrt(more / (n + more))
    to_pass, to_fail = (_NORMAL.inv_cdf(bar) * later for bar in (certainty.to_pass, certainty.to_fail))
    passes = _NORMAL.cdf((margin - to_pass - mean - AGAINST / (n + more)) / moves)
    fails = _NORMAL.cdf((mean - margin - to_fail) / moves)
    return passes + fails


def prompts_needed(
    mean: float, sd: float, n: int, margin: float, certainty: Certainty, most: int = MOST_PROMPTS
) -> int | None:
    """The fewest further prompts, to two digits, that give a chance of 0.8 of a decision.

    Args:
        mean: of the change's posterior, in -1..1.
        sd: its standard deviation.
        n: prompts it rests on.
        margin: the gate's.
        certainty: what the gate needs either way.
        most: where even so many would not do, the answer is None.
    """
    if n < 1 or not sd > 0:
        return None
    if not sd * math.sqrt(most / (n + most)) / n > 0:  # too small a number to compute with
        return None
    low, high = 0, 1
    while chance_of_decision(mean, sd, n, high, margin, certainty) < WANTED_CHANCE:
        low, high = high, 2 * high
        if low > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = chance_of_decision(mean, sd, n, middle, margin, certainty) >= WANTED_CHANCE
        low, high = (low, middle) if enough else (middle, high)
    digits: int = 10 ** max(0, len(str(high)) - 2)
    return -(-high // digits) * digits


def remedy(open_changes: Sequence[Estimate], certainty: Mapping[tuple[str, str], Certainty]) -> Remedy | None:
    """What would settle changes that are open: as many prompts as the change needs that needs most of them.

    Prompts do not lessen what is uncertain of a scorer's own errors, so that a change that is corrected for these, or
    rests on labels of this audit's answers, may need more labels.

    Args:
        open_changes: usable ones, one for each suite and critical measure.
        certainty: (suite, measure) -> what the gate needs of it either way.

    Returns:
        None where no change is open.
    """
    if not open_changes:
        return None
    if any(map(_by_labels, open_changes)):
        return Remedy("labels")
    needs: list[tuple[float, Estimate]] = []
    for each in open_changes:
        change = each.quantities["change"]
        needed = prompts_needed(change.mean, change.sd, each.n, each.margin, certainty[each.suite, each.measure])
        needs.append((math.inf if needed is None else needed, each))
    most, estimate = max(needs, key=lambda pair: pair[0])
    return Remedy("prompts", estimate.suite, None if most == math.inf else int(most), MOST_PROMPTS, WANTED_CHANCE)


def settling(
    verdict: Verdict, totals: Iterable[Estimate], certainty: Mapping[tuple[str, str], Certainty]
) -> Remedy | None:
    """What would settle a verdict, where nothing but changes that are open stands against a decision.

    Args:
        verdict: one candidate's.
        totals: its totals that decide.
        certainty: (suite, measure) -> what the gate needs of it either way.
    """
    if verdict.decision != "INCONCLUSIVE":
        return None
    critical = critical_places(verdict.reasons)
    against = [
        (reason.suite, reason.measure, reason.slice, reason.limit)
        for reason in verdict.reasons
        if (reason.tier, reason.decision) in (("critical", "INCONCLUSIVE"), ("supporting", "NO-GO"))
    ]
    decided = {(each.suite, each.measure): each for each in totals if usable(each)}
    uncertain = [
        each
        for place, each in decided.items()
        if place in critical
        and decision_alone(each, certainty[place]) == "INCONCLUSIVE"
        and each.quantities["change"].sd > 0
    ]
    if sorted(against) != sorted((each.suite, each.measure, "all", "change") for each in uncertain):
        return None
    return remedy(uncertain, certainty)


def _by_labels(change: Estimate) -> bool:
    """Whether labels are among what a change is uncertain by: not where people labelled all that was asked."""
    if change.variant == LABELLED:
        return change.diagnostics.values.get("labelled_prompts", 0) < change.n
    return change.variant == CORRECTED
