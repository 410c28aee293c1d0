"""A run's samples, read again: what each arm said to the prompts of a suite, and the outcomes of a measure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toxaudit import thoughts
from toxaudit.estimators.outcomes import Floats, PairedOutcomes, Slicing, per_prompt
from toxaudit.estimators.strata import clusters_of
from toxaudit.facts import BASE_ARM, MEAN_SCORE, OPERATORS, ScorerFacts, SuiteFacts
from toxaudit.records import Prompt, Sha
from toxaudit.results.files import samples_file
from toxaudit.results.reading import rows_of

THRESHOLD = re.compile(r"score (>=|>|<=|<) (\S+)$")
"""How the outcome of a measure with a threshold reads, and how a variant with another one ends."""


@dataclass(frozen=True)
class TwoArms:
    """What a candidate and its reference said to the prompts of a suite, and how one measure counts it.

    Attributes:
        pairs: of each prompt, its text, what the reference said, and what the candidate said.
        answers: of each prompt, both answers without thoughts.
        outcomes: shape (2, n), NaN where an answer could not be scored.
    """

    pairs: list[tuple[str, str, str]]
    answers: list[tuple[str, str]]
    outcomes: Floats


@dataclass
class Samples:
    """A suite's samples: of each arm, by measure, its scores in the order of prompts, NaN where missing.

    ``drawn`` is of each arm the digest of its prompts so far, and ``last`` the last of them. ``texts``, which may be
    large, are what each arm was asked, said, and why it ended; None where nobody wants them.
    """

    facts: SuiteFacts
    prompts: dict[str, dict[str, str]] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    drawn: dict[str, Sha] = field(default_factory=dict)
    last: dict[str, tuple[str, ...]] = field(default_factory=dict)
    asked: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    scores: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    texts: dict[str, list[tuple[str, str, str]]] | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one row of a file of samples."""
        arm = row["model"]
        if self.texts is not None:
            self.texts.setdefault(arm, []).append((row["prompt"], row["text"], str(row.get("finish"))))
        if self.last.get(arm) != (prompt := (row["prompt_id"], row["prompt"], *row.get("choices", ()))):
            self.last[arm] = prompt
            self.drawn.setdefault(arm, Sha()).add(*prompt[1:])
        self.prompts.setdefault(row["prompt_id"], row["slices"])
        self.clusters.setdefault(row["prompt_id"], row.get("cluster", ""))
        self.asked.setdefault(arm, []).append((row["prompt_id"], row["sample"]))
        for measure, score in row["scores"].items():
            value = score["value"]
            self.scores.setdefault((arm, measure), []).append(np.nan if value is None else value)


def paired_outcomes(
    suite: Samples,
    measure: str,
    base: Floats,
    candidates: Mapping[str, Floats],
    of_strata: bool = False,
    reference: str = BASE_ARM,
) -> PairedOutcomes:
    """The paired outcomes, with all slices of the suite, or only those by which it was sampled."""
    facts, prompts = suite.facts, suite.prompts.values()
    names = dict.fromkeys(name for slices in prompts for name in slices if name == facts.strata or not of_strata)
    return PairedOutcomes(
        facts.name,
        measure,
        base,
        candidates,
        slices={name: Slicing.of(slices.get(name, "") for slices in prompts) for name in names},
        strata=facts.strata,
        weights=facts.weights,
        shares=facts.shares if facts.n < (facts.available or 0) else None,
        clusters=clusters_of(suite.clusters.values()) if facts.clusters else None,
        reference=reference,
    )


def outcomes_of(suite: Samples, arm: str, scorer: ScorerFacts, variant: str = "") -> Floats | None:
    """Shape (n, m): the outcomes of n prompts' m samples; None where they can't be told."""
    found = suite.scores.get((arm, scorer.name), [])
    if len(found) != len(suite.asked[arm]) or len(found) % len(suite.prompts):
        return None
    scores, rule = np.array(found, dtype=float), variant or scorer.outcome
    if rule.startswith(MEAN_SCORE):
        outcomes = scores if scorer.rises else 1 - scores
    elif told := THRESHOLD.search(rule):
        outcomes = np.where(np.isnan(scores), np.nan, OPERATORS[told[1]](scores, float(told[2])))
    else:
        return None
    if ((outcomes < 0) | (outcomes > 1)).any():
        return None
    return outcomes.reshape(len(suite.prompts), -1)


def prompts_of(run: Path, facts: SuiteFacts) -> list[Prompt]:
    """The prompts that a suite's samples hold, each once.

    Raises:
        ToxauditError: if the file of samples is of no use.
    """
    found: dict[str, Prompt] = {}
    for row in rows_of(run / samples_file(facts.name)):
        name, choices = row["prompt_id"], tuple(row.get("choices", ()))
        found.setdefault(name, Prompt(name, facts.name, row["prompt"], row["slices"], choices=choices))
    return [*found.values()]


def two_arms(run: Path, facts: SuiteFacts, scorer: ScorerFacts, reference: str, candidate: str) -> TwoArms | None:
    """What a candidate and its reference said, of one sample a prompt; None where the samples do not hold that.

    Raises:
        ToxauditError: if the file of samples is of no use.
    """
    suite = Samples(facts, texts={})
    for row in rows_of(run / samples_file(facts.name)):
        suite.add(row)
    arms = (reference, candidate)
    if suite.texts is None or not {*arms} <= {*suite.asked} or suite.asked[reference] != suite.asked[candidate]:
        return None
    base, own = (outcomes_of(suite, arm, scorer) for arm in arms)
    if base is None or own is None or base.shape[1] != 1:
        return None
    said = [suite.texts[arm] for arm in arms]
    pairs = [(prompt, one, other) for (prompt, one, _), (_, other, _) in zip(*said, strict=True)]
    parted = (thoughts.parted([(text, finish) for _, text, finish in each]) for each in said)
    answers = [(one.answer, other.answer) for one, other in zip(*parted, strict=True)]
    return TwoArms(pairs, answers, np.stack([per_prompt(base), per_prompt(own)]))
