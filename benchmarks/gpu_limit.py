"""The most that a device could do, measured, and the time that answers would take it at least."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

ROWS = 8192  # of a matrix product that keeps a GPU busy
READ = 2**31  # bytes that are copied, to measure memory


class Length(NamedTuple):
    """Tokens of a prompt, and new ones, one that ends the answer included; whether an adapter adds to them."""

    prompt: int
    new: int
    adapted: bool


class Limit(NamedTuple):
    """A device's speed: operations per second of the largest products, and bytes read or written per second."""

    flops: float
    bandwidth: float


class Work(NamedTuple):
    """What a model must do.

    Attributes:
        layers: numbers in all linear layers but the last.
        head: numbers in the last.
        adapter: numbers in an adapter's matrices.
        cache: bytes of a token's keys and values.
        size: bytes of a number.
    """

    layers: int
    head: int
    adapter: int
    cache: int
    size: int


def measured(device: str, dtype: str, toy: bool) -> Limit:
    """Measure the device, with a product of square matrices and a copy."""
    import torch

    rows, read = (256, 2**24) if toy else (ROWS, READ)
    kind = getattr(torch, dtype)
    one, other = (torch.randn(rows, rows, dtype=kind, device=device) for _ in range(2))
    memory = torch.ones(read // kind.itemsize, dtype=kind, device=device)
    copy = torch.empty_like(memory)
    return Limit(
        2 * rows**3 / _seconds(lambda: one @ other, device), 2 * read / _seconds(lambda: copy.copy_(memory), device)
    )


def work(model: Any, rank: int) -> Work:
    """What a model of transformers must do, and an adapter of this rank over all its linear layers."""
    import torch

    head = model.get_output_embeddings()
    layers = [each.weight for each in model.modules() if isinstance(each, torch.nn.Linear) and each is not head]
    config = model.config.get_text_config()
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size = head.weight.element_size()
    return Work(
        sum(weight.numel() for weight in layers),
        head.weight.numel(),
        sum(rank * sum(weight.shape) for weight in layers),
        2 * config.num_hidden_layers * config.num_key_value_heads * head_size * size,
        size,
    )


def least(limit: Limit, work: Work, lengths: Sequence[Length]) -> float:
    """Seconds that all answers take the device at least, were all of them decoded in one batch.

    A step multiplies as many rows as have not ended, and reads all weights once, whichever takes longer; then it reads
    the keys and values before it. The prompts are read first, and give the first token.
    """
    weights = work.size * (work.layers + work.head) / limit.bandwidth
    rows, low = len(lengths), sum(each.prompt for each in lengths if each.adapted)
    read = 2 * (work.layers * sum(each.prompt for each in lengths) + work.head * rows + work.adapter * low)
    seconds = max(read / limit.flops, weights)
    for step in range(1, max(each.new for each in lengths)):
        running = [each for each in lengths if each.new > step]
        adapted = sum(each.adapted for each in running)
        multiplied = 2 * ((work.layers + work.head) * len(running) + work.adapter * adapted)
        before = work.cache * sum(each.prompt + step for each in running)
        seconds += max(multiplied / limit.flops, weights) + before / limit.bandwidth
    return seconds


def synchronised(device: str) -> float:
    """The time, in seconds, once the device has done all that it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def _seconds(step: Callable[[], object], device: str) -> float:
    """The least time that a step takes, once warm."""
    step()
    taken = []
    for _ in range(5):
        start = synchronised(device)
        step()
        taken.append(synchronised(device) - start)
    return min(taken)
