"""The command line's overrides, by Hydra's grammar: what one says, whole candidates, and sweeps over values."""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, product
from json import dumps
from math import inf, prod
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

import toxaudit.backends
import toxaudit.card.section
import toxaudit.decision.gate
import toxaudit.decision.sampling
import toxaudit.estimators
import toxaudit.executors
import toxaudit.scorers
import toxaudit.suites  # noqa: F401  (these imports register the parts that a spec can choose)
from toxaudit.errors import ToxauditError
from toxaudit.machine import folders
from toxaudit.machine.nesting import DEEPEST
from toxaudit.spec.schema import candidate_of
from toxaudit.spec.strict_yaml import LARGEST_NUMBER
from toxaudit.spec.texts import Texts

STAGE = re.compile(r"(candidates\.[^.]+\.train)\.(\d{1,2})\.(.+)")
"""A key of one stage of a recipe, as the command line writes it: ``candidates.NAME.train.0.KEY``."""

MOST_RUNS = 1_000
"""Runs of one sweep."""


def spelt(text: str) -> str:
    """An override as Hydra's grammar has it: a scorer's ``operator`` needs quotes, which shells take away."""
    return re.sub(r"^(scorers\.[^=]+\.operator)=(<=?|>=?)$", r"\1='\2'", text)


def parse(text: str) -> Override:
    """What an override says.

    Raises:
        ToxauditError: it is none.
    """
    if not _encodable(text):
        raise ToxauditError(
            f"'{text}' is not UTF-8: type it in a terminal whose locale is UTF-8, or write it into a file."
        )
    try:
        if _depth(text) > DEEPEST:
            raise RecursionError
        override = OverridesParser.create().parse_override(spelt(text))
        if not override.key_or_group:
            raise ValueError("no key")
        value = None if override.is_delete() or override.is_sweep_override() else override.value()
    except (HydraException, ValueError, RecursionError) as error:  # numbers too long to read, brackets too deep
        if meant := folders.audit(text):
            raise ToxauditError(f"'{text}' is not an override: write audit={meant}.") from error
        if text.count("[") > text.count("]") or text.count("{") > text.count("}"):
            raise ToxauditError(
                f"'{text}' is not an override, as it ends within brackets: write the list without spaces, or in "
                "quotes as a whole."
            ) from error
        raise ToxauditError(
            f"'{text}' is not an override: write key=value, with quotes around what is more than plain words (Hydra's "
            "grammar)."
        ) from error
    if (odd := next(_odd_numbers(value), None)) is not None:
        raise ToxauditError(
            f"'{text}': it is read as the number {odd:.6g}, which no key can mean: write quotes around a text."
        )
    if no_texts := [key for key in _keys(value) if not isinstance(key, str)]:
        raise ToxauditError(
            f"'{text}': the key {dumps(no_texts[0])} of its mapping is no text, and the command line knows no quotes "
            "there: write the mapping in the YAML file, with quotes around that key."
        )
    return override


def check_texts(override: Override) -> None:
    """Refuse texts that the grammar has read as something else, such as ``revision=7e12``.

    Raises:
        ToxauditError: if there is such.
    """
    if override.is_delete() or override.is_sweep_override():
        return
    key, raw, value = override.key_or_group, (override.input_line or "").partition("=")[2], override.value()
    stage = STAGE.fullmatch(key)
    place = f"{stage[1]}[{stage[2]}].{stage[3]}" if stage else key
    written = {place: raw}
    if isinstance(value, list) and "_" not in raw:  # 1_000 is a thousand
        written = {f"{place}[{number}]": str(item) for number, item in enumerate(value) if isinstance(item, int)}
    content: Any = value
    for part in reversed(key.split(".")):
        content = [*[{}] * int(part), content] if stage and part == stage[2] else {part: content}
    Texts("", written).check_audit(content)


def _encodable(text: str) -> bool:
    """Whether a word of the command line came in the terminal's own encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _depth(text: str) -> int:
    """How deep brackets are nested in a text."""
    steps = ((sign in "[{(") - (sign in "]})") for sign in text)
    return max(accumulate(steps), default=0)


def _keys(value: Any) -> Iterator[Any]:
    """The keys of all mappings within a value."""
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(item)


def _odd_numbers(value: Any) -> Iterator[float]:
    """The numbers within a value that no key can mean."""
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _odd_numbers(item)
    elif isinstance(value, int | float) and not abs(value) < LARGEST_NUMBER:
        yield inf if isinstance(value, int) and abs(value) > 10**300 else float(value)


def split(overrides: Sequence[str]) -> tuple[dict[str, dict[str, Any]], list[Override], list[str]]:
    """Part the overrides that make whole candidates, which Hydra can't, from all others.

    Returns:
        Of each ``candidates.NAME=MODEL``, which adds a candidate or replaces it, the name and the fields; the overrides
        of further fields of these candidates, and each ``candidates.NAME={...}``; and all others.

    Raises:
        ToxauditError: such a candidate can't be had by that name or from what is given, or is taken away as well.
    """
    models = {found[0]: _model(*found, text) for text in overrides if (found := _whole(text))}
    more, others = [], []
    for text in overrides:
        if _whole(text):
            continue
        override = parse(text)
        group, *path = override.key_or_group.split(".")
        if group != "candidates" or not path or not (path[0] in models or _is_mapping(override, path)):
            others.append(spelt(text))
        elif override.is_delete():
            raise ToxauditError(f"'{text}' takes away what candidates.{path[0]}=MODEL sets: choose one.")
        else:
            more.append(_single(override))
    return {name: candidate_of(model) for name, model in models.items()}, more, others


def _is_mapping(override: Override, path: Sequence[str]) -> bool:
    """Whether an override gives a candidate as ``candidates.NAME={...}``."""
    return len(path) == 1 and not override.is_delete() and isinstance(_single(override).value(), dict)


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Expand Hydra's multirun grammar (``key=a,b``) into the overrides of each run.

    Raises:
        ToxauditError: an override is none, or names no list of values.
    """
    choices = [_choices(text) for text in overrides]
    if (runs := prod(map(len, choices))) > MOST_RUNS:
        raise ToxauditError(
            f"This is a sweep of {runs:,} runs or more: name fewer values, so that it is {MOST_RUNS:,} at most."
        )
    return [list(job) for job in product(*choices)]


def _choices(text: str) -> list[str]:
    """An override for each of the values that one names."""
    override = parse(_quoted(text))
    if not override.is_sweep_override():
        return [text]
    try:
        values = islice(override.sweep_string_iterator(), MOST_RUNS + 1)
        if found := [f"{override.get_key_element()}={value}" for value in values]:
            return found
        raise ValueError("none")
    except (HydraException, ValueError, TypeError) as error:
        raise ToxauditError(f"'{text}' names no list of values to sweep over: write key=a,b.") from error


def _quoted(text: str) -> str:
    """A whole candidate with quotes around its models where Hydra can't read them bare; any other as it is."""
    if not (found := _whole(text)) or re.search(r"['\"]", found[1]):
        return text
    try:
        parse(text)
    except ToxauditError:
        return f"candidates.{found[0]}=" + ",".join(f"'{model}'" for model in found[1].split(","))
    return text


def _whole(text: str) -> tuple[str, str] | None:
    """The name and the value of ``candidates.NAME=MODEL``; None for any other override, also one of a mapping."""
    found = re.fullmatch(r"\+{0,2}candidates\.([^.=]+)=(.*)", text, re.DOTALL)
    if found and not re.fullmatch(folders.NAME, found[1]):
        raise ToxauditError(
            f"'{text}' names no candidate: a name is made of the letters a-z, digits, - and _, with a letter first."
        )
    return (found[1], found[2]) if found and not found[2].startswith(("{", "[")) else None


def _model(name: str, value: str, text: str) -> str:
    """The model that the value of ``candidates.NAME=MODEL`` names, with or without quotes."""
    if value.casefold() == "null":
        raise ToxauditError(f"candidates.{name} can't be null: write ~candidates.{name} to leave the candidate out.")
    try:
        written = _single(OverridesParser.create().parse_override(text)).value()
    except (
        HydraException,
        ValueError,
        RecursionError,
    ):  # a package file has characters that the grammar knows in quotes only
        written = None
    model = written if isinstance(written, str) else value
    if not model.strip():
        raise ToxauditError(f"candidates.{name}= names no model: write a Hub id (ORG/NAME), a path or a package file.")
    return model


def _single(override: Override) -> Override:
    """The override, if it is of one value.

    Raises:
        ToxauditError: it is of several.
    """
    if override.is_sweep_override():
        raise ToxauditError(
            f"'{override.input_line}' names several values: write quotes around one with a comma, [a,b] for a list, "
            "or add -m to sweep over the values."
        )
    return override
