"""The LoRA adapters of several arms over one model: each row of a batch gets its own arm's."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

LEAST = 16
"""Rows of a matrix product; for fewer, libraries have kernels of their own, which add up in another order."""


class Pair(NamedTuple):
    """One module's LoRA matrices: ``down`` (inputs, rank) and ``up`` (rank, outputs), the latter scaled already."""

    down: Any
    up: Any


class _Layout(NamedTuple):
    """How the tokens of a batch are dealt out to arms: equally many to each, those of one arm together.

    Attributes:
        arms: how many arms have rows.
        rows: what belongs to these arms of all that is multiplied, token by token: a slice if it follows one another,
            else numbers.
        tokens: how many there are of all arms.
    """

    arms: int
    rows: Any
    tokens: int


def ordinary(loaded: Any) -> dict[str, Pair] | None:
    """The matrices of an adapter that PEFT has put on a model, by the names of the modules they belong to.

    Returns:
        None where the adapter is more than ordinary LoRA of linear layers, whatever its rank, its scale and its
        choice of modules: DoRA, biases, embeddings, whole modules, or weights that were merged.
    """
    from peft.tuners.lora import Linear
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper
    from torch import nn

    pairs = {}
    name = loaded.model.active_adapter
    if loaded.model.peft_config[name].bias != "none":
        return None
    for module, layer in loaded.inner.named_modules():
        if isinstance(layer, AuxiliaryTrainingWrapper):
            return None
        if not isinstance(layer, BaseTunerLayer):
            continue
        plain = (
            type(layer) is Linear
            and type(layer.base_layer) is nn.Linear
            and not (layer.merged or layer.fan_in_fan_out or layer.lora_variant or layer.lora_bias[name])
            and layer.active_adapters == [name]
            and layer is not loaded.inner.get_output_embeddings()  # it is not given all that is read
        )
        if not plain:
            return None
        dtype = layer.base_layer.weight.dtype
        down, up = layer.lora_A[name].weight.detach(), layer.lora_B[name].weight.detach()
        pairs[module] = Pair(down.to(dtype).t(), (up * layer.scaling[name]).to(dtype).t())
    return pairs


class Adapters:
    """What is laid over a model's linear layers, by arm.

    Attributes:
        arms: those that have an adapter.
    """

    def __init__(self, of_arm: dict[str, dict[str, Pair]]) -> None:
        """Take each arm's matrices, by the names of the modules they belong to; they are moved out of ``of_arm``."""
        self.arms = list(of_arm)
        modules = sorted({module for pairs in of_arm.values() for module in pairs})
        self._all = {module: _side_by_side([of_arm[arm].pop(module, None) for arm in self.arms]) for module in modules}
        self._chosen: tuple[str, ...] = ()
        self._stacked: dict[str, Pair] = {}
        self._dealt: tuple[list[str], list[int] | None] | None = None
        self._last: _Layout | None = None
        self._layout: _Layout | None = None
        self._undo: list[Callable[[], None]] = []

    def put_on(self, model: Any) -> None:
        """Let the model's layers add the adapters, for the rows that ``over`` names."""
        for name in self._all:
            layer = model.get_submodule(name)
            own = layer.__dict__.get("forward")  # a packed layer has one
            layer.forward = partial(self._forward, name, layer.forward)
            self._undo.append(partial(_give_back, layer, own))

    def take_off(self) -> None:
        """Leave the layers as they were."""
        while self._undo:
            self._undo.pop()()

    @contextmanager
    def over(self, arms: list[str], tokens: list[int] | None = None) -> Iterator[None]:
        """Within this context, the rows of a batch belong to these arms; a row whose arm has no adapter gets none.

        Args:
            arms: the arm of each row.
            tokens: how many are read of each row, whose tokens follow one another; one of each if not given.
        """
        if self._dealt != (arms, tokens):
            self._deal(arms, tokens)
        self._layout = self._last
        try:
            yield
        finally:
            self._layout = None

    def _deal(self, arms: list[str], tokens: list[int] | None) -> None:
        """Find which tokens belong to which arm, and have these arms' matrices at hand."""
        import torch

        self._dealt, self._last = None, None
        places: dict[str, list[int]] = {}
        start = 0
        for arm, own in zip(arms, tokens or [1] * len(arms), strict=True):
            if arm in self.arms:
                places.setdefault(arm, []).extend(range(start, start + own))
            start += own
        if places:
            self._choose(tuple(places))
            rows: Any = _rows(list(places.values()))
            if not isinstance(rows, slice):
                rows = torch.tensor(rows, device=next(iter(self._all.values())).down.device)
            self._last = _Layout(len(places), rows, start)
        self._dealt = (arms, tokens)

    def _choose(self, arms: tuple[str, ...]) -> None:
        """Have these arms' matrices at hand."""
        if arms != self._chosen:
            numbers = [self.arms.index(arm) for arm in arms]
            every = numbers == list(range(len(self.arms)))
            self._chosen = ()  # until all is there: memory may be short
            self._stacked = {
                module: pair if every else Pair(pair.down[numbers], pair.up[numbers])
                for module, pair in self._all.items()
            }
            self._chosen = arms

    def _forward(self, module: str, plain: Callable[[Any], Any], inputs: Any) -> Any:
        outputs = plain(inputs)
        layout, pair = self._layout, self._stacked.get(module)
        if layout is None or pair is None:
            return outputs
        if inputs.ndim != 3 or inputs.shape[0] * inputs.shape[1] != layout.tokens:
            raise ValueError(f"{module} gets other rows than the batch has")  # experts may be sent some of the tokens
        read = inputs.flatten(0, 1)[layout.rows].reshape(layout.arms, -1, inputs.shape[-1])
        flat = outputs.flatten(0, 1)
        written = flat[layout.rows]
        added = written.view(layout.arms, -1, outputs.shape[-1]).baddbmm_(read.bmm(pair.down), pair.up)
        if not isinstance(layout.rows, slice):
            flat[layout.rows] = added.view(written.shape)
        return flat.view(outputs.shape)


def _side_by_side(pairs: Sequence[Pair | None]) -> Pair:
    """The matrices of several arms in one: (arms, inputs, rank) and (arms, rank, outputs); zeros where one has none."""
    some = next(pair for pair in pairs if pair)
    rank = -(-max(pair.down.shape[1] for pair in pairs if pair) // LEAST) * LEAST
    down = some.down.new_zeros(len(pairs), some.down.shape[0], rank)
    up = some.up.new_zeros(len(pairs), rank, some.up.shape[1])
    for number, pair in enumerate(pairs):
        if pair:
            down[number, :, : pair.down.shape[1]] = pair.down
            up[number, : pair.up.shape[0]] = pair.up
    return Pair(down, up)


def _rows(places: list[list[int]]) -> slice | list[int]:
    """Tokens dealt out evenly: where an arm has fewer, its first is taken again, and gives the same once more."""
    most = max(LEAST, *map(len, places))
    rows = [place for own in places for place in own + own[:1] * (most - len(own))]
    return slice(rows[0], rows[-1] + 1) if rows == list(range(rows[0], rows[-1] + 1)) else rows


def _give_back(layer: Any, forward: Any) -> None:
    """Let a layer compute by its own ``forward`` again, or by its class's where it had none."""
    del layer.forward
    if forward is not None:
        layer.forward = forward
