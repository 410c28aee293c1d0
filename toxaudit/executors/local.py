"""Here, in this process: picks the device."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, ClassVar

from toxaudit import training
from toxaudit.errors import ToxauditError
from toxaudit.extensions import Backend, Session, Tuning
from toxaudit.machine import collecting, threads
from toxaudit.models import Loader
from toxaudit.registry import register


@register("executor", "local")
class LocalExecutor:
    """Let one model after another answer in this process.

    Attributes:
        device: ``auto`` (a CUDA GPU where there is one, else the CPU), or a name that torch knows.
        threads: of torch on the CPU; null tries which number is fastest of those that give the same as all cores.
    """

    device: str = "auto"
    threads: int | None = None

    at_once: ClassVar[bool] = False
    """Arms over other weights wait until these are done with: one model is in memory at a time."""

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
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for large pages: weights are found the faster
        with collecting.importing():
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

    def open(self, backend: Backend, loader: Loader, arms: Sequence[Any]) -> AbstractContextManager[Session]:
        """The backend's own session."""
        return backend.open(loader, arms)

    def tuning(self, loader: Loader) -> AbstractContextManager[Tuning]:
        """One candidate after another is tuned, when it is its turn."""
        return nullcontext(_InTurn(partial(training.tune, loader)))

    def close(self) -> None:
        """Nothing is held."""

    def sentence(self) -> str:
        """Where arms answer, for a plan."""
        return "in this process, one model after another"


class _InTurn:
    """Tunes what is asked for when it is asked for."""

    def __init__(self, tune: training.Tune) -> None:
        self._tune = tune
        self._begun: dict[str, Callable[[training.Tune], Any]] = {}

    def begin(self, name: str, make: Callable[[training.Tune], Any], after: str | None) -> None:
        """Keep it until it is asked for."""
        self._begun[name] = make

    def finish(self, name: str) -> None:
        """Nothing is done before it is asked for."""

    def made(self, name: str) -> Any:
        """Make it."""
        return self._begun[name](self._tune)
