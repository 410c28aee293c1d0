"""Functions that are compiled once, for all later processes too."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile the decorated function for C to call, or take what an earlier process compiled of the same file.

    Numba keeps that where Python keeps its own compiled files, beside the source, else in the user's own cache folder:
    nobody can put code there who could not change what this user runs anyhow. What can't be kept or taken, since no
    folder can be written or a file is damaged, is compiled as if nothing had been kept.

    Args:
        signature: Numba's, of what the function takes and returns.
    """

    def compile_or_take(function: Callable[..., Any]) -> Any:
        try:
            return numba.cfunc(signature, cache=True)(function)
        except Exception:  # Numba's, pickle's or the system's; a mistake in the function is raised below once more
            return numba.cfunc(signature)(function)

    return compile_or_take
