"""Decoding without padding: every row keeps its own position, and rows that have ended leave the batch.

Prompts of exactly one length are read together; then all rows are decoded side by side over a cache of slots. It sits
on transformers' public attention and cache interfaces, and so serves decoders whose layers all attend to everything.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.masking_utils import sdpa_mask

NAME = "toxaudit_ragged"
PREFILL_TOKENS = 2048  # read at once; more gains nothing and costs memory
ROUND = 32  # visible slots grow in steps of so many, so that shapes repeat
KEEP = 0.8  # rows are moved together once fewer than this share are still running

Pick = Callable[[torch.Tensor, list[int]], torch.Tensor]
"""Logits (rows, vocabulary) and the rows' numbers -> the next token of each row."""


def covers(model: Any) -> bool:
    """Whether ``model`` is a decoder of plain full attention, as far as its configuration tells."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        not model.config.is_encoder_decoder
        and kinds == {"full_attention"}
        and not getattr(config, "sliding_window", None)
        and model.config._attn_implementation == "sdpa"  # eager: an attention with more to it than SDPA does
        and getattr(model, "_supports_attention_backend", False)
    )


@torch.inference_mode()  # type: ignore[untyped-decorator]
def decode(model: Any, rows: Sequence[list[int]], most: int, stops: set[int], pick: Pick) -> list[list[int]]:
    """New tokens of each row, the stop token included where one came.

    Args:
        model: a causal language model that ``covers`` accepts.
        rows: token ids of each prompt, of any lengths above 0.
        most: new tokens at most.
        stops: tokens that end a row.
        pick: chooses the next tokens.
    """
    slots = _Slots(rows, most, model.device)
    layers = [_SlotLayer(slots) for _ in range(model.config.get_text_config().num_hidden_layers)]
    cache = Cache(layers=layers)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        following = _prefill(model, rows, layers, pick)
        new: list[list[int]] = [[] for _ in rows]
        for step in range(most):
            for row, token in zip(slots.rows, following.tolist(), strict=True):
                new[row].append(token)
            if step == most - 1:
                break
            following = _leave(slots, layers, following, stops)
            if not slots.rows:
                break
            logits = model(
                input_ids=following[:, None],
                attention_mask=slots.see(),
                position_ids=slots.positions[:, None],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            following = pick(logits, slots.rows)
            slots.positions += 1
    finally:
        model.set_attn_implementation(before)
    return [_until_stop(row, stops) for row in new]


class _Slots:
    """Which rows are running, and where each of them stands. Tensors have one entry per running row."""

    def __init__(self, rows: Sequence[list[int]], most: int, device: torch.device) -> None:
        self.rows = list(range(len(rows)))
        self.positions = torch.tensor([len(row) for row in rows], device=device)
        self.capacity = _rounded(max(map(len, rows)) + most)
        self.visible = self.capacity
        self.index = torch.arange(len(rows), device=device)
        self.running = torch.ones(len(rows), dtype=torch.bool, device=device)

    def see(self) -> torch.Tensor:
        """The additive attention mask (rows, 1, 1, visible) of the next step, whose token goes to ``positions``."""
        self.visible = min(self.capacity, _rounded(int(self.positions.max()) + 1))
        numbers = torch.arange(self.visible, device=self.positions.device)
        hidden = numbers[None, :] > self.positions[:, None]
        return torch.zeros(hidden.shape, device=hidden.device).masked_fill(hidden, float("-inf"))[:, None, None, :]

    def keep(self, kept: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self.rows = [self.rows[i] for i in kept.tolist()]
        self.positions = self.positions[kept]
        self.index = torch.arange(len(self.rows), device=kept.device)
        self.running = self.running[kept]


class _SlotLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: (rows, heads, slots, size), each row filled up to its own position."""

    def __init__(self, slots: _Slots) -> None:
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self._slots = slots
        self.is_initialized = True

    def fill(self, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take over what a prefill of some rows made."""
        if self.keys is None:
            shape = (len(self._slots.rows), keys.shape[1], self._slots.capacity, keys.shape[3])
            self.keys, self.values = keys.new_zeros(shape), values.new_zeros(shape)
        self.keys[rows, :, : keys.shape[2]] = keys
        self.values[rows, :, : values.shape[2]] = values

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self.keys, self.values = self.keys[rows], self.values[rows]

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write one new key and value per row at the row's position; return all visible ones."""
        slots = self._slots
        self.keys[slots.index, :, slots.positions] = key_states[:, :, 0]
        self.values[slots.index, :, slots.positions] = value_states[:, :, 0]
        return self.keys[:, :, : slots.visible], self.values[:, :, : slots.visible]

    def get_seq_length(self) -> int:
        """Slots before the new one; positions are given explicitly, so this only sizes masks."""
        return self._slots.visible - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Visible slots, and the first of them."""
        return self._slots.visible, 0


def _prefill(model: Any, rows: Sequence[list[int]], layers: list[_SlotLayer], pick: Pick) -> torch.Tensor:
    """Read all prompts, those of one length together; the first new token of each."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_length[len(row)].append(number)
    first = torch.zeros(len(rows), dtype=torch.long, device=model.device)
    for length, numbers in by_length.items():
        together = max(1, PREFILL_TOKENS // length)
        for start in range(0, len(numbers), together):
            part = numbers[start : start + together]
            index = torch.tensor(part, device=model.device)
            made = DynamicCache()
            ids = torch.tensor([rows[number] for number in part], device=model.device)
            logits = model(input_ids=ids, past_key_values=made, use_cache=True, logits_to_keep=1).logits[:, -1]
            first[index] = pick(logits, part)
            for layer, filled in zip(layers, made.layers, strict=True):
                layer.fill(index, filled.keys, filled.values)
    return first


def _leave(slots: _Slots, layers: list[_SlotLayer], following: torch.Tensor, stops: set[int]) -> torch.Tensor:
    """Note which rows have ended and, once enough have, go on without them; the tokens of those that go on."""
    ended = torch.tensor([token in stops for token in following.tolist()], device=following.device)
    slots.running &= ~ended
    share = float(slots.running.float().mean())
    if share >= KEEP:
        return following
    kept = slots.running.nonzero()[:, 0]
    slots.keep(kept)
    for layer in layers if share else ():
        layer.keep(kept)
    return following[kept]


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of a whole prompt (causal) or of one new token per row (over the visible slots).

    Shapes: query (rows, heads, new, size), key and value (rows, key heads, visible, size). Returns
    (rows, new, heads, size).
    """
    rows, heads, new, size = query.shape
    group = heads // key.shape[1]
    if new > 1:
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
        return output.transpose(1, 2).contiguous(), None
    scale = size**-0.5 if scaling is None else scaling
    grouped = query.reshape(rows, key.shape[1], group, size)
    scores = torch.matmul(grouped, key.transpose(-1, -2)).float() * scale
    if attention_mask is not None:
        scores = scores + attention_mask
    output = torch.matmul(torch.softmax(scores, -1).to(value.dtype), value)
    return output.reshape(rows, heads, 1, size).transpose(1, 2).contiguous(), None


def _until_stop(row: list[int], stops: set[int]) -> list[int]:
    end = next((i for i, token in enumerate(row) if token in stops), len(row) - 1)
    return row[: end + 1]


def _rounded(length: int) -> int:
    return -(-length // ROUND) * ROUND


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
