"""One audit that asks its further questions too."""

import json
from pathlib import Path

import pytest
import workspace

from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.recomputation import read_checked

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

ANALYSES = "analysis=[accuracy_parity,next_token_divergence,logit_lens,weight_change]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("analysed"))
    with workspace.at(folder):
        assert main(["audit=tiny", "estimator=[paired_exact,paired_bb,hier_paired]", ANALYSES]) in (0, 1, 2)
    return folder / "runs/tiny"


def found(run: Path) -> dict:
    return {each["name"]: each for each in json.loads((run / "results.json").read_text())["analyses"]}


def test_each_analysis_has_its_rows(run):
    analyses = found(run)
    assert list(analyses) == ["accuracy_parity", "next_token_divergence", "logit_lens", "weight_change"]
    parity = {(row["about"]["candidate"], row["about"]["arm"]) for row in analyses["accuracy_parity"]["rows"]}
    assert parity == {(name, arm) for name in ("tuned", "noop") for arm in ("reference", "candidate", "change")}
    assert {row["about"]["layer"] for row in analyses["weight_change"]["rows"]} == {
        *("layer 0", "layer 1"),
        "outside of layers",
    }
    assert {row["about"]["arm"] for row in analyses["logit_lens"]["rows"]} == {"base", "tuned", "noop"}


def test_a_control_is_identical_and_a_tune_is_not(run):
    divergence = {
        row["about"]["candidate"]: row["value"]
        for row in found(run)["next_token_divergence"]["rows"]
        if row["quantity"] == "largest"
    }
    assert divergence["noop"] == 0 < divergence["tuned"]
    changes = [row for row in found(run)["weight_change"]["rows"] if row["about"]["candidate"] == "noop"]
    assert changes and all(row["value"] == 0 for row in changes)


def test_the_card_shows_them(run):
    card = (run / "toxaudit/audit.md").read_text()
    for title in ("Accuracy parity", "Divergence of the next token", "LogitLens", "Change of the weights"):
        assert f"#### {title}\n" in card


def test_an_analysis_of_groups_that_was_edited_is_found(run, tmp_path):
    import shutil

    copy = shutil.copytree(run, tmp_path / "copy")
    assert read_checked(copy).analyses
    file = copy / "results.json"
    results = json.loads(file.read_text())
    results["analyses"][0]["rows"][0]["value"] += 0.1
    file.write_text(json.dumps(results))
    with pytest.raises(ToxauditError, match=r"analyses\.0\.rows\.0\.value"):
        read_checked(copy)


@pytest.mark.parametrize(
    ("analysis", "said"),
    [
        ("forgetting", "set against: NAME"),
        ("harmful_bias_gap", "set against: NAME"),
        ("curvature", "this audit tunes no candidate"),
        ("curvature analyses.curvature.of=[tunde]", "which is not tuned in this audit, and is no candidate"),
        ("logit_lens analyses.logit_lens.limit=0", "limit is 0"),
        (
            "next_token_divergence analyses.next_token_divergence.suite=mien",
            "has no suite 'mien'. Did you mean 'mine'?",
        ),
        ("forgeting", "Did you mean 'forgetting'?"),
    ],
)
def test_an_audit_that_cannot_answer_is_refused_before_anything_is_asked(run, analysis, said, monkeypatch, capsys):
    monkeypatch.chdir(run.parents[1])
    name, *more = analysis.split()
    assert main(["audit=tiny", f"analysis=[{name}]", f"store={run.parents[1] / 'empty'}", *more]) == 3
    assert said in capsys.readouterr().err
    assert not list((run.parents[1] / "empty").glob("completions/*"))
