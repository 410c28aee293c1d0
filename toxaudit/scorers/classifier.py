"""Any sequence classifier of transformers: the probability of one of its labels."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from omegaconf import MISSING

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.records import digest
from toxaudit.registry import register
from toxaudit.scorers.base import BaseScorer, Unscored
from toxaudit.sources import Fetched, parse
from toxaudit.sources.base import WEIGHTS


@register("scorer", "classifier")
class Classifier(BaseScorer):
    """The probability of ``label``; empty completions are unscored.

    Attributes:
        pretrained: a Hub id, a local path or a package file.
        revision: of ``pretrained`` on the Hub.
        label: the label whose probability is the score, by its name in the model's configuration.
        batch_size: texts scored at once; changes no score beyond rounding.
        max_length: tokens of a completion that are read, or fewer where the model can't read as many.
    """

    pretrained: str = MISSING
    revision: str | None = None
    label: str = MISSING
    batch_size: int = 32
    max_length: int = 512

    @property
    def patterns(self) -> tuple[str, ...]:
        """The weights, their configuration and the tokenizer."""
        return WEIGHTS

    @cached_property
    def fetched(self) -> Fetched:
        """The classifier's files, pinned."""
        return parse(self.pretrained, self.revision).fetch(self.patterns)

    def identity(self) -> str:
        """SHA-256 of weights, label and length limit."""
        return digest("classifier", "1", self.fetched.digest, self.label, str(self.max_length))

    @property
    def source(self) -> str:
        """Who made it, at which revision, which label."""
        revision = f"@{self.fetched.revision[:12]}" if self.fetched.revision else ""
        return f"{self.fetched.reference}{revision}, label {self.label}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any, int]:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        folder = self.fetched.path
        if "adapter_config.json" in self.fetched.files:  # transformers would load the model that it names instead
            raise ToxauditError(f"The classifier {self.fetched.reference} is an adapter: name a whole model.")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder,
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
        if not set(tokenizer("The weather is fine.", add_special_tokens=False)["input_ids"]) - {tokenizer.unk_token_id}:
            # transformers makes an empty tokenizer where the files of a known architecture's are missing
            raise ToxauditError(f"The classifier {self.fetched.reference} has no vocabulary: it would read no word.")
        labels = {name: place for place, name in model.config.id2label.items()}
        if self.label not in labels:
            raise ToxauditError(
                f"{self.fetched.reference} has no label '{self.label}'.{did_you_mean(self.label, labels)}"
            )
        return tokenizer, model.eval(), labels[self.label]

    def score(self, completions: Sequence[str]) -> list[float | Unscored]:
        """One probability or reason per completion; texts of like length are scored together."""
        import torch

        scores: list[float | Unscored] = [Unscored("empty completion")] * len(completions)
        tokenizer, model, label = self._loaded
        order = sorted((i for i, text in enumerate(completions) if text.strip()), key=lambda i: len(completions[i]))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = tokenizer(
                [completions[i] for i in rows],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=min(self.max_length, tokenizer.model_max_length),
            )
            with torch.inference_mode():
                logits = model(**batch).logits.float()
            apart = model.config.problem_type == "multi_label_classification" or logits.shape[-1] == 1
            chances = logits.sigmoid() if apart else logits.softmax(-1)
            for i, chance in zip(rows, chances[:, label].tolist(), strict=True):
                scores[i] = chance if chance == chance else Unscored("the classifier gave no number")
        return scores
