"""``toxaudit runs`` lists the runs that are there."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, one_line

if TYPE_CHECKING:
    from toxaudit.findings import AuditResult

RUNS = Options(
    "runs",
    "[FOLDER ...]",
    "Lists the finished runs at or below some folders, by default runs/ and multirun/: audit, day, verdict, what "
    "people decided if anybody signed, and how much the folder takes. A signature is not checked here: `toxaudit "
    "verify RUN` does that.",
)


def runs(words: Sequence[str]) -> int:
    """List the finished runs."""
    folders, _ = RUNS.read(words)
    from toxaudit.results import runs as found

    if missing := next((each for each in folders if not Path(each).is_dir()), None):
        raise ToxauditError(f"There is no folder {missing}: name one that holds runs.")
    places = list(found.runs(map(Path, folders or found.USUAL)))
    if not places:
        print(f"There is no finished run in {', '.join(folders or found.USUAL)}.")
        return DONE
    from toxaudit.cli.summary import aligned

    print(*aligned([("run", "audit", "date", "verdict", "signed", "size"), *map(_row, places)]), sep="\n")
    return DONE


def _row(run: Path) -> tuple[str, ...]:
    from toxaudit.decision.verdict import of_audit
    from toxaudit.machine.memory import in_words
    from toxaudit.results.reading import read_result

    size = in_words(sum(file.stat().st_size for file in run.rglob("*") if file.is_file()))
    try:
        result = read_result(run)
    except ToxauditError as error:
        return str(run), one_line(str(error)), "", "", "", size
    return str(run), result.audit, result.date, of_audit(result), _signed(run, result), size


def _signed(run: Path, result: "AuditResult") -> str:
    """What the record of a run says was decided, and of whom unless of all; nothing where there is no record."""
    from toxaudit.results.files import RESULTS
    from toxaudit.signoff import decision, record

    if not (run / decision.DECISION).exists():
        return ""
    try:
        told = record.read(run / decision.DECISION).decision
    except ToxauditError:
        return "damaged"
    if told.files.get(RESULTS) != decision.digest((run / RESULTS).read_bytes()):
        return "other results"
    if told.expired(datetime.now(UTC).date()):
        return "expired"
    whole = {each.name for each in result.real} <= set(told.candidates)
    return told.outcome if whole else f"{told.outcome}: {', '.join(told.candidates)}"
