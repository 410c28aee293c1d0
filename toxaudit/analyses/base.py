"""What an analysis may look at, and what all of them share."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toxaudit.analyses.rates import Compared, compared
from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, ModelFacts
from toxaudit.findings import AnalysisRow
from toxaudit.records import OF_EVERY_ANSWER, UNSCORED, Asked, Estimate, Prompt

if TYPE_CHECKING:
    from toxaudit.models import LoadedModel, Loader, ResolvedModel

Tokens = Callable[["ResolvedModel", str, Sequence[Prompt]], list[list[int]]]
"""What an arm reads of a suite's prompts: their tokens, in its chat template where the suite asks in one."""


@dataclass(frozen=True)
class Learnt:
    """What the last stage of a candidate's recipe learnt.

    Attributes:
        rows: of tokens, with the labels that are learnt, in the order in which they are laid out.
        whole: whether the stage tuned all weights, rather than an adapter.
        batch: rows -> what a model takes of them, as tensors.
    """

    rows: Sequence[Mapping[str, list[int]]]
    whole: bool
    batch: Callable[[Sequence[Mapping[str, list[int]]]], dict[str, Any]]


Learning = Callable[[str, "LoadedModel"], Learnt]
"""What a candidate that the audit tunes has learnt, by its name and as its tokenizer reads it."""


@dataclass(frozen=True)
class Evidence:
    """What an audit has found so far, and the arms themselves where they are at hand.

    Attributes:
        models: every arm's facts by its name, the base first.
        estimates: all of them.
        arms: those whose weights are on this machine, by name; none where a finished run is read again.
        suites: name -> the prompts that were asked.
        loader: loads arms; None where a finished run is read again.
        tokens: what an arm reads; None likewise.
        learning: what a candidate has learnt; None likewise.
    """

    models: Mapping[str, ModelFacts]
    estimates: Sequence[Estimate]
    arms: "Mapping[str, ResolvedModel]" = field(default_factory=dict)
    suites: Mapping[str, Asked] = field(default_factory=dict)
    loader: "Loader | None" = None
    tokens: Tokens | None = None
    learning: Learning | None = None

    @property
    def candidates(self) -> list[str]:
        """The names of all candidates, in order."""
        return [name for name in self.models if name != BASE_ARM]

    def against(self, candidate: str) -> str:
        """The arm that a candidate is compared with."""
        return self.models[candidate].against

    @property
    def at_hand(self) -> "tuple[Loader, Tokens]":
        """What loads arms, and what they read.

        Raises:
            ValueError: if a finished run is read again, of which no weights are at hand.
        """
        if self.loader is None or self.tokens is None:
            raise ValueError("a finished run has no weights at hand")
        return self.loader, self.tokens

    def is_full(self, arm: str) -> bool:
        """Whether an arm is a fine-tune of all weights, rather than an adapter or the base."""
        return self.models[arm].kind == "fine-tune" or self.models[arm].tuned_whole

    def compared(self) -> list[Compared]:
        """Candidates and their references by group, of what their answers say rather than of how these ended."""
        return [each for each in compared(self.estimates) if counts(each.measure)]


@contextmanager
def noting(refusals: list[str]) -> Iterator[None]:
    """What is refused within is added to the refusals: one arm that fails costs no other its answer."""
    try:
        yield
    except ToxauditError as error:
        if str(error) not in refusals:
            refusals.append(str(error))


def counts(measure: str) -> bool:
    """Whether a measure is of what answers say: not of missing scores, nor of how every answer ended."""
    return not measure.endswith(UNSCORED) and measure not in OF_EVERY_ANSWER


def rows_of(parts: Iterable[Iterable[AnalysisRow]]) -> tuple[AnalysisRow, ...]:
    """All rows, one after the other."""
    return tuple(row for part in parts for row in part)
