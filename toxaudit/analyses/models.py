"""The analyses of models as an audit's spec selects them: each loads the arms, and none can ask a server."""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from toxaudit.analyses.base import Evidence, rows_of
from toxaudit.analyses.divergence import divergences, summarised
from toxaudit.analyses.lens import lens
from toxaudit.analyses.weight_change import weight_changes
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.findings import Analysis, AnalysisRow
from toxaudit.models.merging import merged
from toxaudit.models.tensors import Weights
from toxaudit.records import Prompt
from toxaudit.registry import register
from toxaudit.store.shelves import Store

if TYPE_CHECKING:
    from toxaudit.models import ResolvedModel

SHOWN_LETTERS = 60
"""Of a prompt, in the rows of a table."""


class OfModels:
    """What the analyses of models share: the arms whose weights are at hand, and the prompts that they read."""

    kind: ClassVar[str]
    reads_weights: ClassVar[bool] = True

    def check_fits(self, against: Mapping[str, str], suites: Collection[str]) -> None:
        """Raise ToxauditError where the suite that is named is none of the audit's."""
        named = getattr(self, "suite", None)
        if named and named not in suites:
            raise ToxauditError(f"analysis {self.kind}: the audit has no suite '{named}'.{did_you_mean(named, suites)}")

    def _prompts(self, evidence: Evidence, suite: str | None, limit: int) -> tuple[str, list[Prompt]]:
        """The suite's name, the first where none is named, and prompts evenly from its beginning to its end."""
        name = suite or next(iter(evidence.suites))
        prompts = evidence.suites[name].prompts
        places = np.unique(np.linspace(0, len(prompts) - 1, min(limit, len(prompts))).round().astype(int))
        return name, [prompts[place] for place in places.tolist()]

    def _pairs(self, evidence: Evidence) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
        """The candidates, each with its reference, whose weights are here; and what is to be said of the others."""
        named = [(name, evidence.against(name)) for name in evidence.candidates]
        here = [(name, other) for name, other in named if {name, other} <= {*evidence.arms}]
        served = [name for name, other in named if (name, other) not in here]
        return here, tuple(f"{name} is answered for by a server, and its weights are not here" for name in served)


@register("analysis", "next_token_divergence")
class NextTokenDivergence(OfModels):
    """How far a candidate's belief about the first token of its answer differs from its reference's.

    Attributes:
        suite: the suite whose prompts are read; null takes the first.
        limit: so many prompts, taken evenly from the first to the last.
    """

    suite: str | None = None
    limit: int = 100

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if self.limit < 1:
            raise ToxauditError(f"analysis next_token_divergence: limit is {self.limit}; it must be at least 1.")

    def analyse(self, evidence: Evidence) -> Analysis:
        """Mean and distribution over prompts, for each candidate; unlike vocabularies are refused by a sentence."""
        suite, prompts = self._prompts(evidence, self.suite, self.limit)
        pairs, refusals = self._pairs(evidence)
        names = sorted({prompt.cluster for prompt in prompts if prompt.cluster})
        clusters = [names.index(prompt.cluster) for prompt in prompts] if names else None
        read: dict[str, tuple[list[list[int]], Any]] = {}
        rows: list[AnalysisRow] = []
        for name, other in pairs:
            for arm in (other, name):
                read[arm] = read.get(arm) or _next(evidence, arm, suite, prompts)
            (tokens, base), (own, candidate) = read[other], read[name]
            if base.shape != candidate.shape or tokens != own:
                refusals += (f"{name} and {other} have unlike vocabularies or chat templates: no token is the same",)
                continue
            rows += summarised(divergences(base, candidate), {"candidate": name, "reference": other}, clusters)
            if not any(name == later for _, later in pairs):
                del read[name]  # a hundred arms' logits need not be held at once
        return Analysis(
            name=self.kind,
            title="Divergence of the next token",
            text=f"KL(reference || candidate) of the first token after the prompt, over the whole vocabulary, of "
            f"{len(prompts):,} prompts of {suite} (evenly from the first to the last), in nats; 0 for identical "
            "models. The interval of the mean is over prompts, or their templates, by the Bayesian bootstrap. Das et "
            "al. 2024 state neither direction nor positions: these are ours",
            unit="nats",
            rows=tuple(rows),
            refusals=refusals,
        )


@register("analysis", "logit_lens")
class LogitLens(OfModels):
    """What each arm would say after each of its layers, to a few prompts.

    Attributes:
        suite: the suite whose prompts are read; null takes the first.
        limit: so many prompts, taken evenly from the first to the last.
    """

    suite: str | None = None
    limit: int = 2

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        if not 1 <= self.limit <= 10:
            raise ToxauditError(f"analysis logit_lens: limit is {self.limit}; it must be from 1 to 10.")

    def analyse(self, evidence: Evidence) -> Analysis:
        """A row for each prompt, layer and arm: the entropy, with the likeliest token as its note."""
        suite, prompts = self._prompts(evidence, self.suite, self.limit)
        _, refusals = self._pairs(evidence)
        rows = rows_of(_readings(evidence, name, suite, prompts) for name in evidence.arms)
        return Analysis(
            name=self.kind,
            title="LogitLens",
            text=f"What the hidden state at the last position of {len(prompts)} prompts of {suite} decodes to after "
            "each layer, by the model's own final norm and output head (nostalgebraist 2020): the likeliest token, and "
            "the entropy of the distribution over the vocabulary in nats. Layer 0 is the embedding",
            unit="nats",
            rows=rows,
            refusals=refusals,
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
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(Path(scratch))
            rows = rows_of(_changes(evidence.arms, name, other, store) for name, other in pairs)
        return Analysis(
            name=self.kind,
            title="Change of the weights",
            text="By layer, the Frobenius norm of the difference between the candidate's weights and its reference's, "
            "over that of the reference's; adapters count as merged. There is no interval: weights are known exactly",
            unit="number",
            rows=rows,
            refusals=refusals,
            across="candidate",
        )


def _next(evidence: Evidence, arm: str, suite: str, prompts: Sequence[Prompt]) -> tuple[list[list[int]], Any]:
    """What an arm reads of prompts, and its logits of the token that follows each; shape (prompts, vocabulary)."""
    import torch

    loader, tokens = evidence.at_hand
    rows = tokens(evidence.arms[arm], suite, prompts)
    with loader.open(evidence.arms[arm]) as loaded, torch.inference_mode():
        read = (torch.tensor([row], device=loaded.device) for row in rows)
        return rows, torch.stack([loaded.inner(input_ids=ids).logits[0, -1].float().cpu() for ids in read])


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
