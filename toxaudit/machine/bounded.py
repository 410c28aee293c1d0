"""Jinja for strangers' templates of rows and questions: a sandbox whose templates come to an end."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_STEPS = 100_000
"""Rounds of loops, and calls, of a template that is filled once: a tenth of a second."""

MOST_CHARACTERS = 10_000_000
"""Characters of a text that a template makes, and items of a list."""

MOST_BITS = 10_000
"""Bits of a number that a template computes."""

WIDENS = {"ljust", "rjust", "center", "zfill", "expandtabs", "indent"}
"""Methods and filters that make a text as long, or lines as wide, as they are told."""

WIDE = re.compile(r"[0-9]{8,}|\*")
"""In a format, a width of ten million or more, or one that an argument tells."""

T = TypeVar("T")
_left: ContextVar[list[int] | None] = ContextVar("steps that are left", default=None)


class Endless(ValueError):
    """A template takes more steps, or makes more, than any needs."""


def filled(fill: Callable[[], T]) -> T:
    """What a template that is filled by ``fill`` makes, if it comes to an end.

    Raises:
        Endless: if it does not.
    """
    token = _left.set([MOST_STEPS])
    try:
        return fill()
    finally:
        _left.reset(token)


class Bounded(ImmutableSandboxedEnvironment):
    """A sandbox in which loops, calls and what they make are counted."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, **settings: Any) -> None:
        """As Jinja's own."""
        super().__init__(**settings)
        self.globals.pop("lipsum", None)  # words without end
        self.filters = {name: _filter(name, fill) for name, fill in self.filters.items()}
        self.filters.update(toxaudit_rounds=_rounds, toxaudit_sized=_sized)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return parsed.set_environment(self)  # type: ignore[return-value]

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Count a call."""
        _step()
        method = getattr(obj, "__wrapped__", obj)  # the sandbox wraps those that format
        text, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(text, str):
            given = [list(each) if name == "join" else each for each in args]
            _check(name, text, [*given, *kwargs.values()])
            return _sized(super().call(context, obj, *given, **kwargs))
        return _sized(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute what stays within bounds."""
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MOST_BITS:
                raise Endless(f"it computes a number of more than {MOST_BITS:,} bits")
        elif operator == "%" and isinstance(left, str):
            _check("format", left, [])
        elif operator == "*":
            length = next((len(each) for each in (left, right) if isinstance(each, Sized)), 0)
            times = next((each for each in (left, right) if isinstance(each, int)), 0)
            _within(length * times)
        return _sized(super().call_binop(context, operator, left, right))


class _Counting(NodeTransformer):
    """Puts a count around what loops run over, and around texts that are put together."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802  (Jinja's name)
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "toxaudit_rounds", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        return nodes.Filter(node, "toxaudit_sized", [], [], None, None, lineno=node.lineno)


def _filter(name: str, fill: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that counts as a call does; what it is given by Jinja itself comes first."""
    own = 1 if hasattr(fill, "jinja_pass_arg") else 0

    @wraps(fill)
    def counted(*args: Any, **kwargs: Any) -> Any:
        _step()
        jinja, (subject, *given) = args[:own], args[own:]
        if name == "join":
            subject = list(subject)
            _check(name, given[0] if given else kwargs.get("d", ""), [subject])
        else:
            _check(name, subject, [*given, *kwargs.values()])
        return _sized(fill(*jinja, subject, *given, **kwargs))

    return counted


def _check(name: str, text: Any, given: Sequence[Any]) -> None:
    """Refuse what a method or filter of a text would make longer than any needs, before it is made."""
    if name in WIDENS:
        _within(max((each for each in given if isinstance(each, int)), default=0))
    if name in ("format", "format_map") and WIDE.search(str(text)):
        raise Endless(f"it makes more than {MOST_CHARACTERS:,} characters")
    if name == "join":
        _within(sum(_length(item) for item in given[0]) + len(given[0]) * _length(text))
    elif name in ("replace", "translate", "indent", "wordwrap") and isinstance(text, str):
        longest = max((_length(each) for each in given if isinstance(each, str | dict)), default=0)
        times = text.count(given[0]) if name == "replace" and isinstance(given[0], str) else len(text)
        _within(len(text) + times * longest)


def _length(value: Any) -> int:
    """About as many characters as a value takes in a text."""
    if isinstance(value, Mapping):
        return sum(_length(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return sum(map(_length, value))
    return len(value) if isinstance(value, Sized) else 8


def _step() -> None:
    left = _left.get()
    if left is None:
        return
    left[0] -= 1
    if left[0] < 0:
        raise Endless(f"it takes more than {MOST_STEPS:,} steps")


def _rounds(items: Iterable[T]) -> Iterator[T]:
    for item in items:
        _step()
        yield item


def _sized(value: T) -> T:
    if isinstance(value, Sized):
        _within(len(value))
    return value


def _within(length: int) -> None:
    if length > MOST_CHARACTERS:
        raise Endless(f"it makes more than {MOST_CHARACTERS:,} characters")
