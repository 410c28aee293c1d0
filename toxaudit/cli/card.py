"""``toxaudit card``: a finished run's card, plots and report, written anew."""

from collections.abc import Sequence
from pathlib import Path

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options

CARD = Options(
    "card",
    "RUN [card.KEY=VALUE ...]",
    "Writes card, plots and report of a finished run anew, from what the run found and without rerunning it. RUN is "
    "its folder, such as runs/quickstart; card.template=FILE takes another template, and card.samples=5 shows five "
    "changed answers of each candidate.",
    where="RUN such as runs/quickstart",
)


def card(words: Sequence[str]) -> int:
    """Write the files that tell of a run."""
    others, _ = CARD.read(words)
    if not others or others[0].startswith("card."):
        raise CARD.miswritten()
    from toxaudit.compose.card import settings
    from toxaudit.stages.rendering import render_anew

    folder = Path(others[0])
    print(f"Wrote in {listed(folder, render_anew(folder, settings(folder, others[1:])))}")
    if lost := _unshown(folder):
        print(lost)
    return DONE


def _unshown(folder: Path) -> str:
    """What to say where a run has a decision that its card no longer shows; nothing where it does, or has none."""
    from toxaudit.signoff import shown
    from toxaudit.signoff.decision import DECISION

    if not (folder / DECISION).is_file() or shown.found((folder / "card.md").read_bytes()):
        return ""
    return (
        f"{folder / DECISION} is not shown, for it is of another card or of other files than these: `toxaudit verify "
        f"{folder}` says which, and `toxaudit signoff` signs these."
    )


def listed(folder: Path, files: Sequence[Path]) -> str:
    """A folder, and the names of the files and folders that were written into it."""
    parts = [file.relative_to(folder).parts for file in files]
    names = dict.fromkeys(part[0] + "/" * (len(part) > 1) for part in parts)
    return f"{folder}/: {', '.join(names)}"
