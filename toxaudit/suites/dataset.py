"""Prompts in rows of data: a set on the Hub, in a package, on the web, or a file of your own."""

from collections.abc import Iterator
from dataclasses import field, replace
from pathlib import PurePosixPath

from toxaudit.errors import ToxauditError
from toxaudit.facts import SuiteFacts
from toxaudit.records import Prompt
from toxaudit.registry import register
from toxaudit.sources import HubSource, parse
from toxaudit.suites import columns, rows
from toxaudit.suites.base import LONGEST, BaseSuite, Drawn, text_of, unicode_of
from toxaudit.suites.files import Files
from toxaudit.suites.rows import Row

LONGEST_NAME = 200  # characters of an id or a slice's value; what is longer is a text in the wrong column


@register("suite", "dataset")
class Dataset(BaseSuite):
    """One row, one prompt; a row whose text is a list makes one prompt of each.

    Wherever a column is wanted, ``a.b`` is column b of the object in column a, and a text with ``{{`` in it is a Jinja
    template over the columns; one that is a single ``{{ expression }}`` gives that expression's value, such as a list.
    In CSV and TSV every value is a text.

    Attributes:
        config, split: of a set on the Hub whose Parquet files are laid out as the Hub does it: ``CONFIG/SPLIT-*`` or
            ``CONFIG/SPLIT/*``, without a config also ``data/SPLIT-*``. Other layouts need ``file``.
        file: the files' names, where ``data`` holds several: with ``*``, or with a column's name in braces where what
            varies in them is a column: ``rtp_{category}.txt``.
        columns: further columns: texts, or templates over the columns before them.
        filter: a Jinja expression over the columns: only rows of which it is true are asked.
        text: the prompt.
        id: a unique id; null numbers the rows.
        slices: columns by which results are also given.
        cluster: the template a prompt varies, empty or null where it varies none: prompts of one template are no
            independent evidence, and are counted accordingly.
        choices: answers of which the model's likelihood chooses, in columns or in one column that holds a list. Before
            them the prompt may be empty.
        labels: a column that holds the list of the choices' labels, by one of which ``target`` names the right one.
        target: the right answer. Of choices: its label where ``labels`` are given, else its place (from 0), its letter
            (A is the first), or the answer itself. Without choices, the text, or list of texts, that an answer is
            compared with.
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
        """As every suite's; also refuse what is no Jinja, keys that exclude or lack each other, and whole repositories.

        Raises:
            ToxauditError: if a key has a value that can't be used; the sentence names the key.
        """
        super().check()
        where = f"suite '{self.title}'"
        for key in ("text", "id", "cluster", "labels", "target"):
            columns.check(getattr(self, key) or "", f"{where}: {key}")
        for name, spelt in self.columns.items():
            if not isinstance(spelt, str):
                raise ToxauditError(f"{where}: columns.{name} is {spelt}, which is no text: write {name}: TEXT.")
            columns.check(spelt, f"{where}: columns.{name}")
        for spelt in self.choices:
            columns.check(spelt, f"{where}: choices")
        if spelt := next(filter(columns.is_template, self.slices), ""):
            raise ToxauditError(f"{where}: slices holds the template '{spelt}': give it a name in 'columns'.")
        if self.filter is not None:
            columns.check(self.filter, f"{where}: filter", condition=True)
        if self.labels and not (self.choices and self.target):
            raise ToxauditError(f"{where} has labels, but no choices and target that they could name.")
        self._files(self.title).check()
        if not self.patterns and isinstance(parse(self.data, self.revision, "dataset"), HubSource):
            raise ToxauditError(
                f"{where} would fetch all of {self.data} from the Hub: name what it reads by 'file', or by 'config' "
                "and 'split'."
            )

    @property
    def patterns(self) -> tuple[str, ...]:
        """The files' names; none named means all."""
        return self._files(self.title).patterns

    def _files(self, name: str) -> Files:
        return Files(f"suite '{name}'", self.file, self.config, self.split)

    def draw(self, name: str) -> Drawn:
        """Fetch and read the files.

        Raises:
            ToxauditError: if a row can't be asked; the sentence names its file and line.
        """
        fetched = parse(self.data, self.revision, "dataset").fetch(self.patterns)
        files = self._files(name).chosen(fetched)
        prompts: list[Prompt] = []
        lines: dict[str, str] = {}
        for shown, (file, of_name) in files.items():
            for where, number, row in rows.read(file, shown):
                row |= of_name
                for column, spelt in self.columns.items():
                    row[column] = columns.value_of(row, spelt, where) if columns.is_template(spelt) else spelt
                if self.filter is None or columns.meets(row, self.filter, where):
                    place = PurePosixPath(shown).with_suffix("") if len(files) > 1 else "line"
                    for prompt in self._of_row(name, where, f"{place}:{number}", row):
                        _require_new(prompt.id, where, lines)
                        prompts.append(prompt)
        return self.select(prompts, fetched, next(iter(files)) if len(files) == 1 else f"suite '{name}'")

    def facts(self, name: str, drawn: Drawn) -> SuiteFacts:
        """What a card may say of it."""
        return replace(super().facts(name, drawn), config=self.config, split=self.split)

    def _of_row(self, name: str, where: str, default: str, row: Row) -> Iterator[Prompt]:
        """The prompt, or prompts, of a row."""
        text = columns.value_of(row, self.text, where)
        several = isinstance(text, list)
        if several and not text:
            raise ToxauditError(f"{where}: the prompt is an empty list.")
        key = _word(row, self.id, where) if self.id else default
        if not key:
            raise ToxauditError(f"{where} has no id: '{self.id}' is empty.")
        choices = self._choices(row, where)
        target = self._target(row, choices, where) if self.target and choices else None
        references = self._references(row, where) if self.target and not choices else ()
        for number, each in enumerate(text if several else [text]):
            yield Prompt(
                id=f"{key}:{number}" if several else key,
                suite=name,
                text="" if choices and each == "" else text_of(each, f"{where}: the prompt"),
                slices={column: value for column in self.slices if (value := _word(row, column, where))},
                cluster=_word(row, self.cluster, where, LONGEST) if self.cluster else "",
                choices=choices,
                target=target,
                references=references,
                language=self.language or "",
                roles=self._roles(row, choices, where),
            )

    def _choices(self, row: Row, where: str) -> tuple[str, ...]:
        """The choices of a row; none where the model writes an answer of its own.

        Raises:
            ToxauditError: if the row holds fewer than two, or one that is no text.
        """
        choices = [columns.value_of(row, spelt, where) for spelt in self.choices]
        if len(choices) == 1 and isinstance(choices[0], list):
            choices = choices[0]
        if self.choices and len(choices) < 2:
            raise ToxauditError(f"{where} has {len(choices) or 'no'} choice{'s' * (not choices)}; it takes at least 2.")
        return tuple(text_of(each, f"{where}: choice {number}") for number, each in enumerate(choices, start=1))

    def _target(self, row: Row, choices: tuple[str, ...], where: str) -> int:
        """The place of the right choice, counted from 0.

        Raises:
            ToxauditError: if the row doesn't tell it.
        """
        said = columns.value_of(row, str(self.target), where)
        if isinstance(said, float) and said.is_integer():  # Parquet's numbers, where a row of the column has none
            said = int(said)
        places = self._labelled(row, said, choices, where) if self.labels else _places(said, choices)
        right = {choices[place].strip() for place in places}
        same = [number for number, choice in enumerate(choices, start=1) if choice.strip() in right]
        if len(right) == 1 and len(same) > 1:
            raise ToxauditError(
                f"{where}: choices {same[0]} and {same[1]} are the same, and the right answer is one of them."
            )
        if len(places) == 1:
            return places.pop()
        shown = unicode_of(str(said), f"{where}: the right answer")
        if places:
            raise ToxauditError(f"{where}: the right answer '{shown}' may be several choices: name their 'labels'.")
        raise ToxauditError(f"{where}: the right answer '{shown}' is none of the {len(choices)} choices.")

    def _labelled(self, row: Row, said: object, choices: tuple[str, ...], where: str) -> set[int]:
        """The places of the choices that have a label."""
        labels = columns.value_of(row, str(self.labels), where)
        if not isinstance(labels, list) or len(labels) != len(choices):
            raise ToxauditError(f"{where}: '{self.labels}' is no list of the {len(choices)} choices' labels.")
        return {place for place, label in enumerate(labels) if str(label) == str(said).strip()}

    def _references(self, row: Row, where: str) -> tuple[str, ...]:
        """The texts with which an answer is compared."""
        said = columns.value_of(row, str(self.target), where)
        texts = said if isinstance(said, list) and said else [said]
        return tuple(text_of(each, f"{where}: the right answer") for each in texts)

    def _roles(self, row: Row, choices: tuple[str, ...], where: str) -> tuple[str, ...]:
        """What each choice stands for; empty, unless a kind of suite knows it."""
        return ()


def _places(said: object, choices: tuple[str, ...]) -> set[int]:
    """The places that a target may mean, which is a number, a letter, or the choice itself."""
    if said is None:
        return set()
    word = str(said).strip()
    places = {place for place, choice in enumerate(choices) if choice.strip() == word}
    if word.isdecimal() and len(word) < 4:
        places.add(int(word))
    if len(word) == 1 and word.isascii() and word.isalpha():
        places.add(ord(word.upper()) - ord("A"))
    return places & set(range(len(choices)))


def _require_new(key: str, where: str, lines: dict[str, str]) -> None:
    """Refuse an id that another row has.

    Args:
        key: the id.
        where: the row that has it.
        lines: every id before it -> the row that has it; gets this one.

    Raises:
        ToxauditError: if another row has it; the sentence names both rows.
    """
    if key in lines:
        raise ToxauditError(f"{where}: the id '{key}' stands twice, first in {lines[key]}; ids must be unique.")
    lines[key] = where


def _word(row: Row, column: str, where: str, most: int = LONGEST_NAME) -> str:
    """The value of a column as an id, a slice's value or a template's name; empty where there is none.

    Raises:
        ToxauditError: if it has more than ``most`` characters, or is no Unicode.
    """
    value = columns.value_of(row, column, where)
    word = "" if value is None else str(value)
    if len(word) > most:
        raise ToxauditError(f"{where}: '{column}' has {len(word):,} characters; the most is {most:,}.")
    return unicode_of(word, f"{where}: '{column}'")
