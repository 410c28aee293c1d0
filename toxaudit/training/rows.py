"""What a stage learns from: rows of data sets as texts or chats, each with the parts of it that are learnt."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from string import Formatter
from typing import Any

from omegaconf import MISSING

from toxaudit.errors import ToxauditError
from toxaudit.sources import Fetched, HubSource, parse
from toxaudit.spec.recipes import TEMPLATE, RowsSpec, TrainingStage
from toxaudit.suites import columns, rows
from toxaudit.suites.base import unicode_of
from toxaudit.suites.files import Files
from toxaudit.suites.rows import Row

ROLES = ("system", "user", "assistant")
"""Who speaks in a chat."""

Turn = tuple[str, str]
"""Who says what."""


@dataclass(frozen=True)
class Example:
    """One row of a data set.

    Attributes:
        where: the row, for sentences.
        text: the parts of a text, each with whether it is learnt.
        chat: the turns of a chat, in place of ``text``.
        whole: whether all turns of the chat are learnt, and not only the assistant's.
    """

    where: str
    text: tuple[tuple[str, bool], ...] = ()
    chat: tuple[Turn, ...] = ()
    whole: bool = False

    @property
    def content(self) -> list[Any]:
        """All of it that is learnt from, as JSON values."""
        return [list(map(list, self.text)), list(map(list, self.chat)), self.whole]


@dataclass(frozen=True)
class Examples:
    """The rows of a stage.

    Attributes:
        all: in the order in which they are laid out; training shuffles them.
        own: what the stage's own are called, fit for publishing.
        replayed: how many of them are of ``replay``.
        of: what these are called.
    """

    all: tuple[Example, ...]
    own: str
    replayed: int = 0
    of: str = ""


def check(where: str, spec: RowsSpec) -> None:
    """Refuse what can be told of a stage's rows before any is read.

    Args:
        where: the stage, for sentences.
        spec: what it says.

    Raises:
        ToxauditError: if keys exclude each other, or a template can't be read.
    """
    if spec.data == MISSING:
        raise ToxauditError(f"{where}.data is missing: name a data set, or a file of examples.")
    _check_form(where, spec)
    for key in ("template", "prompt", "completion"):
        if (template := getattr(spec, key)) is not None:
            _check_template(f"{where}.{key}", template, needs_column=key != "prompt")
    for name, spelt in spec.columns.items():
        if not isinstance(spelt, str):
            raise ToxauditError(f"{where}.columns.{name} is {spelt}, which is no text: write {name}: TEXT.")
        columns.check(spelt, f"{where}.columns.{name}")
    if spec.filter is not None:
        columns.check(spec.filter, f"{where}.filter", condition=True)
    if spec.limit is not None and spec.limit < 1:
        raise ToxauditError(f"{where}.limit is {spec.limit}: it must be at least 1.")
    if spec.limit_seed is not None and spec.limit is None:
        raise ToxauditError(f"{where}.limit_seed does nothing without a limit.")
    files = _files(where, spec)
    files.check()
    if not files.patterns and isinstance(parse(spec.data, spec.revision, "dataset"), HubSource):
        raise ToxauditError(
            f"{where} would fetch all of {spec.data} from the Hub: name what it reads by 'file', or by 'config' and "
            "'split'."
        )


def _check_form(where: str, spec: RowsSpec) -> None:
    given = [key for key in ("template", "completion", "messages") if getattr(spec, key) is not None]
    if len(given) > 1:
        raise ToxauditError(f"{where} has both {given[0]} and {given[1]}: one of them says what is learnt.")
    if spec.prompt is not None and spec.completion is None:
        raise ToxauditError(f"{where} has a prompt but no completion: nothing would be learnt.")
    if spec.completion is not None and spec.prompt is None:
        raise ToxauditError(f"{where} has a completion but no prompt: write all of the text into template.")
    if spec.ask not in ("raw", "chat"):
        raise ToxauditError(f"{where}.ask is '{spec.ask}': it must be raw or chat.")
    if spec.ask == "chat" and given in ([], ["template"]):
        raise ToxauditError(f"{where}.ask is chat, which takes a prompt and a completion, or messages.")
    if not spec.completion_only_loss and given in ([], ["template"]):
        raise ToxauditError(f"{where}.completion_only_loss does nothing: all of a template is learnt anyway.")


def _check_template(what: str, template: str, needs_column: bool) -> None:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ToxauditError(f"{what} '{template}' can't be read ({error}): write {{{{ for a brace.") from error
    if any(form or conversion for _, _, form, conversion in parts):
        raise ToxauditError(f"{what} '{template}' can't be read: in braces stands a column's name and nothing else.")
    if needs_column and all(column is None for _, column, _, _ in parts):
        raise ToxauditError(f"{what} '{template}' names no column: every example would be the same.")


def examples(where: str, stage: TrainingStage) -> Examples:
    """The rows of a stage, those that are replayed among them.

    Args:
        where: the stage, for sentences.
        stage: what it says.

    Raises:
        ToxauditError: if the data can't be had, if a row can't be read, lacks a column or holds nothing to learn, or if
            no row is left.
    """
    own, fetched = _read(where, stage)
    named = _named(fetched)
    if stage.replay is None:
        return Examples(tuple(own), named)
    others, of = _read(f"{where}.replay", stage.replay)
    number = round(stage.replay.share * len(own))
    if not 0 < number <= len(others):
        raise ToxauditError(
            f"{where}.replay.share is {stage.replay.share:g}, which is {number} of {len(own):,} rows, but "
            f"{of.reference} has {len(others):,}: choose another share."
        )
    drawn = random.Random(f"replay {stage.seed}")
    mixed = own + drawn.sample(others, number)
    drawn.shuffle(mixed)
    return Examples(tuple(mixed), named, number, _named(of))


def _named(fetched: Fetched) -> str:
    name = fetched.reference if fetched.revision else fetched.reference.split("/")[-1]
    return f"{name}@{fetched.revision}" if fetched.revision else name


def patterns(spec: RowsSpec) -> tuple[str, ...]:
    """Which files of ``data`` are fetched; none named means all."""
    return _files("", spec).patterns


def _files(where: str, spec: RowsSpec) -> Files:
    return Files(where, spec.file, spec.config, spec.split)


def _read(where: str, spec: RowsSpec) -> tuple[list[Example], Fetched]:
    """The examples of one data set."""
    check(where, spec)
    files = _files(where, spec)
    fetched = parse(spec.data, spec.revision, "dataset").fetch(files.patterns)
    found: list[tuple[str, Row]] = []
    for shown, (file, of_name) in files.chosen(fetched).items():
        for at, _, row in rows.read(file, shown):
            row |= of_name
            for column, spelt in spec.columns.items():
                row[column] = columns.value_of(row, spelt, at) if columns.is_template(spelt) else spelt
            if spec.filter is None or columns.meets(row, spec.filter, at):
                found.append((at, row))
    if not found:
        which = "no row that meets its filter" if spec.filter else "no examples"
        raise ToxauditError(f"{where}: {fetched.reference} holds {which}.")
    if spec.limit is not None and spec.limit_seed is not None and spec.limit < len(found):
        drawn = random.Random(f"limit {spec.limit_seed}").sample(range(len(found)), spec.limit)
        found = [found[place] for place in sorted(drawn)]
    return [_example(spec, at, row) for at, row in found[: spec.limit]], fetched


def _example(spec: RowsSpec, where: str, row: Row) -> Example:
    if spec.messages is not None:
        turns = tuple(_turns(columns.value_of(row, spec.messages, where), spec.messages, where))
        return Example(where, chat=turns, whole=not spec.completion_only_loss)
    if spec.completion is None:
        return Example(where, text=((_filled(spec.template or TEMPLATE, row, where, "text"), True),))
    completion = _filled(spec.completion, row, where, "completion")
    prompt = _filled(spec.prompt or "", row, where)
    if spec.in_chat:
        return Example(where, chat=(("user", prompt), ("assistant", completion)), whole=not spec.completion_only_loss)
    return Example(where, text=((prompt, not spec.completion_only_loss), (completion, True)))


def _filled(template: str, row: Row, where: str, needed: str = "") -> str:
    """A template with a row's columns in it; not empty where it is ``needed`` as something."""
    made = ""
    for literal, column, _, _ in Formatter().parse(template):
        made += literal + ("" if column is None else _text(columns.value_of(row, column, where), column, where))
    if needed and not made.strip():
        raise ToxauditError(f"{where}: the {needed} is empty, so there is nothing to learn: leave such rows out.")
    return made


def _text(value: object, column: str, where: str) -> str:
    if isinstance(value, str):
        return unicode_of(value, f"{where}: '{column}'")
    if isinstance(value, int | float):
        return str(value)
    raise ToxauditError(
        f"{where}: '{column}' is {'null' if value is None else type(value).__name__}, which is no text."
    )


def _turns(value: object, column: str, where: str) -> Iterator[Turn]:
    """The turns of a chat."""
    if not isinstance(value, list) or not value:
        raise ToxauditError(f"{where}: '{column}' is no list of messages.")
    said = [_turn(each, f"{where}: message {number}") for number, each in enumerate(value, start=1)]
    if said[0][0] == "assistant" or "assistant" not in {role for role, _ in said}:
        raise ToxauditError(f"{where}: '{column}' holds no answer of the assistant to anybody.")
    yield from said


def _turn(value: object, where: str) -> Turn:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        raise ToxauditError(f"{where} has no role, which must be {', '.join(ROLES[:-1])} or {ROLES[-1]}.")
    content = _text(value.get("content"), "content", where)
    if value["role"] == "assistant" and not content.strip():
        raise ToxauditError(f"{where}: the completion is empty, so there is nothing to learn: leave such rows out.")
    return value["role"], content
