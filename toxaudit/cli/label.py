"""``toxaudit label``: some answers of a finished run, put before a person who doesn't know which model wrote them."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, visible

if TYPE_CHECKING:
    from toxaudit.raters.drawing import Sheet

RATER = "1"
"""Who labels, where nobody says who."""


def label(words: Sequence[str]) -> int:
    """Draw answers of a run, and let a person label them."""
    (run,), given = LABEL.read(words)
    shown, taken = given.pop("page", None), given.pop("read", None)
    if shown and taken:
        raise ToxauditError("--page writes a page and --read takes in what it saved: give one of them.")
    rater = given.pop("rater", RATER)
    from toxaudit.raters.drawing import Wanted, drawn

    sheet = drawn(Wanted(Path(run), **given), rater)
    if shown:
        return _page(sheet, shown, run)
    if taken:
        _take_in(sheet, taken)
    else:
        from toxaudit.raters.terminal import ask

        getattr(sys.stdin, "reconfigure", lambda **_: None)(errors="replace")  # a slip of the keyboard is no defect
        ask(sheet, sys.stdin.readline, lambda text: print(text, flush=True))
    _conclude(sheet)
    return DONE


def _page(sheet: "Sheet", file: Path, run: str) -> int:
    from toxaudit.raters import page

    page.write(sheet, file)
    print(f"Wrote {file} with {len(sheet.items)} answers; nothing in it tells which model wrote one.")
    print(visible(f"Open it in a browser, label, save the CSV, and run: toxaudit label {run} --read labels.csv"))
    return DONE


def _take_in(sheet: "Sheet", file: Path) -> None:
    """Keep what a page saved."""
    from functools import partial

    from toxaudit import labels
    from toxaudit.raters import table

    told: dict[str, Any] = table.read(file, {item.key for item in sheet.items})
    labels.write(sheet.file, partial(labels.given, rater=sheet.rater, told=told))
    print(f"Took in {len(told)} labels by rater {sheet.rater}.")


def _conclude(sheet: "Sheet") -> None:
    """The last lines: how many labels there are, and what to run next."""
    from toxaudit import labels

    known = labels.read(sheet.file).answers
    mine = sum(sheet.rater in known[item.key] for item in sheet.items)
    others = len({rater for item in sheet.items for rater in known[item.key]} - {sheet.rater})
    beside = f"; {others} more {'rater has' if others == 1 else 'raters have'} labelled some" if others else ""
    print(f"\n{sheet.file}: {mine} of {len(sheet.items)} answers are labelled by rater {sheet.rater}{beside}.")
    if mine < len(sheet.items):
        print("Not all are labelled: the same command goes on from here. What there is can be used as it is.")
    print(visible(f"Next: {sheet.next}"))


def _answers(text: str) -> int:
    from toxaudit.estimators.two_phase import FEWEST_LABELLED

    if not text.isascii() or not text.isdecimal() or not 2 * FEWEST_LABELLED <= int(text) <= 1_000_000:
        raise ToxauditError(f"--n is '{text}': it must be a whole number of answers, {2 * FEWEST_LABELLED} or more.")
    return int(text)


def _rater(text: str) -> str:
    from toxaudit.labels import RATER

    if not RATER.fullmatch(text):
        raise ToxauditError(f"--rater is '{text}': it must be a name of up to 40 letters a-z, digits, - and _.")
    return text


def _ending(option: str, ending: str, text: str) -> Path:
    if Path(text).suffix != ending or Path(text).is_dir():
        raise ToxauditError(f"{option} is '{text}': it must be the name of a file that ends in {ending}.")
    return Path(text)


LABEL = Options(
    "label",
    "RUN [--n 100]",
    "Draws answers of a finished run, base's and candidate's, by design, and shows them in random order to a person "
    "who is not told which model wrote them. Each label is kept at once; the same command goes on where it stopped. "
    "The last line says how to run the audit again with these labels, which then decide the change in total, together "
    "with all scores. RUN is a finished run's folder, such as runs/quickstart.",
    where="RUN the folder of one finished run, such as runs/quickstart",
    words=1,
)
LABEL.value("n", "NUMBER", read=_answers, to="answers", help="how many answers (100 by default); more enlarge a draw")
LABEL.value("measure", "NAME", help="of which measure, where several are critical")
LABEL.value("suite", "NAME", help="on which suite, where there are several")
LABEL.value("candidate", "NAME", help="whose answers, where there are several candidates")
LABEL.value("rater", "NAME", read=_rater, help="who labels (1 by default); a second rater labels the same answers")
LABEL.value(
    "file", "FILE.json", read=lambda text: _ending("--file", ".json", text), help="audits/labels/AUDIT.json by default"
)
LABEL.value(
    "page",
    "FILE.html",
    read=lambda text: _ending("--page", ".html", text),
    help="write a page to label in a browser, without a network, instead of asking here",
)
LABEL.value("read", "FILE.csv", read=lambda text: _ending("--read", ".csv", text), help="take in what that page saved")
