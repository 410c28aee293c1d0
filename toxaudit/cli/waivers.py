"""What ``signoff`` is told of waivers, their reasons and last days, and what ``verify`` is told of a day."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from toxaudit.errors import ToxauditError, visible

if TYPE_CHECKING:
    from toxaudit.signoff.decision import Waiver

LONGEST_REASON = 1_000
"""Characters of a waiver's reason."""

LONGEST_DAYS = 3_650
"""Days for which a decision may hold, at most."""


def waivers(told: Sequence[tuple[str, str]]) -> "tuple[tuple[Waiver, ...], str | None]":
    """The waivers, each with the reason and the last day that follow it, and the decision's own last day.

    Raises:
        ToxauditError: if one lacks a part, or a part belongs to none.
    """
    from toxaudit.signoff.decision import Waiver

    found: list[dict[str, str]] = []
    own: list[str] = []
    for option, text in told:
        if option == "waive":
            found.append({"rule": text})
        elif found and option not in found[-1]:
            found[-1][option] = text
        elif option == "expires":
            own.append(text)
        else:
            raise ToxauditError("--reason stands behind no --waive of its own: write --waive RULE --reason TEXT.")
    for each in found:
        if lacking := [name for name in ("reason", "expires") if name not in each]:
            raise ToxauditError(
                f"The waiver of '{each['rule']}' lacks --{lacking[0]}: write --waive RULE --reason TEXT --expires DATE."
            )
    if len(own) > 1:
        raise ToxauditError("--expires is given twice for the decision itself: write it once.")
    return tuple(Waiver(**each) for each in found), own[0] if own else None


def reason(text: str) -> str:
    """A waiver's reason, in one line.

    Raises:
        ToxauditError: if it is longer than any.
    """
    if len(text) > LONGEST_REASON:
        raise ToxauditError(f"--reason has {len(text):,} characters: {LONGEST_REASON:,} are enough.")
    return " ".join(visible(text).split())


def last_day(text: str) -> str:
    """A day, as records write it, of one that is named or of a number of days from now.

    Raises:
        ToxauditError: if it is none.
    """
    if found := re.fullmatch(r"([0-9]{1,4})d", text):
        if not 0 < int(found[1]) <= LONGEST_DAYS:
            raise ToxauditError(f"--expires is '{text}': it must be 1d to {LONGEST_DAYS}d.")
        return (datetime.now(UTC).date() + timedelta(days=int(found[1]))).isoformat()
    return day("--expires", text).isoformat()


def day(option: str, text: str) -> date:
    """A day that an option names.

    Raises:
        ToxauditError: if it is none.
    """
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    also = ", or a number of days like 90d" if option == "--expires" else ""
    raise ToxauditError(f"{option} is '{text}': it must be a day like 2027-01-31{also}.")
