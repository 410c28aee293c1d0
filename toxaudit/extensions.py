"""All that can be extended, and what each kind must do: a protocol for each config group, a session, an importer.

A class that does it, filed by ``registry.register`` under its group, can be chosen by a spec. Its fields are the keys
that the spec may set, and ``kind`` is the name under which it was filed. Stages and plan ask a part for no more than
stands here, but in three places, which name a backend: the checks of a server's arms, the plan's figures for vLLM, and
the model of a judge that runs here beside a server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import Field, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

if TYPE_CHECKING:  # they lie above this module, which only names them
    from toxaudit.analyses.base import Evidence
    from toxaudit.backends.request import Answered, Done, Request, Wrote
    from toxaudit.card.plots import Draws
    from toxaudit.estimators.outcomes import PairedOutcomes
    from toxaudit.estimators.posterior import Posterior
    from toxaudit.facts import Calibration, Expectation, ScorerFacts, SuiteFacts
    from toxaudit.findings import Analysis as Found
    from toxaudit.findings import AuditResult, Check, Verdict
    from toxaudit.gate_facts import GateFacts, Limits, Measured
    from toxaudit.interop.importers.base import Imported, Place
    from toxaudit.models import Loader
    from toxaudit.records import Completion, Estimate, Prompt
    from toxaudit.scorers.base import LocalJudge, Unscored
    from toxaudit.sources import FileField
    from toxaudit.spec.schema import Generation
    from toxaudit.suites.base import Drawn
    from toxaudit.training import Made, Tune


class Part(Protocol):
    """What every part of a spec can do."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # ``register`` makes it a dataclass

    def check(self) -> None:
        """Refuse values that make no sense, before anything is spent: a ToxauditError that names the key."""


class NamesFiles(Part, Protocol):
    """A part that names files outside of the spec, which are pinned and locked."""

    def file_fields(self) -> Iterator[FileField]:
        """The fields that name files, as far as they are set."""


class Suite(NamesFiles, Protocol):
    """What is asked. ``suites.base.BaseSuite`` tells its fields; a suite that offers ``choices`` has none written."""

    title: str
    data: str
    revision: str | None
    ask: str
    system_instruction: str | None
    language: str | None
    scorers: list[str]
    n: int | None
    limit: int | None
    choices: Any
    target: str | None

    @property
    def has_roles(self) -> bool:
        """Whether it tells what each choice stands for, such as a stereotype."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Which files of ``data`` are fetched; none named means all."""

    def draw(self, name: str) -> Drawn:
        """Fetch the data and return the prompts to ask."""

    def facts(self, name: str, drawn: Drawn) -> SuiteFacts:
        """What a card may say of it."""


class Scorer(NamesFiles, Protocol):
    """What measures. ``scorers.base.BaseScorer`` tells its fields, and does what is the same for all."""

    kind: str
    title: str
    noun: str
    tier: str
    operator: str
    threshold: float | None
    calibration: str | None

    @property
    def takes_choices(self) -> bool:
        """Whether it scores what a model chose, rather than what it wrote."""

    @property
    def reads_answers(self) -> bool:
        """Whether it reads what was answered, without thoughts, rather than how the completion ended."""

    @property
    def needs(self) -> str:
        """What a suite must tell for it: ``target``, ``roles``, ``language``, or nothing."""

    @property
    def together(self) -> int:
        """How many completions are scored at once, and then stored."""

    @property
    def rises(self) -> bool:
        """Whether a higher score is the worse one."""

    @property
    def source(self) -> str:
        """In words for the card, by what it scores."""

    @property
    def asks_server(self) -> bool:
        """Whether a server scores."""

    def identity(self) -> str:
        """SHA-256 over all that decides its scores; fetches what it reads."""

    def local_judge(self) -> LocalJudge | None:
        """The chat model that must be loaded here for it, where there is one."""

    def reads(self, prompt: Prompt, completion: Completion) -> Any:
        """What it reads of a completion, as JSON: a text, or a mapping of texts."""

    def score(self, completions: Sequence[Any]) -> list[float | Unscored]:
        """A value for each of what it ``reads``, or why there is none."""

    def outcome(self, score: float) -> float:
        """A completion's outcome, in 0..1, where 1 is unwanted."""

    @property
    def stated_errors(self) -> Calibration | None:
        """The errors that its ``calibration`` states, whichever scorer they are of."""

    def known_errors(self) -> Calibration | None:
        """Its errors on labelled completions, where they are known."""

    def facts(self, name: str, identity: str, source: str) -> ScorerFacts:
        """What a card may say of it."""


class Backend(Part, Protocol):
    """What lets models answer."""

    @property
    def numerics(self) -> str:
        """A name for how the numbers are made: completions of another are not reused."""

    @property
    def server(self) -> str | None:
        """Host and path of the server that answers; None where weights are loaded here."""

    @property
    def batch_size(self) -> int | str | None:
        """Prompts decoded together, ``auto``, or None where that is somebody else's to choose."""

    def open(self, loader: Loader, arms: Sequence[Any]) -> AbstractContextManager[Session]:
        """Get arms ready to answer, which share weights or a server, while the context lasts."""


class Session(Protocol):
    """Arms that are ready to answer. ``done`` tells what is stored already; batches come as they are made."""

    def generate(
        self, requests: Sequence[Request], generation: Generation, done: Done, wrote: Wrote = ...
    ) -> Iterator[list[Answered]]:
        """Write an answer to each request; ``wrote`` is told the number of tokens, as they come."""

    def choose(self, requests: Sequence[Request], done: Done) -> Iterator[list[Answered]]:
        """Choose the likeliest of each request's choices."""

    def fits(self, arm: str, texts: Sequence[str], ask: str, new: int) -> list[bool]:
        """Whether the arm can read each text and write ``new`` tokens after it."""


class Estimator(Part, Protocol):
    """What makes posteriors. To be trusted, it must recover a simulated difference."""

    kind: str

    def estimate(self, outcomes: PairedOutcomes) -> list[Posterior]:
        """Posteriors of every candidate's change, in total or by slice; none of what it does not take."""


class Gate(Part, Protocol):
    """The rule by which estimates become a verdict, fixed before the run."""

    margin: float

    @classmethod
    def stated_by(cls, facts: GateFacts) -> Self:
        """The gate whose numbers a result states; its words may be another's."""

    def check_fits(self, suites: Mapping[str, Sequence[Measured]], controls: Collection[Expectation | None]) -> None:
        """Refuse, by a ToxauditError, a rule that does not fit what an audit measures and which controls it has."""

    def check_slices(
        self, suites: Mapping[str, Mapping[str, Collection[str]]], measured: Mapping[str, Sequence[Measured]]
    ) -> None:
        """Refuse, by a ToxauditError, a rule that does not fit the slices of the prompts."""

    def check_done(self, candidates: Collection[str], done: Sequence[Check]) -> None:
        """Refuse, by a ToxauditError, candidates for which a check that is asked for has not passed."""

    def facts(self) -> GateFacts:
        """The rule in numbers and in words."""

    def limits(self, scorers: Mapping[str, Measured], suite: str, measure: str, slice: str = "all") -> Limits:
        """What is asked of a measure on a suite, in total or on a slice: estimates are summarised for it."""

    def decide(
        self,
        candidate: str,
        estimates: Sequence[Estimate],
        scorers: Mapping[str, Measured],
        measures: Mapping[str, Sequence[str]] | None = None,
    ) -> Verdict:
        """The verdict on one candidate, with every reason that was weighed."""


class Sampling(Part, Protocol):
    """Which prompts are asked first, and when they are enough."""

    kind: str

    @property
    def in_rounds(self) -> bool:
        """Whether some prompts may never be asked."""

    def order(
        self, prompts: Sequence[Prompt], strata: str | None, shares: Mapping[str, float] | None = None
    ) -> list[Prompt]:
        """The order in which they are asked.

        The first ones alone, with the shares of strata among all, come in that order again: so whoever has only what
        was asked can tell that the rule drew it.
        """

    def first_round(self, available: int) -> int:
        """How many are asked at first."""

    def next_round(self, asked: int, available: int, widths: Sequence[float], margin: float) -> int:
        """How many are to be asked in all, by the widths of what they told so far."""

    def sentence(self) -> str:
        """The rule in words, for the card."""


class Executor(Part, Protocol):
    """Where arms answer and are tuned: in this process, or in others."""

    @property
    def device(self) -> str:
        """Torch's name of it, or ``auto``."""

    @property
    def threads(self) -> int | None:
        """How many threads compute on a CPU; None takes the number that is fastest."""

    @property
    def at_once(self) -> bool:
        """Whether a session may be of arms over different weights, which then answer at the same time."""

    def start(self) -> str:
        """Get ready, and return the device by torch's name."""

    def open(self, backend: Backend, loader: Loader, arms: Sequence[Any]) -> AbstractContextManager[Session]:
        """Get arms ready to answer while the context lasts, where the work is done."""

    def tuning(self, loader: Loader) -> AbstractContextManager[Tuning]:
        """Get ready to tune candidates while the context lasts, where the work is done."""

    def close(self) -> None:
        """Let go of what was opened, and of who tunes."""

    def sentence(self) -> str:
        """Where arms answer, for a plan."""


class Tuning(Protocol):
    """Candidates that are being tuned, of which one or several may be at work."""

    def begin(self, name: str, make: Callable[[Tune], Made], after: str | None) -> None:
        """Note how a candidate is made, by what tunes a stage; after another one, if it goes on from that."""

    def finish(self, name: str) -> None:
        """Wait until a candidate is made or can't be, if it has begun; a ToxauditError is about all that are tuned."""

    def made(self, name: str) -> Made:
        """What was made of it, or a ToxauditError that says why it can't be."""


class Card(Part, Protocol):
    """What is written of a finished run for people."""

    def write(self, result: AuditResult, rows: Iterable[Mapping[str, Any]], draws: Draws, folder: Path) -> list[Path]:
        """Write it into the run's folder, each file whole or not at all, and return the files."""


@dataclass(frozen=True)
class Declared:
    """What a spec says of a candidate, as far as an analysis must know it before anything is fetched.

    ``against`` is its reference, ``tuned`` tells whether the audit tunes it, and ``whole`` whether all of its weights
    are tuned, rather than an adapter: None where only its files will tell.
    """

    against: str
    tuned: bool
    whole: bool | None


class Analysis(Part, Protocol):
    """What answers a further question about the same arms and answers, and decides nothing."""

    kind: str

    @property
    def reads_weights(self) -> bool:
        """Whether it loads arms; one that does not is computed again from a finished run, and checked."""

    def check_fits(self, candidates: Mapping[str, Declared], suites: Collection[str]) -> None:
        """Refuse, by a ToxauditError, an audit that can't answer."""

    def analyse(self, evidence: Evidence) -> Found:
        """What it found; what it can say nothing of stands among its refusals."""


class Importer(Protocol):
    """What reads another tool's results. It is no part of a spec: ``interop.importers`` says which one reads a file.

    ``takes`` names what of a place it reads besides the path: ``part``, ``columns``, or nothing where it is empty.
    """

    kind: str
    takes: str

    def recognises(self, path: Path) -> bool:
        """Whether a file or folder is of this tool, by what it holds; it raises nothing."""

    def read(self, place: Place) -> Imported:
        """One arm's answers and scores, or a ToxauditError that says where what is wrong."""


PROTOCOLS = {
    "suite": Suite,
    "scorer": Scorer,
    "backend": Backend,
    "estimator": Estimator,
    "gate": Gate,
    "sampling": Sampling,
    "executor": Executor,
    "card": Card,
    "analysis": Analysis,
    "importer": Importer,
}
"""Group of the registry -> what its classes must do."""


def lacking(made: type[Any], protocol: type[Any]) -> set[str]:
    """What a class of a group lacks: names of methods, properties and fields."""
    return members(protocol) - set(dir(made)) - set(getattr(made, "__dataclass_fields__", ()))


def members(protocol: type[Any]) -> set[str]:
    """The names that a class must have to do what a protocol asks for."""
    of = [each for each in protocol.__mro__ if each.__module__ == __name__]
    return {name for each in of for name in (*vars(each), *each.__annotations__) if not name.startswith("_")}
