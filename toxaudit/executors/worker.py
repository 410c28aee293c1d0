"""What runs in a worker's process: it holds one model at a time, and answers what it is handed."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import toxaudit
from toxaudit.backends.request import Request
from toxaudit.errors import ToxauditError
from toxaudit.executors import files
from toxaudit.executors.local import LocalExecutor
from toxaudit.extensions import Backend, Session
from toxaudit.machine import progress
from toxaudit.machine.folders import sha256
from toxaudit.models import Loader
from toxaudit.records import Completion, digest
from toxaudit.spec.schema import Generation
from toxaudit.store import identities


@dataclass(frozen=True)
class Told:
    """What a worker must know before it is handed anything.

    Attributes:
        device: torch's name of the kind of device that the arms were resolved for.
        threads: how many compute on a CPU.
        code: what ``code`` says in the audit's own process.
        node: the node on which that runs: files there are known.
    """

    device: str
    threads: int
    code: str
    node: str


@dataclass(frozen=True)
class Part:
    """What a worker tells while it answers.

    Attributes:
        answers: completions, by the places of their requests.
        said: lines for the user.
        refusal: why it can't go on, where that is the user's to mend.
    """

    answers: Sequence[tuple[int, Completion]] = ()
    said: Sequence[str] = ()
    refusal: str = ""


class Worker:
    """One process of a pool. Several threads call it: one to let it answer, another to see that it lives."""

    def __init__(self, told: Told, node: str) -> None:
        """Load nothing yet; ``node`` is that on which it runs."""
        os.environ["OMP_NUM_THREADS"] = str(told.threads)  # before torch is imported
        self._told, self._node = told, node
        self._loader: Loader | None = None
        self._open = ExitStack()
        self._session: Session | None = None
        self._holds: tuple[Backend, Sequence[Any]] | None = None
        self._said: list[str] = []

    def ready(self) -> str:
        """Get ready; returns what is wrong with this worker, or nothing."""
        try:
            if self._told.code != code():
                raise ToxauditError(
                    "it has another version of toxaudit, torch, transformers or peft than the audit's own process: "
                    "install the same on every node."
                )
            device = LocalExecutor(device=self._told.device, threads=self._told.threads).start()
        except ToxauditError as error:
            return self._named(error)
        progress.hear(self._said.append)
        self._loader = Loader(device)
        return ""

    def ping(self) -> int:
        """The number of this process, which shows that it lives."""
        return os.getpid()

    def answer(
        self,
        backend: Backend,
        arms: Sequence[Any],
        requests: Sequence[Request],
        numbers: Sequence[int],
        generation: Generation | None,
    ) -> Iterator[Part]:
        """Answer some of all requests, a batch at a time.

        All others count as done: so batches and what is read once are those of an audit in one process.
        """
        mine = {id(requests[number]): number for number in numbers}

        def done(request: Request) -> bool:
            return id(request) not in mine

        try:
            session = self._opened(backend, arms)
            batches = (
                session.choose(requests, done) if generation is None else session.generate(requests, generation, done)
            )
            for batch in batches:
                yield Part([(mine[id(request)], completion) for request, completion in batch], self._heard())
        except ToxauditError as error:
            self._close()
            yield Part(said=self._heard(), refusal=self._named(error))

    def fits(self, backend: Backend, arms: Sequence[Any], arm: str, texts: Sequence[str], ask: str, new: int) -> Any:
        """Whether an arm can read each text and write ``new`` tokens after it; or a ``Part`` that says why not."""
        try:
            return self._opened(backend, arms).fits(arm, texts, ask, new)
        except ToxauditError as error:
            self._close()
            return Part(refusal=self._named(error))

    def _opened(self, backend: Backend, arms: Sequence[Any]) -> Session:
        """A session of these arms: their weights are loaded once, however many shares they answer."""
        if self._session is None or self._holds != (backend, arms):
            self._close()
            assert self._loader is not None  # as it is ready
            here = list(arms)
            if self._node != self._told.node:
                scratch = Path(self._open.enter_context(TemporaryDirectory(prefix="toxaudit-")))
                here = [files.found(arm, scratch / str(number)) for number, arm in enumerate(arms)]
            self._session = self._open.enter_context(backend.open(self._loader, here))
            self._holds = backend, arms
        return self._session

    def _close(self) -> None:
        self._session, self._holds = None, None
        self._open.close()

    def _heard(self) -> list[str]:
        said = list(self._said)
        self._said.clear()
        return said

    def _named(self, error: ToxauditError) -> str:
        """A sentence that says which node it is of, where that is not the audit's own."""
        elsewhere = self._node != self._told.node
        return f"On node {socket.gethostname()}: {error}" if elsewhere else str(error)


@cache
def code() -> str:
    """SHA-256 over toxaudit's own modules and the versions of the packages that compute."""
    root = Path(toxaudit.__file__).parent
    modules = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.py"))
    versions = identities.versions("torch", "transformers", "peft")
    return digest(*(f"{name}\0{sha256(root / name)}" for name in modules), *(f"{k}={v}" for k, v in versions.items()))
