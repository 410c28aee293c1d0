"""toxaudit's engine in other circumstances than usual, for ``gpu.py``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import gpu_limit

LITTLE = 1.5 * 2**30  # bytes beside the weights, where memory is to be short


@contextmanager
def recordings() -> Iterator[Callable[[], str]]:
    """Count the CUDA graphs that are recorded, and time it; what is yielded tells of it."""
    from toxaudit.backends.decoding import ragged

    taken: list[float] = []
    plain = ragged._Captured._capture

    def timed(*given: Any) -> None:
        begin = gpu_limit.synchronised("cuda")
        plain(*given)
        taken.append(gpu_limit.synchronised("cuda") - begin)

    with mock.patch.object(ragged._Captured, "_capture", timed):
        yield lambda: f"of that, {sum(taken):.1f} s went to recording {len(taken)} CUDA graphs"


@contextmanager
def little_memory() -> Iterator[None]:
    """Let this process have little more of the GPU's memory than it holds."""
    import torch

    from toxaudit.backends.decoding.batches import release

    release()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + LITTLE) / total))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@contextmanager
def no_graphs() -> Iterator[None]:
    """Let every step go through Python, on a GPU as on a CPU."""
    from toxaudit.backends.decoding import ragged

    with mock.patch.object(ragged, "_Captured", ragged._Eager):
        yield
