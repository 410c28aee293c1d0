"""The words of the command line -> what to read, how, and where to write."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.suites import columns

KEYS = ("scorer", "data", "text", "label", "positive", "by", "prompt", "source", "out")


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

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


def read(words: Sequence[str]) -> Request:
    """The request in the words of the command line, checked as far as that goes without the data.

    Raises:
        ToxauditError: a word is no key, stands twice or says nothing, or scorer or data are not named.
    """
    given: dict[str, str] = {}
    overrides = []
    for word in words:
        key, _, value = word.partition("=")
        if key.startswith("scorers."):
            overrides.append(word)
            continue
        if key not in KEYS:
            raise ToxauditError(f"calibrate has no key '{key}'.{did_you_mean(key, KEYS)}")
        if key in given:
            raise ToxauditError(f"{key} is given twice: to name several labels, write positive=[A,B].")
        if not value.strip():
            raise ToxauditError(f"{key} needs a value: write {key}=VALUE.")
        given[key] = value
    if not {"scorer", "data"} <= set(given):
        raise ToxauditError("Write `toxaudit calibrate scorer=NAME data=FILE positive=LABEL` (see `toxaudit --help`).")
    for key in ("text", "label", "prompt"):
        columns.check(given.get(key, ""), key)
    if columns.is_template(given.get("by", "")):
        raise ToxauditError("by must be a column, the one that a suite names as its slice, but is a template.")
    positive = _listed(given.pop("positive", ""))
    out = Path(given.pop("out", f"audits/calibration/{given['scorer']}.yaml"))
    return Request(**given, out=out, positive=positive, overrides=tuple(overrides))


def _listed(value: str) -> tuple[str, ...]:
    """The labels that ``positive=A`` or ``positive=[A,B]`` names, as they are spelt: ``no`` is no false."""
    if not value.startswith("["):
        return (value.strip(),) if value else ()
    try:
        labels = yaml.load(value, yaml.BaseLoader)  # noqa: S506  (makes nothing but texts, lists and mappings)
    except yaml.YAMLError:
        labels = None
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise ToxauditError(f"positive is '{value}': write one label, or a list such as [A,B].")
    return tuple(dict.fromkeys(labels))
