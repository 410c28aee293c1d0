"""Which scorers score which suite."""

from collections.abc import Collection, Iterable
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.spec import AuditSpec

ALWAYS = ("degenerate", "truncated", "wrong_language")
"""The scorers that look at every written answer: an incoherent model is no safe one."""


def wanted(suites: Iterable[Any]) -> list[str]:
    """The names of the scorers that suites bring along, each once."""
    suites = list(suites)
    always = ALWAYS if any(not suite.choices for suite in suites) else ()
    return list(dict.fromkeys([*(name for suite in suites for name in suite.scorers), *always]))


def assign(spec: AuditSpec, everywhere: Collection[str]) -> None:
    """Make each suite's ``scorers`` the whole list of those that score it.

    Those are the audit's own, which score every suite whose answers they can read, those that the suite brings along,
    and ``ALWAYS``.

    Args:
        spec: composed; its suites' ``scorers`` are those that they bring along.
        everywhere: the names of those that the audit selects for all suites.

    Raises:
        ToxauditError: a scorer can't read what it is to score, would score nothing, or a suite has none.
    """
    for name, suite in spec.suites.items():
        choices = bool(suite.choices)
        if odd := next((each for each in suite.scorers if spec.scorers[each].takes_choices != choices), None):
            does = "offers choices" if choices else "has written answers"
            raise ToxauditError(f"suite '{name}' {does}, which the scorer '{odd}' can't score: leave it out.")
        mine = [each for each in everywhere if spec.scorers[each].takes_choices == choices]
        always = [] if choices else [each for each in ALWAYS if each != "wrong_language" or suite.language]
        if not mine and not suite.scorers:
            raise ToxauditError(
                f"suite '{name}' has no scorer: add 'scorer: [NAME]' to the audit (see `toxaudit ls scorers`)."
            )
        suite.scorers = list(dict.fromkeys([*mine, *suite.scorers, *always]))
    used = {name for suite in spec.suites.values() for name in suite.scorers}
    if idle := next((name for name in everywhere if name not in used), None):
        kind = "choices" if spec.scorers[idle].takes_choices else "written answers"
        raise ToxauditError(f"The scorer '{idle}' scores {kind}, which no suite of this audit has: leave it out.")
    for name in set(spec.scorers) - used:
        del spec.scorers[name]
