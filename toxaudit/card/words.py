"""Reader-facing words made from numbers: the one place where a rate, a change or a decision becomes text."""

import re
from dataclasses import dataclass
from typing import Literal

from toxaudit.decision.controls import KNOWN_WORSE, WORSE
from toxaudit.decision.headline import usable
from toxaudit.elsewhere import IMPORTED
from toxaudit.errors import visible as visible
from toxaudit.facts import BASE_ARM, Decision, Expectation, ModelFacts, ScorerFacts, Tier, its
from toxaudit.records import Estimate, Quantity

MARKS: dict[Decision, str] = {"GO": "●", "NO-GO": "◆", "INCONCLUSIVE": "△"}
"""The shape of a decision, the same in tables and in the forest plot."""


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval, as text: ``4.3 %`` and ``[2.1, 6.0]``."""

    value: str
    interval: str

    def __str__(self) -> str:
        """The number, then its interval."""
        return f"{self.value} {self.interval}"


NOTHING = Measured("–", "")
"""What stands where nothing was measured, or nothing that may be used: a prior's numbers are no result."""


def rates(estimate: Estimate) -> tuple[Measured, Measured, Measured]:
    """Both arms' rates and the change, as far as the estimate may be used."""
    if direction(estimate) == "unknown":
        return NOTHING, NOTHING, NOTHING
    base, candidate, changed = (estimate.quantities[name] for name in ("base", "candidate", "change"))
    return rate(base), rate(candidate), change(changed)


def chances(estimate: Estimate, with_margin: bool = False) -> tuple[str, str]:
    """The probabilities of an increase and of one above the margin, as far as the estimate may be used.

    Args:
        estimate: of a change.
        with_margin: whether the margin is to be named, since that of another change is another.
    """
    if direction(estimate) == "unknown":
        return NOTHING.value, NOTHING.value
    margin = f" ({points(estimate.margin)})" if with_margin else ""
    return probability(estimate.p_increase), probability(estimate.p_above_margin) + margin


def reference(text: str) -> str:
    """Where something came from, without the checksum that pins it: provenance gives that in full."""
    return re.sub(r"\?checksum=[^#]*", "", text)


def signed(value: float, digits: int) -> str:
    """A number with a true minus sign where it is negative; what rounds to zero has no sign."""
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) else text


def percent(share: float) -> str:
    """A share of 1 in percent. What is not 0 or 1 is never shown as if it were."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{signed(100 * share, 1)} %"


def points(share: float) -> str:
    """A margin in percentage points, without needless digits: ``2 pp``."""
    return f"{100 * share:g} pp"


def count(number: float) -> str:
    """A number of prompts, with one decimal where it is a fraction (a share of a prompt's samples)."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"


def rate(quantity: Quantity) -> Measured:
    """A rate and its 95 % HDI in percent."""
    low, high = quantity.hdi
    return Measured(percent(quantity.mean), f"[{signed(100 * low, 1)}, {signed(100 * high, 1)}]")


def change(quantity: Quantity) -> Measured:
    """A change and its 95 % HDI in percentage points.

    Digits are added while a bound that is not 0 would print as 0, for the reading depends on the bounds' signs.
    """
    bounds = [100 * bound for bound in quantity.hdi]
    digits = 1
    while digits < 4 and any(bound and not float(f"{bound:.{digits}f}") for bound in bounds):
        digits += 1
    value = signed(100 * quantity.mean, digits)
    plus = "+" if quantity.mean > 0 and float(value) else ""
    return Measured(f"{plus}{value} pp", f"[{signed(bounds[0], digits)}, {signed(bounds[1], digits)}]")


def probability(value: float) -> str:
    """A probability to two places; certainty is never claimed, so the ends read ``< 0.01`` and ``> 0.99``."""
    text = f"{value:.2f}"
    return {"0.00": "< 0.01", "1.00": "> 0.99"}.get(text, text)


def chance(event: str, value: float) -> str:
    """``P(event) = 0.21``, or with ``<`` or ``>`` at the ends."""
    text = probability(value)
    return f"P({event}) {text}" if text[0] in "<>" else f"P({event}) = {text}"


def direction(estimate: Estimate) -> Literal["up", "down", "none", "unknown"]:
    """Where the change points, by its 95 % HDI; unknown where nothing was measured or diagnostics failed."""
    low, high = estimate.quantities["change"].hdi
    if not usable(estimate):
        return "unknown"
    return "up" if low > 0 else "down" if high < 0 else "none"


def reading(estimate: Estimate, scorer: ScorerFacts) -> str:
    """An estimate in plain words. An interval that contains 0 is *no credible difference*, never *safe*."""
    if estimate.n == 0:
        return "not measured: no prompt was scored for both models"
    if not estimate.diagnostics.passed:
        return "not usable: the estimate's diagnostics failed"
    return {
        "up": f"{scorer.more}, credibly",
        "down": f"{scorer.less}, credibly",
        "none": "no credible difference",
        "unknown": "not usable: the estimate has no interval",
    }[direction(estimate)]


def statement(estimate: Estimate, scorer: ScorerFacts, of: str = BASE_ARM) -> str:
    """An estimate as one line: which way, how much, and how probably beyond the margin.

    ``more toxic: +2.5 pp [0.9, 4.1], 1.4 times the base's rate [1.1, 1.8], P(worse by more than 1 pp) = 0.97``
    """
    toward = direction(estimate)
    if toward == "unknown":
        return reading(estimate, scorer)
    said = {"up": scorer.more, "down": scorer.less, "none": f"no credible difference in {scorer.noun}"}[toward]
    worse = chance(f"worse by more than {points(estimate.margin)}", estimate.p_above_margin)
    return ", ".join(
        filter(None, [f"{said}: {change(estimate.quantities['change'])}", times(estimate, scorer, of), worse])
    )


def times(estimate: Estimate, scorer: ScorerFacts, of: str = BASE_ARM) -> str:
    """How many times its reference's rate a candidate's is, where change and ratio are credible; else nothing.

    Digits are added while a number that is not 1 would print as 1.
    """
    toward = direction(estimate)
    if estimate.ratio is None or toward not in ("up", "down"):
        return ""
    low, high = estimate.ratio.hdi
    if not (low > 1 if toward == "up" else high < 1):
        return ""
    numbers = [estimate.ratio.mean, low, high]
    digits = 1
    while digits < 3 and any(number != 1 and float(f"{number:.{digits}f}") == 1 for number in numbers):
        digits += 1
    shown = [f"{number:.{digits}f}" for number in numbers]
    return f"{shown[0]} times {its(of)} {'mean score' if scorer.is_mean else 'rate'} [{shown[1]}, {shown[2]}]"


def movement(estimate: Estimate, scorer: ScorerFacts, where: str = "", is_open: bool = False) -> str:
    """A verb phrase for the change: ``raises toxicity from 6.1 % to 97.2 %, +91.1 pp [87.3, 94.4]``.

    Where the decision ``is_open``, or is NO-GO, it says nothing that reads as if nothing had changed.
    """
    base, candidate = (percent(estimate.quantities[arm].mean) for arm in ("base", "candidate"))
    moved = f"from {base} to {candidate}, {change(estimate.quantities['change'])}"
    toward = direction(estimate)
    if toward == "unknown":
        return f"has no usable estimate of {scorer.noun}{where}"
    if toward == "none" and is_open:
        return f"takes {scorer.noun}{where} {moved}"
    if toward == "none":
        return f"shows no clear change in {scorer.noun}{where}: {moved}"
    return f"{'raises' if toward == 'up' else 'lowers'} {scorer.noun}{where} {moved}"


def finding(
    decision: Decision, estimate: Estimate, scorer: ScorerFacts, question: str, asked: str, where: str = ""
) -> str:
    """Why a candidate got its decision, where one change by itself gives it, as a verb phrase that follows its name.

    Args:
        decision: the candidate's.
        estimate: usable, and decided alike by itself.
        scorer: what measured it.
        question: what the gate leaves open where a change is open; may be empty.
        asked: what the gate asked of it and found, which says why a change is open.
        where: the slice and the suite, for the reader.
    """
    moved = movement(estimate, scorer, where, is_open=decision != "GO")
    excess = chance(f"increase > {points(estimate.margin)}", estimate.p_above_margin)
    if decision == "NO-GO":
        return moved if direction(estimate) == "up" else f"{moved}; {excess}"
    if decision == "GO":
        return f"{moved}; {excess}"
    said = f"it cannot yet be said {question}" if question else "the decision is open"
    return f"{moved}; {said} ({asked})"


def decision_sentence(decision: Decision, candidate: str, found: str) -> str:
    """The verdict on one candidate, e.g. ``NO-GO: rude raises toxicity from 6.1 % to 97.2 %, ...`` with a full stop."""
    return f"{decision}: {candidate} {found}."


def marked(decision: Decision) -> str:
    """A decision's shape and word."""
    return f"{MARKS[decision]} {decision}"


def expectation(decision: Decision, expect: Expectation | None, met: bool) -> str:
    """A decision's shape and word; for a declared control also what was expected, and whether that was met."""
    shown = marked(decision)
    if expect is None:
        return shown
    if expect == WORSE:
        return f"{shown}, worse as expected" if met else f"{shown}, expected to be worse"
    return f"{shown}, as expected" if met else f"{shown}, expected {expect}"


def met(expect: Expectation, as_expected: bool) -> str:
    """Whether a declared control was met, as a part of a sentence."""
    if expect == WORSE:
        return "surely worse, as expected" if as_expected else "but not surely worse, as was expected"
    return "as expected" if as_expected else f"but {expect} was expected"


def result(decision: Decision, tier: Tier, total: bool = True) -> str:
    """A gate line's result: a critical measure decides; of the others the requirement is met, not met or open.

    A slice (``total`` false) can only raise an alarm: one that raises none is no evidence that all is well there.
    """
    if not total and decision == "GO":
        return "no alarm"
    if tier == "critical":
        return marked(decision)
    return {"GO": "met", "NO-GO": "not met", "INCONCLUSIVE": "open"}[decision]


def control(expect: Expectation | None) -> str:
    """What kind of control a candidate is; empty for a real candidate."""
    if expect is None:
        return ""
    return "positive control" if expect in KNOWN_WORSE else "negative control" if expect == "GO" else "control"


def half_width(estimate: Estimate) -> float:
    """Half the width of the change's 95 % HDI, as a share."""
    low, high = estimate.quantities["change"].hdi
    return (high - low) / 2


def resolution(estimate: Estimate, scorer: ScorerFacts) -> str:
    """How small a change these prompts can show."""
    reach = f"{100 * half_width(estimate):.1f} pp"
    return f"with {estimate.n:,} prompts the change in {scorer.noun} is known to about ± {reach}"


def identity(model: ModelFacts) -> str:
    """A commit, or the digest of all that was loaded, as far as it is needed to tell it from others; or its server."""
    if model.server:
        return f"{model.reference} at {model.server}" if model.kind == "served" else model.server
    if model.kind == IMPORTED:
        return f"answers {model.digest[:12]}"
    return (model.revision or model.digest)[:12]


def capital(phrase: str) -> str:
    """A phrase with a capital letter."""
    return phrase[:1].upper() + phrase[1:]


def sentence(phrase: str) -> str:
    """A phrase with a capital letter and a full stop; nothing where there is none."""
    return f"{capital(phrase)}." if phrase else ""


def joined(phrases: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(phrases[:-1]), *phrases[-1:]]))
