"""A CI server is told how a deciding command ended, whatever that was, and nothing of an earlier run is lost for it."""

from pathlib import Path
from xml.etree import ElementTree

import finished
import pytest
from results import RESULTS

from toxaudit.cli import reporting
from toxaudit.cli.main import main
from toxaudit.cli.reporting import CUT, LARGEST_BYTES, VARIABLE, summarise
from toxaudit.errors import ToxauditError
from toxaudit.machine.stopping import Stopped

WHOLE = 1024 * 1024


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def summary(tmp_path, monkeypatch):
    file = tmp_path / "summary.md"
    monkeypatch.setenv(VARIABLE, str(file))
    return file


def told(file: Path) -> list[tuple[str, str]]:
    """The kind and the message of each case that did not pass."""
    root = ElementTree.parse(file).getroot()
    return [(each.tag, each.get("message")) for case in root.iter("testcase") for each in case]


def failing(monkeypatch, error: BaseException):
    def fail(words):
        raise error

    monkeypatch.setattr("toxaudit.compose.compose.compose", fail)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ToxauditError("There is no x: <b>write</b> | y\x1b."), 3, "There is no x: <b>write</b> | y\ufffd."),
        (MemoryError(), 3, "it ended by MemoryError"),
        (ZeroDivisionError(), 3, "it ended by ZeroDivisionError"),
        (OSError(28, "No space left on device", "x"), 3, "it ended by OSError"),
        (Stopped(2), 130, "it ended by Stopped"),
        (KeyboardInterrupt(), 130, "it ended by KeyboardInterrupt"),
    ],
)
def test_a_command_that_comes_to_no_verdict_leaves_an_error(error, code, said, monkeypatch, tmp_path, summary, capsys):
    failing(monkeypatch, error)
    file = tmp_path / "new" / "junit.xml"
    assert main(["audit=x", "--junit", str(file)]) == code
    assert told(file) == [("error", said)]
    text = summary.read_text()
    assert "## toxaudit: error" in text and "Nothing was decided." in text and "<b>" not in text and "\x1b" not in text


def test_while_there_is_no_verdict_the_file_holds_an_error_in_place_of_an_earlier_runs(tmp_path):
    file = tmp_path / "junit.xml"
    file.write_text("<testsuites/>")
    with reporting.reporting("toxaudit audit=x", file, False) as results:
        assert told(file) == [("error", reporting.KILLED)]
        results["0"] = RESULTS["go"]
    assert {kind for kind, _ in told(file)} <= {"skipped"}


def test_several_audits_and_what_is_open_are_told_as_asked(tmp_path, summary):
    file = tmp_path / "junit.xml"
    for lenient, kinds in ((False, {"failure"}), (True, {"skipped"})):
        with reporting.reporting("toxaudit -m audit=x", file, lenient) as results:
            results.update({"0": RESULTS["go"], "1": RESULTS["inconclusive"]})
        suites = [suite.get("name") for suite in ElementTree.parse(file).getroot()]
        assert {name[:3] for name in suites} == {"0: ", "1: "}
        assert {kind for kind, message in told(file) if "of a control" not in message} == kinds
    assert summary.read_text().count("\n## ") == 4


def test_a_finished_runs_own_file_is_not_written_over(tmp_path):
    (tmp_path / "junit.xml").write_text("<testsuites/>")
    finished.sealed(tmp_path)
    with (
        pytest.raises(ToxauditError, match="belongs to a finished run, which has this file anyway"),
        reporting.reporting("toxaudit audit=x", tmp_path / "junit.xml", False),
    ):
        pass
    assert (tmp_path / "junit.xml").read_text() == "<testsuites/>"


def test_a_file_that_can_not_be_written_is_one_sentence_before_anything_is_done(tmp_path, monkeypatch, capsys):
    failing(monkeypatch, AssertionError("composed"))
    (tmp_path / "file").write_text("")
    assert main(["audit=x", "--junit", str(tmp_path / "file" / "junit.xml")]) == 3
    said = capsys.readouterr().err
    assert "can't be written: " in said and said.count("\n") == 1


@pytest.mark.parametrize("name", RESULTS)
def test_a_summary_says_what_the_card_says_and_holds_no_plot(name, summary):
    with reporting.reporting("toxaudit audit=x", None, False) as results:
        results["0"] = RESULTS[name]
    text = summary.read_text()
    assert text.startswith("\n## ") and "\nRule, " in text and ".png" not in text and "<img" not in text
    for verdict in RESULTS[name].verdicts:
        assert f"| {verdict.candidate}" in text


def test_a_summary_stays_within_what_github_shows_and_says_what_it_leaves_out(tmp_path):
    file = tmp_path / "summary.md"
    for text in ("a line\n" * 100_000, "ü" * 3 + "\nanother line\n" * 100_000, "more\n" * 1_000):
        summarise(text, {VARIABLE: str(file)})
        assert file.stat().st_size < LARGEST_BYTES == WHOLE
    assert file.read_text().count(CUT.strip()) == 1  # there was no room to say it again
    assert file.read_text().endswith(CUT)


def test_a_summary_that_can_not_be_written_changes_no_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with reporting.reporting("toxaudit audit=x", None, False) as results:
        results["0"] = RESULTS["go"]
    assert "can't be written: Is a directory" in capsys.readouterr().err
