"""What several scorers of one thing are beside each other: how far they agree, how much of the spread is theirs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """How far two scorers of one thing agree on one arm's completions of a suite, in numbers of completions.

    ``n`` were scored by both; ``kappa`` is Cohen's, None where it isn't defined.
    """

    suite: str
    model: str
    first: str
    second: str
    n: int
    both: int
    first_only: int
    second_only: int
    neither: int
    kappa: float | None

    @classmethod
    def of(
        cls, suite: str, model: str, first: str, second: str, both: int, first_only: int, second_only: int, neither: int
    ) -> "Agreement":
        """From the table. Cohen's kappa (1960): (observed - expected agreement) / (1 - expected); none where all is."""
        kappa, n = None, both + first_only + second_only + neither
        if n:
            agree, p, q = (both + neither) / n, (both + first_only) / n, (both + second_only) / n
            expected = p * q + (1 - p) * (1 - q)
            kappa = None if expected == 1 else (agree - expected) / (1 - expected)
        return cls(suite, model, first, second, n, both, first_only, second_only, neither, kappa)


SOURCES = (
    "prompt",
    "model",
    "scorer",
    "prompt x model",
    "prompt x scorer",
    "model x scorer",
    "prompt x model x scorer",
)
"""The sources of variance of crossed outcomes; what is left over, such as chance, is in the last."""


@dataclass(frozen=True)
class Component:
    """One variance component of outcomes in 0..1.

    Attributes:
        source: one of ``SOURCES``.
        variance: its unbiased estimate; below 0, it is none. That of ``model`` and of what is crossed with it is the
            mean over both models, so that all components together are the variance of an outcome.
        eti: its 95 % equal-tailed interval, over the prompts alone: the scorers are those of the audit.
        share: its part of the sum of all, none below 0; None where no outcome differs from another.
    """

    source: str
    variance: float
    eti: tuple[float, float]
    share: float | None


@dataclass(frozen=True)
class VarianceComponents:
    """How much of the spread of outcomes is the prompt's, the model's and the scorer's, where several score one thing.

    Of the outcomes as they were scored, on the completions of base and candidate that every one of these scorers
    scored; without components where these are too few.

    Attributes:
        suite: the suite's name.
        candidate: the candidate's.
        noun: what the scorers measure.
        scorers: their names.
        n: prompts with such a completion of each model.
        missing: per arm (``base``, ``candidate``), completions that not every scorer scored.
        changes: scorer -> candidate minus base, of the mean outcomes.
        sd_of_prompts: the standard deviation that the choice of prompts gives a change by one of the scorers.
        components: one for each of ``SOURCES``. That of ``model x scorer`` is a quarter of the variance that the choice
            of the scorer gives the change.
    """

    suite: str
    candidate: str
    noun: str
    scorers: tuple[str, ...]
    n: int
    missing: dict[str, int]
    changes: dict[str, float]
    sd_of_prompts: float | None
    components: tuple[Component, ...]

    @property
    def fits(self) -> bool:
        """Whether its parts fit together: all of them for all scorers and sources, or none."""
        if not self.components:
            return not self.changes and self.sd_of_prompts is None
        whole = self.changes.keys() == {*self.scorers} and self.sd_of_prompts is not None
        return whole and tuple(each.source for each in self.components) == SOURCES
