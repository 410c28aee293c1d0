"""Templates compiled once in a process, however often they are checked and filled."""

from functools import lru_cache
from types import CodeType

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket


class Compiled(BytecodeCache):
    """What Jinja made of each template, for as long as the template's text stays the same: it is read every time."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, CodeType]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give a template's code, unless its text has changed."""
        checksum, code = self._codes.get(bucket.key, ("", None))
        bucket.code = code if checksum == bucket.checksum else None

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template's code."""
        if bucket.code is not None:
            self._codes[bucket.key] = (bucket.checksum, bucket.code)


@lru_cache
def compiled(finalize: object) -> Compiled:
    """What was compiled for values that are placed in one way: Jinja compiles that in."""
    return Compiled()
