"""What runs in a worker's process: it holds one model at a time, answers what it is handed, and tunes."""

import os
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import toxaudit
from toxaudit import training
from toxaudit.backends.request import Request
from toxaudit.errors import ToxauditError
from toxaudit.executors import files
from toxaudit.executors.local import LocalExecutor
from toxaudit.extensions import Backend, Session
from toxaudit.machine import progress, threads
from toxaudit.machine.folders import room_for, sha256
from toxaudit.models import Loader, ResolvedModel
from toxaudit.records import Completion, digest
from toxaudit.spec.schema import Generation
from toxaudit.store import identities
from toxaudit.training.checkpoints import written_alone

PIECE_BYTES = 2**24
"""Bytes of a file that are sent at once."""


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
    """What a worker tells while it answers or tunes.

    Attributes:
        answers: completions, by the places of their requests.
        said: lines for the user.
        refusal: why it can't go on, where that is the user's to mend.
        bar: how far it is with a stage.
        piece: the next bytes of a file that was made, after its name.
        made: SHA-256 of all files that were made, by their names.
    """

    answers: Sequence[tuple[int, Completion]] = ()
    said: Sequence[str] = ()
    refusal: str = ""
    bar: progress.Unseen | None = None
    piece: tuple[str, bytes] | None = None
    made: Mapping[str, str] = field(default_factory=dict)


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
        self._said: deque[str] = deque()
        self._bars: deque[progress.Unseen] = deque(maxlen=1)

    def ready(self) -> str:
        """Get ready; returns what is wrong with this worker, or nothing."""
        try:
            if self._told.code != code():
                raise ToxauditError(
                    "it has another version of toxaudit, torch, transformers, peft or accelerate than the audit's own "
                    "process: install the same on every node."
                )
            device = LocalExecutor(device=self._told.device, threads=self._told.threads).start()
        except ToxauditError as error:
            return self._named(error)
        progress.hear(self._said.append, self._bars.append)
        self._loader = Loader(device)
        return ""

    def ping(self) -> Part:
        """How far it is, which shows that it lives."""
        return self._heard()

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
                answers = [(mine[id(request)], completion) for request, completion in batch]
                yield replace(self._heard(), answers=answers)
        except ToxauditError as error:
            self._close()
            yield replace(self._heard(), refusal=self._named(error))

    def fits(self, backend: Backend, arms: Sequence[Any], arm: str, texts: Sequence[str], ask: str, new: int) -> Any:
        """Whether an arm can read each text and write ``new`` tokens after it; or a ``Part`` that says why not."""
        try:
            return self._opened(backend, arms).fits(arm, texts, ask, new)
        except ToxauditError as error:
            self._close()
            return Part(refusal=self._named(error))

    def tune(
        self, arm: ResolvedModel, stage: training.ReadStage, computed: training.Computed, scratch: Path
    ) -> Iterator[Part]:
        """Tune an arm by one stage; what is made comes in pieces, and lies here only until then.

        Args:
            arm: what the stage goes on from.
            stage: with its rows.
            computed: how the audit's own process would compute it.
            scratch: that one's folder for checkpoints, which are written there where it is this machine's, too.
        """
        self._close()
        self._bars.clear()
        assert self._loader is not None  # as it is ready
        with TemporaryDirectory(prefix="toxaudit-") as temporary:
            made, begun = Path(temporary, "made"), Path(temporary, "begun")
            made.mkdir()
            begun.mkdir()
            try:
                arm = files.found(arm, Path(temporary, "arm")) if self._elsewhere else arm
            except ToxauditError as error:
                yield replace(self._heard(), refusal=self._named(error))
                return
            try:
                with threads.exactly(computed.threads), written_alone(scratch, begun) as kept, room_for(made):
                    training.tune(self._loader, arm, stage, computed, made, kept)
            except ToxauditError as error:  # said as it would be there, since results may hold it
                yield replace(self._heard(), refusal=str(error))
                return
            yield self._heard()
            yield from _pieces(made)

    def rest(self) -> None:
        """Give back the memory of what is loaded."""
        self._close()
        if self._loader:
            self._loader.close()

    @property
    def _elsewhere(self) -> bool:
        """Whether this is another node than that of the audit's own process."""
        return self._node != self._told.node

    def _opened(self, backend: Backend, arms: Sequence[Any]) -> Session:
        """A session of these arms: their weights are loaded once, however many shares they answer."""
        if self._session is None or self._holds != (backend, arms):
            self._close()
            assert self._loader is not None  # as it is ready
            here = list(arms)
            if self._elsewhere:
                scratch = Path(self._open.enter_context(TemporaryDirectory(prefix="toxaudit-")))
                here = [files.found(arm, scratch / str(number)) for number, arm in enumerate(arms)]
            self._session = self._open.enter_context(backend.open(self._loader, here))
            self._holds = backend, arms
        return self._session

    def _close(self) -> None:
        self._session, self._holds = None, None
        self._open.close()

    def _heard(self) -> Part:
        """What is to be told of how it goes; another thread may ask for it meanwhile."""
        bar = next((replace(each) for each in list(self._bars)), None)
        return Part(said=[self._said.popleft() for _ in range(len(self._said))], bar=bar)

    def _named(self, error: ToxauditError) -> str:
        """A sentence that says which node it is of, where that is not the audit's own."""
        return f"On node {socket.gethostname()}: {error}" if self._elsewhere else str(error)


def _pieces(folder: Path) -> Iterator[Part]:
    """All files of a folder, piece by piece, and then their digests."""
    made = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    for name, file in made.items():
        with file.open("rb") as opened:
            yield Part(piece=(name, opened.read(PIECE_BYTES)))  # the first one even of an empty file
            while more := opened.read(PIECE_BYTES):
                yield Part(piece=(name, more))
    yield Part(made={name: sha256(file) for name, file in made.items()})


@cache
def code() -> str:
    """SHA-256 over toxaudit's own modules and the versions of the packages that compute."""
    root = Path(toxaudit.__file__).parent
    modules = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.py"))
    versions = identities.versions("torch", "transformers", "peft", "accelerate")
    return digest(*(f"{name}\0{sha256(root / name)}" for name in modules), *(f"{k}={v}" for k, v in versions.items()))
