"""How likely a model finds given continuations of a text: so it chooses among answers.

Where a continuation begins, and what is summed, is as in lm-evaluation-harness (0.4.13, ``TemplateLM._encode_pair`` and
``HFLM._loglikelihood_tokens``). Here, rows of exactly one length are read together instead of padded ones, which serves
every architecture, and nothing is cut off what is too long.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch

from toxaudit.errors import ToxauditError
from toxaudit.models import LoadedModel

READ_TOKENS = 2048  # read at once; more gains nothing and costs memory


@dataclass(frozen=True)
class Pair:
    """The tokens of a context and of one of its continuations, at least one each."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]

    @property
    def read(self) -> tuple[int, ...]:
        """What the model reads: all but the last token, which it has only to predict."""
        return self.context + self.continuation[:-1]


def pairs(loaded: LoadedModel, prompt: str, context: str, continuations: Sequence[str], special: bool) -> list[Pair]:
    """A context with each of its continuations, in tokens.

    White space at the context's end belongs to the continuation, since most tokenizers join it to the word that
    follows. Both are then read as one text, and cut where the context alone would end. An empty context is the token
    that begins every text, or else the one that ends it.

    Args:
        loaded: the model that is asked.
        prompt: its id, for the sentence.
        context: the text that is given.
        continuations: what may follow it.
        special: whether the tokenizer puts its special tokens around a text.

    Raises:
        ToxauditError: no token is left for a continuation, or there is none to stand for the empty context.
    """
    kept = context.rstrip()
    before = loaded.encode(kept, special) if kept else [_first(loaded, prompt)]
    found = []
    for continuation in continuations:
        if kept:
            after = loaded.encode(context + continuation, special)[len(before) :]
        else:
            after = loaded.encode(context + continuation, special=False)
            after = after[1:] if after[:1] == before else after
        if not after:
            raise ToxauditError(
                f"{loaded.name}: the tokenizer makes no token of choice '{continuation}' of prompt '{prompt}'."
            )
        found.append(Pair(tuple(before), tuple(after)))
    return found


def _first(loaded: LoadedModel, prompt: str) -> int:
    """The token that an empty context is."""
    for token in (loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ToxauditError(
        f"{loaded.name}: prompt '{prompt}' is empty, and the tokenizer has no token that begins or ends a text: "
        "leave it out."
    )


@torch.inference_mode()  # type: ignore[untyped-decorator]
def loglikelihoods(model: Any, asked: Sequence[Pair]) -> list[float]:
    """The natural logarithm of each continuation's probability after its context; what reads alike is read once.

    Args:
        model: transformers' causal language model.
        asked: of any lengths that the model can read.
    """
    numbers: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, pair in enumerate(asked):
        numbers[pair.read].append(number)
    by_length: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for row in numbers:
        by_length[len(row)].append(row)
    found = [0.0] * len(asked)
    for length, rows in by_length.items():
        together = max(1, READ_TOKENS // length)
        for start in range(0, len(rows), together):
            part = rows[start : start + together]
            most = max(len(asked[number].continuation) for row in part for number in numbers[row])
            for row, logits in zip(part, _logits(model, part, most), strict=True):
                for number in numbers[row]:
                    found[number] = _sum(logits, asked[number].continuation)
    return found


def _logits(model: Any, rows: Sequence[tuple[int, ...]], most: int) -> Any:
    """The logits (rows, positions, vocabulary) after at least the last ``most`` tokens of rows of one length."""
    fewer = {"logits_to_keep": most} if "logits_to_keep" in signature(model.forward).parameters else {}
    return model(input_ids=torch.tensor(rows, device=model.device), **fewer).logits


def _sum(logits: Any, continuation: tuple[int, ...]) -> float:
    chances = logits[-len(continuation) :].float().log_softmax(-1)
    return float(chances.gather(-1, torch.tensor(continuation, device=logits.device)[:, None]).sum())
