"""Linear layers whose weights are laid out for the CPU once (by oneDNN) instead of at every call."""

from collections.abc import Callable
from typing import Any

SMALLEST = 64  # inputs and outputs of a layer; smaller ones (a LoRA's) gain nothing
ROWS = 64  # the batch that the layout is made for; others are right too
SHARE = 0.25  # of the memory that is free: the copies may take no more


def pack(model: Any) -> Callable[[], None] | None:
    """Let the large linear layers of ``model`` compute from packed copies of their weights.

    Returns:
        What undoes it; None where nothing was packed: the model is not on a CPU, this build of torch has no oneDNN, or
        memory is short.
    """
    import psutil
    import torch
    from torch import nn

    layers = [
        module
        for module in model.modules()
        if type(module) is nn.Linear and min(module.weight.shape) >= SMALLEST and module.weight.device.type == "cpu"
    ]
    size = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    able = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if not layers or not able or size > SHARE * psutil.virtual_memory().available:
        return None
    for layer in layers:
        layer.forward = _forward(torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), ROWS), layer.bias)

    def undo() -> None:
        for layer in layers:
            del layer.forward  # the class's own shows again

    return undo


def _forward(weight: Any, bias: Any) -> Callable[[Any], Any]:
    import torch

    return lambda inputs: torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
