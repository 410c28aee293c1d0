"""What this machine can do: how fast its CPU multiplies matrices, measured in a moment, and what its GPU has left."""

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter

from toxaudit.machine.threads import WORTHWHILE_TIME_SHARE, cores

MATRIX_SIDE = 512
"""Rows and columns of the matrices that are multiplied: enough to be quick, few enough to stay in the CPU's caches."""

MEASURING_SECONDS = 0.05
"""How long one measurement takes."""

SPEEDUP_IN_BFLOAT16 = {"avx512_bf16": 2.0}
"""What a CPU can do -> how much faster it is then in bfloat16 than in float32, as measured on one."""

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What a CPU says that multiplies numbers in bfloat16 by instructions of its own; the last one is an ARM's."""

CPU_INFO_FILE = Path("/proc/cpuinfo")
"""Where Linux says what its CPUs can do."""


@dataclass(frozen=True)
class Speed:
    """How fast this machine's CPU computes.

    Attributes:
        flops: floating-point operations a second in large products of float32 matrices.
        threads: how many threads reach that speed together.
        half: how many times as fast the CPU is in bfloat16.
    """

    flops: float
    threads: int
    half: float

    def of(self, dtype: str) -> float:
        """Operations a second in a number format, by torch's name of it."""
        return self.flops * (1 if dtype == "float32" else self.half)


@cache
def speed(threads: int | None = None) -> Speed:
    """Measure the speed, once in a process, by NumPy's matrix product, since torch would take seconds to import.

    Args:
        threads: how many will be used; None takes the number that is fastest now, as a run does.
    """
    numbers = sorted({1, max(1, cores() // 2), cores()}) if threads is None else [threads]
    best, fastest = numbers[0], 0.0
    for number in numbers:
        flops = max(together(number), together(number))  # what else happens for a moment only makes it slower
        if flops * WORTHWHILE_TIME_SHARE > fastest:
            best, fastest = number, flops
    return Speed(fastest, best, _half())


def computes_bfloat16(device: str) -> bool:
    """Whether a device multiplies in bfloat16 by instructions of its own, so that it is no slower than in float32.

    A CPU is asked without torch, which would take seconds to import and calls bfloat16 supported where it emulates it.

    Args:
        device: torch's name of it. A GPU that isn't there, as when a run on another machine is planned, counts as able.
    """
    if device == "cpu":
        return bool(BFLOAT16_FLAGS & _cpu_flags())
    if not device.startswith("cuda"):
        return True
    import torch

    if not torch.cuda.is_available():
        return True
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def together(threads: int) -> float:
    """Operations a second of so many threads, each of which waits for the slowest, as in one product of them all."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        return threads * min(pool.map(_products, range(threads)))


def _products(seed: int) -> float:
    """Operations a second of one thread."""
    import numpy as np

    numbers = np.random.default_rng(seed)
    one, other = (numbers.random((MATRIX_SIDE, MATRIX_SIDE), dtype=np.float32) for _ in range(2))
    product = np.empty_like(one)
    np.matmul(one, other, out=product)  # the first run pays for what later ones find prepared
    took: list[float] = []
    end = perf_counter() + MEASURING_SECONDS
    while (start := perf_counter()) < end or len(took) < 3:
        np.matmul(one, other, out=product)
        took.append(perf_counter() - start)
    return 2 * MATRIX_SIDE**3 / statistics.mean(took)


def _half() -> float:
    """How many times as fast as float32 bfloat16 is here: 1 where that isn't known."""
    able = _cpu_flags()
    return max((gain for what, gain in SPEEDUP_IN_BFLOAT16.items() if what in able), default=1.0)


def _cpu_flags() -> set[str]:
    """What the CPU says it can do; nothing where the system doesn't tell."""
    try:
        return set(CPU_INFO_FILE.read_text().split())
    except OSError:  # not Linux
        return set()
