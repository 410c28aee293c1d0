"""Where things lie: ``audits/`` and ``templates/`` (the user's own first, then the shipped ones) and the store."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from toxaudit.errors import ToxauditError

NAME = r"[A-Za-z][A-Za-z0-9_-]*"
"""A pattern of what audits and presets may be called: names that Hydra's grammar takes as they are."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room: none on the disk, or in a quota, or under a limit on one file's size."""

NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
"""What the system says where a process, or all of them, may open no more files."""

TOO_MANY = "Raise the limit on open files (`ulimit -n`), or close other programs"

CUT_OFF = ("inline_container.cc", "iostream error")
"""What torch says of a file that it could not write to its end; it does not say why."""

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
    """Write all of ``content`` or nothing, and wait until the disk has it: a reader never sees half a file.

    Raises:
        ToxauditError: if it can't be written.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    with replacing(file) as part:
        part.write_bytes(data)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A file to be written, which then takes the place of ``file``; nothing is left of it where that fails.

    Raises:
        ToxauditError: if it can't be written.
    """
    if file.is_dir():
        raise ToxauditError(f"{file} is a folder: name a file.")
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with writing(file):
        try:
            yield part
            with part.open("rb+") as written:
                os.fsync(written.fileno())
            part.replace(file)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(file.parent)


def clear_left_behind(folder: Path) -> None:
    """Remove parts of files that killed processes were writing there; those of a living process stay."""
    import psutil

    for part in folder.glob(".*.*"):
        number = part.suffix[1:]
        if number.isascii() and number.isdecimal() and part.is_file() and not psutil.pid_exists(int(number)):
            part.unlink(missing_ok=True)


@contextmanager
def writing(what: Path) -> Iterator[None]:
    """Say what could not be written, where that is why something fails.

    Raises:
        ToxauditError: in place of an ``OSError``, which rarely names the file (a full disk's never does).
    """
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        mend = TOO_MANY if error.errno in NO_MORE_FILES else "Make room there, or name another place"
        raise ToxauditError(f"{what} can't be written: {why}. {mend}; finished work is kept.") from error


@contextmanager
def room_for(what: Path) -> Iterator[None]:
    """Say what there was no room for, where others' code wrote it, whatever that code raises then.

    Raises:
        ToxauditError: in place of an error that says, if only in words, that the disk is full.
    """
    try:
        yield
    except Exception as error:
        full = [number for number in FULL if getattr(error, "errno", 0) == number or os.strerror(number) in str(error)]
        cut_off = any(words in str(error) for words in CUT_OFF)
        if isinstance(error, ToxauditError) or not (full or cut_off):
            raise
        with writing(what):
            if full:
                raise OSError(full[0], os.strerror(full[0])) from error
            raise OSError("a file could not be written to its end") from error


def sha256(file: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder, as it must before they can be relied on."""
    if os.name == "nt":  # where folders can't be opened, and names are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
