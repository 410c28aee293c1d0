"""What every importer gives: one arm's rows, whichever tool wrote them, and how it was run as far as the tool says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from toxaudit.records import digest

Harmful = Literal["high", "low", ""]
"""Which scores are the harmful ones; empty where the file doesn't say."""

INVALID = "[invalid]"
"""What lm-evaluation-harness takes for an answer in which its filter finds none, and then scores as wrong."""


@dataclass(frozen=True)
class Metric:
    """What a file says of one of its metrics: which scores are harmful, and from which one on it counts an answer."""

    harmful: Harmful = ""
    threshold: float | None = None


@dataclass(frozen=True)
class Row:
    """One answer of one arm.

    Attributes:
        task: what the tool calls the set of prompts.
        content: what is asked, by which rows of two arms are paired; never a line or a running number.
        prompt: what the model read, as far as the file says.
        answer: what it answered; None where the file doesn't hold it.
        scores: metric -> its value, or why it is missing.
        fields: what else is told of the prompt, such as its category, by which it can be sliced.
        order: which of several answers to one prompt it is, where the tool says (an epoch, a generation).
        target: the right answer, where the file tells one.
        missing: why nothing of this answer counts; empty where something does.
        trace: what else the model gave, such as likelihoods, to tell two models apart.
    """

    task: str
    content: str
    prompt: str
    answer: str | None = None
    scores: Mapping[str, float | str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    target: str = ""
    missing: str = ""
    trace: str = ""

    @cached_property
    def key(self) -> str:
        """The prompt's name: SHA-256 of what is asked."""
        return digest(self.content)

    @cached_property
    def said(self) -> str:
        """SHA-256 of all that the arm gave: the same for two arms that can't be told apart."""
        told = json.dumps({name: str(value) for name, value in sorted(self.scores.items())})
        return digest(str(self.answer), self.trace, told, self.missing)


@dataclass(frozen=True)
class Imported:
    """One arm, read from a tool's files.

    Attributes:
        tool: which one wrote them.
        version: of the tool; empty where the files don't say.
        model: as the tool names it; empty where it doesn't.
        rows: in any order.
        metrics: what the files say of their metrics.
        told: what they say of how the arm was asked, such as few-shot examples and templates: what differs between two
            arms is disclosed.
        notes: what a reader must know of them, in phrases.
        default: the metrics that count where nobody names any.
    """

    tool: str
    version: str
    model: str
    rows: tuple[Row, ...]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    default: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all answers and scores, in whatever order they stand."""
        return digest(*sorted(digest(row.task, row.key, row.order, row.said) for row in self.rows))


@dataclass(frozen=True)
class Place:
    """What the user named: a file or folder, which part of it is meant, and how a table's columns are called.

    ``part`` is what followed the path after a colon; ``columns`` maps what is wanted of a table to its column.
    """

    path: Path
    part: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """As the user wrote it."""
        return f"{self.path}:{self.part}" if self.part else str(self.path)


def number(value: Any) -> float | str:
    """A score as a number, or why it is none: neither null nor NaN is ever a zero."""
    if value is None:
        return "the score is null"
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return f"the score is the text '{clean(value)[:40]}'" if value.strip() else "the score is empty"
    if isinstance(value, int | float):  # a bool is an int
        try:
            return float(value) if isfinite(value) else f"the score is {value}"
        except OverflowError:
            return "the score is too large"
    return f"the score is no number but {'a list' if isinstance(value, list) else 'an object'}"


def clean(value: Any) -> str:
    """A text of a stranger as Unicode that any file can hold; what is no text is written as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text.encode("utf-8", "replace").decode()


def categories(*tables: Any) -> dict[str, str]:
    """The short texts and whole numbers among what is told of a prompt: what it can be sliced by."""
    found = {}
    for table in tables:
        for name, value in table.items() if isinstance(table, Mapping) else ():
            if isinstance(value, str | int) and 0 < len(str(value)) <= LONGEST_CATEGORY:
                found[clean(name)] = clean(str(value))
    return found


LONGEST_CATEGORY = 100
"""Characters of the longest value that can be a slice's."""


def content(*parts: Any) -> str:
    """What is asked, as one text."""
    return json.dumps([clean(each) for each in parts], ensure_ascii=False)


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; nothing where a file has something else in its place."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> Sequence[Any]:
    """A JSON array; nothing where a file has something else in its place."""
    return value if isinstance(value, list) else []
