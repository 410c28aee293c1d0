"""What a CI server is told of a deciding command, however it ends: a JUnit file, and a summary of the job."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit.errors import ToxauditError, one_line

if TYPE_CHECKING:
    from toxaudit.findings import AuditResult

OPTION = "junit"
HELP = "write the verdict's lines as JUnit XML to this file, too; it holds an error where there is no verdict"

VARIABLE = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the file in which GitHub collects what it shows of a step."""

LARGEST_BYTES = 1024 * 1024
"""Bytes of the largest summary of a step: GitHub drops all of a larger one."""

CUT = "\n\nThe rest is left out, since GitHub shows no longer summary: `card.md` in the run's folder has all of it.\n"

KILLED = "the command was killed before it came to a verdict"


@contextmanager
def reporting(command: str, junit: Path | None, lenient: bool) -> "Iterator[dict[str, AuditResult]]":
    """A mapping to be filled with what was decided, of which a CI server is then told; of an error, too.

    Args:
        command: what the user typed.
        junit: the file of JUnit XML that was asked for. It holds an error until there is a verdict, so that neither an
            earlier run's nor nothing is left there where the command is killed.
        lenient: whether what is open is skipped there instead of failed.

    Raises:
        ToxauditError: if that file can't be written, or is one of a finished run's own.
    """
    results: dict[str, AuditResult] = {}
    if junit:
        _check_free(junit)
        _write(junit, _of_error(command, KILLED))
    try:
        yield results
    except BaseException as error:
        why = str(error) if isinstance(error, ToxauditError) else f"it ended by {type(error).__name__}"
        if junit:
            _write(junit, _of_error(command, why))
        summarise(f"## toxaudit: error\n\n{_harmless(one_line(why))}\n\nNothing was decided.\n")
        raise
    if junit:
        from toxaudit.interop.junit import of_results

        several = len(results) > 1
        _write(junit, of_results({f"{name}: " * several: each for name, each in results.items()}, lenient))
    for result in results.values() if os.environ.get(VARIABLE) else ():
        summarise(_of_result(result))


def summarise(text: str, environment: Mapping[str, str] = os.environ) -> None:
    """Add to the summary of the job where there is one, as much as has room; one that can't be written is left out."""
    if not (name := environment.get(VARIABLE)):
        return
    from toxaudit.machine import progress

    try:
        with Path(name).open("ab") as file:
            room = LARGEST_BYTES - 1 - file.tell()
            file.write(_fitting(f"\n{text}".encode("utf-8", "replace"), room))
    except OSError as error:
        progress.say(f"The summary {name} can't be written: {error.strerror or error}.")


def _of_result(result: "AuditResult") -> str:
    """What a summary says of a decision; a template of somebody's own that fails decides nothing."""
    from toxaudit.card.markdown import render_job

    try:
        return render_job(result)
    except ToxauditError as error:
        return f"## toxaudit: decided, but not shown\n\n{_harmless(str(error))}\n"


def _fitting(data: bytes, room: int) -> bytes:
    """As many whole lines as there is room for, with a sentence where some are left out."""
    if len(data) <= room:
        return data
    cut = CUT.encode()
    kept = data[: max(room - len(cut), 0)]
    return (kept[: kept.rfind(b"\n") + 1] + cut)[: max(room, 0)] if kept else b""


def _of_error(command: str, sentence: str) -> bytes:
    from toxaudit.interop.junit import of_error

    return of_error(command, sentence)


def _check_free(file: Path) -> None:
    """Refuse a file that is part of a finished run, which would no longer be whole."""
    from toxaudit.machine.replacement import checksums

    try:
        listed = file.name in checksums(file.parent)
    except ToxauditError:  # a list that is damaged, or somebody else's
        listed = False
    if listed:
        raise ToxauditError(
            f"{file} belongs to a finished run, which has this file anyway: name another for --{OPTION}."
        )


def _write(file: Path, data: bytes) -> None:
    from toxaudit.machine.folders import write_atomically, writing

    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, data)


def _harmless(text: str) -> str:
    from toxaudit.card.markdown import escape

    return escape(text)
