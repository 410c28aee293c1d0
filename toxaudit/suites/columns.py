"""What a suite takes from a row: a column by its name, or a Jinja template over the columns."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError

from toxaudit.errors import ToxauditError, did_you_mean, one_line
from toxaudit.machine.bounded import Bounded, filled
from toxaudit.suites.rows import Row

SHOWN_CHARACTERS = 60  # characters of a template that a sentence shows

_jinja = Bounded(undefined=StrictUndefined, keep_trailing_newline=True)


def value_of(row: Row, spelt: str, where: str) -> Any:
    """A column's value (``a.b`` is column b of the object in column a), or what a template makes of the columns.

    A template is filled in as a text; one that is a single ``{{ expression }}`` gives the expression's value itself,
    such as a list.

    Args:
        row: the columns.
        spelt: a column's name, or a Jinja template: a text with ``{{`` or ``{%`` in it.
        where: the row, for the sentence.

    Raises:
        ToxauditError: if there is no such column, or if the template can't be filled in.
    """
    if is_template(spelt):
        return _filled(_template(spelt), spelt, row, where)
    value: Any = row
    for part in spelt.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ToxauditError(f"{where} has no column '{spelt}'.{did_you_mean(spelt, row)}")
        value = value[part]
    return value


def meets(row: Row, condition: str, where: str) -> bool:
    """Whether a row meets a condition: a Jinja expression over the columns.

    Raises:
        ToxauditError: if it can't be told.
    """
    return bool(_filled(_expression(condition), condition, row, where))


def is_template(spelt: str) -> bool:
    """Whether a text is a Jinja template rather than the name of a column."""
    return "{{" in spelt or "{%" in spelt


def check(spelt: str, what: str, condition: bool = False) -> None:
    """Refuse a template, or a condition, that is no Jinja.

    Raises:
        ToxauditError: if it is no Jinja; the sentence names what it is.
    """
    try:
        if condition:
            _expression(spelt)
        elif is_template(spelt):
            _template(spelt)
    except TemplateError as error:
        raise ToxauditError(f"{what} is no Jinja: {str(error).rstrip('.')}.") from error


@cache
def _template(spelt: str) -> Callable[[Row], Any]:
    single = re.fullmatch(r"\{\{[-+]?((?:(?!\{\{|\}\}|\{%|%\}).)+?)[-+]?\}\}", spelt, re.DOTALL)
    return _expression(single[1]) if single else _jinja.from_string(spelt).render


@cache
def _expression(spelt: str) -> Callable[[Row], Any]:
    return _jinja.compile_expression(spelt, undefined_to_none=False)


def _filled(fill: Callable[[Row], Any], spelt: str, row: Row, where: str) -> Any:
    try:
        value = filled(lambda: fill(row))
        if isinstance(value, StrictUndefined):
            str(value)  # raises, with the missing column's name
        return value
    except Exception as error:  # a template may call anything of a value, with any result
        shown = one_line(spelt if len(spelt) <= SHOWN_CHARACTERS else f"{spelt[: SHOWN_CHARACTERS - 3]}...")
        if missing := re.fullmatch(r"'(\w+)' is undefined", str(error)):
            raise ToxauditError(
                f"{where} has no column '{missing[1]}', which '{shown}' needs.{did_you_mean(missing[1], row)}"
            ) from error
        raise ToxauditError(f"{where}: '{shown}' can't be told of this row: {str(error).rstrip('.')}.") from error
