"""``toxaudit calibrate`` counts a scorer's errors; ``toxaudit calibrate-statistics`` reruns the study of our own."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from toxaudit.cli.exit_codes import DONE, MISSED
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, visible

if TYPE_CHECKING:
    from toxaudit.labelled import Labelling

OF_A_SCORER = "scorers."
"""How an override of the scorer's own keys begins."""


def calibrate(words: Sequence[str]) -> int:
    """Compare a scorer with people's labels, and write its calibration file."""
    labelling = read(words)
    from toxaudit import labelled
    from toxaudit.compose.parts import scorer

    uncorrected = f"scorers.{labelling.scorer}.calibration=null"  # one that it has is what is to be replaced
    composed = scorer(labelling.scorer, [*labelling.overrides, uncorrected])
    command = shlex.join(["toxaudit", "calibrate", *words]).replace(str(Path.home()), "~")
    for line in labelled.calibrate(labelling, composed, command):
        print(visible(line))
    return DONE


def read(words: Sequence[str]) -> "Labelling":
    """What the words of ``toxaudit calibrate`` name, checked as far as that goes without the data.

    Raises:
        ToxauditError: if a word is no key, stands twice or says nothing, or scorer or data are not named.
    """
    _, given = CALIBRATE.read([word for word in words if not word.startswith(OF_A_SCORER)])
    from toxaudit.labelled import Labelling

    out = given.pop("out", Path("audits") / "calibration" / f"{given['scorer']}.yaml")
    return Labelling(**given, out=out, overrides=tuple(word for word in words if word.startswith(OF_A_SCORER)))


def calibrate_statistics(words: Sequence[str]) -> int:
    """Rerun the simulation study; exit code 1 where a bar is missed."""
    _, given = CALIBRATE_STATISTICS.read(words)
    from toxaudit.studies import study

    folder = Path("docs")
    met = study.run(folder, quick="quick" in given)
    print(f"{'All bars are met' if met else 'A bar is MISSED'}: see {folder / 'calibration.md'}")
    return DONE if met else MISSED


def _column(key: str) -> Callable[[str], str]:
    """Reads a column, or a template over columns."""

    def read(text: str) -> str:
        from toxaudit.suites import columns

        columns.check(text, key)
        return text

    return read


def _slice(text: str) -> str:
    from toxaudit.suites import columns

    if columns.is_template(text):
        raise ToxauditError("by must be a column, the one that a suite names as its slice, but is a template.")
    return text


def _labels(text: str) -> tuple[str, ...]:
    """The labels that ``positive=A`` or ``positive=[A,B]`` names, as they are spelt: ``no`` is no false."""
    if not text.startswith("["):
        return (text.strip(),)
    try:
        labels = yaml.load(text, yaml.BaseLoader)  # noqa: S506  (makes nothing but texts, lists and mappings)
    except yaml.YAMLError:
        labels = None
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise ToxauditError(f"positive is '{text}': write one label, or a list such as [A,B].")
    return tuple(dict.fromkeys(labels))


CALIBRATE = Options(
    "calibrate",
    "scorer=NAME data=FILE positive=LABEL",
    "Counts how often a scorer errs against labels that people gave, by group if one is named, and writes the counts "
    "into a file that a spec can name. Keys of the scorer are set as for an audit: scorers.NAME.KEY=VALUE.",
    where="FILE the data that people labelled, and LABEL what they call what the scorer counts",
    keys=True,
)
CALIBRATE.value("scorer", "NAME", required=True, help="one of `toxaudit ls scorers`")
CALIBRATE.value("data", "FILE", required=True, help="rows of texts and labels: a file, or a reference to one")
CALIBRATE.value("positive", "[A,B]", read=_labels, help="the labels of what the scorer counts; one needs no brackets")
CALIBRATE.value("text", "COLUMN", read=_column("text"), help="the text that was labelled (text by default)")
CALIBRATE.value("label", "COLUMN", read=_column("label"), help="what it was labelled as (label by default)")
CALIBRATE.value("prompt", "COLUMN", read=_column("prompt"), help="the prompt that it answers, where a scorer reads it")
CALIBRATE.value("by", "COLUMN", read=_slice, help="the group by which errors are also counted")
CALIBRATE.value("source", "TEXT", help="what the data are, in words for the card")
CALIBRATE.value("out", "FILE", read=Path, help="the file to write (audits/calibration/NAME.yaml by default)")

CALIBRATE_STATISTICS = Options(
    "calibrate-statistics",
    "[--quick]",
    "Reruns the study of coverage and error rates on simulated audits, whose truth is known, and writes it into docs/. "
    "The exit code is 1 if a bar is missed.",
    where="no other words",
    words=0,
)
CALIBRATE_STATISTICS.flag("--quick", help="a small study, of 3 minutes")
