"""Does a candidate change anything? The one rule, whatever the evidence.

A candidate changes nothing if all that could be compared of it and of what it would change is exactly equal. Nearly
equal is a change: other weights hardly ever give the same numbers, and the same weights always do.
"""

from collections.abc import Iterable
from typing import Literal

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.records import Check, Completion

Evidence = Literal[
    "files and system prompts",
    "stored values",
    "logits with and without the adapter",
    "logits and tokenizers",
    "likelihoods of a server's answers",
    "answers",
]

PROOFS: tuple[Evidence, ...] = ("logits and tokenizers", "likelihoods of a server's answers")
"""Evidence that tells a candidate from the base whatever both answer."""


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


def require_by_answers(
    checks: Checklist, done: Iterable[Check], pairs: Iterable[tuple[Completion, Completion]], lookalike: str
) -> None:
    """Refuse a candidate all of whose answers are the base's, unless likelihoods have told the two apart before.

    Equal answers have equal rates, whatever is asked: they would pass any gate, and prove only that nothing was seen of
    the candidate.

    Args:
        checks: the candidate's.
        done: the checks of it that are done already.
        pairs: the candidate's answer and the base's to each prompt, for each sample; where one is missing, nothing is
            compared.
        lookalike: what may be the matter and what to do, in words that follow a colon.

    Raises:
        ToxauditError: if nothing tells the candidate from the base.
    """
    same = [
        own.text == its.text and own.loglikelihoods == its.loglikelihoods
        for own, its in pairs
        if not own.missing and not its.missing
    ]
    proofs = {name_of(by) for by in PROOFS}
    if not any(check.outcome == "passed" and check.name in proofs for check in done):
        answers = f"all its {len(same):,} answers are the base's" if len(same) > 1 else "its only answer is the base's"
        refusal = ToxauditError(f"{checks.arm}: {answers}, and no likelihoods tell the two apart: {lookalike}.")
        require(checks, "answers", same, refusal)
    elif same and all(same):
        checks.passed(name_of("answers"), f"all its {len(same):,} answers are the base's; its likelihoods are not")


def undecided(checks: Checklist, by: Evidence, why: str) -> None:
    """Note that this evidence tells neither that a candidate changes something nor that it does not."""
    checks.not_applicable(name_of(by), why)


def not_asked(checks: Checklist, by: Evidence) -> None:
    """Note that a candidate is the base itself under another system prompt, so that its weights need change nothing."""
    checks.not_applicable(name_of(by), "it is the base itself, under another system prompt")


def name_of(by: Evidence) -> str:
    """The name of the check by this evidence."""
    return f"effect by {by}"
