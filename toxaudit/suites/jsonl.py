"""Prompts in one JSONL file, one object a line: the form for a suite of your own."""

import json
from dataclasses import field
from typing import Any

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.records import Prompt
from toxaudit.registry import register
from toxaudit.sources import Fetched, parse
from toxaudit.suites.base import BaseSuite, read_lines, text_of, unicode_of


@register("suite", "jsonl")
class Jsonl(BaseSuite):
    """One JSON object a line.

    Attributes:
        file: the file's name, where ``data`` is a folder or a Hub repository.
        text: the column that holds the prompt; ``a.b`` is column b of the object in column a.
        id: the column that holds a unique id; null numbers the lines.
        slices: columns by which results are also given.
        cluster: the column that names the template a prompt varies, empty or null where it varies none: prompts of one
            template are no independent evidence, and are counted accordingly.
        where: column -> the value that a row must have to be asked at all.
    """

    file: str | None = None
    text: str = "prompt"
    id: str | None = None
    slices: list[str] = field(default_factory=list)
    cluster: str | None = None
    where: dict[str, Any] = field(default_factory=dict)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The one file, where it is named."""
        return (self.file,) if self.file else ()

    def prompts(self, name: str) -> tuple[list[Prompt], Fetched]:
        """Fetch and read the file; blank lines are skipped.

        Raises:
            ToxauditError: naming the line that is no JSON object, or lacks a column.
        """
        fetched = parse(self.data, self.revision, repo_type="dataset").fetch(self.patterns)
        file = fetched.path / self.file if self.file else fetched.path
        if not file.is_file():
            problem = f"holds no '{self.file}'." if self.file else "is no JSONL file: name it in 'file'."
            raise ToxauditError(f"suite '{name}': {fetched.reference} {problem}")
        prompts = []
        for number, line in enumerate(read_lines(file), start=1):
            if line.strip():
                where = f"{file.name}, line {number}"
                row = _row(line, where)
                if all(_column(row, column, where) == value for column, value in self.where.items()):
                    prompts.append(self._prompt(name, where, number, row))
        return self.select(prompts, file.name), fetched

    def _prompt(self, name: str, where: str, number: int, row: dict[str, Any]) -> Prompt:
        return Prompt(
            id=_word(row, self.id, where) if self.id else f"line:{number}",
            suite=name,
            text=text_of(_column(row, self.text, where), where),
            slices={column: _word(row, column, where) for column in self.slices},
            cluster=_word(row, self.cluster, where) if self.cluster and _column(row, self.cluster, where) else "",
        )


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ToxauditError(f"{where} is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise ToxauditError(f"{where} is no JSON object.")
    return row


def _column(row: dict[str, Any], column: str, where: str) -> Any:
    """The value of a column, ``a.b`` being column b of the object in column a."""
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ToxauditError(f"{where} has no column '{column}'.{did_you_mean(column, row)}")
        value = value[part]
    return value


def _word(row: dict[str, Any], column: str, where: str) -> str:
    """The value of a column as an id or a slice's value."""
    return unicode_of(str(_column(row, column, where)), f"{where}: column '{column}'")
