"""What the Hub says of the repositories that a spec names: asked all at once, and waited for only so long."""

import queue
import threading
from collections.abc import Iterable
from time import monotonic

from toxaudit.errors import ToxauditError
from toxaudit.sources import HubSource, RepositoryFacts, Source

SECONDS = 1.5
"""How long the Hub is waited for, however many repositories there are."""

ASKERS = 16


class Inquiry:
    """Questions under way. Their threads are daemons: one that hangs keeps no process from ending."""

    def __init__(self, sources: Iterable[Source], seconds: float = SECONDS) -> None:
        """Begin to ask of those of ``sources`` that are on the Hub; of none where HF_HUB_OFFLINE is set."""
        from huggingface_hub import HfApi, is_offline_mode  # noqa: F401  (imported once, before the threads need it)

        self.offline = is_offline_mode()
        self._answers: dict[Source, RepositoryFacts | str | None] = {}
        self._asked = list(dict.fromkeys(source for source in sources if isinstance(source, HubSource)))
        self._replies: queue.SimpleQueue[tuple[HubSource, RepositoryFacts | str | None]] = queue.SimpleQueue()
        self._seconds, self._end = seconds, monotonic() + seconds
        self._left = 0 if self.offline else len(self._asked)
        questions: queue.SimpleQueue[HubSource] = queue.SimpleQueue()
        for source in self._asked:
            questions.put(source)
        for _ in range(min(ASKERS, self._left)):
            threading.Thread(target=self._ask, args=(questions,), daemon=True).start()

    def _ask(self, questions: "queue.SimpleQueue[HubSource]") -> None:
        while (left := self._end - monotonic()) > 0:
            try:
                source = questions.get_nowait()
            except queue.Empty:
                return
            self._replies.put((source, _answer(source, left)))

    def wait(self) -> None:
        """Take in the answers, until all are there or the time is over."""
        while self._left and (left := self._end - monotonic()) > 0:
            try:
                source, answer = self._replies.get(timeout=left)
            except queue.Empty:
                return
            self._answers[source] = answer
            self._left -= 1

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
        return [answer for answer in map(self.problem, self._asked) if answer]

    @property
    def unresolved(self) -> list[str]:
        """The repositories that nothing was heard of."""
        return list(dict.fromkeys(each.reference for each in self._asked if self._answers.get(each) is None))

    @property
    def why(self) -> str:
        """Why there are such."""
        if self.offline:
            return "HF_HUB_OFFLINE is set"
        if self._left:
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
