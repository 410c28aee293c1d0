"""The cache of rows that decode side by side: each has slots of its own, filled up to its own position."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from toxaudit.backends.decoding.adapters import LEAST
from toxaudit.backends.decoding.prompts import Row

SLOT_STEP = 32  # slots grow in steps of so many, so that shapes repeat
KEEP_SHARE = 0.8  # rows are moved together once fewer than this share are still running


class Slots:
    """Which rows are running, where each of them stands, and the cache of their keys and values."""

    def __init__(self, rows: Sequence[Row], model: Any, step: int) -> None:
        """Have slots for these rows, each ended by its own tokens, and go on with a multiple of ``step`` of them."""
        self.rows = list(range(len(rows)))
        self.running = [row.counts for row in rows]
        self._stops, self._step = [row.stops for row in rows], step
        self.lengths = [len(row.tokens) for row in rows]
        self.device = model.device
        self.layers = [SlotLayer(self) for _ in range(model.config.get_text_config().num_hidden_layers)]
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
        fewer = max(LEAST, len(running) + -len(running) % self._step)
        if len(running) < KEEP_SHARE * len(self.rows) and fewer < len(self.rows):
            ended = [place for place in kept if not self.running[place]]
            kept = sorted(running + ended[: fewer - len(running)])
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


class SlotLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: (rows, heads, slots, size), each row filled up to its own position."""

    def __init__(self, slots: Slots) -> None:
        """Have no slots yet: their shape is that of what is read first."""
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


def _longer(states: torch.Tensor, slots: int) -> torch.Tensor:
    """Keys or values with more slots; those that are empty hold zeros, since masked numbers take part in sums."""
    rows, heads, full, size = states.shape
    longer = states.new_empty(rows, heads, slots, size)
    longer[:, :, :full] = states
    longer[:, :, full:] = 0
    return longer


def _rounded(length: int) -> int:
    return -(-length // SLOT_STEP) * SLOT_STEP
