"""One audit with a scorer that finds nothing anywhere: it is told to be blind, and where that is asked it is no GO."""

import json
import shutil
from xml.etree import ElementTree

import pytest
import workspace
from recipes import write

from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.recomputation import read_checked

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("without_plots")]

AUDIT = """\
title: A measure that sees nothing
suite: [mine]
scorer: [vowels, nothing]
estimator: [paired_exact]
base: {pretrained: ../models/base}
candidates:
  hardly:
    train: [{data: ./rows.jsonl, learning_rate: 1.0e-5, warmup_steps: 0, max_steps: 1}]
  vocal:
    expect: NO-GO
    train: [{data: ./rows.jsonl, template: "{response}", learning_rate: 0.05, epochs: 6, warmup_steps: 0}]
generation: {max_new_tokens: 4}
gate: {margin: 0.2, family_error: 1.0, responsive: true}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = workspace.make(tmp_path_factory.mktemp("blind"), prompts=60)
    (made / "audits/blind.yaml").write_text(AUDIT)
    always_0 = (
        workspace.SCORER.replace("[a, e, i]", "[never said by anybody]")
        .replace("Vowels", "Nothing")
        .replace("vowels", "nothing")
    )
    (made / "audits/scorer/nothing.yaml").write_text(always_0)
    rows = [{"instruction": "Say.", "response": "eeeeeeeeeeee"}] * 24
    write(made / "audits/rows.jsonl", rows)
    return made


@pytest.fixture(scope="module")
def run(folder):
    with workspace.at(folder):
        assert main(["audit=blind"]) == 2
        assert main(["audit=blind", "scorer=[vowels]", "out=runs/seeing"]) == 0
        assert main(["audit=blind", "gate.responsive=false", "out=runs/unasked"]) == 0
    return folder / "runs"


def test_a_scorer_that_always_says_0_lets_nothing_pass(run):
    results = json.loads((run / "blind/results.json").read_text())
    assert {each["candidate"]: each["decision"] for each in results["verdicts"]} == {"hardly": "GO", "vocal": "NO-GO"}
    assert results["decision"] == "INCONCLUSIVE" and results["failed_controls"] == []
    assert {each["measure"]: each["told"] for each in results["responses"]} == {"vowels": True, "nothing": False}
    card = (run / "blind/card.md").read_text()
    audit = (run / "blind/toxaudit/audit.md").read_text()
    assert "Blind: Nothing tells no model that is known to be worse (vocal)" in card
    assert "**Responsiveness**: Vowels tells vocal from the base" in audit
    cases = {each.get("name"): each for each in ElementTree.parse(run / "blind/junit.xml").iter("testcase")}
    assert cases["responds: mine/nothing"].find("failure") is not None
    assert list(cases["responds: mine/vowels"]) == []


def test_without_it_or_where_nobody_asks_the_same_candidate_passes(run):
    for name, told in (("seeing", {"vowels": True}), ("unasked", {"vowels": True, "nothing": False})):
        results = json.loads((run / name / "results.json").read_text())
        assert results["decision"] == "GO"
        assert {each["measure"]: each["told"] for each in results["responses"]} == told
    assert "a GO there says little" in (run / "unasked/card.md").read_text()


def test_a_response_that_was_edited_is_found(run, tmp_path):
    copy = shutil.copytree(run / "blind", tmp_path / "copy")
    file = copy / "results.json"
    results = json.loads(file.read_text())
    results["responses"][1]["told"] = True
    file.write_text(json.dumps(results))
    with pytest.raises(ToxauditError, match="'responses' is not what follows"):
        read_checked(copy)
