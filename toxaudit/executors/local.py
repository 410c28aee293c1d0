"""Here, in this process: picks the device."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from toxaudit.errors import ToxauditError
from toxaudit.machine import threads
from toxaudit.registry import register

J = TypeVar("J")
R = TypeVar("R")


@register("executor", "local")
class LocalExecutor:
    """Do one job after another in this process.

    Attributes:
        device: ``auto`` (a CUDA GPU where there is one, else the CPU), or a name that torch knows.
        threads: of torch on the CPU; null probes which number is fastest (see ``threads.py``).
    """

    device: str = "auto"
    threads: int | None = None

    def check(self) -> None:
        """Refuse a number of threads below 1.

        Raises:
            ToxauditError: if the number is below 1.
        """
        if self.threads is not None and self.threads < 1:
            raise ToxauditError(f"executor.threads is {self.threads}: it must be at least 1, or null.")

    def start(self) -> str:
        """Get ready and return the device, by torch's name.

        Raises:
            ToxauditError: if there is no such device.
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
            found = torch.zeros(1, device=device)
            found.item()  # "meta" can make numbers but not give them
        except (RuntimeError, AssertionError, ImportError) as error:
            said = str(error).splitlines()[0].split(". ")[0].rstrip(".")
            if said.startswith("Expected one of"):
                said = "there is no such kind of device; choose from cpu, cuda, cuda:0, mps, auto"
            raise ToxauditError(f"executor.device '{device}' can't be used here: {said}.") from error
        if self.threads:
            threads.fix(self.threads)
        return "cpu" if found.device.type == "cpu" else device  # torch takes cpu:0 for cpu

    def map(self, work: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
        """The results of ``work`` on each job, in order."""
        return map(work, jobs)
