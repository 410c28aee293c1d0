"""Workers of Ray, on this machine or on those of a cluster: each holds the weights once and answers shares of prompts.

They tune, too. Fetching, checks of arms, analyses and questions to servers stay in the audit's own process, which alone
writes the store.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from toxaudit.errors import ToxauditError
from toxaudit.executors.local import LocalExecutor
from toxaudit.extensions import Backend, Session, Tuning
from toxaudit.models import Loader
from toxaudit.registry import register

if TYPE_CHECKING:
    from toxaudit.executors.pool import Pool

CLIENT = "ray://"
"""How addresses begin of Ray's client, which is no part of a cluster."""


@register("executor", "ray")
class RayExecutor:
    """Let arms answer, and be tuned, in workers of Ray, each a process with a model of its own.

    Attributes:
        address: of a cluster's head, HOST:PORT, or ``auto`` for the cluster that this machine belongs to; null starts
            Ray on this machine, for this audit.
        workers: how many; null takes as many as there is room for.
        cpus_per_worker: CPUs that Ray keeps for each.
        gpus_per_worker: GPUs that Ray keeps for each, or a share of one; null is 1 where the device is a GPU, else 0.
        device: ``auto`` (a CUDA GPU where this process has one, else the CPU), ``cpu`` or ``cuda``: of every worker.
        threads: of torch on a worker's CPU; null takes ``OMP_NUM_THREADS`` where it is set, else ``cpus_per_worker``,
            and for tuning all cores of the audit's own process.
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: int = 1
    gpus_per_worker: float | None = None
    device: str = "auto"
    threads: int | None = None

    at_once: ClassVar[bool] = True
    """Workers may hold different weights."""

    def __post_init__(self) -> None:
        """Start nothing yet."""
        self._pool: Pool | None = None

    def check(self) -> None:
        """Refuse numbers and addresses that can't be meant, and a Ray that is not installed.

        Raises:
            ToxauditError: if there is such; the sentence names its field.
        """
        for name, least in {"workers": 1, "cpus_per_worker": 1, "threads": 1}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ToxauditError(f"executor.{name} is {value}: it must be at least {least}.")
        if self.gpus_per_worker is not None and not 0 <= self.gpus_per_worker < float("inf"):
            raise ToxauditError(f"executor.gpus_per_worker is {self.gpus_per_worker:g}: it must be at least 0.")
        if ":" in self.device:
            kind = self.device.partition(":")[0]
            raise ToxauditError(
                f"executor.device '{self.device}' names one device, but Ray gives each worker its own: write {kind}."
            )
        if self.address is not None and (not self.address.strip() or self.address.startswith(CLIENT)):
            raise ToxauditError(
                f"executor.address '{self.address}' is no head of a cluster: write HOST:PORT, or auto, on one of its "
                "nodes."
            )
        if find_spec("ray") is None:
            raise ToxauditError("executor=ray needs Ray: pip install 'toxaudit[ray]'.")

    def start(self) -> str:
        """Get this process ready and return the device by torch's name; no worker starts yet.

        Raises:
            ToxauditError: if there is no such device here, where arms are checked.
        """
        return LocalExecutor(device=self.device, threads=self.threads).start()

    @contextmanager
    def open(self, backend: Backend, loader: Loader, arms: Sequence[Any]) -> Iterator[Session]:
        """A session whose arms answer in the workers, which start with the first; a server is asked from here.

        Raises:
            ToxauditError: if Ray or no worker starts.
        """
        if backend.server:
            with backend.open(loader, arms) as session:
                yield session
            return
        from toxaudit.executors.shared import Shared

        yield Shared(self._hired(loader), backend, arms)

    @contextmanager
    def tuning(self, loader: Loader) -> Iterator[Tuning]:
        """Candidates are tuned in the workers, several at once; these start with the first that is not in the store."""
        from toxaudit.executors import tuning

        with closing(tuning.Tuning(partial(self._hired, loader))) as chains:
            yield chains
            chains.rest()  # what follows needs the memory

    def _hired(self, loader: Loader) -> "Pool":
        """The workers, which are started now where they were not.

        Raises:
            ToxauditError: if Ray or no worker starts.
        """
        from toxaudit.executors.pool import Pool

        loader.close()  # the workers need the memory
        if self._pool is None:
            self._pool = Pool(self.address, self.workers, self._needs(loader.device), loader.device, self._threads())
        return self._pool

    def close(self) -> None:
        """End the workers, and Ray where it was started here."""
        if self._pool:
            self._pool.close()
            self._pool = None

    def sentence(self) -> str:
        """Where arms answer, for a plan."""
        where = f"the cluster at {self.address}" if self.address else "this machine"
        most = "as many as there is room for" if self.workers is None else f"{self.workers}"
        kept = [f"{self.cpus_per_worker} CPU(s)"]
        kept += ["a GPU where they compute on one"] if self.gpus_per_worker is None else []
        kept += [f"{self.gpus_per_worker:g} GPU(s)"] if self.gpus_per_worker else []
        threads = f"computing by {self._threads()} thread(s)"
        return f"by workers of Ray on {where}: {most}, each with {' and '.join(kept)}, {threads}"

    def _needs(self, device: str) -> dict[str, float]:
        """What Ray is asked to keep for each worker."""
        gpus = float(device.startswith("cuda")) if self.gpus_per_worker is None else self.gpus_per_worker
        return {"CPU": self.cpus_per_worker} | ({"GPU": gpus} if gpus else {})

    def _threads(self) -> int:
        variable = os.environ.get("OMP_NUM_THREADS", "")
        return self.threads or (max(1, int(variable)) if variable.isdecimal() else self.cpus_per_worker)
