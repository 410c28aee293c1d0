"""``toxaudit gate``: a finished run, decided again by its own rule or by another, without rerunning it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit.cli import reporting
from toxaudit.cli.card import listed
from toxaudit.cli.exit_codes import DONE, HELP, OPTION, chosen
from toxaudit.cli.options import Options

if TYPE_CHECKING:
    from toxaudit.findings import AuditResult

GATE = Options(
    "gate",
    "RUN [gate=NAME] [gate.KEY=VALUE ...]",
    "Decides a finished run again from its stored posteriors, in seconds and without loading a model; its exit code is "
    "that of the verdict. RUN is its folder, such as runs/quickstart. Without overrides, the rule decides that the run "
    "had committed to. Another one, such as gate=strict or gate.margin=0.02, starts from that rule; results, card and "
    "report then say what both come to.",
    where="RUN such as runs/quickstart",
)
GATE.value(OPTION, "go=0,no-go=...", help=HELP, to="codes")
GATE.value(reporting.OPTION, "FILE", help=reporting.HELP, read=Path, to="junit")


def gate(words: Sequence[str]) -> int:
    """Decide a run again; the exit code is that of its verdict."""
    others, given = GATE.read(words)
    codes = chosen(given.get("codes"))
    if not others or others[0].startswith(("gate=", "gate.")):
        raise GATE.miswritten()
    lenient = codes["INCONCLUSIVE"] == DONE
    with reporting.reporting(shlex.join(["toxaudit", "gate", *others]), given.get("junit"), lenient) as results:
        results[others[0]] = _decided(Path(others[0]), others[1:], lenient)
    from toxaudit.decision.verdict import of_audit

    return codes[of_audit(results[others[0]])]


def _decided(folder: Path, overrides: Sequence[str], lenient: bool) -> "AuditResult":
    """What a run comes to; it is told first, and only then written, which takes longer."""
    from toxaudit.cli.verdict import tell
    from toxaudit.gating import decide, write

    before, after = decide(folder, overrides)
    tell(after)
    if after is not before:
        print(f"Decided anew: {listed(folder, write(folder, before, after, lenient))}", flush=True)
    return after
