"""Finished checks of arms over one base, so that an arm is looked at once."""

from dataclasses import asdict

from toxaudit.checks import Checklist
from toxaudit.findings import Check
from toxaudit.store.shelves import Shelf

RECORDS = ":records"
"""What follows an arm's key: the key alone held notes only, when checks were no records yet."""


class FinishedChecks:
    """The checks of arms that passed, by keys that name all that a check depends on."""

    def __init__(self, shelf: Shelf) -> None:
        """Take the shelf on which they are kept."""
        self._shelf = shelf

    def __contains__(self, key: str) -> bool:
        return key + RECORDS in self._shelf

    def add(self, key: str, checks: Checklist) -> None:
        """Keep the checks of an arm, all of which passed or did not apply; those already kept stay as they are."""
        if key in self:
            return
        kept = [{name: held for name, held in asdict(check).items() if name != "arm"} for check in checks.done]
        self._shelf.add({key + RECORDS: kept})

    def of(self, key: str, arm: str) -> tuple[Check, ...]:
        """The checks, as those of the arm of this name."""
        return tuple(Check(arm, **kept) for kept in self._shelf[key + RECORDS])
