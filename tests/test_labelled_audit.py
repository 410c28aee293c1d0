"""A whole audit: it runs, a person labels some of its answers, it runs again by what is stored, and decides by them."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import workspace

from toxaudit import labels
from toxaudit.cli.main import main
from toxaudit.recomputation import read_checked

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

FILE = Path("audits/labels/tiny.json")


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    return workspace.audited(tmp_path_factory.mktemp("audited"), prompts=60, with_run=True)


@pytest.fixture
def here(audited, tmp_path, monkeypatch):
    """The folder after a first run, and a copy of its store, so that no test meets what another one decided."""
    shutil.copytree(audited, tmp_path / "own", symlinks=True)
    monkeypatch.chdir(tmp_path / "own" / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "own" / "home"))
    return tmp_path / "own" / "work"


def samples():
    return [json.loads(line) for line in Path("runs/tiny/samples_mine.jsonl").read_text().splitlines()]


def judge(monkeypatch, truth):
    """Label all that was drawn: yes where ``truth`` says so of arm and text."""
    wrote = {labels.answer_key("mine", "vowels", row["prompt"], row["text"]): row for row in samples()}
    typed, known = [], labels.read(FILE).answers if FILE.exists() else {}
    assert not known
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["label", "runs/tiny", "--n", "80"]) == 0

    def all_of(found):
        told = {key: "yes" if truth(wrote[key]["model"], wrote[key]["text"]) else "no" for key in found.answers}
        typed.extend(told)
        return labels.given(found, "1", told)

    labels.write(FILE, all_of)
    return typed


def test_labels_decide_before_the_scores_alone_and_the_card_says_so(here, monkeypatch, capsys):
    before = read_checked(Path("runs/tiny"))
    drawn = judge(monkeypatch, lambda arm, text: arm == "tuned")
    capsys.readouterr()
    assert main(["label", "runs/tiny"]) == 0
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("Next: toxaudit ")
    started = time.perf_counter()
    assert main(command.split()) == 1
    assert time.perf_counter() - started < 60
    said = capsys.readouterr()
    result = read_checked(Path("runs/tiny"))
    assert {v.candidate: v.decision for v in before.verdicts}["tuned"] == "GO" == before.verdicts[0].decision
    assert result.verdicts[0].decision == "NO-GO" and result.verdicts[1] == before.verdicts[1]
    assert "NO-GO: tuned raises vowels" in said.out and "CAUTION: Labels were added after results existed" in said.out
    card = " ".join(Path("runs/tiny/toxaudit/audit.md").read_text().split())
    assert f"{len(drawn)} of {len(drawn)} answers, drawn at random from each combination of" in card
    assert "were labelled by 1 rater who was not told which model wrote them" in card
    assert "Rule, fixed before the run" in card and "tuned was GO" in card
    assert (
        main(["card", "runs/tiny"]) == 0 and " ".join(Path("runs/tiny/toxaudit/audit.md").read_text().split()) == card
    )
    assert main(["plan", *command.split()]) == 0 and "answers that were drawn" in capsys.readouterr().out


def test_a_run_without_its_labels_says_that_there_were_some(here, monkeypatch, capsys):
    judge(monkeypatch, lambda arm, text: arm == "tuned")
    assert main(["audit=tiny", f"labels={FILE}"]) == 1
    capsys.readouterr()
    assert main(["audit=tiny"]) == 0
    said = capsys.readouterr().out
    assert "Another rule was tried on the same answers" in said and "tuned was NO-GO" in said


@pytest.fixture(scope="module")
def labelled(audited, tmp_path_factory):
    """The folder after a first run and with labels of its answers: what is refused leaves both as they are."""
    own = tmp_path_factory.mktemp("labelled") / "own"
    shutil.copytree(audited, own, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(own / "work")
        patch.setenv("TOXAUDIT_HOME", str(own / "home"))
        assert main(["audit=tiny"]) == 0
        judge(patch, lambda arm, text: False)
    return own


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["generation.max_new_tokens=9"], "is of other answers than these models give here"),
        (["scorers.vowels.operator=<"], "where the measure counted score >= 0.5, which is now score < 0.5"),
        (["suites.mine.limit=30"], "is of other answers than these models give here"),
        (["estimator=[paired_bb]"], "does nothing without the estimator paired_exact"),
        (
            ["scorer=[degenerate]", "scorers.degenerate.tier=critical"],
            "has nothing of this audit's suites, measures and",
        ),
        (["labels=audits/labels/no.json"], "no.json"),
        (["labels=audits/tiny.yaml"], "is no file of labels"),
    ],
)
def test_labels_that_do_not_fit_are_one_sentence_and_the_run_stays(more, said, labelled, monkeypatch, capsys):
    monkeypatch.chdir(labelled / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(labelled / "home"))
    before = Path("runs/tiny/results.json").read_bytes()
    capsys.readouterr()
    assert main(["audit=tiny", *([] if "labels=" in more[0] else [f"labels={FILE}"]), *more]) == 3
    err = capsys.readouterr().err
    assert said in err and Path("runs/tiny/results.json").read_bytes() == before


def test_a_terminal_of_its_own_is_asked_in(here):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "toxaudit", "label", "runs/tiny", "--n", "20"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    shown = b""
    try:
        for typed in (b"y\n", b"n\n", b"q\n"):
            end = time.monotonic() + 60
            while not shown.rstrip().endswith(b"q quit]") and time.monotonic() < end:
                shown += os.read(ours, 65536)
            os.write(ours, typed)
            shown += b"\n"
        assert process.wait(60) == 0
    finally:
        process.kill()
        os.close(ours)
    assert b"Answer 1 of" in shown and b"\x1b" not in shown
    assert sum(map(bool, labels.read(FILE).answers.values())) == 2
