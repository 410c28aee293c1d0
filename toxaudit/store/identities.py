"""What each kind of finished work is named by: the one place that states it.

Work is found again where its whole identity is the same, so an identity holds all that changes the work, and nothing
else: no batch size of generation, no folder. Whoever changes how a kind of work is made raises its version; whoever
changes a field makes all that users have kept of that kind unfindable. The table in ARCHITECTURE.md says the same in
short.
"""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar

from toxaudit.records import digest


def key(kind: str, content: Mapping[str, Any]) -> str:
    """The name of the work of this kind whose identity has this content (JSON values): hex, 24 characters."""
    return digest(kind, json.dumps(content, sort_keys=True, ensure_ascii=False))[:24]


installed = cache(importlib.metadata.version)
"""What is installed stays so while a process lasts, and to look it up takes milliseconds."""


def versions(*packages: str) -> dict[str, str]:
    """The installed version of each package."""
    return {package: installed(package) for package in packages}


@dataclass(frozen=True)
class Identity:
    """All that names one piece of finished work; each kind of work has a class of its own.

    Attributes:
        kind: the kind of work, which is also its folder's name in the store.
        version: raised when the work is made in another way from the same fields.
        record: in words, what names one record of a shelf; empty where the work is a folder.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    record: ClassVar[str] = ""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The fields as they are written in the store."""
        return tuple(_written(each.name) for each in fields(cls))

    @property
    def content(self) -> dict[str, Any]:
        """The version and every field, but those that are None."""
        values = {_written(each.name): getattr(self, each.name) for each in fields(self)}
        return {"version": self.version} | {name: value for name, value in values.items() if value is not None}

    @property
    def key(self) -> str:
        """The name of this work among others of its kind: hex, 24 characters."""
        return key(self.kind, self.content)


@dataclass(frozen=True)
class View(Identity):
    """A folder of links to the files of a model that were hashed, and to nothing else.

    Attributes:
        root: the folder that holds the files, to which the links lead.
        files: each file's name and SHA-256, so that changed files get new links.
    """

    kind = "views"

    root: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Conversion(Identity):
    """A GGUF file as a folder of safetensors.

    Attributes:
        gguf: the file's SHA-256.
        transformers: the version of the package that converts.
    """

    kind = "converted"

    gguf: str
    transformers: str


@dataclass(frozen=True)
class Trained(Identity):
    """What the stages of a recipe made, up to one of them: an adapter, or whole weights.

    Attributes:
        root: SHA-256 of what the first stage goes on from: weights, adapter, tokenizer, chat template.
        stages: the recipe up to here, each stage's settings with its rows themselves: where these lie is no part.
        computed: on what kind of device, and on a CPU by how many threads, whose sums are added up in another order.
        stored_in: the number format of whole weights; None where only one adapter is tuned.
        made_with: the versions of the packages that tune.
    """

    kind = "trained"

    root: str
    stages: Sequence[Mapping[str, Any]]
    computed: Mapping[str, Any]
    stored_in: str | None
    made_with: Mapping[str, str]


@dataclass(frozen=True)
class Merged(Identity):
    """Whole weights with an adapter's changes in them.

    Attributes:
        weights: SHA-256 of the weights below.
        adapter: SHA-256 of the adapter.
        stored_in: the number format.
        made_with: the versions of the packages that merge.
    """

    kind = "merged"

    weights: str
    adapter: str
    stored_in: str
    made_with: Mapping[str, str]


@dataclass(frozen=True)
class Sum(Identity):
    """An arm moved by what others differ from the base: an adapter, or whole weights.

    Attributes:
        base: SHA-256 of the base.
        into: SHA-256 of the arm that is moved.
        moved: of each other arm its SHA-256 and its weight.
        made_with: the versions of the packages that compute it.
    """

    kind = "sums"

    base: str
    into: str
    moved: Sequence[Sequence[Any]]
    made_with: Mapping[str, str]


@dataclass(frozen=True)
class Checks(Identity):
    """What the checks found of the arms over one base.

    Attributes:
        base: SHA-256 of the base, over whose weights arms are loaded.
        made_with: the versions of the packages that load and run arms; empty where a server runs them.
    """

    kind = "checks"
    version = 2
    record = (
        "the arm's digest, whether a suite asks by chat template, which if not its own, what that takes besides, the "
        "system prompts, its reference if that is not the base; what was asked again"
    )

    base: str
    made_with: Mapping[str, str]


@dataclass(frozen=True)
class Commitments(Identity):
    """What an audit commits to before its first prompt is asked.

    Attributes:
        spec: SHA-256 of the spec, as far as it changes more than where, how fast and how it is shown.
        policy: SHA-256 of the gate's facts.
        lock: SHA-256 of all that the spec names.
        prompts: SHA-256 of the prompts that could be asked.
    """

    kind = "commitments"
    record = "being the first"

    spec: str
    policy: str
    lock: str
    prompts: str


@dataclass(frozen=True)
class Completions(Identity):
    """What one arm answers, asked in one way.

    Attributes:
        model: SHA-256 of weights, adapter, tokenizer, number format and a control's batch size; or of a server and the
            model's name there.
        backend: the backend's numerics, since not all compute the same logits.
        generation: the decoding settings, without the seed where nothing is drawn; ``choices`` where the answer is
            chosen by likelihood, on which no such setting bears.
        ask: whether prompts go through the chat template.
        made_with: the versions of the packages that compute; None where a server does: it is asked nothing anew because
            of what is installed here.
        system: the system prompt, None for none.
        template: how a chat template is given what the user says and what it takes besides, which one it is where that
            is not the model's own, and how thoughts are kept; None where prompts go through none.
    """

    kind = "completions"
    record = "the prompt's text and choices, the sample's number"

    model: str
    backend: str
    generation: Mapping[str, Any] | str
    ask: str
    made_with: Mapping[str, str] | None
    system: str | None
    template: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Scores(Identity):
    """What one scorer says; the last three fields are None unless the scorer is a judge that runs on this machine.

    Attributes:
        scorer: SHA-256 of the scorer's weights and of the settings that change a score.
        judge: SHA-256 of the judge's weights, tokenizer and number format.
        backend: the numerics of the backend that runs the judge.
        made_with: the versions of the packages that compute the judge's answers.
    """

    kind = "scores"
    record = "what the scorer reads: the completion's text, for some the prompt, references, likelihoods"

    scorer: str
    judge: str | None = None
    backend: str | None = None
    made_with: Mapping[str, str] | None = None


MODELS = {"hier_paired": 3}
"""Estimators whose model, or what they tell of it, was changed -> which one it is; whoever changes it raises this."""


@dataclass(frozen=True)
class Posteriors(Identity):
    """The posteriors of all candidates on one suite by one measure.

    Attributes:
        estimator: the estimator's kind.
        settings: all of its settings: prior, number of draws, seed.
        outcomes: SHA-256 of all that an estimator is given.
        model: its place in ``MODELS``.
    """

    kind = "posteriors"
    version = 4

    estimator: str
    settings: Mapping[str, Any]
    outcomes: str
    model: int | None = None


@dataclass(frozen=True)
class Decisions(Identity):
    """By which rules one candidate's answers to one suite were decided, and how.

    Attributes:
        base: SHA-256 of the arm that the candidate is compared with.
        candidate: SHA-256 of the candidate.
        prompts: SHA-256 of the prompts that could be asked.
        asked: SHA-256 of how: decoding settings and system prompts.
    """

    kind = "decisions"
    record = "the rule: the gate's numbers, sampling, estimators, which measures count, and how"

    base: str
    candidate: str
    prompts: str
    asked: str


@dataclass(frozen=True)
class Runs(Identity):
    """Of what finished work each run was made: all of a store's runs are one shelf."""

    kind = "runs"
    record = "the run's folder, its results"


KINDS: tuple[type[Identity], ...] = (
    *(View, Conversion, Trained, Merged, Sum, Checks, Commitments),
    *(Completions, Scores, Posteriors, Decisions, Runs),
)
"""Every kind of finished work, in the order in which an audit makes them."""


def _written(name: str) -> str:
    return name.replace("_", " ")
