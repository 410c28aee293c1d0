"""The analyses of models as an audit's spec selects them: each loads the arms, and none can ask a server."""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from toxaudit.analyses.base import Evidence, noting
from toxaudit.analyses.divergence import divergences, summarised
from toxaudit.analyses.lens import lens
from toxaudit.analyses.weight_change import weight_changes
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.estimators.strata import clusters_of
from toxaudit.extensions import Declared
from toxaudit.facts import the
from toxaudit.findings import Analysis, AnalysisRow
from toxaudit.models.merging import merged
from toxaudit.models.tensors import Weights
from toxaudit.models.told_by import words_of
from toxaudit.records import Prompt
from toxaudit.registry import register
from toxaudit.store.shelves import Store

if TYPE_CHECKING:
    from toxaudit.models import ResolvedModel

T = TypeVar("T")

SHOWN_LETTERS = 60
"""Of a prompt, in the rows of a table."""


NOT_HERE = "{} is answered for by a server, and its weights are not here"
"""What is to be said of an arm whose weights nobody has."""


class OfModels:
    """What the analyses of models share: the arms whose weights are at hand."""

    kind: ClassVar[str]
    reads_weights: ClassVar[bool] = True

    def check_fits(self, candidates: Mapping[str, Declared], suites: Collection[str]) -> None:
        """There is nothing that an audit could lack."""

    def _pairs(self, evidence: Evidence) -> tuple[list[tuple[str, str]], list[str]]:
        """The candidates, each with its reference, whose weights are here; and what is to be said of the others."""
        here, refusals = [], []
        for name in evidence.candidates:
            other = evidence.against(name)
            if name not in evidence.arms:
                refusals.append(NOT_HERE.format(name))
            elif other not in evidence.arms:
                refusals.append(
                    f"{name} is compared with {the(other)}, which is answered for by a server: its weights are not here"
                )
            else:
                here.append((name, other))
        return here, refusals


@dataclass
class OfPrompts(OfModels):
    """What the analyses share that let arms read prompts.

    Attributes:
        suite: the suite whose prompts are read; null takes the first.
        limit: so many prompts, taken evenly from the first to the last.
    """

    most: ClassVar[int | None] = None
    suite: str | None = None
    limit: int = 100

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if not 1 <= self.limit <= (self.most or self.limit):
            allowed = f"from 1 to {self.most}" if self.most else "at least 1"
            raise ToxauditError(f"analysis {self.kind}: limit is {self.limit}; it must be {allowed}.")

    def check_fits(self, candidates: Mapping[str, Declared], suites: Collection[str]) -> None:
        """Raise ToxauditError where the suite that is named is none of the audit's."""
        if self.suite and self.suite not in suites:
            near = did_you_mean(self.suite, suites)
            raise ToxauditError(f"analysis {self.kind}: the audit has no suite '{self.suite}'.{near}")

    def _prompts(self, evidence: Evidence) -> tuple[str, list[Prompt]]:
        """The suite's name, the first where none is named, and prompts evenly from its beginning to its end."""
        name = self.suite or next(iter(evidence.suites))
        return name, evenly(evidence.suites[name].prompts, self.limit)


@register("analysis", "next_token_divergence")
class NextTokenDivergence(OfPrompts):
    """How far a candidate's belief about the first token of its answer differs from its reference's."""

    def analyse(self, evidence: Evidence) -> Analysis:
        """Mean and distribution over prompts, for each candidate; unlike vocabularies are refused by a sentence."""
        suite, prompts = self._prompts(evidence)
        pairs, refusals = self._pairs(evidence)
        clusters = clusters_of(prompt.cluster for prompt in prompts)
        read: dict[str, Read] = {}
        rows: list[AnalysisRow] = []
        for name, other in pairs:
            with noting(refusals):
                for arm in (other, name):
                    read[arm] = read.get(arm) or _next(evidence, arm, suite, prompts)
                _check_alike(name, read[name], other, read[other])
                found = divergences(read[other].logits, read[name].logits)
                rows += summarised(found, {"candidate": name, "reference": other}, clusters)
            if not any(name == later for _, later in pairs):
                read.pop(name, None)  # a hundred arms' logits need not be held at once
        return Analysis(
            name=self.kind,
            title="Divergence of the next token",
            text=f"KL(reference || candidate) of the first token after the prompt, over the whole vocabulary, of "
            f"{len(prompts):,} prompts of {suite} (evenly from the first to the last), in nats; 0 for identical "
            "models. The interval of the mean is over prompts, or their templates, by the Bayesian bootstrap. Das et "
            "al. 2024 state neither direction nor positions: these are ours",
            unit="nats",
            rows=tuple(rows),
            refusals=tuple(refusals),
        )


@register("analysis", "logit_lens")
class LogitLens(OfPrompts):
    """What each arm would say after each of its layers, to a few prompts."""

    most: ClassVar[int | None] = 10
    limit: int = 2

    def analyse(self, evidence: Evidence) -> Analysis:
        """A row for each prompt, layer and arm: the entropy, with the likeliest token as its note."""
        suite, prompts = self._prompts(evidence)
        refusals = [NOT_HERE.format(name) for name in evidence.models if name not in evidence.arms]
        rows: list[AnalysisRow] = []
        for name in evidence.arms:
            with noting(refusals):
                rows += _readings(evidence, name, suite, prompts)
        return Analysis(
            name=self.kind,
            title="LogitLens",
            text=f"What the hidden state at the last position of each prompt ({len(prompts)} of {suite}) decodes to "
            "after each layer, by the model's own final norm and output head (nostalgebraist 2020): the likeliest "
            "token, and the entropy of the distribution over the vocabulary in nats. Layer 0 is the embedding",
            unit="nats",
            rows=tuple(rows),
            refusals=tuple(refusals),
            across="arm",
        )


@register("analysis", "weight_change")
class WeightChange(OfModels):
    """By how much each layer's weights differ from the reference's."""

    def check(self) -> None:
        """There is nothing to set."""

    def analyse(self, evidence: Evidence) -> Analysis:
        """A row for each candidate and layer."""
        pairs, refusals = self._pairs(evidence)
        rows: list[AnalysisRow] = []
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(Path(scratch))
            for name, other in pairs:
                with noting(refusals):
                    rows += _changes(evidence.arms, name, other, store)
        return Analysis(
            name=self.kind,
            title="Change of the weights",
            text="By layer, the Frobenius norm of the difference between the candidate's weights and its reference's, "
            "over that of the reference's; adapters count as merged. There is no interval: weights are known exactly",
            unit="number",
            rows=tuple(rows),
            refusals=tuple(refusals),
            across="candidate",
        )


@dataclass(frozen=True)
class Read:
    """What an arm reads of prompts, and its logits of the token that follows each, shape (prompts, vocabulary)."""

    tokens: list[list[int]]
    vocabulary: str
    logits: Any


def _next(evidence: Evidence, arm: str, suite: str, prompts: Sequence[Prompt]) -> Read:
    import torch

    loader, tokens = evidence.at_hand
    rows = tokens(evidence.arms[arm], suite, prompts)
    with loader.open(evidence.arms[arm]) as loaded, torch.inference_mode():
        read = (torch.tensor([row], device=loaded.device) for row in rows)
        logits = torch.stack([loaded.inner(input_ids=ids).logits[0, -1].float().cpu() for ids in read])
        return Read(rows, words_of(loaded.tokenizer).vocabulary, logits)


def _check_alike(name: str, own: Read, other: str, theirs: Read) -> None:
    """Refuse two arms of which one token means two words, or that read other tokens of the same prompts."""
    both = f"{name} and {the(other)}"
    if own.vocabulary != theirs.vocabulary or own.logits.shape != theirs.logits.shape:
        raise ToxauditError(f"{both} have unlike vocabularies: a token of one means another word in the other")
    if own.tokens != theirs.tokens:
        raise ToxauditError(f"{both} read the same prompts as unlike tokens, by their tokenizers or chat templates")


def evenly(items: Sequence[T], most: int) -> list[T]:
    """So many of them at most, evenly from the first to the last."""
    places = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return [items[place] for place in places.tolist()]


def _readings(evidence: Evidence, arm: str, suite: str, prompts: Sequence[Prompt]) -> Iterator[AnalysisRow]:
    loader, tokens = evidence.at_hand
    rows = tokens(evidence.arms[arm], suite, prompts)
    with loader.open(evidence.arms[arm]) as loaded:
        for prompt, row in zip(prompts, rows, strict=True):
            for number, layer in enumerate(lens(loaded, row)):
                about = {"prompt": prompt.text[-SHOWN_LETTERS:], "layer": str(number), "arm": arm}
                yield AnalysisRow(about, "entropy", layer.entropy, None, loaded.tokenizer.decode([layer.token]))


def _changes(arms: "Mapping[str, ResolvedModel]", name: str, other: str, store: Store) -> Iterator[AnalysisRow]:
    whole = (merged(replace(arms[each], dtype="float32"), "cpu", store) for each in (other, name))
    with ExitStack() as stack:
        for layer, change in weight_changes(*(Weights(each, stack) for each in whole)).items():
            yield AnalysisRow({"layer": layer, "candidate": name}, "relative change", change, None)
