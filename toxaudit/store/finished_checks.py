"""Finished checks of arms over one base, so that an arm is looked at once."""

from dataclasses import asdict

from toxaudit.checks import Checklist, notes
from toxaudit.records import Check
from toxaudit.store.shelves import Shelf

RECORDS = ":records"
"""What follows an arm's key in that of its checks' records. Its key alone holds its notes, as it always has."""

EARLIER = "checks of an earlier version"
"""The name of the check that stands for all those of an arm of which only the notes were kept."""


class FinishedChecks:
    """The checks of arms that passed, by keys that name all that a check depends on."""

    def __init__(self, shelf: Shelf) -> None:
        """Take the shelf on which they are kept."""
        self._shelf = shelf

    def __contains__(self, key: str) -> bool:
        return key in self._shelf

    def add(self, key: str, checks: Checklist) -> None:
        """Keep the checks of an arm, all of which passed or did not apply."""
        kept = [{name: held for name, held in asdict(check).items() if name != "arm"} for check in checks.done]
        self._shelf.add({key: list(notes(checks.done)), key + RECORDS: kept})

    def of(self, key: str, arm: str) -> tuple[Check, ...]:
        """The checks, as those of the arm of this name."""
        if key + RECORDS in self._shelf:
            return tuple(Check(arm, **kept) for kept in self._shelf[key + RECORDS])
        return tuple(Check(arm, EARLIER, "passed", note) for note in self._shelf[key] or [""])
