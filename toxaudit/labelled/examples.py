"""Labelled data -> texts with their labels, each bad row named."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.records import digest
from toxaudit.sources import Fetched, parse
from toxaudit.suites import columns, rows
from toxaudit.suites.base import unicode_of

SHOWN_LABELS = 12
"""Labels that are named in full."""
WITH_COLUMNS = tuple(f"{folder}*{ending}" for folder in ("", "*/") for ending in rows.FORMS if ending != ".txt")


@dataclass(frozen=True)
class Labelling:
    """Data that people labelled, the scorer that is compared with them, and the file to write.

    Attributes:
        scorer: its name.
        data: a data file, or a reference to one.
        text, label, prompt: columns, or templates over them: what was labelled, how, and the prompt that it answers.
        positive: labels that mean what the scorer counts; none takes 1 and true.
        by: the slice by which errors are also counted, a column.
        source: what the data are, in words for the card.
        out: the file to write.
        overrides: keys of the scorer.
    """

    scorer: str
    data: str
    out: Path
    text: str = "text"
    label: str = "label"
    positive: tuple[str, ...] = ()
    by: str | None = None
    prompt: str | None = None
    source: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """A labelled text.

    Attributes:
        text, label, prompt: as the labelling names them.
        group: its value of the slice by which errors are counted, empty where it has none.
        row: the digest of all its columns.
    """

    text: str
    label: str = ""
    prompt: str = ""
    group: str = ""
    row: str = ""


def fetch(data: str) -> Fetched:
    """The one data file that ``data`` stands for."""
    fetched = parse(data, repo_type="dataset").fetch(WITH_COLUMNS)
    if len(fetched.files) != 1:
        raise ToxauditError(
            f"{fetched.reference} holds {len(fetched.files)} data files: name the path of the one that has labels."
        )
    return fetched


def read(labelling: Labelling, file: Path) -> Iterator[Example]:
    """The labelled texts.

    Raises:
        ToxauditError: if a row lacks a column, a text or a label; the sentence names its file and line.
    """
    bare = []
    empty = True
    for where, _, row in rows.read(file):
        empty = False
        label = columns.value_of(row, labelling.label, where)
        if isinstance(label, list | dict):
            raise ToxauditError(f"{where}: '{labelling.label}' is no label but {type(label).__name__}.")
        if not (spelt := _spelt(label)):
            bare.append(where)
        yield Example(
            text=_text(row, labelling.text, where),
            label=spelt,
            prompt=_text(row, labelling.prompt, where) if labelling.prompt else "",
            group=_group(row, labelling.by, where) if labelling.by else "",
            row=digest(json.dumps(row, sort_keys=True, default=str)),
        )
    if bare:
        more = f", the first of {len(bare):,} such rows" if len(bare) > 1 else ""
        raise ToxauditError(f"{bare[0]}: '{labelling.label}' is empty{more}: take out rows without a label.")
    if empty:
        raise ToxauditError(f"{file.name} holds no rows.")


def _spelt(label: Any) -> str:
    """A label as text, empty where there is none; 1, 1.0 and "1" are one."""
    if label is None or label != label:  # Parquet may hold a NaN for none
        return ""
    if isinstance(label, bool):
        return str(label).lower()
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label).strip()


def _text(row: rows.Row, spelt: str, where: str) -> str:
    value = columns.value_of(row, spelt, where)
    if not isinstance(value, str):
        raise ToxauditError(f"{where}: '{spelt}' is no text but {type(value).__name__}.")
    return unicode_of(value, f"{where}: '{spelt}'")


def _group(row: rows.Row, column: str, where: str) -> str:
    value = columns.value_of(row, column, where)
    return "" if value is None else unicode_of(str(value), f"{where}: column '{column}'")


def positive(labelling: Labelling, labels: Collection[str], file: Path) -> list[str]:
    """The labels that mean what the scorer counts.

    Raises:
        ToxauditError: if none are named and they can't be told, or if no row has one that is named.
    """
    if unknown := next((label for label in labelling.positive if label not in labels), None):
        raise ToxauditError(
            f"{file.name}: no row has the label '{unknown}' in '{labelling.label}'.{did_you_mean(unknown, labels)}"
        )
    if labelling.positive:
        return list(labelling.positive)
    if {label.lower() for label in labels} <= {"0", "1", "false", "true"}:
        return [label for label in labels if label.lower() in ("1", "true")]
    raise ToxauditError(
        f"{file.name}: which of its labels mean what the scorer counts? Write positive=LABEL or positive=[A,B], with "
        f"labels of '{labelling.label}': {named(labels)}."
    )


def named(labels: Collection[str]) -> str:
    """Labels in words."""
    shown = sorted(labels)[:SHOWN_LABELS]
    more = [f"{len(labels) - SHOWN_LABELS} more"] if len(labels) > SHOWN_LABELS else []
    return " or ".join([*shown, *more]) or "nothing"
