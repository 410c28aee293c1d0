"""What the Hub says of the repositories that a spec names: asked all at once, and waited for only so long."""

from collections.abc import Iterable
from threading import Event, Thread
from time import monotonic

from toxaudit.errors import ToxauditError
from toxaudit.remote.at_once import all_at_once
from toxaudit.sources import HubSource, RepositoryFacts, Source

HUB_WAIT_SECONDS = 1.5
"""How long the Hub is waited for, however many repositories there are."""

REPOSITORIES_AT_ONCE = 16
"""How many repositories the Hub is asked of at once."""


class Inquiry:
    """Questions under way. Their threads are daemons: one that hangs keeps no process from ending."""

    def __init__(self, sources: Iterable[Source], seconds: float = HUB_WAIT_SECONDS) -> None:
        """Begin to ask of those of ``sources`` that are on the Hub; of none where HF_HUB_OFFLINE is set."""
        from huggingface_hub import HfApi, is_offline_mode  # noqa: F401  (imported once, before the threads need it)

        self.offline = is_offline_mode()
        self._repositories = list(dict.fromkeys(source for source in sources if isinstance(source, HubSource)))
        self._seconds, self._end = seconds, monotonic() + seconds
        self._arriving: dict[Source, RepositoryFacts | str | None] = {}
        self._answers: dict[Source, RepositoryFacts | str | None] = {}
        self._asking = Thread(target=self._ask, daemon=True)
        if not self.offline:
            self._asking.start()

    def _ask(self) -> None:
        for answered in all_at_once(self._answer, self._repositories, REPOSITORIES_AT_ONCE, Event()):
            if monotonic() < self._end:  # else nobody answered in time
                self._arriving.update(answered)

    def _answer(self, source: HubSource) -> RepositoryFacts | str | None:
        left = self._end - monotonic()
        return _answer(source, left) if left > 0 else None

    def wait(self) -> None:
        """Take in the answers, until all are there or the time is over."""
        if not self.offline:
            self._asking.join(max(0.0, self._end - monotonic()))
            self._answers = dict(self._arriving)  # what comes later changes nothing that is said already

    def facts(self, source: Source) -> RepositoryFacts | None:
        """What the Hub said of a repository, if it said anything."""
        answer = self._answers.get(source)
        return answer if isinstance(answer, RepositoryFacts) else None

    def problem(self, source: Source) -> str | None:
        """The sentence with which the Hub refused it, if it did."""
        answer = self._answers.get(source)
        return answer if isinstance(answer, str) else None

    @property
    def problems(self) -> list[str]:
        """All such sentences."""
        return [answer for answer in map(self.problem, self._repositories) if answer]

    @property
    def unresolved(self) -> list[str]:
        """The repositories that nothing was heard of."""
        return list(
            dict.fromkeys(source.reference for source in self._repositories if self._answers.get(source) is None)
        )

    @property
    def why(self) -> str:
        """Why there are such."""
        if self.offline:
            return "HF_HUB_OFFLINE is set"
        if len(self._answers) < len(self._repositories):
            return f"no answer from the Hub within {self._seconds:g} s"
        return "no answer from the Hub" if any(self._answers.values()) else "the Hub is out of reach"


def _answer(source: HubSource, seconds: float) -> RepositoryFacts | str | None:
    """What the Hub says of a repository, or the sentence with which it refuses, or None where it is out of reach."""
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return source.facts(seconds)
    except ToxauditError as error:
        refused = isinstance(error.__cause__, RepositoryNotFoundError | RevisionNotFoundError | HFValidationError)
        return str(error) if refused else None
    except Exception as error:  # there is no telling what something else than the Hub answers, such as a login page
        return f"{source.reference} could not be looked up: what answers is no Hub ({type(error).__name__})."
