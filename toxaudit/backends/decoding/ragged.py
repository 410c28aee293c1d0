"""Decoding without padding: every row keeps its own position, and rows that have ended leave the batch.

Prompts are read together (``prompts.py``); then all rows are decoded side by side over a cache of slots. It sits on
transformers' public interfaces of attention (``attention.py``) and cache, and so serves decoders whose layers all
attend to everything.

A row's numbers don't depend on the rows beside it: no sum runs over padding, and no matrix product is done on so few
rows that another kernel would add up in another order (``LEAST``).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache

from toxaudit.backends.decoding import prompts
from toxaudit.backends.decoding.adapters import Adapters
from toxaudit.backends.decoding.attention import attending
from toxaudit.backends.decoding.padded import until_stop
from toxaudit.backends.decoding.prompts import Prefix, Row
from toxaudit.backends.decoding.slots import Slots

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
def decode(
    model: Any,
    rows: Sequence[Row],
    most: int,
    pick: Pick,
    adapters: Adapters,
    tick: Callable[[int], object] = lambda tokens: None,
    step: int = 1,
) -> list[list[int]]:
    """New tokens of each row, the stop token included where one came.

    Args:
        model: a causal language model that ``covers`` accepts.
        rows: those of one arm one after another.
        most: new tokens at most.
        pick: chooses the next tokens.
        adapters: what is laid over the model for the arms that have one.
        tick: is told after every step how many tokens it made.
        step: once rows have ended, a multiple of so many goes on, if there are.
    """
    with attending(model):
        slots = Slots(rows, model, step)
        following = _begin(model, rows, slots, pick, adapters)
        following_logits = _Captured(model, slots) if model.device.type == "cuda" else _Eager(model, slots)
        new: list[list[int]] = [[] for _ in rows]
        for made in range(1, most + 1):
            chosen = following.tolist()
            for number, token in zip(slots.rows, chosen, strict=True):
                new[number].append(token)
            tick(sum(slots.running))
            if made == most or not (kept := slots.end(chosen)):
                break
            following = following[kept] if len(kept) < len(chosen) else following
            with adapters.over([rows[number].arm for number in slots.rows]):
                following = pick(following_logits(following), slots.rows)
            slots.advance()
    return [until_stop(tokens, row.stops) for tokens, row in zip(new, rows, strict=True)]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def read_prefixes(model: Any, rows: Sequence[Row], adapters: Adapters) -> list[Prefix]:
    """Read rows with which others begin."""
    prefixes: list[Any] = [None] * len(rows)
    with attending(model):
        for part in prompts.read(model, rows, [1] * len(rows), adapters):
            for numbers, layers in part.kept():
                for place, number in enumerate(numbers):
                    own = [(keys[place : place + 1], values[place : place + 1]) for keys, values in layers]
                    prefixes[number] = Prefix(len(rows[number].tokens), own)
    return prefixes


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
    with attending(model):
        for part in prompts.read(model, rows, last, adapters):
            yield from zip(part.numbers, part.logits, strict=True)


def greatest(logits: torch.Tensor) -> torch.Tensor:
    """The place of each row's greatest number; of equal ones, the first.

    torch's ``argmax`` goes number by number; the faster ``amax`` finds the block, and ``argmax`` then the place in it.
    """
    rows, words = logits.shape
    if (block := math.gcd(words, 512)) < 32:
        return logits.argmax(-1)
    blocks = logits.view(rows, words // block, block)
    chosen = blocks.amax(-1).argmax(-1)
    return chosen * block + blocks[torch.arange(rows, device=logits.device), chosen].argmax(-1)


class _Eager:
    """The logits (rows, vocabulary) of one more token per row."""

    def __init__(self, model: Any, slots: Slots) -> None:
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
    """The same on a GPU: the work is recorded once for each shape, then replayed without Python in between."""

    def __init__(self, model: Any, slots: Slots) -> None:
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


def _begin(model: Any, rows: Sequence[Row], slots: Slots, pick: Pick, adapters: Adapters) -> torch.Tensor:
    """Read all prompts into their slots; the first new token of each."""
    first = torch.zeros(len(rows), dtype=torch.long, device=model.device)
    for part in prompts.read(model, rows, [1] * len(rows), adapters):
        first[torch.tensor(part.numbers, device=model.device)] = pick(torch.cat(part.logits), part.numbers)
        for numbers, layers in part.kept():
            index = torch.tensor(numbers, device=model.device)
            for layer, (keys, values) in zip(slots.layers, layers, strict=True):
                layer.fill(index, keys, values)
    return first
