"""How many of a suite's prompts are asked: all of them, or only as many as the change needs to be known precisely."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from toxaudit.decision.headline import usable
from toxaudit.errors import ToxauditError
from toxaudit.records import ALL_ASKED, Estimate, Prompt, digest
from toxaudit.registry import register

NOTHING_LEFT = ""
"""The digest of what follows the last prompt."""


def in_order(prompts: Sequence[Prompt], rest: str = NOTHING_LEFT) -> str:
    """SHA-256 over prompts in an order: each one's id, text and choices, with the digest of all that follow it.

    So that of a whole order can be computed from its first prompts and the digest of the rest, and from no others.

    Args:
        prompts: the first ones, in their order.
        rest: the digest of those that follow.
    """
    for prompt in reversed(prompts):
        rest = digest(prompt.id, prompt.digest, rest)
    return rest


def width(estimate: Estimate | None) -> float:
    """The width of a change's 95 % HDI, by which rounds end; infinite where there is none, or none to be used."""
    if estimate is None or not usable(estimate):
        return math.inf
    low, high = estimate.quantities["change"].hdi
    return high - low


@register("sampling", "all")
class All:
    """Every prompt is asked."""

    in_rounds = False

    def check(self) -> None:
        """There is nothing to set."""

    def order(
        self, prompts: Sequence[Prompt], strata: str | None, shares: Mapping[str, float] | None = None
    ) -> list[Prompt]:
        """The prompts in the order in which they are asked."""
        return list(prompts)

    def first_round(self, available: int) -> int:
        """How many prompts to ask at first."""
        return available

    def next_round(self, asked: int, available: int, widths: Sequence[float], margin: float) -> int:
        """How many prompts to have asked after the next round."""
        return available

    def sentence(self) -> str:
        """The rule in words, for the card."""
        return ALL_ASKED


@register("sampling", "adaptive")
class Adaptive:
    """Prompts are asked in rounds until every change is known precisely; then the gate decides, once.

    What ends the rounds is the width of the 95 % interval and never what it says: stopping as soon as a verdict is
    reached passes a model that is exactly at the margin 21 to 26 times in 100, this 5 to 7 times (docs/calibration.md).

    Attributes:
        first: prompts of each suite asked in the first round.
        step: the fewest added in a later one.
        width: rounds end when each critical change's 95 % interval is narrower than this many margins.
        seed: of the random order in which prompts are asked.
    """

    first: int = 200
    step: int = 100
    width: float = 1.6
    seed: int = 0

    in_rounds = True

    def check(self) -> None:
        """Refuse a field that makes no sense, by a ToxauditError."""
        for name in ("first", "step"):
            if getattr(self, name) < 50:
                raise ToxauditError(f"sampling.{name} is {getattr(self, name)}: it must be at least 50.")
        if not 0 < self.width <= 2:
            raise ToxauditError(f"sampling.width is {self.width}: it must lie between 0 and 2 margins.")

    def order(
        self, prompts: Sequence[Prompt], strata: str | None, shares: Mapping[str, float] | None = None
    ) -> list[Prompt]:
        """The prompts in random order, so mixed that any number of the first ones holds strata in proportion.

        The first ones alone, with the shares of strata among all, come in that order again.
        """
        groups: dict[str, list[Prompt]] = {}
        for prompt in sorted(prompts, key=lambda prompt: digest(str(self.seed), prompt.id, prompt.text)):
            groups.setdefault(prompt.slices[strata] if strata else "", []).append(prompt)
        parts: Mapping[str, float] = shares or Counter(prompt.slices[strata] for prompt in prompts if strata)
        placed = []
        for name, group in groups.items():
            start = int(digest(str(self.seed), name)[:12], 16) / 16**12  # else small strata would all come at once
            share = parts.get(name, 1)
            placed += [((rank + start) / share, prompt.id, prompt) for rank, prompt in enumerate(group)]
        return [prompt for _, _, prompt in sorted(placed, key=lambda each: each[:2])]

    def first_round(self, available: int) -> int:
        """How many prompts to ask at first."""
        return min(self.first, available)

    def next_round(self, asked: int, available: int, widths: Sequence[float], margin: float) -> int:
        """How many prompts to have asked after the next round; ``asked`` itself where these are enough.

        A width shrinks with the square root of the number of prompts; the next round is what this foresees, so that
        few rounds are needed.

        Args:
            asked: prompts asked so far.
            available: prompts of the suite.
            widths: widths of the 95 % HDIs of the changes that must be precise, in 0..1; infinite for one that can't
                be used; none where the suite has no critical measure.
            margin: the gate's.
        """
        if not widths:  # nothing in the suite must be precise
            return asked
        widest = max(widths) / (self.width * margin)
        if widest <= 1 or asked >= available:
            return asked
        if math.isinf(widest):
            return min(available, max(asked + self.step, 2 * asked))
        return min(available, max(asked + self.step, math.ceil(asked * widest**2)))

    def sentence(self) -> str:
        """The rule in words, for the card."""
        return (
            "prompts were asked in random order, in rounds, until each critical change's 95 % interval was narrower "
            f"than {self.width:g} margins (one round for suites without such); the gate decided once, after the last"
        )
