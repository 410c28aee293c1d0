"""Exit codes, the same for every verb; those of verdicts may be others, where a pipeline is used to others."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine.stopping import OF_SIGNALS

if TYPE_CHECKING:
    from toxaudit.facts import Decision

DONE = 0
DECISIONS: "Mapping[Decision, int]" = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}
MISSED = 1
"""A bar of the simulation study is missed."""
NOT_VALID = 1
"""A decision does not hold."""
NOT_WELL = 1
"""Something of what ``toxaudit doctor`` looks at is not well."""
ERROR = 3
"""Of an error, always: no verdict can have it, so that none is ever taken for a crash, nor a crash for one."""
LARGEST = 125
"""The largest code that a verdict may have: shells use those above for commands that were not found, or killed."""
STOPPED = OF_SIGNALS + 2
"""Stopped by Ctrl-C."""

OPTION = "exit-codes"
VARIABLE = "TOXAUDIT_EXIT_CODES"
"""The environment variable that gives other codes to verdicts where the option does not."""

HELP = (
    f"other exit codes of verdicts, such as go=0,no-go=10,inconclusive=0 (an error's is always {ERROR}); or {VARIABLE}"
)


def chosen(option: str | None) -> "dict[Decision, int]":
    """The exit code of each verdict.

    Args:
        option: what the command line says, such as ``no-go=10,inconclusive=0``; None asks the environment.

    Raises:
        ToxauditError: if a word is no verdict's, or a code can't be one's.
    """
    if option is not None:
        return {**DECISIONS, **_read(option, f"--{OPTION}")}
    return {**DECISIONS, **_read(os.environ.get(VARIABLE, ""), VARIABLE)}


def worst(decisions: "Iterable[Decision]") -> "Decision":
    """The worst of several audits' verdicts; there must be one."""
    from toxaudit.decision.verdict import WORST_FIRST

    return min(decisions, key=WORST_FIRST.index)


def _read(text: str, where: str) -> "dict[Decision, int]":
    """What ``go=0,no-go=1`` says; nothing where it is blank."""
    words: dict[str, Decision] = {decision.lower(): decision for decision in DECISIONS}
    found: dict[Decision, int] = {}
    for part in text.split(",") if text.strip() else ():
        name, equals, code = (each.strip() for each in part.partition("="))
        if not equals:
            raise ToxauditError(f"{where}: '{part.strip()}' is no exit code: write VERDICT=CODE, such as no-go=10.")
        if name.lower() == "error":
            raise ToxauditError(f"{where}: an error always ends with exit code {ERROR}: leave '{part.strip()}' out.")
        if (decision := words.get(name.lower())) is None:
            raise ToxauditError(f"{where}: '{name}' is no verdict.{did_you_mean(name.lower(), words)}")
        if decision in found:
            raise ToxauditError(f"{where}: '{name}' is given twice: write it once.")
        if not re.fullmatch("[0-9]{1,3}", code) or int(code) > LARGEST:
            raise ToxauditError(f"{where}: '{part.strip()}' must give a whole number from 0 to {LARGEST}.")
        if int(code) == ERROR:
            raise ToxauditError(
                f"{where}: '{part.strip()}' takes {ERROR}, which is the exit code of an error: take another number."
            )
        found[decision] = int(code)
    return found
