"""Reader-facing words made from numbers: the one place where a rate, a change or a decision becomes text."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from toxaudit.records import Decision, Estimate, GateFacts, GenerationFacts, Quantity, ScorerFacts, Tier

MARKS: dict[Decision, str] = {"GO": "●", "NO-GO": "◆", "INCONCLUSIVE": "△"}
"""The shape of a decision, the same in tables and in the forest plot."""

ESTIMATORS = {
    "paired_exact": "compares each prompt's base and candidate outcomes as a pair, exactly; it decides the totals",
    "hier_paired": "one hierarchical model in which small slices borrow strength from others; it decides the slices",
}
"""What an estimator does, for readers who do not know its name."""

ASKS = {"raw": "the model continues the text", "chat": "the text is the user's turn in the model's chat template"}
"""How a suite asks, in words."""


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval, as text: ``4.3 %`` and ``[2.1, 6.0]``."""

    value: str
    interval: str

    def __str__(self) -> str:
        """The number, then its interval."""
        return f"{self.value} {self.interval}"


def visible(text: str, keep: str = "") -> str:
    """Text in which nothing acts unseen: line breaks become spaces; control, bidi and broken characters become U+FFFD.

    Args:
        text: what a model, a spec or a stranger wrote.
        keep: characters to leave as they are, e.g. a line feed where line breaks may be shown.
    """
    joiners = "\u200c\u200d"  # part of ordinary words in some scripts, and of emoji

    def shown(character: str) -> str:
        if character in keep or character in joiners:
            return character
        if character in "\t\n\v\f\r\x85\u2028\u2029":
            return " "
        return "\ufffd" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character

    return "".join(map(shown, text))


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
    if estimate.n == 0 or not estimate.diagnostics.passed:
        return "unknown"
    if low > 0:
        return "up"
    if high < 0:
        return "down"
    return "none" if low <= 0 <= high else "unknown"


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


def movement(estimate: Estimate, scorer: ScorerFacts, where: str = "") -> str:
    """A verb phrase for the change: ``raises toxicity from 6.1 % to 97.2 %, +91.1 pp [87.3, 94.4]``."""
    base, candidate = (percent(estimate.quantities[arm].mean) for arm in ("base", "candidate"))
    moved = f"from {base} to {candidate}, {change(estimate.quantities['change'])}"
    toward = direction(estimate)
    if toward == "unknown":
        return f"has no usable estimate of {scorer.noun}{where}"
    if toward == "none":
        return f"does not credibly change {scorer.noun}{where}: {moved}"
    return f"{'raises' if toward == 'up' else 'lowers'} {scorer.noun}{where} {moved}"


def finding(
    decision: Decision, estimate: Estimate, scorer: ScorerFacts, gate: GateFacts, where: str = ""
) -> str | None:
    """Why a candidate got its decision, as a verb phrase that follows its name.

    Returns:
        None where the change alone does not explain the decision (a cap, missing scores, failed diagnostics).
    """
    excess = f"increase > {points(estimate.margin)}"
    above, below = estimate.p_above_margin >= gate.certainty, 1 - estimate.p_above_margin >= gate.certainty
    if direction(estimate) == "unknown":
        return None
    moved = movement(estimate, scorer, where)
    if decision == "NO-GO" and above:
        return moved
    if decision == "GO" and below:
        return f"{moved}; {chance(excess, estimate.p_above_margin)}"
    if decision == "INCONCLUSIVE" and not above and not below:
        return (
            f"{moved}; whether it exceeds {points(estimate.margin)} is open, {chance(excess, estimate.p_above_margin)}"
        )
    return None


def decision_sentence(decision: Decision, candidate: str, found: str) -> str:
    """The verdict on one candidate, e.g. ``NO-GO: rude raises toxicity from 6.1 % to 97.2 %, ...`` with a full stop."""
    return f"{decision}: {candidate} {found}."


def expectation(decision: Decision, expect: Decision | None) -> str:
    """A decision's shape and word; for a declared control also whether it is the expected one."""
    shown = f"{MARKS[decision]} {decision}"
    if expect is None:
        return shown
    return f"{shown}, as expected" if decision == expect else f"{shown}, expected {expect}"


def result(decision: Decision, tier: Tier, total: bool = True) -> str:
    """A gate line's result: a critical measure decides; of the others the requirement is met, not met or open.

    A slice (``total`` false) can only raise an alarm: one that raises none is no evidence that all is well there.
    """
    if not total and decision == "GO":
        return "no alarm"
    if tier == "critical":
        return expectation(decision, None)
    return {"GO": "met", "NO-GO": "not met", "INCONCLUSIVE": "open"}[decision]


def control(expect: Decision | None) -> str:
    """What kind of control a candidate is; empty for a real candidate."""
    if expect is None:
        return ""
    return {"GO": "negative control", "NO-GO": "positive control"}.get(expect, "control")


def generation(made: GenerationFacts) -> str:
    """How completions were made."""
    how = "greedy decoding" if made.temperature == 0 else f"sampling at temperature {made.temperature:g}"
    times = "1 completion" if made.samples == 1 else f"{made.samples} completions"
    return f"{times} per prompt, {how}, at most {made.max_new_tokens} new tokens, seed {made.seed}, {made.backend}"


def half_width(estimate: Estimate) -> float:
    """Half the width of the change's 95 % HDI, as a share."""
    low, high = estimate.quantities["change"].hdi
    return (high - low) / 2


def resolution(estimate: Estimate, scorer: ScorerFacts) -> str:
    """How small a change these prompts can show."""
    reach = f"{100 * half_width(estimate):.1f} pp"
    return f"with {estimate.n:,} prompts the change in {scorer.noun} is known to about ± {reach}"


def joined(phrases: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(phrases[:-1]), *phrases[-1:]]))
