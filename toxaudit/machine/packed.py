"""Linear layers whose weights are laid out for the CPU once (by oneDNN) instead of at every call."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from toxaudit.machine import threads

SMALLEST_WIDTH = 64
"""Inputs, and outputs, that a layer must have at least; smaller ones (a LoRA's) gain nothing."""

LAYOUT_ROWS = 64
"""The batch that the layout is made for; results are right for any other, too, but rounded otherwise in bfloat16 where
oneDNN has other kernels, as for 32 rows, and by width for 200: there, only so many rows are multiplied at once as are
seen to get what they get in blocks of this size, whatever the batch."""

STEP = 16
"""In bfloat16, multiples of so many rows are multiplied, which is the fastest; others are padded."""

WIDE = 2**14
"""Outputs; of a layer with more, as the last one, only whole blocks are multiplied: to try others takes half a second,
and more than they gain in an audit of some hundred prompts."""

MOST_ROWS = 4 * LAYOUT_ROWS
"""That are multiplied at once in bfloat16; more gain nothing."""

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
    sizes: dict[Any, list[int]] = {}
    for layer in layers:
        weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), LAYOUT_ROWS)
        if layer.weight.dtype is not torch.bfloat16:
            layer.forward = _whole(weight, layer.bias)
            continue
        if (shape := layer.weight.shape) not in sizes:
            sizes[shape] = _sizes(*shape)
        layer.forward = _in_sizes(_whole(weight, layer.bias), sizes[shape])

    def undo() -> None:
        for layer in layers:
            del layer.forward  # the class's own shows again

    return undo


def _whole(weight: Any, bias: Any) -> Callable[[Any], Any]:
    import torch

    def multiply(inputs: Any) -> Any:
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")

    return multiply


def _sizes(outputs: int, inputs: int) -> list[int]:
    """How many rows can be multiplied at once so that each gets what it gets in a block of its own, bit by bit.

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
    rows = block.repeat(MOST_ROWS // LAYOUT_ROWS, 1)
    step = LAYOUT_ROWS if outputs > WIDE else STEP
    sizes = list(range(step, MOST_ROWS + 1, step))
    with torch.inference_mode():
        multiply = _whole(torch.ops.mkldnn._reorder_linear_weight(weight, LAYOUT_ROWS), None)
        for number in threads.tried():
            with threads.exactly(number):
                alone = multiply(block).repeat(MOST_ROWS // LAYOUT_ROWS, 1)
                sizes = [size for size in sizes if torch.equal(multiply(rows[:size]), alone[:size])]
    return sorted({LAYOUT_ROWS, *sizes})


def _in_sizes(multiply: Callable[[Any], Any], sizes: Sequence[int]) -> Callable[[Any], Any]:
    import torch

    whole, most = frozenset(sizes), sizes[-1]

    def multiply_sizes(inputs: Any) -> Any:
        rows = inputs.reshape(-1, inputs.shape[-1])
        if len(rows) in whole:  # none is copied
            return multiply(rows).view(*inputs.shape[:-1], -1)
        parts = list(rows.split(most))
        last = len(parts[-1])
        if lacking := sizes[bisect_left(sizes, last)] - last:  # only the last part is copied
            parts[-1] = torch.nn.functional.pad(parts[-1], (0, 0, 0, lacking))
        done = [multiply(part) for part in parts]
        outputs = done[0] if len(done) == 1 else torch.cat(done)
        return outputs[: len(rows)].view(*inputs.shape[:-1], outputs.shape[-1])

    return multiply_sizes
