"""What this machine could do at most: the model's own matrix products with packed weights, and reading memory."""

import os
import time
from collections.abc import Callable
from typing import Any

import measured
from loop import loaded

ROWS = (16, 32, 60, 64, 128, 200, 256, 1024)
LAYOUTS = (64, 128)  # rows that weights are laid out for, beside the rows at hand
TRIES, TIMES, SECONDS = 2, 15, 2.0  # of each layout; of the best one, unless that takes longer
READ = 2**29  # bytes


def work(job: measured.Job, watch: measured.Watch) -> dict[str, Any]:
    """Measured rates and the model's sizes.

    Returns:
        ``layers`` and ``head``: weights of the linear layers and of the last one; ``rates``: products of those by
        number of rows, ``ROWS`` and those of the job, in FLOP per second of the processor; ``bandwidth``: bytes read
        per second of the processor; ``number``: bytes of one; ``cache``: bytes of keys and values of one token.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large pages, as toxaudit asks for: before torch is imported
    import torch

    model, _ = loaded(job)
    linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    head = model.get_output_embeddings()
    weights = {"layers": [each.weight.detach() for each in linears if each is not head], "head": [head.weight.detach()]}
    config, number = model.config.get_text_config(), weights["head"][0].element_size()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    values = 2 * config.num_hidden_layers * config.num_key_value_heads * size
    rows = sorted({*ROWS, *job.get("rows", ())})
    return {
        "rates": {part: {str(each): _rate(found, each) for each in rows} for part, found in weights.items()},
        "bandwidth": _bandwidth(),
        "number": number,
        "cache": values * number,
        "adapted": sum(sum(weight.shape) for weight in weights["layers"]),
        **{part: sum(weight.numel() for weight in each) for part, each in weights.items()},
    }


def _rate(weights: list[Any], rows: int) -> float:
    """FLOP per second of one pass through all weights, one after another as in a step of decoding.

    That in the fastest layout of those that are tried.
    """
    tried = {layout: _least(_passing(weights, rows, layout), TRIES) for layout in (*LAYOUTS, rows)}
    best = min(tried, key=lambda layout: tried[layout])
    least = min(tried[best], _least(_passing(weights, rows, best), TIMES))
    return float(2 * rows * sum(weight.numel() for weight in weights) / least)


def _passing(weights: list[Any], rows: int, layout: int) -> Callable[[], None]:
    """A pass of so many rows through weights that are laid out for others."""
    import torch

    packed = [torch.ops.mkldnn._reorder_linear_weight(weight, layout) for weight in weights]
    inputs = {weight.shape[1]: torch.randn(rows, weight.shape[1], dtype=weight.dtype) for weight in weights}

    def step() -> None:
        with torch.inference_mode():
            for weight, own in zip(weights, packed, strict=True):
                torch.ops.mkldnn._linear_pointwise(inputs[weight.shape[1]], own, None, "none", [], "")

    return step


def _bandwidth() -> float:
    import torch

    memory = torch.ones(READ // 4)
    return READ / _least(lambda: memory.sum(), TIMES)


def _least(step: Callable[[], object], times: int) -> float:
    """The least of the processor's seconds that a step takes, once warm: what else runs only makes it slower."""
    step()
    taken: list[float] = []
    while len(taken) < TRIES or (len(taken) < times and sum(taken) < SECONDS):
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
    return min(taken)


if __name__ == "__main__":
    measured.run(work)
