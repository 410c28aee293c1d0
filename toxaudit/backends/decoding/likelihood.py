"""How likely a model finds given continuations of a text: so it chooses among answers.

What is summed is as in lm-evaluation-harness (0.4.13, ``HFLM._loglikelihood_tokens``). Here, rows of exactly one length
are read together instead of padded ones, and what the choices of a prompt have in common is read once.
"""

from collections import defaultdict
from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch

from toxaudit.backends.decoding import ragged
from toxaudit.backends.decoding.adapters import LEAST, Adapters
from toxaudit.backends.decoding.prompts import Row
from toxaudit.backends.reading import Pair

READ_TOKENS = 2048  # that are read at once; more gains nothing and costs memory

Asked = tuple[str, Pair]
"""An arm, and what it is asked."""


def loglikelihoods(model: Any, asked: Sequence[Asked]) -> list[float]:
    """The natural logarithm of each continuation's probability after its context, for any architecture.

    What reads alike is read once, but whole.

    Args:
        model: transformers' causal language model, which is all arms'.
        asked: of any lengths that the model can read.
    """
    numbers = _alike(asked)
    by_length: dict[int, list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
    for key in numbers:
        by_length[len(key[1])].append(key)
    sums = [0.0] * len(asked)
    for length, keys in by_length.items():
        together = max(1, READ_TOKENS // length)
        for start in range(0, len(keys), together):
            part = keys[start : start + together]
            most = max(len(asked[number][1].continuation) for key in part for number in numbers[key])
            for key, logits in zip(part, _logits(model, [row for _, row in part], most), strict=True):
                for number in numbers[key]:
                    sums[number] = _sum(logits, asked[number][1].continuation)
    return sums


def shared(model: Any, asked: Sequence[Asked], adapters: Adapters) -> list[float]:
    """The same for architectures that ``ragged`` covers, of several arms at once; shared contexts are read once."""
    numbers = _alike(asked)
    keys = sorted(numbers, key=lambda key: key[0])  # an arm's one after another
    contexts = {key: min((asked[number][1].context for number in numbers[key]), key=len) for key in keys}
    together: dict[tuple[str, tuple[int, ...]], int] = defaultdict(int)
    for arm, read in keys:
        together[arm, contexts[arm, read][:-1]] += 1
    several = [key for key, count in together.items() if count > 1 and len(key[1]) >= LEAST]
    prefixes = dict(
        zip(several, ragged.read_prefixes(model, [Row(row, arm) for arm, row in several], adapters), strict=True)
    )
    rows = [Row(read, arm, prefix=prefixes.get((arm, contexts[arm, read][:-1]))) for arm, read in keys]
    last = [max(len(asked[number][1].continuation) for number in numbers[key]) for key in keys]
    sums = [0.0] * len(asked)
    for place, logits in ragged.read(model, rows, last, adapters):
        for number in numbers[keys[place]]:
            sums[number] = _sum(logits, asked[number][1].continuation)
    return sums


def _alike(asked: Sequence[Asked]) -> dict[tuple[str, tuple[int, ...]], list[int]]:
    """Arm and what is read -> the numbers of those that ask for it."""
    numbers: dict[tuple[str, tuple[int, ...]], list[int]] = defaultdict(list)
    for number, (arm, pair) in enumerate(asked):
        numbers[arm, pair.read].append(number)
    return numbers


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _logits(model: Any, rows: Sequence[tuple[int, ...]], most: int) -> Any:
    """The logits (rows, positions, vocabulary) after at least the last ``most`` tokens of rows of one length."""
    fewer = {"logits_to_keep": most} if "logits_to_keep" in signature(model.forward).parameters else {}
    return model(input_ids=torch.tensor(rows, device=model.device), **fewer).logits


def _sum(logits: Any, continuation: tuple[int, ...]) -> float:
    chances = logits[-len(continuation) :].float().log_softmax(-1)
    return float(chances.gather(-1, torch.tensor(continuation, device=logits.device)[:, None]).sum())
