"""What a card may say of an arm, a suite, a scorer and the generation: frozen, made of plain values."""

import operator
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from toxaudit.training_facts import ALL_WEIGHTS, GridPlace, TrainedStage

Decision = Literal["GO", "NO-GO", "INCONCLUSIVE"]

Expectation = Decision | Literal["worse"]
"""What a declared control must come out as: a decision, or surely worse than its reference, by whatever margin."""


Tier = Literal["critical", "supporting", "advisory"]


BASE_ARM = "base"
"""The name of the base's own arm, against which a candidate is compared unless its spec names another."""


def the(arm: str) -> str:
    """How a sentence speaks of an arm: the base by what it is, a candidate by its name."""
    return "the base" if arm == BASE_ARM else arm


def its(arm: str) -> str:
    """How a sentence speaks of what is an arm's."""
    return f"{the(arm)}'s"


MEAN_SCORE = "mean score"
"""How the outcome of a measure begins that takes the mean of its scores, for it has no threshold."""

OPERATORS = {">=": operator.ge, ">": operator.gt, "<": operator.lt, "<=": operator.le}
"""How a score is compared with its threshold."""

UNNAMED = "rate"
"""The noun of a measure whose scorer says none: such measures need not be of one thing."""

AGAINST = 0.5
"""Prompts, as a part of one, that the prior of a GO holds for newly having the outcome, beside every other cell's.

Under Jeffreys' prior alone a suite without one change passes from 53 prompts on at a margin of 3 pp, and a candidate
that is exactly at the margin passes one time in five. With half a prompt more in that cell, which makes it
Dirichlet(1/2, 1/2, 1, 1/2), it passes at most 7.2 times in 100 in every case that was computed: 20 to 10,000
independent prompts, margins of 0.5 to 10 pp, up to 5 % of prompts repaired (docs/calibration.md).
"""


@dataclass(frozen=True)
class Confusion:
    """How often a scorer was right on labelled completions, in numbers of them."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int


@dataclass(frozen=True)
class Calibration:
    """A scorer's errors on labelled completions.

    Attributes:
        source: which labelled data, in words.
        by: the slice whose values have errors of their own, or None.
        counts: value of that slice -> its counts; the empty value where ``by`` is None.
    """

    source: str
    by: str | None
    counts: dict[str, Confusion]


@dataclass(frozen=True)
class LabelFacts:
    """What people said of answers of this audit: of one measure on one suite, base's and one candidate's.

    ``drawn`` answers were drawn, ``labelled`` of which at least one of ``raters`` judged; ``skipped`` ones nobody could
    judge. Of ``prompts`` both answers are labelled. People find the outcome in ``upheld`` of the ``counted`` ones that
    the scorer counts, and in ``overlooked`` of the others; shares of raters are added up. ``twice`` answers were judged
    by two raters or more, who are ``agreed`` on that share of them, with Cohen's ``kappa``. ``digest`` is that of all
    labels.
    """

    suite: str
    measure: str
    candidate: str
    drawn: int
    labelled: int
    skipped: int
    prompts: int
    counted: int
    upheld: float
    overlooked: float
    raters: int
    twice: int
    agreed: float | None
    kappa: float | None
    digest: str


@dataclass(frozen=True)
class ModelFacts:
    """What an arm was made of.

    ``kind`` is base, adapter, fine-tune, merge, quantized, trained (tuned within the audit), served (a server answers
    for it, and nothing else is known), control or imported (its answers came from another tool's results, and
    ``digest`` is of these). ``reference`` is what the spec named, ``revision`` the commit it was pinned to where it
    came from the Hub, ``digest`` the SHA-256 identity of all that was loaded, ``training`` a sentence for tuned
    candidates and ``stages`` how each of their stages went, ``expect`` what a declared control must come out as,
    ``notes`` what the checks found that a reader must know, in phrases, ``system_instruction`` the system prompt it was
    given where it was asked in its chat template. ``server`` is the host and path of the server that answered under the
    name ``reference``, if one did: then nobody saw weights, and ``digest`` is of these names. ``against`` is the arm
    that a candidate is compared with, its reference: ``base``, or another candidate's name (of the base itself it says
    nothing). ``grid`` is where a candidate stands in a grid, if it is of one.
    """

    name: str
    kind: Literal["base", "adapter", "fine-tune", "merge", "quantized", "trained", "served", "control", "imported"]
    reference: str
    digest: str
    dtype: str
    revision: str | None = None
    training: str | None = None
    batch_size: int | None = None
    expect: Expectation | None = None
    notes: tuple[str, ...] = ()
    system_instruction: str | None = None
    server: str | None = None
    stages: tuple[TrainedStage, ...] = ()
    against: str = BASE_ARM
    grid: GridPlace | None = None

    @property
    def tuned_whole(self) -> bool:
        """Whether the last stage of its recipe tuned all weights, rather than an adapter."""
        last = (self.training or "").rpartition("; then ")[2]
        return self.kind == "trained" and bool(re.match(f"(from [^:]+: )?{ALL_WEIGHTS}", last))


@dataclass(frozen=True)
class Skipped:
    """A candidate that was not audited, and why; ``expect`` and ``grid`` as in ``ModelFacts``."""

    name: str
    reference: str
    reason: str
    expect: Expectation | None = None
    grid: GridPlace | None = None


@dataclass(frozen=True)
class SuiteFacts:
    """What was asked, and how.

    ``n`` prompts were asked of those ``available`` in the data. ``slices`` maps a slice name to its values and their
    number of prompts. ``weights`` are the strata's shares of the population where they differ from the prompts',
    ``shares`` those of the prompts that the suite selects. ``clusters`` is how many templates the prompts vary, where
    they do. ``source`` is the data's reference, ``revision`` its commit on the Hub. ``choices`` tells that answers were
    chosen by likelihood, and ``scorers`` names those that scored the suite. ``config`` and ``split`` are those of a set
    on the Hub. ``merged`` is how many more prompts the data hold that are equal to another one, and so no evidence of
    their own. ``rest`` is the digest of the prompts that rounds left out, in the order in which they would have been
    asked (``decision.sampling.in_order``); none where there were no rounds.
    """

    name: str
    title: str
    n: int
    source: str
    digest: str
    licence: str
    ask: str
    strata: str | None
    slices: dict[str, dict[str, int]]
    available: int | None = None
    weights: dict[str, float] | None = None
    clusters: int | None = None
    shares: dict[str, float] | None = None
    revision: str | None = None
    system_instruction: str | None = None
    choices: bool = False
    scorers: tuple[str, ...] = ()
    config: str | None = None
    split: str | None = None
    merged: int = 0
    rest: str | None = None


@dataclass(frozen=True)
class ScorerFacts:
    """What was measured, and by whom.

    ``outcome`` says in words when a completion counts, e.g. ``score >= 0.5``; ``rises`` tells whether a higher score is
    what is unwanted; ``calibration`` holds the scorer's known errors, for which its numbers are corrected.
    """

    name: str
    title: str
    identity: str
    source: str
    outcome: str
    noun: str
    more: str
    less: str
    tier: Tier
    caveat: str
    calibration: Calibration | None = None
    rises: bool = True

    @property
    def is_mean(self) -> bool:
        """Whether the measure is the mean of its scores and no share of completions."""
        return self.outcome.startswith(MEAN_SCORE)


@dataclass(frozen=True)
class Estimand:
    """What a suite's totals are estimates of: the candidate's mean outcome minus the base's, over which population.

    The models, their settings and the scorers are always fixed, and ``unit`` is random: what was asked is taken as a
    sample of an unlimited population of such, whatever part of the data it is (in the words of NIST AI 800-3 it is the
    generalized accuracy, and not that on a benchmark's own questions).

    Attributes:
        suite: the suite's name.
        unit: what is drawn: ``prompt``, or ``template`` where prompts vary templates; all of one counts as one cluster.
        answers: ``greedy``; ``sampled``, then they are random, too; or ``chosen`` by likelihood.
        temperature: that of sampled answers.
        samples: how many answers to a prompt are averaged.
        strata: the slice whose values' shares of the population are fixed, if one's are.
        shares: where these shares are from: ``stated``, or those of the prompts ``selected``.
        labelled: the measures whose outcome is what people's labels say, since their scorers' errors are corrected for.
        excluding: the measures that leave out what could not be scored in both arms.
    """

    suite: str
    unit: Literal["prompt", "template"]
    answers: Literal["greedy", "sampled", "chosen"]
    temperature: float | None
    samples: int
    strata: str | None
    shares: Literal["stated", "selected"] | None
    labelled: tuple[str, ...]
    excluding: tuple[str, ...]


@dataclass(frozen=True)
class GenerationFacts:
    """How completions were made.

    ``chat_template_kwargs`` is what every arm's chat template was given besides. ``chat_template`` is ``own`` where
    each arm was asked in its own, ``base`` where all were asked in the base's, or else the file that held that of all.
    """

    backend: str
    max_new_tokens: int
    temperature: float
    samples: int
    seed: int
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    chat_template: str = "own"
