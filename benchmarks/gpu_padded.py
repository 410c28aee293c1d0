"""transformers' ``generate`` in padded batches: what ``gpu.py`` compares with, in speed and in tokens."""

from collections.abc import Sequence
from typing import Any

Tokens = list[int]


def batches(rows: Sequence[Tokens], most: int) -> list[list[int]]:
    """The numbers of rows in batches of at most so many, those of like lengths together."""
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    return [order[start : start + most] for start in range(0, len(order), most)]


def generate(loaded: Any, rows: Sequence[Tokens], stops: Sequence[int], most: int) -> list[Tokens]:
    """At most so many new tokens of each row of a batch, padded on the left; without the one that ends it."""
    import torch
    from transformers import GenerationConfig

    longest = max(map(len, rows))
    ids = [[0] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    settings = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=list(stops), pad_token_id=0)
    given, shown = (torch.tensor(each, device=loaded.device) for each in (ids, mask))
    with torch.inference_mode():
        output = loaded.inner.generate(input_ids=given, attention_mask=shown, generation_config=settings)
    return [_ended(row, stops) for row in output[:, longest:].tolist()]


def tied(loaded: Any, row: Tokens, new: Tokens, right: Tokens, stops: Sequence[int]) -> bool:
    """Whether two answers to a prompt part where both their tokens are about equally likely.

    Args:
        loaded: the model.
        row: the tokens of the prompt.
        new: those of one answer, without the one that ends it.
        right: those of another answer, which differs.
        stops: the tokens of which one ends an answer.
    """
    import torch

    from toxaudit.backends.decoding.decoder import CLOSE_UNITS

    same = next((n for n, (one, other) in enumerate(zip(new, right, strict=False)) if one != other), None)
    place = min(len(new), len(right)) if same is None else same
    with torch.inference_mode():
        given = torch.tensor([row + new[:place]], device=loaded.device)
        logits = loaded.inner(input_ids=given).logits[0, -1]
    one, other = (logits[[each[place]] if place < len(each) else list(stops)].max() for each in (new, right))
    close = CLOSE_UNITS[str(logits.dtype).removeprefix("torch.")] * torch.finfo(logits.dtype).eps
    return float((one.float() - other.float()).abs()) <= close * float(logits.float().abs().max())


def _ended(row: Tokens, stops: Sequence[int]) -> Tokens:
    ending = frozenset(stops)
    return row[: next((place for place, token in enumerate(row) if token in ending), len(row))]
