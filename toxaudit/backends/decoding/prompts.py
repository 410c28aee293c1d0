"""Reading prompts, many at once whatever their lengths: their tokens follow one another as those of a single row.

So a layer's weights are multiplied by all tokens of a pass together. Attention alone takes the prompts apart again
(``attention.py``), and so does what is kept of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from toxaudit.backends.decoding.adapters import LEAST, Adapters
from toxaudit.backends.decoding.attention import Alike, apart, reading

READ_TOKENS = 2048  # read at once; more gains nothing and costs memory
SEEN_TOKENS = 8 * READ_TOKENS  # attended to at once, with what was read before


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
        counts: whether anybody wants its tokens; rows that are there to make up the number don't.
    """

    tokens: Sequence[int]
    arm: str = ""
    stops: frozenset[int] = frozenset()
    prefix: Prefix | None = None
    counts: bool = True

    @property
    def before(self) -> int:
        """How many of its tokens are read already."""
        return self.prefix.tokens if self.prefix else 0


class Read:
    """Prompts that were read together.

    Attributes:
        numbers: of the prompts.
        logits: after the last tokens of each, as many as were asked for: (tokens, vocabulary).
    """

    def __init__(self, numbers: list[int], logits: list[torch.Tensor], alike: Sequence[Alike], cache: Cache) -> None:
        """Take what reading them made."""
        self.numbers, self.logits = numbers, logits
        self._alike, self._cache = alike, cache

    def kept(self) -> Iterator[tuple[list[int], list[tuple[torch.Tensor, torch.Tensor]]]]:
        """The numbers of prompts of one length, and keys and values of each layer: (prompts, heads, tokens, size)."""
        first = start = 0
        for each in self._alike:
            length = each.before + each.new
            layers = [
                (apart(layer.keys, start, each.rows, length), apart(layer.values, start, each.rows, length))
                for layer in self._cache.layers
            ]
            if numbers := self.numbers[first : first + each.rows]:
                yield numbers, [(keys[: len(numbers)], values[: len(numbers)]) for keys, values in layers]
            first, start = first + each.rows, start + each.rows * length


def read(model: Any, rows: Sequence[Row], last: Sequence[int], adapters: Adapters) -> Iterator[Read]:
    """Read prompts, in parts of a bounded size, while the model attends by ``attention.attending``.

    Args:
        model: as for ``ragged.decode``.
        rows: those of one arm one after another.
        last: after how many of its last tokens each row's logits are wanted.
        adapters: what is laid over the model for the arms that have one.
    """
    for numbers in _parts(rows):
        yield _read(model, rows, numbers, last, adapters)


def _parts(rows: Sequence[Row]) -> Iterator[list[int]]:
    """The numbers of rows that are read together: of like lengths and of all arms, an arm's one after another."""
    places = {arm: place for place, arm in enumerate(dict.fromkeys(row.arm for row in rows))}
    part, new, seen = list[int](), 0, 0

    def by_arm() -> list[int]:
        return sorted(part, key=lambda n: (places[rows[n].arm], rows[n].before, len(rows[n].tokens)))

    for number in sorted(range(len(rows)), key=lambda n: (rows[n].before, len(rows[n].tokens))):
        row = rows[number]
        own = len(row.tokens) - row.before
        if part and (new + own > READ_TOKENS or seen + len(row.tokens) > SEEN_TOKENS):
            yield by_arm()
            part, new, seen = [], 0, 0
        part.append(number)
        new, seen = new + own, seen + len(row.tokens)
    if part:
        yield by_arm()


def _read(model: Any, rows: Sequence[Row], numbers: list[int], last: Sequence[int], adapters: Adapters) -> Read:
    end = rows[numbers[-1]]
    lacking = LEAST - sum(len(rows[number].tokens) - rows[number].before for number in numbers)
    more = max(0, -(-lacking // (len(end.tokens) - end.before)))  # what these make is thrown away
    together = [*(rows[number] for number in numbers), *[end] * more]
    new = [len(row.tokens) - row.before for row in together]
    alike = [
        Alike(len(list(some)), before, length - before)
        for (before, length), some in groupby(together, key=lambda row: (row.before, len(row.tokens)))
    ]
    layers = model.config.get_text_config().num_hidden_layers
    cache = Cache(layers=[_ReadLayer(together, alike, number) for number in range(layers)])
    device = model.device
    ids = [token for row in together for token in row.tokens[row.before :]]
    positions = [place for row in together for place in range(row.before, len(row.tokens))]
    wanted, lasts, start = list[int](), [last[number] for number in numbers], 0
    for own, of_row in zip(new, lasts, strict=False):
        start += own
        wanted += range(start - of_row, start)
    wanted += wanted[-1:] * (LEAST - len(wanted))
    with adapters.over([row.arm for row in together], new), reading(alike):
        logits = model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=torch.tensor(wanted, device=device),
        ).logits[0]
    return Read(numbers, list(logits[: sum(lasts)].split(lasts)), alike, cache)


class _ReadLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values of prompts that are read together: (1, heads, tokens of all, size)."""

    def __init__(self, rows: Sequence[Row], alike: Sequence[Alike], number: int) -> None:
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self._rows, self._alike, self._number = rows, alike, number
        self.is_initialized = True

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Take keys and values of all new tokens; return them, each prompt's after those of its prefix."""
        self.keys, self.values = key_states, value_states
        if any(each.before for each in self._alike):
            self.keys, self.values = self._after_prefixes(0, key_states), self._after_prefixes(1, value_states)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """None; positions are given explicitly."""
        return 0

    def _after_prefixes(self, part: int, new: torch.Tensor) -> torch.Tensor:
        whole, first, start = [], 0, 0
        for each in self._alike:
            own = apart(new, start, each.rows, each.new)
            if each.before:
                rows = self._rows[first : first + each.rows]
                begun = [row.prefix.layers[self._number][part] for row in rows if row.prefix]
                own = torch.cat([torch.cat(begun), own], 2)
            whole.append(own.transpose(0, 1).flatten(1, 2))
            first, start = first + each.rows, start + each.rows * each.new
        return torch.cat(whole, 1)[None]
