"""Attention without padding, filed under a name that transformers knows, and a model that attends by it for a while.

No mask is filed beside it: a mask is made here where one is needed, or handed in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "toxaudit_ragged"


class Alike(NamedTuple):
    """Prompts of one length that follow one another among the tokens of a pass.

    Attributes:
        rows: how many.
        before: tokens of each that were read before.
        new: tokens of each that are read now.
    """

    rows: int
    before: int
    new: int


_reading: ContextVar[Sequence[Alike]] = ContextVar("reading", default=())
"""The prompts that are read; none while tokens are decoded."""


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """Let the model attend by ``_attention``, and by its own afterwards."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def reading(prompts: Sequence[Alike]) -> Iterator[None]:
    """Within this context, the model is given the new tokens of these prompts, one after another, as a single row."""
    before = _reading.set(prompts)
    try:
        yield
    finally:
        _reading.reset(before)


def apart(states: torch.Tensor, start: int, rows: int, tokens: int) -> torch.Tensor:
    """Of states (1, heads, tokens of all, size), those of some prompts of one length: (rows, heads, tokens, size)."""
    return states[0, :, start : start + rows * tokens].unflatten(1, (rows, tokens)).transpose(0, 1)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of whole prompts, or of one new token per row over all slots.

    Shapes: query (rows, heads, new, size), key and value (rows, key heads, slots, size). Returns
    (rows, new, heads, size).
    """
    if not (prompts := _reading.get()):
        return _of_token(query, key, value, attention_mask, scaling), None
    outputs, asked, seen = [], 0, 0
    for rows, before, new in prompts:
        own = apart(query, asked, rows, new)
        keys, values = (apart(states, seen, rows, before + new) for states in (key, value))
        of_prompts = _of_token(own, keys, values, None, scaling) if new == 1 else _causal(own, keys, values, scaling)
        outputs.append(of_prompts.flatten(0, 1))
        asked, seen = asked + rows * new, seen + rows * (before + new)
    return torch.cat(outputs)[None], None


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Each token attends to those before it and to itself."""
    new, all_of_it = query.shape[2], key.shape[2]
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    mask = None
    if new < all_of_it:
        mask = torch.ones(new, all_of_it, dtype=torch.bool, device=query.device).tril(all_of_it - new)
    output = scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None, scale=scaling)
    return output.transpose(1, 2)


def _of_token(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """The one new token of each row attends to all slots that the mask leaves."""
    rows, heads, _, size = query.shape
    scale = size**-0.5 if scaling is None else scaling
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    scores = torch.matmul(grouped, key.transpose(-1, -2)).float() * scale
    if mask is not None:
        scores += mask
    output = torch.matmul(torch.softmax(scores, -1).to(value.dtype), value)
    return output.reshape(rows, heads, 1, size).transpose(1, 2).contiguous()


AttentionInterface.register(NAME, _attention)
