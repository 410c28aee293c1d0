"""A whole audit, from weights to a signed decision: what was audited is what is signed, and another adapter is not."""

import json
import shutil
from pathlib import Path

import pytest
import signing
import workspace

from toxaudit.cli.main import main

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]


def listed_as(capsys):
    """What ``toxaudit runs`` says of the signatures of the one run."""
    capsys.readouterr()
    assert main(["runs"]) == 0
    heads, row = capsys.readouterr().out.splitlines()
    return row[heads.index("signed") : heads.index("size")].strip()


def test_a_whole_audit_is_signed_and_checked_with_its_weights(tmp_path, monkeypatch, capsys):
    workspace.make(tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    assert main(["audit=tiny"]) == 0
    run, ann = Path("runs/tiny"), signing.key(Path())
    signing.signed(run, ann, "--approve")
    assert signing.verified(run, ann, words=["--weights", "models"]) == 0
    assert listed_as(capsys) == "approved"
    with monkeypatch.context() as patch:
        patch.setattr(
            "toxaudit.signoff.decision.ReleaseDecision.expired", lambda record, day: "it was valid until then"
        )
        assert listed_as(capsys) == "expired"
    again = Path(shutil.copytree("models", "others"))
    adapter = again / "adapter" / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"\x07")
    capsys.readouterr()
    assert signing.verified(run, ann, words=["--weights", "others"]) == 1
    assert "FAILED  weights of candidates.tuned: adapter_model.safetensors" in capsys.readouterr().out
    assert main(["card", str(run)]) == 0
    assert signing.verified(run, ann) == 0
    assert main(["audit=tiny", "gate.margin=0.3"]) in (0, 1, 2)  # replaces the run, and not the decision
    assert json.loads((run / "decision.json").read_text())["policy"]["margin"] == 0.2
    assert b"signoff-begin" not in (run / "card.md").read_bytes()
    assert listed_as(capsys) == "other results"
    capsys.readouterr()
    assert signing.verified(run, ann) == 1
    assert "FAILED  files: results.json is not the file that was signed" in capsys.readouterr().out
    signing.signed(run, ann, "--reject")
    assert listed_as(capsys) == "rejected"
    (run / "decision.json").write_bytes(b"{")
    assert listed_as(capsys) == "damaged"
    assert len(list((run / "decisions").iterdir())) == 2
