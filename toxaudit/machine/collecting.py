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

    Nor through anything else that there is by then, so that this holds only where torch was not imported before: whose
    process has it may have a model, too, which must be found once it is garbage.
    """
    before = "torch" in sys.modules
    with uncollected():
        yield
        if not before and "torch" in sys.modules:
            gc.freeze()
