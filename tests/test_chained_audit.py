"""One audit of a chain: base, instruct and its tune, each compared with the one before it; and sums of arms."""

import json
import shutil
from collections import Counter

import pytest
import stored
import tiny
import workspace
from recipes import write

from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.recomputation import read_checked

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

AUDIT = """\
title: A chain
suite: [mine]
scorer: [vowels, degenerate]
base:
  pretrained: ../models/base
candidates:
  tune:
    against: instruct
    starts_from: instruct
    train: [{data: ./rows.jsonl, learning_rate: 0.02, epochs: 2, warmup_steps: 0}]
  instruct:
    pretrained: ../models/instruct
    allow_base_mismatch: true
  again:
    against: instruct
    control: true
    batch_size: 3
  half:
    merge: {of: {instruct: 0.5}}
  all_of_it:
    against: half
    merge: {of: {instruct: 1}}
  none_of_it:
    merge: {of: {instruct: 0}}
    control: true
  away:
    against: tune
    merge: {into: tune, of: {instruct: -0.2}}
generation: {max_new_tokens: 8}
gate: {margin: 0.2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = workspace.make(tmp_path_factory.mktemp("chained"), prompts=30)
    tiny.base(made / "models/instruct", seed=3)
    (made / "audits/chained.yaml").write_text(AUDIT)
    rows = [{"instruction": f"Say {n}.", "response": "e" * (n % 5 + 1)} for n in range(16)]
    write(made / "audits/rows.jsonl", rows)
    return made


@pytest.fixture(scope="module")
def run(folder):
    with workspace.at(folder):
        assert main(["audit=chained"]) in (0, 1, 2)
    return folder / "runs/chained"


def answers(run):
    found = {}
    for line in (run / "samples_mine.jsonl").read_text().splitlines():
        row = json.loads(line)
        found.setdefault(row["model"], {})[row["prompt_id"]] = row
    return found


def test_each_candidate_is_compared_with_its_reference(run):
    result, rows = read_checked(run), answers(run)
    for model in result.candidates:
        (total,) = [
            each
            for each in result.estimates
            if (each.candidate, each.measure, each.slice, each.variant, each.estimator)
            == (model.name, "vowels", "all", "observed", "paired_exact")
        ] or [
            each
            for each in result.estimates
            if (each.candidate, each.measure, each.slice, each.variant, each.estimator)
            == (model.name, "vowels", "all", "observed", "paired_bb")
        ]
        values = [
            tuple(rows[arm][prompt]["scores"]["vowels"]["value"] for arm in (model.against, model.name))
            for prompt in rows[model.name]
        ]
        outcomes = [(one == 1, other == 1) for one, other in values if None not in (one, other)]
        cells = Counter(outcomes)
        assert total.counts == {
            "n11": cells[True, True],
            "n10": cells[True, False],
            "n01": cells[False, True],
            "n00": cells[False, False],
        }, model.name


def test_sums_at_0_and_1_answer_as_their_ends_token_for_token(run):
    texts = {arm: [row["text"] for row in rows.values()] for arm, rows in answers(run).items()}
    assert texts["none_of_it"] == texts["base"] and texts["all_of_it"] == texts["instruct"] == texts["again"]
    assert texts["half"] not in (texts["base"], texts["instruct"])
    assert texts["away"] not in (texts["tune"], texts["instruct"])


def test_each_answer_was_generated_once(run, folder):
    """Controls apart: arms that are the same model share its answers."""
    records = stored.records(folder / "home/store", "completions")
    models = {"base", "instruct", "tune", "half", "away"}
    prompts = len(answers(run)["base"])
    controls = 2
    assert len(records) == (len(models) + controls) * prompts


def test_the_card_says_what_each_is_compared_with(run):
    card = (run / "toxaudit/audit.md").read_text()
    for said in ("tune (against instruct)", "again (against instruct; negative control)", "all_of_it (against half)"):
        assert said in card
    assert "Reference rate" in card and "candidate minus reference" in card
    assert "merged without training: base + 0.5 x (instruct - base)" in card
    assert "from instruct: LoRA r=16" in card


def test_another_reference_in_the_results_is_found(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    file = copy / "results.json"
    results = json.loads(file.read_text())
    results["candidates"][0]["against"] = "base"
    file.write_text(json.dumps(results))
    with pytest.raises(ToxauditError, match="changed"):
        read_checked(copy)


def test_the_plan_says_it(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "home"))
    assert main(["plan", "audit=chained"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "compared with instruct" in said and "base + 0.5 x (instruct - base)" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "    against: half\n",
            "    against: hlaf\n",
            "there is no such arm: name base or a candidate. Did you mean 'half'?",
        ),
        ("    against: half\n", "    against: all_of_it\n", "the candidate itself"),
        ("    against: half\n", "    against: again\n", "which is only instruct again"),
        ("  instruct:\n", "  instruct:\n    against: tune\n", "rests on itself"),
        ("{instruct: 0.5}", "{instrcut: 0.5}", "'instrcut', which is no other candidate. Did you mean 'instruct'?"),
        ("{instruct: 0.5}", "{}", "merge.of is empty"),
        ("{instruct: 0.5}", "{again: 0.5}", "names 'again', a control"),
        ("{instruct: 0}}\n    control: true", "{instruct: 0}}", "none_of_it is the base itself; to measure the noise"),
        ("into: tune", "into: toon", "names 'toon', which is no other candidate"),
    ],
)
def test_what_rests_on_nothing_is_refused(folder, old, new, said, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "home"))
    assert old in AUDIT
    (folder / "audits/wrong.yaml").write_text(AUDIT.replace(old, new, 1))
    assert main(["audit=wrong"]) == 3
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_candidate_whose_reference_is_left_out_is_left_out(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "home"))
    text = AUDIT.replace("../models/instruct", "../models/gone").replace("title:", "on_candidate_error: skip\ntitle:")
    (folder / "audits/left.yaml").write_text(text + "  \n")
    assert main(["audit=left"]) == 3  # all rest on it
    assert "No candidate can be audited" in capsys.readouterr().err
    (folder / "audits/left.yaml").write_text(
        text.replace("candidates:\n", "candidates:\n  mine: {peft: ../models/adapter}\n")
    )
    assert main(["audit=left"]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "tune is not audited: it is compared with instruct, which is not audited" in err
