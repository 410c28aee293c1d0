"""Linear layers whose weights are laid out for the CPU once (by oneDNN) instead of at every call."""

from collections.abc import Callable
from itertools import takewhile
from typing import Any

from toxaudit.machine import threads

SMALLEST_WIDTH = 64
"""Inputs, and outputs, that a layer must have at least; smaller ones (a LoRA's) gain nothing."""

LAYOUT_ROWS = 64
"""The batch that the layout is made for; results are right for any other, too, but rounded otherwise in bfloat16, where
oneDNN has other kernels for 32 rows, and by width for 200: there, whole blocks of so many rows are multiplied at once,
whatever the batch."""

MOST_BLOCKS = 4
"""That are multiplied at once, if this gives what each gives by itself; more gain nothing."""

FREE_MEMORY_SHARE = 0.25
"""The packed copies may take no more than this share of the memory that is free."""


def pack(model: Any, smallest: int = SMALLEST_WIDTH) -> Callable[[], None] | None:
    """Let the large linear layers of ``model`` compute from packed copies of their weights.

    Args:
        model: any module of torch.
        smallest: inputs, and outputs, that a layer must have at least.

    Returns:
        The function that undoes it; None where nothing was packed, since the model is not on a CPU, this build of torch
        has no oneDNN, or memory is short.
    """
    import psutil
    import torch
    from torch import nn

    layers = [
        module
        for module in model.modules()
        if type(module) is nn.Linear and min(module.weight.shape) >= smallest and module.weight.device.type == "cpu"
    ]
    size = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    able = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if not layers or not able or size > FREE_MEMORY_SHARE * psutil.virtual_memory().available:
        return None
    blocks: dict[Any, int] = {}
    for layer in layers:
        weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), LAYOUT_ROWS)
        if layer.weight.dtype is not torch.bfloat16:
            layer.forward = _whole(weight, layer.bias)
            continue
        if (shape := layer.weight.shape) not in blocks:
            blocks[shape] = _blocks(*shape)
        layer.forward = _in_blocks(_whole(weight, layer.bias), blocks[shape])

    def undo() -> None:
        for layer in layers:
            del layer.forward  # the class's own shows again

    return undo


def _whole(weight: Any, bias: Any) -> Callable[[Any], Any]:
    import torch

    def multiply(inputs: Any) -> Any:
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")

    return multiply


def _blocks(outputs: int, inputs: int) -> int:
    """How many blocks of rows can be multiplied at once so that each gets what it gets by itself, bit by bit.

    That must be so by any number of threads that may be used. oneDNN chooses a kernel by the shapes, so they are tried
    with numbers whose sums are 0 but for the rounding on the way: another order of adding up shows in nearly all.
    """
    import torch

    random = torch.Generator().manual_seed(0)
    order = torch.randperm(inputs - inputs % 2, generator=random)

    def numbers(sign: int) -> Any:
        half, whole = torch.randn(LAYOUT_ROWS, inputs // 2, generator=random), torch.zeros(LAYOUT_ROWS, inputs)
        whole[:, order] = torch.cat([half, sign * half], 1)
        return whole.bfloat16()

    block, weight = numbers(1), numbers(-1).repeat(-(-outputs // LAYOUT_ROWS), 1)[:outputs]
    most = MOST_BLOCKS
    with torch.inference_mode():
        multiply = _whole(torch.ops.mkldnn._reorder_linear_weight(weight, LAYOUT_ROWS), None)
        for number in threads.tried():
            with threads.exactly(number):
                alone = multiply(block)
                alike = (torch.equal(multiply(block.repeat(n, 1)), alone.repeat(n, 1)) for n in range(2, most + 1))
                most = 1 + sum(takewhile(bool, alike))
    return most


def _in_blocks(multiply: Callable[[Any], Any], blocks: int) -> Callable[[Any], Any]:
    import torch

    def multiply_blocks(inputs: Any) -> Any:
        rows = inputs.reshape(-1, inputs.shape[-1])
        parts = list(rows.split(blocks * LAYOUT_ROWS))
        if lacking := -len(rows) % LAYOUT_ROWS:  # only the last part is copied
            parts[-1] = torch.nn.functional.pad(parts[-1], (0, 0, 0, lacking))
        done = [multiply(part) for part in parts]
        outputs = done[0] if len(done) == 1 else torch.cat(done)
        return outputs[: len(rows)].view(*inputs.shape[:-1], outputs.shape[-1])

    return multiply_blocks
