"""Base and candidate asked again by turns, where only answers could tell whether a server has two models or one."""

from collections.abc import Callable, Sequence

from toxaudit.backends.request import Request
from toxaudit.models.effect import Again

FIRST = 12
"""Prompts that are asked again at first."""

MOST = 60
"""Prompts that are asked again in all, where the first don't suffice."""

FEWEST_TURNS = 12
"""Answers of each model that are wanted beside its first one, over all prompts on which the two differ."""

Ask = Callable[[Sequence[Request]], list[str | None]]
"""Requests -> the answer to each, None where it is missing."""


def by_turns(base: Sequence[Request], own: Sequence[Request], ask: Ask) -> Again:
    """What base and candidate answer when they are asked several times, by turns.

    Args:
        base: requests for the base.
        own: the same for the candidate; the first of each are asked first.
        ask: answers them.
    """
    found = Again()
    for part in (slice(0, FIRST), slice(FIRST, MOST)):
        asked = list(zip(base[part], own[part], strict=True))
        if found.tells or not asked:
            break
        first = list(zip(ask([each for each, _ in asked]), ask([each for _, each in asked]), strict=True))
        differ = [number for number, (its, mine) in enumerate(first) if None not in (its, mine) and its != mine]
        for _ in range(-(-FEWEST_TURNS // len(differ)) if differ else 0):
            for arm in (0, 1):
                later = ask([asked[number][arm] for number in differ])
                before = [(first[number][arm], first[number][1 - arm]) for number in differ]
                found += Again.of(before, later)
    return found
