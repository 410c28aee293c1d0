"""Does a candidate change anything? The one rule, whatever the evidence.

A candidate changes nothing if all that could be compared of it and of what it would change is exactly equal. Nearly
equal is a change: other weights hardly ever give the same numbers, and the same weights always do.
"""

from collections.abc import Iterable
from typing import Literal

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError

Evidence = Literal[
    "files and system prompts",
    "stored values",
    "logits with and without the adapter",
    "logits and tokenizers",
    "likelihoods of a server's answers",
]


def require(checks: Checklist, by: Evidence, same: Iterable[bool], refusal: ToxauditError) -> None:
    """Refuse a candidate that changes nothing, as far as this evidence tells.

    Args:
        checks: the candidate's.
        by: what is compared.
        same: of each thing that could be compared, whether it is exactly equal.
        refusal: what is raised where nothing is changed.

    Raises:
        ToxauditError: if nothing is changed; it is the ``refusal``.
    """
    compared = list(same)
    if not compared:
        checks.not_applicable(name_of(by), "there is nothing to compare")
        return
    with checks.check(name_of(by)):
        if all(compared):
            raise refusal


def not_asked(checks: Checklist, by: Evidence) -> None:
    """Note that a candidate is the base itself under another system prompt, so that its weights need change nothing."""
    checks.not_applicable(name_of(by), "it is the base itself, under another system prompt")


def name_of(by: Evidence) -> str:
    """The name of the check by this evidence."""
    return f"effect by {by}"
