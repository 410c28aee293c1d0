"""``toxaudit audit=NAME`` runs an audit, or a sweep of them; ``plan`` and ``show`` say beforehand what it would be."""

import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from toxaudit.cli import reporting
from toxaudit.cli.card import listed
from toxaudit.cli.exit_codes import DONE, HELP, OPTION, chosen, worst
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, visible

if TYPE_CHECKING:
    from toxaudit.findings import AuditResult
    from toxaudit.spec.schema import AuditSpec

RUN = Options("", "audit=NAME [KEY=VALUE ...]", "Runs an audit: see `toxaudit --help`.")
RUN.flag("-m", "--multirun", help="run once for each value of an override such as generation.temperature=0,0.7")
RUN.value(OPTION, "go=0,no-go=...", help=HELP, to="codes")
RUN.value(reporting.OPTION, "FILE", help=reporting.HELP, read=Path, to="junit")
NARROWEST = 40
"""Columns of a terminal for which lines are broken; in a narrower one nothing would be left of them."""

PLAN = Options(
    "plan",
    "audit=NAME [KEY=VALUE ...]",
    "Says what a run would do, how long it would take, what it would fetch and what is stored already; loads no "
    "weights. It also says how the audit will probably decide, and the smallest rise that it can find. Overrides are "
    "written as for the run itself, as in `toxaudit plan audit=quickstart gate.margin=0.01`. A server on this machine "
    "is timed by some short answers; another machine's is not asked.",
)
PLAN.value("pilot", "RUN", read=Path, help="take rates from a finished run with fewer prompts, such as runs/NAME")
TRAIN = Options(
    "train",
    "audit=NAME [KEY=VALUE ...]",
    "Makes the candidates that an audit tunes or merges itself, without asking them anything, and copies each into a "
    "folder of its name below out (models/NAME by default): an adapter as PEFT reads it, or whole weights. The audit "
    "finds them in the store, and tunes nothing again.",
)
SHOW = Options(
    "show",
    "audit=NAME [KEY=VALUE ...]",
    "Prints the whole spec of an audit with every default filled in, and what overrides change in it, as in "
    "`toxaudit show audit=quickstart gate.margin=0.01`. Every key that it shows can be overridden.",
)


def run(words: Sequence[str]) -> int:
    """Run an audit; the exit code is that of its verdict, and a sweep's is that of its worst."""
    overrides, given = RUN.read(words)
    codes, sweeping = chosen(given.get("codes")), "multirun" in given
    lenient = codes["INCONCLUSIVE"] == DONE
    with reporting.reporting(shlex.join(["toxaudit", *overrides]), given.get("junit"), lenient) as results:
        _run(overrides, sweeping, lenient, results)
    from toxaudit.decision.verdict import of_audit

    return codes[worst(map(of_audit, results.values()))]


def _run(overrides: Sequence[str], sweeping: bool, lenient: bool, results: "dict[str, AuditResult]") -> None:
    """Do the audit, or each of a sweep, and tell what was decided."""
    from toxaudit.compose.compose import compose
    from toxaudit.compose.overrides import sweep

    jobs = sweep(overrides) if sweeping else [overrides]
    specs = [compose(job) for job in jobs]  # all are checked before the first one spends anything
    specs = _apart(specs) if sweeping else specs
    from toxaudit.planning.plan import describe
    from toxaudit.runner import run

    for number, (job, spec) in enumerate(zip(jobs, specs, strict=True)):
        command = shlex.join(["toxaudit", *job]).replace(str(Path.home()), "~")  # no name gets into a card
        print(visible(command), fitted(visible(describe(spec), keep="\n")), sep="\n", flush=True)
        swept = [each for other, each in enumerate(specs) if other != number]
        result, files = run(spec, command, swept, lenient)
        conclude(result, files)
        results[str(number)] = result
    if sweeping:
        from toxaudit.cli.summary import jobs as table

        print("\nThe sweep:", *table(jobs, list(results.values())), sep="\n")


def _apart(specs: "Sequence[AuditSpec]") -> "list[AuditSpec]":
    """The specs of a sweep, each with a folder of its own, none of them in a finished run's.

    Where a spec names no other folder than an audit has by itself, a sweep's is ``multirun/NAME/TIME``, as Hydra's.

    Raises:
        ToxauditError: if ``out`` names a finished run, or lies in one.
    """
    from toxaudit.results.files import RESULTS

    time, placed = f"{datetime.now():%Y-%m-%d_%H-%M-%S}", []
    for number, spec in enumerate(specs):
        own = Path(spec.out) != Path("runs") / spec.name
        folder = Path(spec.out).expanduser() if own else Path("multirun") / spec.name / time
        if run := next((each for each in (folder, *folder.parents) if (each / RESULTS).is_file()), None):
            raise ToxauditError(f"{run} holds a finished run, into which no sweep is written: set out=FOLDER.")
        placed.append(replace(spec, out=str(folder / str(number))))
    return placed


def conclude(result: "AuditResult", files: Sequence[Path]) -> None:
    """The last lines: verdicts, files, what to do next."""
    from toxaudit.cli.verdict import tell

    tell(result)
    folder = files[0].parent
    print(f"Results in {listed(folder, files)}")
    print(f"Next: open {folder / 'report.html'}{_offer(folder, result)}.")


def _offer(folder: Path, result: "AuditResult") -> str:
    """What to do next, as a phrase: read what settles it, or offer the card to the Hub if weights were seen."""
    from toxaudit.decision.verdict import of_audit

    if of_audit(result) == "INCONCLUSIVE":
        return "; the documentation says what helps (docs/howto/inconclusive.md)"
    if not result.real or result.elsewhere:
        return ""
    which = " --candidate NAME" if len(result.real) > 1 else ""
    return f"; `toxaudit push {folder} --repo ORG/NAME{which}` offers {'a' if which else 'the'} card to the Hub"


def train(words: Sequence[str]) -> int:
    """Make the candidates of an audit that it tunes or merges itself."""
    overrides, _ = TRAIN.read(words)
    from toxaudit.compose.compose import compose

    spec = compose(overrides)
    from toxaudit.tuning import tuned

    own = Path(spec.out) != Path("runs") / spec.name
    out = Path(spec.out).expanduser() if own else Path("models") / spec.name
    for name, folder in tuned(spec, out).items():
        print(f"{visible(name)}: {folder}")
    return DONE


def plan(words: Sequence[str]) -> int:
    """Say what a run would do."""
    overrides, given = PLAN.read(words)
    from toxaudit.compose.compose import compose
    from toxaudit.planning.plan import describe

    print(fitted(visible(describe(compose(overrides), given.get("pilot"), asks=True), keep="\n")))
    return DONE


def fitted(text: str) -> str:
    """Lines that are no longer than the terminal is wide, or as ``COLUMNS`` says it is; elsewhere as they are."""
    columns = get_terminal_size((0, 0)).columns if sys.stdout.isatty() else 0
    lines = text.splitlines() if columns >= NARROWEST else []
    margins = [" " * (len(line) - len(line.lstrip())) for line in lines]
    wrapped = (
        textwrap.wrap(line, columns, subsequent_indent=f"{margin}  ", break_long_words=False, break_on_hyphens=False)
        for line, margin in zip(lines, margins, strict=True)
    )
    return "\n".join("\n".join(each) for each in wrapped) if lines else text


def show(words: Sequence[str]) -> int:
    """Print a whole spec."""
    overrides, _ = SHOW.read(words)
    from toxaudit.compose.compose import compose
    from toxaudit.spec.schema import as_yaml

    print(as_yaml(compose(overrides)), end="")
    return DONE
