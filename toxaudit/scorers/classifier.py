"""Any sequence classifier of transformers: the probability of one of its labels."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from itertools import chain, groupby
from typing import Any

from omegaconf import MISSING

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import ScorerFacts
from toxaudit.machine import packed, threads
from toxaudit.records import digest
from toxaudit.registry import register
from toxaudit.scorers import bfloat16
from toxaudit.scorers.base import BaseScorer, Unscored
from toxaudit.sources import Fetched, FileField, parse
from toxaudit.sources.base import WEIGHTS
from toxaudit.sources.configured import check_counts

TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Tokens read at once: enough for a matrix product to be fast, few enough for its results to stay near."""

PROBE = "The weather is fine. "

FORMATS = ("float32", "bfloat16")


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
        dtype: ``float32``, or ``bfloat16``, which is faster on CPUs that have instructions for it and is refused
            elsewhere. Scores within 0.02 of the threshold are computed in float32 even so, some others in both, and
            if one of these differs by more than 0.02, the audit ends with an error.
    """

    pretrained: str = MISSING
    revision: str | None = None
    label: str = MISSING
    max_length: int = 512
    dtype: str = "float32"

    @property
    def patterns(self) -> tuple[str, ...]:
        """The weights, their configuration and the tokenizer."""
        return WEIGHTS

    def file_fields(self) -> Iterator[FileField]:
        """As every scorer's; and the classifier's weights."""
        yield FileField("pretrained", "revision", self.patterns)
        yield from super().file_fields()

    def check(self) -> None:
        """As every scorer's; and at least one token must be read, in a number format that there is."""
        super().check()
        if self.max_length < 1:
            raise ToxauditError(f"scorer '{self.title}': max_length is {self.max_length}; it must be at least 1.")
        if self.dtype not in FORMATS:
            raise ToxauditError(
                f"scorer '{self.title}': dtype '{self.dtype}' is unknown.{did_you_mean(self.dtype, FORMATS)}"
            )

    @cached_property
    def fetched(self) -> Fetched:
        """The classifier's files, pinned."""
        return parse(self.pretrained, self.revision).fetch(self.patterns)

    def identity(self) -> str:
        """SHA-256 of weights, label and length limit.

        In bfloat16 it is of the threshold, too, which then decides what is computed in float32.

        Raises:
            ToxauditError: if the model's configuration can't be read, names too many labels, or lacks the one; or
                if this machine does not compute in ``dtype``.
        """
        self._check_label(self._configured_labels())
        told = ("classifier", "2", self.fetched.digest, self.label, str(self.max_length))
        if self._is_exact:
            return digest(*told)
        bfloat16.check_computes(self.title)
        return digest(*told, self.dtype, str(self.threshold), str(bfloat16.TOLERANCE))

    @property
    def source(self) -> str:
        """Who made it, at which revision, which label, and in which number format if that is not float32."""
        revision = f"@{self.fetched.revision[:12]}" if self.fetched.revision else ""
        computed = "" if self._is_exact else f", in {self.dtype}"
        return f"{self.fetched.reference}{revision}, label {self.label}{computed}"

    def facts(self, name: str, identity: str, source: str) -> ScorerFacts:
        """As every scorer's; the caveat says what bfloat16 means for a score."""
        facts = super().facts(name, identity, source)
        if self._is_exact:
            return facts
        return replace(facts, caveat=f"{facts.caveat} {bfloat16.caveat(self.threshold)}".strip())

    @property
    def _is_exact(self) -> bool:
        return self.dtype == "float32"

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
        """The tokenizer, the model in float32 on its device, and the label's place."""
        import torch
        from transformers import AutoTokenizer

        if "adapter_config.json" in self.fetched.files:  # transformers would load the model that it names instead
            raise ToxauditError(f"The classifier {self.fetched.reference} is an adapter: name a whole model.")
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.fetched.path, trust_remote_code=False)
        except Exception as error:  # transformers and tokenizers have no common class of errors
            raise self._unloadable(error) from error
        model = self._model("float32")
        if not set(tokenizer(PROBE, add_special_tokens=False)["input_ids"]) - {tokenizer.unk_token_id}:
            # transformers makes an empty tokenizer where the files of a known architecture's are missing
            raise ToxauditError(f"The classifier {self.fetched.reference} has no vocabulary: it would read no word.")
        labels = {name: place for place, name in model.config.id2label.items()}
        self._check_label(labels)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        if model.device.type == "cpu":
            packed.pack(model)
            some = tokenizer(PROBE * 16, truncation=True, max_length=self._limit(tokenizer, model), return_tensors="pt")
            with torch.inference_mode():
                threads.use_fastest(lambda: [model(**some).logits])
        return tokenizer, model, labels[self.label]

    @cached_property
    def _rounded(self) -> Any:
        """The model in bfloat16, all of whose products are made of blocks, so that none depends on the batch."""
        model = self._model(self.dtype)
        with threads.exactly(1):
            packed.pack(model, smallest=1)
        return model

    def _model(self, dtype: str) -> Any:
        import torch
        from transformers import AutoModelForSequenceClassification

        try:
            model, info = AutoModelForSequenceClassification.from_pretrained(
                self.fetched.path,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # only to name them in a sentence
            )
        except Exception as error:  # transformers and safetensors have no common class of errors
            raise self._unloadable(error) from error
        if unset := sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}):
            raise ToxauditError(f"The classifier {self.fetched.reference} leaves weights unset, e.g. {unset[0]}.")
        return model.eval()

    def _unloadable(self, error: Exception) -> ToxauditError:
        problem = str(error).strip().split("\n")[0].rstrip(".")
        return ToxauditError(f"The classifier {self.fetched.reference} can't be loaded: {problem}.")

    def _limit(self, tokenizer: Any, model: Any) -> int:
        """How many tokens are read: no more than asked, than the tokenizer gives, or than the model has positions."""
        positions = getattr(model.config, "max_position_embeddings", None) or 0
        for name, module in model.named_modules():
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
                positions -= module.padding_idx + 1  # RoBERTa and its like count from the padding's place on
        limits = [self.max_length, int(tokenizer.model_max_length), *([positions] if positions > 0 else [])]
        return min(limits)

    def score(self, completions: Sequence[str]) -> list[float | Unscored]:
        """One probability or reason per completion; the more there are, the more are of one length.

        Raises:
            ToxauditError: if the classifier can't be loaded, or ``bfloat16.score`` refuses it.
        """
        texts = {i: text for i, text in enumerate(completions) if text.strip()}
        scores: dict[int, float | Unscored] = {}
        if texts:
            tokenizer, model, _ = self._loaded
            made = tokenizer(list(texts.values()), truncation=True, max_length=self._limit(tokenizer, model))
            encoded = {i: {name: rows[place] for name, rows in made.items()} for place, i in enumerate(texts)}
            texts = {i: text for i, text in texts.items() if encoded[i]["input_ids"]}

            def exact(numbers: Collection[int]) -> dict[int, float | Unscored]:
                return self._scores(model, {i: encoded[i] for i in numbers})

            def rounded(numbers: Collection[int], at_once: int) -> dict[int, float | Unscored]:
                return self._scores(self._rounded, {i: encoded[i] for i in numbers}, at_once)

            if self._is_exact:
                scores = exact(texts)
            else:
                scores = bfloat16.score(self.title, self.threshold, texts, rounded, exact)
        return [scores.get(i, Unscored("empty completion")) for i in range(len(completions))]

    def _scores(self, model: Any, rows: Mapping[int, Any], at_once: int = 1) -> dict[int, float | Unscored]:
        """A model's scores of rows, none of which is without a token; so many batches are read at once."""
        alone = getattr(model.config, "pad_token_id", None) is None  # some read a single text only, else
        lengths = {i: len(row["input_ids"]) for i, row in rows.items()}
        batches = list(_of_one_length(lengths, 0 if alone else TOKENS[model.device.type]))

        def read(batch: Sequence[int]) -> dict[int, float | Unscored]:
            return dict(zip(batch, self._batch(model, [rows[i] for i in batch]), strict=True))

        if at_once == 1:
            return dict(chain.from_iterable(read(batch).items() for batch in batches))
        with ThreadPoolExecutor(at_once) as pool:
            return dict(chain.from_iterable(found.items() for found in pool.map(read, batches)))

    def _batch(self, model: Any, rows: Sequence[Mapping[str, Any]]) -> list[float | Unscored]:
        """A model's scores of rows of one length."""
        import torch

        apart = model.config.problem_type == "multi_label_classification" or model.config.num_labels == 1
        inputs = {name: torch.tensor([row[name] for row in rows], device=model.device) for name in rows[0]}
        with torch.inference_mode():
            logits = model(**inputs).logits.float()
        chances = (logits.sigmoid() if apart else logits.softmax(-1))[:, self._loaded[2]].tolist()
        finite = logits.isfinite().all(-1).tolist()
        return [
            chance if is_finite else Unscored("the classifier gave no number")
            for chance, is_finite in zip(chances, finite, strict=True)
        ]


def _of_one_length(lengths: Mapping[int, int], most: int) -> Iterator[list[int]]:
    """Batches of rows, by their numbers: rows of one length, together at most ``most`` tokens, or else a single row.

    Long ones come first.
    """
    for length, group in groupby(sorted(lengths, key=lambda i: -lengths[i]), key=lambda i: lengths[i]):
        rows = list(group)
        size = max(1, most // length)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))
