"""Decoding without padding: every row keeps its own position, and rows that have ended leave the batch.

Prompts of exactly one length are read together; then all rows are decoded side by side over a cache of slots. It sits
on transformers' public attention and cache interfaces, and so serves decoders whose layers all attend to everything.

A row's numbers don't depend on the rows beside it: no sum runs over padding, and no matrix product is done on so few
rows that another kernel would add up in another order (``LEAST``).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.masking_utils import sdpa_mask

from toxaudit.backends.adapters import LEAST, Adapters
from toxaudit.backends.padded import until_stop

NAME = "toxaudit_ragged"
READ_TOKENS = 2048  # read at once; more gains nothing and costs memory
ROUND = 32  # slots grow in steps of so many, so that shapes repeat
KEEP = 0.8  # rows are moved together once fewer than this share are still running

Pick = Callable[[torch.Tensor, list[int]], torch.Tensor]
"""Logits (rows, vocabulary) and the rows' numbers -> the next token of each row."""


@dataclass(frozen=True, eq=False)
class Prefix:
    """The beginning that several rows of one arm have in common, read once.

    Attributes:
        tokens: how many.
        layers: keys and values of each layer: (1, heads, tokens, size).
    """

    tokens: int
    layers: list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Row:
    """A prompt to be continued.

    Attributes:
        tokens: of the whole prompt, at least one.
        arm: whose adapter it gets, if that arm has one.
        stops: tokens that end it.
        prefix: what of the prompt is read already; at least one token is left.
    """

    tokens: Sequence[int]
    arm: str = ""
    stops: frozenset[int] = frozenset()
    prefix: Prefix | None = None


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
def decode(
    model: Any,
    rows: Sequence[Row],
    most: int,
    pick: Pick,
    adapters: Adapters,
    tick: Callable[[int], object] = lambda tokens: None,
) -> list[list[int]]:
    """New tokens of each row, the stop token included where one came.

    Args:
        model: a causal language model that ``covers`` accepts.
        rows: those of one arm one after another.
        most: new tokens at most.
        pick: chooses the next tokens.
        adapters: what is laid over the model for the arms that have one.
        tick: is told after every step how many tokens it made.
    """
    with _attending(model):
        slots = _Slots(rows, model)
        following = _begin(model, rows, slots, pick, adapters)
        step = _Captured(model, slots) if model.device.type == "cuda" else _Eager(model, slots)
        new: list[list[int]] = [[] for _ in rows]
        for made in range(1, most + 1):
            chosen = following.tolist()
            for number, token in zip(slots.rows, chosen, strict=True):
                new[number].append(token)
            tick(sum(slots.running))
            if made == most or not (kept := slots.end(chosen)):
                break
            following = following[kept] if len(kept) < len(chosen) else following
            with adapters.over([rows[number].arm for number in slots.rows], 1):
                following = pick(step(following), slots.rows)
            slots.advance()
    return [until_stop(tokens, row.stops) for tokens, row in zip(new, rows, strict=True)]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def read_prefixes(model: Any, rows: Sequence[Row], adapters: Adapters) -> list[Prefix]:
    """Read what is the beginning of other rows."""
    found: list[Any] = [None] * len(rows)
    with _attending(model):
        for numbers in _parts(rows):
            cache, _ = _read(model, [rows[number] for number in numbers], 1, adapters)
            for place, number in enumerate(numbers):
                layers = [(layer.keys[place : place + 1], layer.values[place : place + 1]) for layer in cache.layers]
                found[number] = Prefix(len(rows[number].tokens), layers)
    return found


@torch.inference_mode()  # type: ignore[untyped-decorator]
def read(
    model: Any, rows: Sequence[Row], last: Sequence[int], adapters: Adapters
) -> Iterator[tuple[int, torch.Tensor]]:
    """The logits of prompts, without continuing them: pairs of a row's number and its logits (tokens, vocabulary).

    Args:
        model: as for ``decode``.
        rows: to be read, those of one arm one after another.
        last: after how many of its last tokens each row's logits are wanted.
        adapters: as for ``decode``.
    """
    for numbers in _parts(rows):
        with _attending(model):
            most = max(last[number] for number in numbers)
            _, logits = _read(model, [rows[number] for number in numbers], most, adapters)
        for number, found in zip(numbers, logits, strict=True):
            yield number, found[-last[number] :]


def greatest(logits: torch.Tensor) -> torch.Tensor:
    """The place of each row's greatest number, the first of equal ones.

    torch's ``argmax`` goes number by number, ``amax`` does not: so the greatest of each block first, then its place.
    """
    rows, words = logits.shape
    if (block := math.gcd(words, 512)) < 32:
        return logits.argmax(-1)
    blocks = logits.view(rows, words // block, block)
    chosen = blocks.amax(-1).argmax(-1)
    return chosen * block + blocks[torch.arange(rows, device=logits.device), chosen].argmax(-1)


class _Slots:
    """Which rows are running, where each of them stands, and the cache of their keys and values."""

    def __init__(self, rows: Sequence[Row], model: Any) -> None:
        self.rows = list(range(len(rows)))
        self.running = [True] * len(rows)
        self._stops = [row.stops for row in rows]
        self.lengths = [len(row.tokens) for row in rows]
        self.device = model.device
        self.layers = [_SlotLayer(self) for _ in range(model.config.get_text_config().num_hidden_layers)]
        self.visible = 0
        self._place()

    def _place(self) -> None:
        self.positions = torch.tensor(self.lengths, device=self.device)
        self.index = torch.arange(len(self.rows), device=self.device)
        self.reserve()

    def reserve(self) -> None:
        """Make room for the next token of every row."""
        self.visible = max(self.visible, _rounded(max(self.lengths) + 1))
        for layer in self.layers:
            layer.reserve(self.visible)

    def hidden(self) -> torch.Tensor:
        """The additive attention mask (rows, 1, 1, visible) of the next step, whose token goes to ``positions``."""
        numbers = torch.arange(self.visible, device=self.device)
        beyond = numbers[None, :] > self.positions[:, None]
        return torch.zeros(beyond.shape, device=self.device).masked_fill_(beyond, float("-inf"))[:, None, None, :]

    def end(self, tokens: list[int]) -> list[int]:
        """Note which rows have ended with these tokens and, once enough have, go on without them.

        Returns:
            The places of the rows that go on; none once all have ended.
        """
        for place, (number, token) in enumerate(zip(self.rows, tokens, strict=True)):
            self.running[place] &= token not in self._stops[number]
        running = [place for place, runs in enumerate(self.running) if runs]
        if not running:
            return []
        kept = list(range(len(self.rows)))
        if len(running) < KEEP * len(self.rows) and len(self.rows) > LEAST:
            ended = [place for place in kept if not self.running[place]]
            kept = sorted(running + ended[: max(0, LEAST - len(running))])
            self._keep(kept)
        return kept

    def _keep(self, kept: list[int]) -> None:
        for name in ("rows", "running", "lengths"):
            setattr(self, name, [getattr(self, name)[place] for place in kept])
        chosen = torch.tensor(kept, device=self.device)
        for layer in self.layers:
            layer.keep(chosen)
        self._place()

    def advance(self) -> None:
        """Every row has one token more."""
        self.lengths = [length + 1 for length in self.lengths]
        self.positions += 1
        self.reserve()


class _SlotLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: (rows, heads, slots, size), each row filled up to its own position."""

    def __init__(self, slots: _Slots) -> None:
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self._slots = slots
        self.is_initialized = True

    def fill(self, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take over what the reading of some rows made."""
        if self.keys is None:
            shape = (len(self._slots.rows), keys.shape[1], self._slots.visible, keys.shape[3])
            self.keys, self.values = keys.new_zeros(shape), values.new_zeros(shape)
        self.keys[rows, :, : keys.shape[2]] = keys
        self.values[rows, :, : values.shape[2]] = values

    def reserve(self, slots: int) -> None:
        """Have so many slots; what is full stays contiguous, which products with it are twice as fast for."""
        if self.keys is not None and slots > self.keys.shape[2]:
            self.keys, self.values = _longer(self.keys, slots), _longer(self.values, slots)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self.keys, self.values = self.keys[rows], self.values[rows]

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write one new key and value per row at the row's position; return all of them."""
        slots = self._slots
        self.keys[slots.index, :, slots.positions] = key_states[:, :, 0]
        self.values[slots.index, :, slots.positions] = value_states[:, :, 0]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Slots before the new one; positions are given explicitly, so this only sizes masks."""
        return self._slots.visible - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Slots, and the first of them."""
        return self._slots.visible, 0


class _Eager:
    """The logits (rows, vocabulary) of one more token per row."""

    def __init__(self, model: Any, slots: _Slots) -> None:
        self._model, self._slots = model, slots
        self._cache = Cache(layers=slots.layers)

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._forward(tokens, self._slots.hidden())

    def _forward(self, tokens: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model(
            input_ids=tokens[:, None],
            attention_mask=hidden,
            position_ids=self._slots.positions[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]


class _Captured(_Eager):
    """The same on a GPU, whose work is recorded once for each shape and then replayed without Python in between."""

    def __init__(self, model: Any, slots: _Slots) -> None:
        super().__init__(model, slots)
        self._shape: tuple[int, int] | None = None
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        slots = self._slots
        if self._shape != (len(slots.rows), slots.visible):
            self._capture(tokens)
        self._tokens.copy_(tokens)
        self._hidden.copy_(slots.hidden())
        self._graph.replay()
        return self._logits

    def _capture(self, tokens: torch.Tensor) -> None:
        slots = self._slots
        self._shape = (len(slots.rows), slots.visible)
        self._tokens, self._hidden = tokens.clone(), slots.hidden()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # what is set up at a first call can't be recorded
            self._forward(self._tokens, self._hidden)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=self._pool):
            self._logits = self._forward(self._tokens, self._hidden)


def _begin(model: Any, rows: Sequence[Row], slots: _Slots, pick: Pick, adapters: Adapters) -> torch.Tensor:
    """Read all prompts into their slots; the first new token of each."""
    first = torch.zeros(len(rows), dtype=torch.long, device=model.device)
    for numbers in _parts(rows):
        cache, logits = _read(model, [rows[number] for number in numbers], 1, adapters)
        index = torch.tensor(numbers, device=model.device)
        first[index] = pick(logits[:, -1], numbers)
        for layer, filled in zip(slots.layers, cache.layers, strict=True):
            layer.fill(index, filled.keys, filled.values)
    return first


def _parts(rows: Sequence[Row]) -> Iterator[list[int]]:
    """The numbers of rows that can be read together: of one length, and with equally much of it read already."""
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        alike[row.prefix.tokens if row.prefix else 0, len(row.tokens)].append(number)
    for (before, length), numbers in alike.items():
        together = max(1, READ_TOKENS // (length - before))
        for start in range(0, len(numbers), together):
            yield numbers[start : start + together]


def _read(model: Any, rows: Sequence[Row], last: int, adapters: Adapters) -> tuple[Cache, torch.Tensor]:
    """The cache and the logits (rows, last, vocabulary) of rows of one length, each perhaps after its prefix."""
    before = rows[0].prefix.tokens if rows[0].prefix else 0
    copies = -(-LEAST // (len(rows) * (len(rows[0].tokens) - before)))
    read = [row for row in rows for _ in range(copies)]
    cache = DynamicCache()
    if before:
        for number in range(len(rows[0].prefix.layers)):  # type: ignore[union-attr]
            keys, values = zip(*(row.prefix.layers[number] for row in read), strict=True)  # type: ignore[union-attr]
            cache.update(torch.cat(keys), torch.cat(values), number)
    ids = torch.tensor([list(row.tokens[before:]) for row in read], device=model.device)
    with adapters.over([row.arm for row in read], ids.shape[1]):
        # named one by one, since a view of the last ones would be multiplied row by row
        kept = torch.arange(ids.shape[1] - max(last, -(-LEAST // len(read))), ids.shape[1], device=model.device)
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=kept).logits[:, -last:]
    if copies > 1:
        cache.batch_select_indices(torch.arange(0, len(read), copies, device=model.device))
        logits = logits[::copies]
    return cache, logits


@contextmanager
def _attending(model: Any) -> Iterator[None]:
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


def _longer(states: torch.Tensor, slots: int) -> torch.Tensor:
    """Keys or values with more slots; those that are empty hold zeros, since masked numbers take part in sums."""
    rows, heads, full, size = states.shape
    longer = states.new_empty(rows, heads, slots, size)
    longer[:, :, :full] = states
    longer[:, :, full:] = 0
    return longer


def _rounded(length: int) -> int:
    return -(-length // ROUND) * ROUND


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
