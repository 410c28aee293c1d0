"""Attention without padding, filed under a name that transformers knows, and a model that attends by it for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

NAME = "toxaudit_ragged"


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """Let the model attend by ``_attention``, and by its own afterwards."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of a whole prompt (causal) or of one new token per row (over all slots).

    Shapes: query (rows, heads, new, size), key and value (rows, key heads, slots, size). Returns
    (rows, new, heads, size).
    """
    rows, heads, new, size = query.shape
    group = heads // key.shape[1]
    if new > 1:
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        causal = attention_mask is None
        output = scaled_dot_product_attention(query, key, value, attention_mask, is_causal=causal, scale=scaling)
        return output.transpose(1, 2).contiguous(), None
    scale = size**-0.5 if scaling is None else scaling
    grouped = query.reshape(rows, key.shape[1], group, size)
    scores = torch.matmul(grouped, key.transpose(-1, -2)).float() * scale
    if attention_mask is not None:
        scores += attention_mask
    output = torch.matmul(torch.softmax(scores, -1).to(value.dtype), value)
    return output.reshape(rows, heads, 1, size).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
