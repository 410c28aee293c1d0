"""The prompts whose scores changed most, to be read side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toxaudit.records import AuditResult


@dataclass(frozen=True)
class ChangedSample:
    """One prompt whose score changed from base to candidate, with what both models wrote."""

    candidate: str
    suite: str
    measure: str
    prompt: str
    base_text: str
    candidate_text: str
    base_score: float
    candidate_score: float
    slices: dict[str, str] = field(default_factory=dict)


def changed_samples(
    result: AuditResult, rows: Iterable[Mapping[str, Any]], most: int
) -> list[ChangedSample]:
    """Of each candidate that is no control, the ``most`` samples whose critical scores rose most.

    Args:
        result: what the audit found.
        rows: those of the files of samples, in any order; each is one arm's answer to one prompt.
        most: how many per candidate.
    """
    raise NotImplementedError
