"""Does a candidate change anything? The one rule, whatever the evidence.

A candidate changes nothing if all that could be compared of it and of what it would change is exactly equal. Nearly
equal is a change: other weights hardly ever give the same numbers, and the same weights always do.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

from toxaudit.checks import Checklist
from toxaudit.decision.doubt import DOUBT
from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, its, the
from toxaudit.findings import Check
from toxaudit.records import Completion

Evidence = Literal[
    "files and system prompts",
    "stored values",
    "logits with and without the adapter",
    "logits and tokenizers",
    "likelihoods of a server's answers",
    "answers",
]

PROOFS: tuple[Evidence, ...] = ("logits and tokenizers", "likelihoods of a server's answers")
"""Evidence that tells a candidate from its reference whatever both answer."""

ONE_IN = 1000
"""One model that answers under two names is taken for two at most so often, however its answers vary."""


@dataclass(frozen=True)
class Again:
    """What two models answered when they were asked again what they had answered differently at first.

    Attributes:
        same: answers that were again the model's own first one.
        others: answers that were the other model's first one.
        neither: answers that were neither.
    """

    same: int = 0
    others: int = 0
    neither: int = 0

    @classmethod
    def of(cls, before: Sequence[tuple[str | None, str | None]], later: Sequence[str | None]) -> "Again":
        """Of each model's own first answer, the other's, and what it answered later; a missing one tells nothing."""
        found = [(own, other, now) for (own, other), now in zip(before, later, strict=True) if now is not None]
        same, others = sum(now == own for own, _, now in found), sum(now == other for _, other, now in found)
        return cls(same, others, len(found) - same - others)

    def __add__(self, more: "Again") -> "Again":
        return Again(self.same + more.same, self.others + more.others, self.neither + more.neither)

    @property
    def asked(self) -> int:
        """Answers in all."""
        return self.same + self.others + self.neither

    @property
    def tells(self) -> bool:
        """Whether there are two models, by the sign test.

        Of one model under two names, its first two answers to a prompt could as well be the other way round, so that a
        later one is as often the other's first as its own. Answers to different prompts are independent; those to one
        prompt, asked under either name as often, vary less than independent ones do.
        """
        n = self.same + self.others
        return bool(ONE_IN * sum(comb(n, k) for k in range(self.same, n + 1)) <= 1 << n)

    def __str__(self) -> str:
        """In words."""
        return (
            f"of {self.asked:,} questions asked again, {self.same:,} were answered as before and {self.others:,} as "
            "the other model had answered"
        )


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
    checks: Checklist,
    done: Iterable[Check],
    pairs: Iterable[tuple[Completion, Completion]],
    lookalike: str,
    again: Callable[[], Again] | None = None,
    against: str = BASE_ARM,
) -> str:
    """Refuse a candidate all of whose answers are its reference's, unless likelihoods told the two apart before.

    Equal answers have equal rates, whatever is asked: they would pass any gate, and prove only that nothing was seen of
    the candidate. Other answers prove another candidate only where one model's own don't vary as much.

    Args:
        checks: the candidate's.
        done: the checks of it that are done already.
        pairs: the candidate's answer and its reference's to each prompt, for each sample; where one is missing, nothing
            is compared.
        lookalike: what may be the matter and what to do, in words that follow a colon.
        again: asks both again; None where the same model always gives the same answer.
        against: the name of its reference.

    Returns:
        What is in doubt where the candidate's answers differ from the other ones by no more than one model's do; else
        nothing.

    Raises:
        ToxauditError: if nothing tells the candidate from its reference.
    """
    same = [
        own.text == other.text and own.loglikelihoods == other.loglikelihoods
        for own, other in pairs
        if not own.missing and not other.missing
    ]
    whose = its(against)
    proofs = {name_of(by) for by in PROOFS}
    if any(check.outcome == "passed" and check.name in proofs for check in done):
        if same and all(same):
            checks.passed(name_of("answers"), f"all its {len(same):,} answers are {whose}; its likelihoods are not")
        return ""
    if again is None or all(same):
        answers = f"all its {len(same):,} answers are {whose}" if len(same) > 1 else f"its only answer is {whose}"
        refusal = ToxauditError(f"{checks.arm}: {answers}, and no likelihoods tell the two apart: {lookalike}.")
        require(checks, "answers", same, refusal)
        return ""
    found = again()
    if found.tells:
        checks.passed(name_of("answers"), f"the server's answers vary: {found}" * (found.same < found.asked))
        return ""
    doubt = f"{DOUBT} {the(against)}, since the server's answers to one model vary as much: {found}"
    undecided(checks, "answers", doubt)
    return doubt


def undecided(checks: Checklist, by: Evidence, why: str) -> None:
    """Note that this evidence tells neither that a candidate changes something nor that it does not."""
    checks.not_applicable(name_of(by), why)


def not_asked(checks: Checklist, by: Evidence, against: str = BASE_ARM) -> None:
    """Note that a candidate is its reference under another system prompt, so that its weights need change nothing."""
    checks.not_applicable(name_of(by), f"it is {the(against)} itself, under another system prompt")


def name_of(by: Evidence) -> str:
    """The name of the check by this evidence."""
    return f"effect by {by}"
