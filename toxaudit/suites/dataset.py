"""Prompts in rows of data: a set on the Hub, in a package, on the web, or a file of your own."""

import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.records import Prompt
from toxaudit.registry import register
from toxaudit.sources import Fetched, parse
from toxaudit.suites import columns, rows
from toxaudit.suites.base import BaseSuite, text_of, unicode_of
from toxaudit.suites.rows import Row


@register("suite", "dataset")
class Dataset(BaseSuite):
    """One row, one prompt; a row whose text is a list makes one prompt of each.

    Wherever a column is wanted, ``a.b`` is column b of the object in column a, and a text with ``{{`` in it is a Jinja
    template over the columns.

    Attributes:
        config, split: of a set on the Hub whose files are laid out as the Hub does it; ``file`` says it otherwise.
        file: the files' names, where ``data`` holds several: with ``*``, or with a column's name in braces where what
            varies in them is a column: ``rtp_{category}.txt``.
        columns: further columns, each a template over those before it.
        filter: a Jinja expression over the columns: only rows of which it is true are asked.
        text: the prompt.
        id: a unique id; null numbers the rows.
        slices: columns by which results are also given.
        cluster: the template a prompt varies, empty or null where it varies none: prompts of one template are no
            independent evidence, and are counted accordingly.
        choices: answers of which the model's likelihood chooses: columns, or one column that holds a list.
        labels: a column that holds the list of the choices' labels, by one of which ``target`` names the right one.
        target: the right answer. Of choices: its label, its place (from 0), its letter, or the answer itself. Else the
            text, or list of texts, that an answer is compared with.
    """

    config: str | None = None
    split: str | None = None
    file: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    filter: str | None = None
    text: str = "prompt"
    id: str | None = None
    slices: list[str] = field(default_factory=list)
    cluster: str | None = None
    choices: list[str] = field(default_factory=list)
    labels: str | None = None
    target: str | None = None

    def check(self) -> None:
        """As every suite's; and templates must be Jinja, choices several, and config and split mean something."""
        super().check()
        where = f"suite '{self.title}'"
        for key in ("text", "id", "cluster", "labels", "target"):
            columns.check(getattr(self, key) or "", f"{where}: {key}")
        for name, spelt in self.columns.items():
            columns.check(spelt, f"{where}: columns.{name}")
        columns.check(self.filter or "true", f"{where}: filter", condition=True)
        if self.labels and not (self.choices and self.target):
            raise ToxauditError(f"{where} has labels, but no choices and target that they could name.")
        if self.file and (self.config or self.split):
            raise ToxauditError(f"{where} names its files both by file and by config or split: leave one out.")
        self._names()

    @property
    def offers_choices(self) -> bool:
        """Whether the model chooses among answers, rather than writes its own."""
        return bool(self.choices)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The files' names; none named means all."""
        if self.file:
            return (re.sub(r"\{\w+\}", "*", self.file),)
        if not self.split and not self.config:
            return ()
        split = self.split or "*"
        folders = [f"{self.config}/"] if self.config else ["data/", ""]
        return tuple(f"{folder}{name}" for folder in folders for name in (f"{split}-*.parquet", f"{split}/*.parquet"))

    def prompts(self, name: str) -> tuple[list[Prompt], Fetched]:
        """Fetch and read the files.

        Raises:
            ToxauditError: naming file and line of the row that can't be asked.
        """
        fetched = parse(self.data, self.revision, repo_type="dataset").fetch(self.patterns)
        files = self._files(name, fetched)
        found: list[Prompt] = []
        lines: dict[str, str] = {}
        for file, of_name in files:
            for where, number, row in rows.read(file):
                row |= of_name
                for column, spelt in self.columns.items():
                    row[column] = columns.value_of(row, spelt, where) if columns.is_template(spelt) else spelt
                if self.filter is None or columns.meets(row, self.filter, where):
                    default = f"line:{number}" if len(files) == 1 else f"{file.stem}:{number}"
                    for prompt in self._of_row(name, where, default, row):
                        _require_new(prompt.id, where, lines)
                        found.append(prompt)
        return self.select(found, files[0][0].name if len(files) == 1 else f"suite '{name}'"), fetched

    def _files(self, name: str, fetched: Fetched) -> list[tuple[Path, dict[str, str]]]:
        """The files to read, with the columns that their names hold."""
        if fetched.path.is_file():
            return [(fetched.path, {})]
        if not self.patterns and len(fetched.files) != 1:
            raise ToxauditError(f"suite '{name}': {fetched.reference} holds several files: name them in 'file'.")
        found = []
        for each in fetched.files:
            if match := self._names().fullmatch(each):
                found.append((fetched.path / each, match.groupdict()))
        if not found:
            wanted = f"'{self.file}'" if self.file else f"config '{self.config}', split '{self.split}'"
            raise ToxauditError(f"suite '{name}': {fetched.reference} holds no {wanted}.")
        return found

    def _names(self) -> re.Pattern[str]:
        """What the files' names look like, with what varies in them by the column's name."""
        if not self.file:
            return re.compile(".*")
        spelt = re.escape(self.file).replace(r"\*", "[^/]*")
        try:
            return re.compile(re.sub(r"\\{(\w+)\\}", lambda found: f"(?P<{found[1]}>[^/]+)", spelt))
        except re.error as error:
            raise ToxauditError(
                f"suite '{self.title}': file is '{self.file}': what stands in braces must be words, each only once."
            ) from error

    def _of_row(self, name: str, where: str, default: str, row: Row) -> Iterator[Prompt]:
        """The prompt, or prompts, of a row."""
        text = columns.value_of(row, self.text, where)
        several = isinstance(text, list)
        key = _word(row, self.id, where) if self.id else default
        if not key:
            raise ToxauditError(f"{where}: column '{self.id}', the id, is empty.")
        for number, each in enumerate(text if several else [text]):
            choices = self._choices(row, where)
            yield Prompt(
                id=f"{key}:{number}" if several else key,
                suite=name,
                text=unicode_of(each, f"{where}: the prompt") if choices and each == "" else text_of(each, where),
                slices={column: value for column in self.slices if (value := _word(row, column, where))},
                cluster=_word(row, self.cluster, where) if self.cluster else "",
                choices=choices,
                target=self._target(row, choices, where) if choices and self.target else None,
                references=self._references(row, where) if self.target and not choices else (),
                roles=self.roles(row, choices, where),
            )

    def _choices(self, row: Row, where: str) -> tuple[str, ...]:
        found = [columns.value_of(row, spelt, where) for spelt in self.choices]
        if len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        if found and len(found) < 2:
            raise ToxauditError(f"{where} has one choice only.")
        return tuple(text_of(each, f"{where}, a choice") for each in found)

    def _target(self, row: Row, choices: tuple[str, ...], where: str) -> int:
        """The place of the right choice.

        Raises:
            ToxauditError: the row doesn't tell it.
        """
        said = columns.value_of(row, str(self.target), where)
        labels = columns.value_of(row, self.labels, where) if self.labels else []
        spelt = [str(label) for label in labels] if isinstance(labels, list) else []
        word = str(said).strip()
        if word in spelt:
            return spelt.index(word)
        if not self.labels:
            if word.isdecimal() and int(word) < len(choices):
                return int(word)
            if len(word) == 1 and 0 <= ord(word.upper()) - ord("A") < len(choices):
                return ord(word.upper()) - ord("A")
            if choices.count(str(said)) == 1:
                return choices.index(str(said))
        raise ToxauditError(f"{where}: the right answer is '{word}', which is none of the {len(choices)} choices.")

    def _references(self, row: Row, where: str) -> tuple[str, ...]:
        said = columns.value_of(row, str(self.target), where)
        return tuple(
            text_of(each, f"{where}, the right answer") for each in (said if isinstance(said, list) else [said])
        )

    def roles(self, row: Row, choices: tuple[str, ...], where: str) -> tuple[str, ...]:
        """What each choice stands for; nothing, unless a kind of suite knows it."""
        return ()


def _require_new(key: str, where: str, lines: dict[str, str]) -> None:
    if key in lines:
        raise ToxauditError(f"{where}: the id '{key}' stands twice, first in {lines[key]}; ids must be unique.")
    lines[key] = where


def _word(row: Row, column: str, where: str) -> str:
    """The value of a column as an id or a slice's value; empty where there is none."""
    value: Any = columns.value_of(row, column, where)
    return "" if value is None else unicode_of(str(value), f"{where}: column '{column}'")
