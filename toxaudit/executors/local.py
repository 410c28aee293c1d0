"""Here, in this process: picks the device, and the number of threads by a short probe."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from toxaudit.errors import ToxauditError
from toxaudit.registry import register

J = TypeVar("J")
R = TypeVar("R")


@register("executor", "local")
class LocalExecutor:
    """Do one job after another in this process.

    Attributes:
        device: ``auto`` (a CUDA GPU where there is one, else the CPU), or a name that torch knows.
        threads: of torch on the CPU; null probes which number is fastest now, since on busy cores many threads can be
            far slower than one. ``OMP_NUM_THREADS`` in the environment is respected.
    """

    device: str = "auto"
    threads: int | None = None

    def start(self) -> str:
        """Get ready and return the device, by torch's name.

        Raises:
            ToxauditError: there is no such device.
        """
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin slow a busy machine down twentyfold
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()  # the audit shows its own
        logging.set_verbosity_error()
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise ToxauditError(
                f"executor.device '{device}' can't be used here: {str(error).splitlines()[0]}"
            ) from error
        if self.threads:
            torch.set_num_threads(self.threads)
        elif device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(fastest_threads())
        return device

    def map(self, work: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
        """The results of ``work`` on each job, in order."""
        return map(work, jobs)


def fastest_threads() -> int:
    """The number of threads at which a decode-shaped load runs fastest at this moment, by a probe of about 0.3 s."""
    import torch

    a, b = torch.randn(64, 576), torch.randn(1536, 576)

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            for _ in range(100):
                torch.nn.functional.linear(a, b)
            times.append(time.perf_counter() - start)
        return sorted(times)[1]

    before: int = torch.get_num_threads()
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else before
    tried = {threads: seconds(threads) for threads in {1, max(1, most // 2), most, before} if threads <= most}
    torch.set_num_threads(before)
    return min(tried, key=lambda threads: (tried[threads], threads))
