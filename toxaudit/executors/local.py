"""Here, in this process: picks the device."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from toxaudit import threads
from toxaudit.errors import ToxauditError
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
            threads.fix(self.threads)
        return device

    def map(self, work: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
        """The results of ``work`` on each job, in order."""
        return map(work, jobs)
