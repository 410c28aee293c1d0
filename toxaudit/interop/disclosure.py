"""What a card must disclose of two arms' imported results: their tools, what was not paired, how they differ."""

from collections.abc import Mapping, Sequence

from toxaudit.elsewhere import Elsewhere, Unpaired
from toxaudit.interop.importers.base import Imported
from toxaudit.interop.pairing import Task

LONGEST_DIFFERENCE = 80
"""Characters that are shown of how one arm was asked."""


def tool(arm: Imported) -> str:
    """The tool that wrote an arm's results, with its version."""
    return f"{arm.tool} {arm.version}".strip() + ("" if arm.version else " (version not stated)")


def disclosed(
    name: str, arms: Sequence[Imported], tasks: Sequence[Task], named: Mapping[str, str], notes: Sequence[str]
) -> Elsewhere:
    """Where both arms' answers came from, what of them was not paired, and how else the arms were asked.

    Args:
        name: the candidate's.
        arms: base and candidate.
        tasks: paired.
        named: task -> the suite that was made of it.
        notes: what else was left out, in phrases.
    """
    base, candidate = arms
    unpaired = [Unpaired(named.get(t.name, t.name), dict(t.only), dict(t.spare), t.reworded) for t in tasks]
    return Elsewhere(
        tools={"base": tool(base), name: tool(candidate)},
        unpaired=tuple(each for each in unpaired if not each.nothing),
        differences=tuple(_differences(base, candidate)),
        notes=tuple(notes),
    )


def _differences(base: Imported, candidate: Imported) -> list[str]:
    """How else the arms were asked, or scored, as far as the files tell."""
    one, other = ({"version": arm.version, **arm.told} for arm in (base, candidate))
    return [
        f"{key} is {_shown(one.get(key))} for the base and {_shown(other.get(key))} for the candidate"
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]


def _shown(value: str | None) -> str:
    if not value:
        return "not stated"
    return f"“{value if len(value) <= LONGEST_DIFFERENCE else value[:LONGEST_DIFFERENCE] + '…'}”"
