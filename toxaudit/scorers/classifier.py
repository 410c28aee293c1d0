"""Any sequence classifier of transformers: the probability of one of its labels."""

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

from omegaconf import MISSING

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine import packed, threads
from toxaudit.records import digest
from toxaudit.registry import register
from toxaudit.scorers.base import BaseScorer, Unscored
from toxaudit.sources import Fetched, FileField, parse
from toxaudit.sources.base import WEIGHTS
from toxaudit.sources.configured import check_counts

TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Tokens read at once: enough for a matrix product to be fast, few enough for its results to stay near."""

PROBE = "The weather is fine. "


@register("scorer", "classifier")
class Classifier(BaseScorer):
    """The probability of ``label``; empty completions are unscored.

    It is computed in float32, on a CUDA GPU where there is one, and texts of as many tokens are read together, so that
    no text is padded: a score depends on its own text only, beyond rounding.

    Attributes:
        pretrained: a Hub id, a local path or a package file.
        revision: of ``pretrained`` on the Hub.
        label: the label whose probability is the score, by its name in the model's configuration.
        max_length: tokens of a completion that are read, or fewer where the model can't read as many.
    """

    pretrained: str = MISSING
    revision: str | None = None
    label: str = MISSING
    max_length: int = 512

    @property
    def patterns(self) -> tuple[str, ...]:
        """The weights, their configuration and the tokenizer."""
        return WEIGHTS

    def file_fields(self) -> Iterator[FileField]:
        """As every scorer's; and the classifier's weights."""
        yield FileField("pretrained", "revision", self.patterns)
        yield from super().file_fields()

    def check(self) -> None:
        """As every scorer's; and at least one token must be read."""
        super().check()
        if self.max_length < 1:
            raise ToxauditError(f"scorer '{self.title}': max_length is {self.max_length}; it must be at least 1.")

    @cached_property
    def fetched(self) -> Fetched:
        """The classifier's files, pinned."""
        return parse(self.pretrained, self.revision).fetch(self.patterns)

    def identity(self) -> str:
        """SHA-256 of weights, label and length limit.

        Raises:
            ToxauditError: if the model's configuration can't be read, names too many labels, or lacks the one.
        """
        self._check_label(self._configured_labels())
        return digest("classifier", "2", self.fetched.digest, self.label, str(self.max_length))

    @property
    def source(self) -> str:
        """Who made it, at which revision, which label."""
        revision = f"@{self.fetched.revision[:12]}" if self.fetched.revision else ""
        return f"{self.fetched.reference}{revision}, label {self.label}"

    def _configured_labels(self) -> list[str]:
        """The labels by the model's configuration, which need not name them: none says two."""
        check_counts(f"The classifier {self.fetched.reference}", self.fetched.path)
        try:
            config = json.loads((self.fetched.path / "config.json").read_text(encoding="utf-8"))
            named = config.get("id2label") or {i: f"LABEL_{i}" for i in range(config.get("num_labels", 2))}
            return [str(name) for name in named.values()]
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ToxauditError(f"The classifier {self.fetched.reference} has no config.json of use.") from error

    def _check_label(self, labels: Collection[str]) -> None:
        if self.label not in labels:
            raise ToxauditError(
                f"{self.fetched.reference} has no label '{self.label}'.{did_you_mean(self.label, labels)}"
            )

    @cached_property
    def _loaded(self) -> tuple[Any, Any, int]:
        """The tokenizer, the model on its device, and the label's place."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        folder = self.fetched.path
        if "adapter_config.json" in self.fetched.files:  # transformers would load the model that it names instead
            raise ToxauditError(f"The classifier {self.fetched.reference} is an adapter: name a whole model.")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # only to name them in a sentence
            )
        except Exception as error:  # transformers, tokenizers and safetensors have no common class of errors
            problem = str(error).strip().split("\n")[0].rstrip(".")
            raise ToxauditError(f"The classifier {self.fetched.reference} can't be loaded: {problem}.") from error
        if unset := sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}):
            raise ToxauditError(f"The classifier {self.fetched.reference} leaves weights unset, e.g. {unset[0]}.")
        if not set(tokenizer(PROBE, add_special_tokens=False)["input_ids"]) - {tokenizer.unk_token_id}:
            # transformers makes an empty tokenizer where the files of a known architecture's are missing
            raise ToxauditError(f"The classifier {self.fetched.reference} has no vocabulary: it would read no word.")
        labels = {name: place for place, name in model.config.id2label.items()}
        self._check_label(labels)
        model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        if model.device.type == "cpu":
            packed.pack(model)
            some = tokenizer(PROBE * 16, truncation=True, max_length=self._limit(tokenizer, model), return_tensors="pt")
            with torch.inference_mode():
                threads.use_fastest(lambda: model(**some))
        return tokenizer, model, labels[self.label]

    def _limit(self, tokenizer: Any, model: Any) -> int:
        """How many tokens are read: no more than asked, than the tokenizer gives, or than the model has positions."""
        positions = getattr(model.config, "max_position_embeddings", None) or 0
        for name, module in model.named_modules():
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
                positions -= module.padding_idx + 1  # RoBERTa and its like count from the padding's place on
        limits = [self.max_length, int(tokenizer.model_max_length), *([positions] if positions > 0 else [])]
        return min(limits)

    def score(self, completions: Sequence[str]) -> list[float | Unscored]:
        """One probability or reason per completion; the more there are, the more are of one length."""
        import torch

        scores: list[float | Unscored] = [Unscored("empty completion")] * len(completions)
        if not (rows := [i for i, text in enumerate(completions) if text.strip()]):
            return scores
        tokenizer, model, label = self._loaded
        encoded = tokenizer([completions[i] for i in rows], truncation=True, max_length=self._limit(tokenizer, model))
        apart = model.config.problem_type == "multi_label_classification" or model.config.num_labels == 1
        alone = getattr(model.config, "pad_token_id", None) is None  # some read a single text only, else
        for batch in _of_one_length(encoded["input_ids"], 0 if alone else TOKENS[model.device.type]):
            inputs = {
                name: torch.tensor([values[i] for i in batch], device=model.device) for name, values in encoded.items()
            }
            with torch.inference_mode():
                logits = model(**inputs).logits.float()
            chances = (logits.sigmoid() if apart else logits.softmax(-1))[:, label].tolist()
            for i, chance, finite in zip(batch, chances, logits.isfinite().all(-1).tolist(), strict=True):
                scores[rows[i]] = chance if finite else Unscored("the classifier gave no number")
        return scores


def _of_one_length(encoded: Sequence[Sequence[int]], most: int) -> Iterator[list[int]]:
    """Batches of rows, by their places: rows of one length, together at most ``most`` tokens, or else a single row.

    Long ones come first; rows without a token come in none.
    """
    order = sorted((i for i, row in enumerate(encoded) if row), key=lambda i: -len(encoded[i]))
    for length, group in groupby(order, key=lambda i: len(encoded[i])):
        rows = list(group)
        size = max(1, most // length)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))
