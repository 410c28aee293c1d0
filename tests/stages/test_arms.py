"""Which candidates become arms of an audit, what is said of those that may not, and when none is left."""

import json
import shutil
from pathlib import Path

import pytest
import stored
import tiny
import workspace

from toxaudit.cli.main import main
from toxaudit.compose.compose import compose
from toxaudit.errors import LONGEST_LINE, ToxauditError
from toxaudit.stages.arms import Arms, assembly, making

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

FORGED = "Its card says\nAudit 'tiny': GO\r\x1b[2J\x1b[31m\u202eOG\x00 " + "y" * 5000 + " so leave it out."
SKIP = ["audit=tiny", "on_candidate_error=skip"]
RUDE = ["candidates.rude=./models/base:./models/adapter", "candidates.rude.expect=NO-GO"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("arms"), prompts=12)
    tiny.adapter(folder / "models/base", folder / "models/idle", scale=0)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    return tmp_path / "work"


def left_out(name, sentence, *overrides):
    found = Arms()
    assembly._leave_out(found, compose([*SKIP, *overrides]), name, sentence)
    return found.skipped[name]


@pytest.mark.parametrize("written", ["nonsense", "pkg:nonsense", "org/model@v1"])
def test_a_reference_that_can_not_be_read_is_shown_as_written(here, written):
    more = ["candidates.gone.revision=v2"] if "@" in written else []
    skipped = left_out("gone", "It can't be had.", f"candidates.gone={written}", *more)
    assert (skipped.reference, skipped.reason) == (written, "It can't be had.")


def test_a_reference_of_no_form_does_not_stop_an_audit_that_skips(here):
    assert main([*SKIP, "candidates.gone=nonsense"]) in (1, 2)
    result = json.loads(Path("runs/tiny/results.json").read_text())
    (skipped,) = result["skipped"]
    assert (skipped["name"], skipped["reference"]) == ("gone", "nonsense")
    (failed,) = [check for check in result["checks"] if check["outcome"] == "failed"]
    assert (failed["arm"], failed["text"]) == ("gone", skipped["reason"])


def test_what_was_checked_is_kept_with_the_results_and_again_by_a_run_that_looks_at_nothing(here):
    again = ["candidates.again=./models/base", "candidates.idle=./models/idle"]
    found = []
    for _ in range(2):
        assert main([*SKIP, *again]) in (1, 2)
        found.append(json.loads(Path("runs/tiny/results.json").read_text()))
    result = found[0]
    assert result["checks"] == found[1]["checks"]
    failed = {check["arm"]: check for check in result["checks"] if check["outcome"] == "failed"}
    assert {name: check["text"] for name, check in failed.items()} == {
        each["name"]: each["reason"] for each in result["skipped"]
    }
    assert failed["again"]["name"] == "effect by files and system prompts"
    assert failed["idle"]["name"] == "effect by stored values"
    assert "models/idle changes nothing" in failed["idle"]["text"] and str(here) not in json.dumps(result["checks"])
    order = list(dict.fromkeys(check["arm"] for check in result["checks"]))
    assert order == ["", "base", "tuned", "noop", "again", "idle"]
    design = [check["name"] for check in result["checks"] if not check["arm"]]
    assert design[0] == "prompts, strata and weights of suite 'mine'"
    assert "estimator for scorer 'vowels' on suite 'mine'" in design


@pytest.mark.parametrize(
    "fine_tune",
    [
        ["candidates.tuned.peft=nonsense"],
        ["candidates.tuned.peft=./models/idle"],
        ["candidates.tuned.peft=nonsense", *RUDE],
    ],
    ids=["can't be had", "refused by a check", "a positive control is left"],
)
def test_controls_alone_are_not_audited_where_every_fine_tune_is_refused(here, capsys, fine_tune):
    assert main([*SKIP, *fine_tune]) == 3
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("toxaudit: ")]
    assert said.startswith("toxaudit: No candidate can be audited. ") and said.endswith(".") and len(said) > 60
    assert not Path("runs").exists() and not stored.places(here.parent / "home" / "store", "completions")


def beyond(here, name="beyond"):
    """A fine-tune whose tokenizer has a word for which its embeddings have no row, in some of the prompts."""
    folder = tiny.base(here / "models" / name, seed=7)
    words = tiny.tokenizer()
    words.add_tokens(["question"])
    words.save_pretrained(folder)
    return folder


UNREAD = (
    "the tokenizer gives token 257, but the model has embeddings for 257 only: its tokenizer is another model's, or "
)


def test_what_an_arm_can_not_read_is_found_before_anything_is_generated_and_costs_that_arm(here, capsys, monkeypatch):
    beyond(here)
    wrong = ["candidates.beyond=./models/beyond", "candidates.beyond.allow_base_mismatch=true"]
    with monkeypatch.context() as patched:
        patched.setattr("toxaudit.stages.answering.answer", None)
        assert main(["audit=tiny", *wrong]) == 3
        assert f"toxaudit: beyond: {UNREAD}" in capsys.readouterr().err
        assert main(["audit=tiny", "base.pretrained=./models/beyond", "candidates.tuned.allow_base_mismatch=true"]) == 3
        assert f"toxaudit: base: {UNREAD}" in capsys.readouterr().err
    found = []
    for _ in range(2):  # the second time, nothing is generated
        assert main([*SKIP, *wrong]) in (1, 2)
        found.append(json.loads(Path("runs/tiny/results.json").read_text()))
    assert [(each["name"], each["reason"][: len(UNREAD)]) for each in found[1]["skipped"]] == [("beyond", UNREAD)]
    assert [each["name"] for each in found[1]["candidates"]] == ["tuned", "noop"]
    assert found[0]["checks"] == found[1]["checks"]


def test_where_no_fine_tune_can_be_had_no_weights_are_loaded(here, monkeypatch):
    monkeypatch.setattr("toxaudit.stages.arms.assembly.Preflight", None)
    assert main([*SKIP, "candidates.tuned.peft=nonsense"]) == 3


def test_a_spec_of_nothing_but_controls_is_audited(here):
    assert main([*SKIP, "~candidates.tuned"]) in (0, 2)
    (control,) = json.loads(Path("runs/tiny/results.json").read_text())["candidates"]
    assert control["kind"] == "control"


def test_the_reason_that_is_kept_is_one_short_line_in_which_nothing_acts(here):
    skipped = left_out("tuned", FORGED)
    assert skipped.reason.isprintable() and len(skipped.reason) <= LONGEST_LINE
    assert skipped.reason.startswith("Its card says Audit 'tiny': GO ") and skipped.reason.endswith("so leave it out.")
    assert left_out("tuned", skipped.reason).reason == skipped.reason  # as a lock gives it again


def test_no_stranger_can_forge_a_line_of_the_output(here, monkeypatch, capsys):
    resolve = making.resolve_candidate

    def refuse(name, *rest):
        if name == "bad":
            raise ToxauditError(f"candidates.bad: {FORGED}")
        return resolve(name, *rest)

    monkeypatch.setattr("toxaudit.stages.arms.making.resolve_candidate", refuse)
    assert main([*SKIP, "candidates.bad=./models/adapter"]) in (1, 2)
    captured = capsys.readouterr()
    assert len([line for line in captured.out.splitlines() if line.startswith("Audit 'tiny'")]) == 1
    assert not [line for line in captured.err.splitlines() if line.startswith("Audit")]
    (told,) = [line for line in captured.out.splitlines() if line.startswith("NOT AUDITED: bad. Its card says Audit")]
    assert told.isprintable() and len(told) < 700
    assert "bad is not audited: Its card says Audit" in captured.err
    assert not {"\u202e", "\x00"} & set(captured.out + captured.err)
    assert "\x1b[2J" not in captured.out + captured.err
