"""``toxaudit gate``: a finished run, decided again by its own rule or by another, without rerunning it."""

from collections.abc import Sequence
from pathlib import Path

from toxaudit.cli.card import listed
from toxaudit.cli.exit_codes import HELP, OPTION, chosen
from toxaudit.cli.options import Options

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


def gate(words: Sequence[str]) -> int:
    """Decide a run again; the exit code is that of its verdict."""
    others, given = GATE.read(words)
    codes = chosen(given.get("codes"))
    if not others or others[0].startswith(("gate=", "gate.")):
        raise GATE.miswritten()
    from toxaudit.cli.verdict import tell
    from toxaudit.decision.verdict import of_audit
    from toxaudit.gating import decide, write

    folder = Path(others[0])
    before, after = decide(folder, others[1:])
    tell(after)
    if after is not before:
        print(f"Decided anew: {listed(folder, write(folder, before, after))}", flush=True)
    return codes[of_audit(after)]
