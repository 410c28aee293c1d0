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
    """Import torch and others meanwhile; no later search looks through their million objects, which stay.

    It looks through nothing that is in memory by then. Where torch was imported before, all is searched as usual: a
    model may be in memory, which must be found once it is garbage.
    """
    before = "torch" in sys.modules
    with uncollected():
        yield
        if not before and "torch" in sys.modules:
            gc.freeze()
