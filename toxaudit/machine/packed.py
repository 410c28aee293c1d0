"""Linear layers whose weights are laid out for the CPU once (by oneDNN) instead of at every call."""

from collections.abc import Callable
from typing import Any

SMALLEST_WIDTH = 64
"""Inputs, and outputs, that a layer must have at least; smaller ones (a LoRA's) gain nothing."""

LAYOUT_ROWS = 64
"""The batch that the layout is made for; results are right for any other, too, but rounded otherwise in bfloat16, where
oneDNN has other kernels for 32 rows, and by width for 200: there, so many rows are multiplied at once, whatever the
batch."""

FREE_MEMORY_SHARE = 0.25
"""The packed copies may take no more than this share of the memory that is free."""


def pack(model: Any) -> Callable[[], None] | None:
    """Let the large linear layers of ``model`` compute from packed copies of their weights.

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
        if type(module) is nn.Linear
        and min(module.weight.shape) >= SMALLEST_WIDTH
        and module.weight.device.type == "cpu"
    ]
    size = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    able = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if not layers or not able or size > FREE_MEMORY_SHARE * psutil.virtual_memory().available:
        return None
    for layer in layers:
        weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), LAYOUT_ROWS)
        layer.forward = _forward(weight, layer.bias, layer.weight.dtype is torch.bfloat16)

    def undo() -> None:
        for layer in layers:
            del layer.forward  # the class's own shows again

    return undo


def _forward(weight: Any, bias: Any, in_blocks: bool) -> Callable[[Any], Any]:
    import torch

    def multiply(inputs: Any) -> Any:
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")

    def multiply_blocks(inputs: Any) -> Any:
        rows = inputs.reshape(-1, inputs.shape[-1])
        parts = list(rows.split(LAYOUT_ROWS))
        if lacking := -len(rows) % LAYOUT_ROWS:  # only the last part is copied
            parts[-1] = torch.nn.functional.pad(parts[-1], (0, 0, 0, lacking))
        blocks = [multiply(part) for part in parts]
        outputs = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return outputs[: len(rows)].view(*inputs.shape[:-1], outputs.shape[-1])

    return multiply_blocks if in_blocks else multiply
