"""The nouns that flow through an audit: frozen, made of plain values, and JSON-able.

``AuditSpec -> [Prompt] -> [Completion] -> [Score] -> [Estimate] -> [Verdict] -> card, report, Hub, sign-off``
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from math import nan
from typing import Any, Literal
from zlib import compress, decompress

from toxaudit.facts import SuiteFacts

UNSCORED = ":unscored"
"""What follows a scorer's name in that of the measure of what it could not score."""

OF_EVERY_ANSWER = ("degenerate", "truncated", "wrong_language")
"""The scorers of every written answer: an incoherent model is no safe one."""

ALL_ASKED = "all prompts were asked"
"""How prompts were sampled, where no round left any out; a suite's limit may have."""

OBSERVED, CORRECTED, LABELLED = "observed", "corrected", "labelled"
BEST_CASE, WORST_CASE, OTHER_PRIOR = "best case", "worst case", "other prior"
ALONE = "alone"
"""What an estimate was made of: the scores as they are; these corrected for the scorer's errors; these and people's
labels of some of the answers; with every missing score taken in the candidate's favour, or against it; the scores as
they are under another prior; those of a slice alone, where the observed estimate lets slices borrow from each other."""

TOGETHER = 256
"""Completions that are packed together."""


class Sha:
    """``digest`` of texts that come one after another."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, *texts: str) -> None:
        """Take in further texts."""
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            self._sha.update(f"{len(data)}:".encode())
            self._sha.update(data)

    def hexdigest(self) -> str:
        """That of all of them."""
        return self._sha.hexdigest()


def digest(*texts: str) -> str:
    """SHA-256 (hex) over texts, each prefixed by its length so that no two lists of texts collide."""
    sha = Sha()
    sha.add(*texts)
    return sha.hexdigest()


def to_json(record: Any) -> dict[str, Any]:
    """A record as plain dicts, lists, strings and numbers."""
    return asdict(record)


@dataclass(frozen=True)
class Prompt:
    """One thing a suite asks.

    Attributes:
        id: the row's id in the data, unique in the suite.
        suite: the suite's name.
        text: exactly what the model reads, in the chat template where the suite asks by chat.
        slices: slice name -> value.
        cluster: the template that the prompt varies, where it does.
        choices: answers of which the model's likelihood chooses one; none where the model writes its own.
        target: the place of the right one among ``choices``.
        references: right answers to a question that the model answers in its own words.
        roles: what each of ``choices`` stands for, such as ``stereotype``, ``other``, ``unknown``.
        language: that of the suite, as an ISO 639-1 code; empty where the suite states none.
    """

    id: str
    suite: str
    text: str
    slices: dict[str, str] = field(default_factory=dict)
    cluster: str = ""
    choices: tuple[str, ...] = ()
    target: int | None = None
    references: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    language: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text and of what there is to choose."""
        return digest(self.text, *self.choices)


@dataclass(frozen=True)
class Completion:
    """What one model answered to one prompt.

    ``model`` is the arm's name (``base`` or a candidate's), ``text`` all that it wrote, thoughts between their marks
    included (``toxaudit.thoughts``; scorers get what follows them), ``tokens`` the number of new tokens without the
    end-of-text token (of a server's answer as the server counts them, None where it doesn't say), ``finish`` why it
    ended: ``stop`` (the model ended it), ``length`` (the limit did) or ``other``: then it is not the model's own, not
    scored, and ``missing`` says why. Where the prompt offers choices, ``text`` is the likeliest, and
    ``loglikelihoods`` holds the natural logarithm of each one's probability after the prompt.
    """

    model: str
    prompt_id: str
    sample: int
    text: str
    tokens: int | None
    finish: Literal["stop", "length", "other"]
    loglikelihoods: tuple[float, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Score:
    """What one scorer says of one completion: a ``value``, or None and the reason why it is ``missing``."""

    value: float | None
    missing: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.missing is None):
            raise ValueError(f"a score has either a value or a reason for missing it: {self}")


class Completions:
    """Completions in their order, packed: those of a large audit would fill the memory as objects."""

    def __init__(self, completions: Iterable[Completion]) -> None:
        """Take them, a few at a time."""
        self._packed, self._count, left = list[bytes](), 0, iter(completions)
        while some := [vars(each) for each in islice(left, TOGETHER)]:
            text = json.dumps(some, ensure_ascii=False)
            self._packed.append(compress(text.encode("utf-8", "surrogatepass"), level=1))
            self._count += len(some)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Completion]:
        for packed in self._packed:
            for each in json.loads(decompress(packed).decode("utf-8", "surrogatepass")):
                yield Completion(**each | {"loglikelihoods": tuple(each["loglikelihoods"])})


class Scores:
    """What one scorer says of one arm's completions of a suite, in their order.

    Attributes:
        values: eight bytes each; where a score is missing, one that is no number.
        missing: place -> why the score is missing there.
    """

    def __init__(self, scores: Iterable[Score]) -> None:
        """Take them as they come."""
        self.values, self.missing, reasons = array("d"), dict[int, str](), dict[str, str]()
        for place, score in enumerate(scores):
            self.values.append(nan if score.value is None else score.value)
            if score.missing is not None:
                self.missing[place] = reasons.setdefault(score.missing, score.missing)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Score]:
        for place, value in enumerate(self.values):
            yield Score(None, self.missing[place]) if place in self.missing else Score(value)


@dataclass(frozen=True)
class Quantity:
    """A posterior in short, on the outcome's scale (0..1 for rates): mean, standard deviation, 95 % HDI and ETI."""

    mean: float
    sd: float
    hdi: tuple[float, float]
    eti: tuple[float, float]


@dataclass(frozen=True)
class Diagnostics:
    """Whether a posterior may be used.

    ``values`` are e.g. max_rhat, min_ess, divergences; ``failures`` forbid its use, ``warnings`` ask for care, both in
    words.
    """

    values: dict[str, float] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """No failure."""
        return not self.failures


@dataclass(frozen=True)
class Estimate:
    """The change of one measure from base to one candidate, on one suite or one slice of it.

    Attributes:
        candidate: the candidate's name.
        suite: the suite's name.
        measure: the scorer's name.
        slice: ``all``, or ``name=value``.
        estimator: which estimator made it, e.g. ``paired_exact``.
        variant: what it was made of: ``observed`` scores, ``corrected`` ones, ...
        n: prompts scored in both arms.
        samples: completions per prompt and arm.
        missing: per arm (``base``, ``candidate``), completions that could not be scored.
        missing_in_both: how many of these could be scored in neither arm, of the same prompt and sample; None where
            that is not known.
        counts: the paired 2 x 2 table: ``n11`` (both have the outcome), ``n10`` (base only: repaired), ``n01``
            (candidate only: new) and ``n00``; fractions where a prompt has several samples or a mean score.
        quantities: ``base``, ``candidate`` and ``change`` (candidate minus base).
        p_increase: P(change > 0).
        p_above_margin: P(change > margin). ``margin`` is the gate's.
        p_within_margin: P(-margin <= change <= margin).
        p_go: what a GO is decided by: P(change < margin) under a prior that counts half a prompt against the candidate;
            None where the estimator never decides a GO.
        margin: the margin those probabilities refer to.
        diagnostics: whether the posterior may be used.
        cap: the gate's limit on the candidate's own rate, where it sets one.
        p_below_cap: P(candidate < cap), where there is a cap.
        ratio_limit: the gate's limit on the candidate's rate as a multiple of the base's, where it sets one.
        p_below_ratio: P(candidate < ratio_limit x base), where there is such a limit.
        ratio: the candidate's rate over the base's, where both arms have events enough.
        design_effect: by how much less than their number the prompts of a slice say, since some vary one template; 1
            where each is independent of the others, and where the estimator counts templates itself.
    """

    candidate: str
    suite: str
    measure: str
    slice: str
    estimator: str
    n: int
    missing: dict[str, int]
    counts: dict[str, float]
    quantities: dict[str, Quantity]
    p_increase: float
    p_above_margin: float
    p_within_margin: float
    margin: float
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    cap: float | None = None
    p_below_cap: float | None = None
    variant: str = OBSERVED
    ratio: Quantity | None = None
    samples: int = 1
    p_go: float | None = None
    missing_in_both: int | None = None
    design_effect: float = 1.0
    ratio_limit: float | None = None
    p_below_ratio: float | None = None


@dataclass(frozen=True)
class Asked:
    """A suite and the prompts of it that were asked."""

    prompts: list[Prompt]
    facts: SuiteFacts


Answers = dict[tuple[str, str], Completions]
"""(arm, suite) -> completions in the order of the suite's prompts, all samples of a prompt together."""

Scored = dict[tuple[str, str, str], Scores]
"""(arm, suite, scorer) -> scores in the same order."""
