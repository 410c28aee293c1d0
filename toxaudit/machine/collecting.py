"""Python's search for garbage, left out where there is none to find."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Search for no garbage meanwhile: what is made in this context holds no circles, or stays."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Import libraries meanwhile: their million objects stay, and no later search looks through them.

    Nor through anything else that there is by then, so that no model may be in memory yet.
    """
    before = len(sys.modules)
    with uncollected():
        yield
        if len(sys.modules) > before:
            gc.freeze()
