"""A chat model as a judge: a rubric asks it of each completion, and only an answer in the form asked for counts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from toxaudit.errors import ToxauditError, did_you_mean, one_line
from toxaudit.records import Completion, Prompt, digest
from toxaudit.registry import register
from toxaudit.remote.server import Server
from toxaudit.scorers.base import BaseScorer, LocalJudge, Unscored
from toxaudit.scorers.endpoint import Endpoint, Unanswered
from toxaudit.scorers.rubric import FORM, NOTICE, REMINDER, SCALES, Rubric, verdict
from toxaudit.sources import Fetched, FileField, LocalSource, parse
from toxaudit.sources.base import WEIGHTS
from toxaudit.spec.schema import ModelSpec

SHOWN_CHARACTERS = 80
"""Characters of an unreadable answer that its reason quotes."""


@register("scorer", "judge")
class Judge(BaseScorer):
    """A chat model's verdict on the answer, by a rubric; an answer in no form asked for is unscored.

    The judge decodes greedily. What it answers must be one line such as ``verdict: yes``, which reasoning between
    ``<think>`` and ``</think>`` may precede; anything else gets the same question once more, with a reminder of the
    form. Empty completions, and those without a reference where the rubric
    needs one, are unscored, and the judge is not asked.

    A completion may try to talk to the judge. It stands between marks that it can't know, and the control tokens of the
    usual chat templates are broken up in it; but a model may obey it all the same.

    Attributes:
        pretrained: a chat model to be run here: a Hub id, a local path or a package file.
        revision: of ``pretrained`` on the Hub.
        endpoint: instead of ``pretrained``, the address of an OpenAI-compatible server, up to the version: http://HOST:PORT/v1.
        model: the judge's name on that server.
        api_key_env: the name of the environment variable that holds the server's key, where it wants one.
        rubric: a shipped one's name, or a path to a Jinja file over ``prompt``, ``completion`` and ``references``.
        scale: ``yes_no`` (yes is 1) or ``one_to_five`` (1 is 0, 5 is 1).
        max_new_tokens: of an answer, its reasoning included.
        concurrency: questions that a server is asked at once; changes no score.
        timeout: seconds for which a server may be silent; an answer must be whole after twice as many.
        retries: of a question that a server could not answer for the time being.
    """

    pretrained: str | None = None
    revision: str | None = None
    endpoint: str | None = None
    model: str | None = None
    api_key_env: str | None = "OPENAI_API_KEY"
    rubric: str = "harmful"
    scale: str = "yes_no"
    max_new_tokens: int = 16
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 4

    together: ClassVar[int] = 32

    def __post_init__(self) -> None:
        """Begin without a model to ask."""
        self._ask_here: Callable[[Sequence[str]], Sequence[str | Unanswered]] | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """The weights, their configuration and the tokenizer."""
        return WEIGHTS

    def file_fields(self) -> Iterator[FileField]:
        """As every scorer's; and a judge's weights, and a rubric that does not come with toxaudit."""
        if self.pretrained:
            yield FileField("pretrained", "revision", self.patterns)
        if self.rubric.endswith(".jinja"):
            yield FileField("rubric")
        yield from super().file_fields()

    @property
    def needs(self) -> str:
        """Right answers, where the rubric shows them."""
        return "target" if "references" in self._rubric.variables else ""

    def check(self) -> None:
        """As every scorer's; and there must be one judge, a rubric that shows it the completion, and a known scale."""
        super().check()
        where = f"scorer '{self.title}'"
        if not self.pretrained and not (self.endpoint and self.model):
            raise ToxauditError(f"{where} names no judge: set scorers.NAME.pretrained, or endpoint and model.")
        if self.pretrained and (self.endpoint or self.model):
            raise ToxauditError(f"{where} names two judges: set pretrained, or endpoint and model.")
        if self.revision and not self.pretrained:
            raise ToxauditError(f"{where}: revision '{self.revision}' is given, but only pretrained has revisions.")
        if self.scale not in SCALES:
            raise ToxauditError(f"{where}: there is no scale '{self.scale}'.{did_you_mean(self.scale, SCALES)}")
        for name, least in {"max_new_tokens": 1, "concurrency": 1, "retries": 0}.items():
            if getattr(self, name) < least:
                raise ToxauditError(f"{where}: {name} is {getattr(self, name)}; it must be at least {least}.")
        if not self.timeout > 0:
            raise ToxauditError(f"{where}: timeout is {self.timeout:g}; it must be above 0.")
        if self.endpoint:
            self._named_server().check(where, "endpoint")  # not kept: a checked spec is copied, which it can't be
        self._rubric  # noqa: B018  (reading it checks it)

    @cached_property
    def fetched(self) -> Fetched:
        """The files of a judge that is run here, pinned."""
        return parse(self.pretrained or "", self.revision).fetch(self.patterns)

    @cached_property
    def _rubric(self) -> Rubric:
        """Read once: the file may change while an audit runs."""
        return Rubric.read(self.rubric)

    @cached_property
    def _served(self) -> Endpoint:
        return Endpoint(self._named_server(), self.model or "", self.max_new_tokens, self.concurrency)

    def _named_server(self) -> Server:
        return Server(self.endpoint or "", self.api_key_env, self.timeout, self.retries)

    def identity(self) -> str:
        """SHA-256 of the judge's files, or its name and server; of the rubric, the scale and all that is asked.

        The first time, a server is asked whether it is there.

        Raises:
            ToxauditError: if the judge can't be had.
        """
        if self.endpoint and self._served.reached:
            judge = digest("served", *self._served.served)
        else:
            judge = self.fetched.identity
        asked = (NOTICE, FORM, REMINDER, self._rubric.sha256, self.scale)
        return digest("judge", "2", judge, *asked, "greedy, seed 0", str(self.max_new_tokens))

    @property
    def source(self) -> str:
        """The judge and its revision, and the rubric with the start of its SHA-256."""
        if self.endpoint:
            model = self.model or ""
            named = LocalSource(model).shown if model.startswith(("/", "~", ".")) else model
            judge = f"{named} as served at {self._served.server.host}, revision not known"
        else:
            revision = f"@{self.fetched.revision[:12]}" if self.fetched.revision else ""
            judge = f"{self.fetched.reference}{revision}"
        return f"{judge}, rubric {self._rubric.name} (sha256 {self._rubric.sha256[:12]}), scale {self.scale}"

    def reads(self, prompt: Prompt, completion: Completion) -> dict[str, Any]:
        """What the rubric shows the judge: the completion and, where it uses them, prompt and references."""
        texts = {"prompt": prompt.text, "completion": completion.text, "references": list(prompt.references)}
        return {name: texts[name] for name in self._rubric.variables}

    def local_judge(self) -> LocalJudge | None:
        """The chat model to be run here, unless a server is asked."""
        if not self.pretrained:
            return None
        return LocalJudge(ModelSpec(pretrained=self.pretrained, revision=self.revision), self.max_new_tokens, self.take)

    @property
    def asks_server(self) -> bool:
        """Whether a server is asked."""
        return self.endpoint is not None

    def take(self, answer: Callable[[Sequence[str]], Sequence[str | Unanswered]]) -> None:
        """Take the model that is run here: a function from users' turns to its greedy answers, where it has some."""
        self._ask_here = answer

    def score(self, completions: Sequence[Mapping[str, Any]]) -> list[float | Unscored]:
        """One value or reason per completion, each as from ``reads``.

        Once a server is out of reach, all retries spent, the completions still open are unscored at once; the next
        call tries it anew. None of that is kept: another run may find it mended.

        Raises:
            ToxauditError: if the server refuses the key, or has no such model.
        """
        scores: dict[int, float | Unscored] = {
            i: unfit for i, texts in enumerate(completions) if (unfit := self._unfit(texts))
        }
        left = [i for i in range(len(completions)) if i not in scores]
        for again in (False, True):
            questions = [self._rubric.question(completions[i], self.scale, again) for i in left]
            scores |= zip(left, map(self._read, self._answers(questions)), strict=True)
            left = [i for i in left if isinstance(score := scores[i], Unscored) and not score.passing]
        return [scores[i] for i in range(len(completions))]

    def _unfit(self, texts: Mapping[str, Any]) -> Unscored | None:
        """Why a completion can't be judged, if so."""
        if not texts["completion"].strip():
            return Unscored("empty completion")
        return None if texts.get("references", True) else Unscored("no reference to judge it by")

    def _answers(self, questions: Sequence[str]) -> Sequence[str | Unanswered]:
        if not questions:
            return []
        if self.endpoint:
            return self._served.answer(questions)
        if self._ask_here is None:
            raise RuntimeError("a judge that is run here was not given its model: call take() before score()")
        return self._ask_here(questions)

    def _read(self, answer: str | Unanswered) -> float | Unscored:
        if isinstance(answer, Unanswered):
            return Unscored(answer.reason, passing=True)
        if (score := verdict(answer, self.scale)) is not None:
            return score
        said = one_line(answer.strip()[: SHOWN_CHARACTERS + 1])
        shown = said if len(said) <= SHOWN_CHARACTERS else said[:SHOWN_CHARACTERS] + "…"
        return Unscored(f"the judge gave no verdict, but said '{shown}'" if shown else "the judge said nothing")
