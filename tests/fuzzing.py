"""What fuzzers share: a fixed and a fresh seed, damage to bytes, odd values, and how whatever they try must end.

A test run tries little of each kind, and other things each time, by its fresh seed. A long run tries a multiple of it:
``TOXAUDIT_FUZZ=20 pytest -m slow -k "fuzz or flip"`` tries twenty times as much.
"""

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from toxaudit.errors import ToxauditError

FIXED = 20260115
TIMES = int(os.environ.get("TOXAUDIT_FUZZ", "1"))
"""How many times as much as a test run usually does each fuzzer tries."""

LONGEST_SECONDS = 10.0

seeds = pytest.mark.parametrize("seed", [FIXED, random.SystemRandom().randrange(10**9)], ids=["fixed", "fresh"])

BYTES = [b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\r\n", b"\n", b"\x1b[2J", b"\xc2\x85", b"\xe2\x80\xa8"]
BYTES += [b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b'"', b"'", b",", b";", b"\t", b"{", b"}", b"[", b"]", b"\\", b"\\u"]

TEXTS = [
    "",
    " ",
    "x",
    "ä",
    "文",
    "\U0001f600",
    "\ud800",
    "\0",
    "\x1b[31m",
    "\u202e",
    "a\nb",
    "a\r\nb",
    "NaN",
    "null",
    "1",
]
TEXTS += [
    "y" * 3000,
    "{{ 1/0 }}",
    "{% for",
    "${oc.env:HOME}",
    "2024-05-01",
    "=1+1",
    "<script>",
    "-",
    "=",
    "A",
    "question",
]


DEEP = {f"{depth} lists": "[" * depth + "]" * depth for depth in (50, 1000, 100_000)}
DEEP |= {f"{depth} objects": '{"a":' * depth + "1" + "}" * depth for depth in (50, 1000)}
"""What stands for values that Python can't write as JSON."""


def value(chance: random.Random, deep: int = 0) -> Any:
    """Any JSON value, sometimes very deep, large or no number."""
    kind = chance.randrange(14 if deep < 3 else 8)
    if kind == 8:
        return chance.choice(list(DEEP))
    if kind >= 11:
        return {chance.choice(TEXTS): value(chance, deep + 1) for _ in range(chance.randrange(4))}
    if kind >= 9:
        return [value(chance, deep + 1) for _ in range(chance.randrange(4))]
    numbers = [0, -1, 1, 2, 10**30, -(10**400), 0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf"), 1e-320]
    return chance.choice([chance.choice(TEXTS), chance.choice(numbers), None, True, False])


def dumped(content: Any) -> bytes:
    """As JSON, with what only Python's reads and writes, and halves of characters as they come."""
    text = json.dumps(content, ensure_ascii=False)
    for name, deep in DEEP.items():
        text = text.replace(f'"{name}"', deep)
    return text.encode("utf-8", "surrogatepass")


def damaged(chance: random.Random, data: bytes, most: int = 3) -> bytes:
    """Bytes with some taken out, doubled, put in, or cut off."""
    for _ in range(chance.choice([0, 1, 1, most])):
        at = chance.randrange(len(data) + 1)
        put = chance.choice([*BYTES, data[at : at + 20], bytes([chance.randrange(256)])])
        data = data[:at] + put + data[at + chance.choice([0, 0, 1, 5, 40]) :]
    return data[: chance.randrange(len(data) + 1)] if chance.random() < 0.05 else data


@contextmanager
def named(seed: int, number: int, tried: object) -> Iterator[None]:
    """What goes wrong within, whatever it is, names what was tried."""
    before = monotonic()
    try:
        yield
        assert monotonic() - before < LONGEST_SECONDS, "it took too long"
    except BaseException as error:
        raise AssertionError(f"seed {seed}, number {number}: {str(tried)[:2000]}") from error


def ended(read: Callable[[], Any]) -> tuple[Any, str]:
    """What was read, or the one sentence on why it can't be."""
    try:
        return read(), ""
    except ToxauditError as error:
        said = str(error)
        assert len(said) > 10 and said[-1] in ".?" and not re.search(r"[\0-\x1f\u2028\u2029]", said), said
        return None, said
