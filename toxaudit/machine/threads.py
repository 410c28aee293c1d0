"""How many threads torch uses on the CPU: found by a probe, since on busy cores two can be far slower than one."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

WORTHWHILE_TIME_SHARE = 0.9
"""More threads must take less than this share of the time, else they are not worth the other work they disturb."""


def fix(threads: int) -> None:
    """Use that many threads from now on, without probing."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


def steady() -> int:
    """The number of threads for work whose result depends on it: what the user set, else all cores of this process.

    It is never probed: how busy the machine is must not decide what comes out.
    """
    variable = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(variable)) if variable.isdecimal() else cores()


@contextmanager
def exactly(threads: int) -> Iterator[None]:
    """Let torch use that many threads for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tried() -> list[int]:
    """The numbers of threads among which the fastest is sought; the one that the user has set, if there is one."""
    import torch

    return [torch.get_num_threads()] if "OMP_NUM_THREADS" in os.environ else sorted({1, max(1, cores() // 2), cores()})


def use_fastest(work: Callable[[], Sequence[Any]]) -> None:
    """Run ``work``, a short piece of what is to follow, with 1 thread, half and all cores; keep the fastest number.

    A number by which other tensors come out than by all cores is not kept: how busy the machine is decides how fast
    something comes out, and never what does. This does nothing where the user has set ``OMP_NUM_THREADS``.

    Args:
        work: returns the tensors that came out.
    """
    import torch

    if "OMP_NUM_THREADS" in os.environ:
        return
    torch.set_num_threads(cores())
    expected = work()  # the first run pays for what later ones find prepared
    best, fastest = cores(), float("inf")
    for threads in tried():
        torch.set_num_threads(threads)
        (one, made), (other, _) = _timed(work), _timed(work)
        same = len(made) == len(expected) and all(map(torch.equal, made, expected))
        if same and min(one, other) < fastest * WORTHWHILE_TIME_SHARE:
            best, fastest = threads, min(one, other)
    torch.set_num_threads(best)


def _timed(work: Callable[[], Sequence[Any]]) -> tuple[float, Sequence[Any]]:
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made
