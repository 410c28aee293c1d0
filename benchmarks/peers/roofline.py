"""What this machine could do at most: the model's own matrix products with packed weights, and reading memory."""

import time
from collections.abc import Callable
from typing import Any

import measured
from loop import loaded

ROWS = (16, 64, 128, 256)
READ = 2**29  # bytes


def work(job: measured.Job, watch: measured.Watch) -> dict[str, Any]:
    """Measured rates and the model's sizes.

    Returns:
        ``layers`` and ``head``: weights of the linear layers and of the last one; ``rates``: products of those by
        number of rows, in FLOP per second of the processor; ``bandwidth``: bytes read per second of the processor;
        ``cache``: bytes of keys and values of one token.
    """
    import torch

    model, _ = loaded(job)
    linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    head = model.get_output_embeddings()
    weights = {"layers": [each.weight.detach() for each in linears if each is not head], "head": [head.weight.detach()]}
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    values = 2 * config.num_hidden_layers * config.num_key_value_heads * size
    return {
        "rates": {part: {str(rows): _rate(each, rows) for rows in ROWS} for part, each in weights.items()},
        "bandwidth": _bandwidth(),
        "cache": values * weights["head"][0].element_size(),
        "adapted": sum(sum(weight.shape) for weight in weights["layers"]),
        **{part: sum(weight.numel() for weight in each) for part, each in weights.items()},
    }


def _rate(weights: list[Any], rows: int) -> float:
    """FLOP per second of one pass through all weights, one after another as in a step of decoding."""
    import torch

    packed = [torch.ops.mkldnn._reorder_linear_weight(weight, rows) for weight in weights]
    inputs = {weight.shape[1]: torch.randn(rows, weight.shape[1], dtype=weight.dtype) for weight in weights}

    def step() -> None:
        for weight, own in zip(weights, packed, strict=True):
            torch.ops.mkldnn._linear_pointwise(inputs[weight.shape[1]], own, None, "none", [], "")

    with torch.inference_mode():
        return float(2 * rows * sum(weight.numel() for weight in weights) / _seconds(step))


def _bandwidth() -> float:
    import torch

    memory = torch.ones(READ // 4)
    return READ / _seconds(lambda: memory.sum())


def _seconds(step: Callable[[], object]) -> float:
    """The median of the processor's seconds that a step takes, once warm."""
    step()
    taken = []
    for _ in range(5):
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
    return sorted(taken)[2]


if __name__ == "__main__":
    measured.run(work)
