"""Whatever strangers' files make libraries raise, as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toxaudit.errors import ToxauditError


@contextmanager
def refusing(what: str, folder: Path | None = None) -> Iterator[None]:
    """Whatever a stranger's files make the libraries raise within becomes one sentence that begins with ``what``.

    That includes a panic of a library in Rust, which is no ``Exception``. Files in ``folder`` are named without it.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise ToxauditError(f"{what}: {_first_line(error).replace(f'{folder}/', '')}") from error


def _first_line(error: BaseException) -> str:
    """What the error says in one line; one that ends with a colon only announces the next."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if not line.endswith(":")), lines[0]).rstrip(". ") + "."
