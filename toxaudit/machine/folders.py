"""Where things lie: ``audits/`` and ``templates/`` (the user's own first, then the shipped ones) and the store."""

import os
from contextlib import suppress
from pathlib import Path

NAME = r"[A-Za-z][A-Za-z0-9_-]*"
"""A pattern of what audits and presets may be called: names that Hydra's grammar takes as they are."""

_PACKAGE = Path(__file__).parents[1]


def search_path(name: str) -> list[Path]:
    """Folders that may hold ``audits`` or ``templates``, the first to be searched first.

    The user's own lies in the working directory; the shipped one lies in the installed package, or beside it in a
    source checkout.
    """
    shipped = _PACKAGE / name if (_PACKAGE / name).is_dir() else _PACKAGE.parent / name
    own = Path.cwd() / name
    return [folder for folder in dict.fromkeys((own, shipped)) if folder.is_dir()]


def audit(word: str) -> str | None:
    """The name of the audit that somebody means by its name, its file's name or its file's path, if there is such."""
    path = Path(word.removesuffix(".yaml") + ".yaml")
    for folder in search_path("audits"):
        with suppress(OSError, ValueError):  # no file can be called so
            file = folder / path.name
            if file.is_file() and (word in (path.name, path.stem) or path.exists() and path.samefile(file)):
                return path.stem
    return None


def conf() -> Path:
    """The presets shipped with the package, one folder per config group."""
    return _PACKAGE / "conf"


def home() -> Path:
    """Where fetched files and finished work are kept: ``TOXAUDIT_HOME``, else ``~/.cache/toxaudit``."""
    if chosen := os.environ.get("TOXAUDIT_HOME"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "toxaudit"


def write_atomically(file: Path, content: str | bytes) -> None:
    """Write all of ``content`` or nothing: a reader never sees half a file."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    part.replace(file)
