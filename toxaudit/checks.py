"""The list on which each check is noted as it is done, before anything is spent: it passed, failed or did not apply."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from toxaudit.errors import ToxauditError
from toxaudit.findings import Check


class Checklist:
    """The checks of one arm, or of the audit's design, in the order in which they are done.

    Attributes:
        arm: the arm's name; empty for the design.
        done: the records.
    """

    def __init__(self, arm: str = "") -> None:
        """Begin an empty list."""
        self.arm = arm
        self.done: list[Check] = []
        self._noted: ToxauditError | None = None  # the last refusal that is on the list

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """One check: what it covers passes, or refuses by raising a ``ToxauditError``, which goes on."""
        try:
            yield
        except ToxauditError as error:
            self.fail(name, error)
            raise
        self.passed(name)

    def passed(self, name: str, note: str = "") -> None:
        """Note a check that passed, and what a reader must know all the same, if anything."""
        self.done.append(Check(self.arm, name, "passed", note))

    def not_applicable(self, name: str, why: str) -> None:
        """Note a check that there is nothing to do for."""
        self.done.append(Check(self.arm, name, "not applicable", why))

    def fail(self, name: str, error: ToxauditError) -> None:
        """Note a refusal, unless a check within has noted this very one."""
        if error is not self._noted:
            self._noted = error
            self.done.append(Check(self.arm, name, "failed", str(error)))


def notes(checks: Iterable[Check]) -> tuple[str, ...]:
    """What a reader must know of an arm that passed its checks, in phrases."""
    return tuple(check.text for check in checks if check.outcome == "passed" and check.text)
