"""One audit whose candidates are all made within it: tuned whole, chained with replay, averaged."""

import json
import re

import pytest
import workspace
from recipes import write

from toxaudit.cli.main import main
from toxaudit.results.reading import read_result

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

AUDIT = """\
title: What tuning does
suite: [mine]
scorer: [vowels]
estimator: [paired_exact, paired_bb]
analysis: [curvature]
analyses: {curvature: {of: [second, averaged], limit: 4, products: 60}}
base:
  pretrained: ../models/base
candidates:
  whole:
    train: [{data: ./rows.jsonl, method: full, learning_rate: 0.01, epochs: 2, warmup_steps: 0}]
  first:
    train: [{data: ./rows.jsonl, learning_rate: 0.02, epochs: 2, warmup_steps: 0, seed: 1}]
  second:
    starts_from: first
    train:
      - data: ./others.jsonl
        prompt: "{question}"
        completion: "{answer}"
        replay: {data: ./rows.jsonl, share: 0.05}
        learning_rate: 0.02
        warmup_steps: 0
  averaged:
    starts_from: first
    train:
      - {data: ./others.jsonl, template: "{question} {answer}", learning_rate: 0.02, warmup_steps: 0, ema: {decay: 0.5}}
generation: {max_new_tokens: 8}
gate: {margin: 0.2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = workspace.make(tmp_path_factory.mktemp("tuned"), prompts=24)
    (made / "audits/tuned.yaml").write_text(AUDIT)
    rows = [{"instruction": f"Say {n}.", "response": "e" * (n % 5 + 1)} for n in range(24)]
    others = [{"question": f"What is {n}?", "answer": f"i {n}"} for n in range(40)]
    for name, lines in (("rows", rows), ("others", others)):
        write(made / f"audits/{name}.jsonl", lines)
    return made


@pytest.fixture(scope="module")
def run(folder):
    with workspace.at(folder):
        assert main(["audit=tuned"]) in (0, 1, 2)
    return folder / "runs/tuned"


def test_every_arm_is_another_model_and_says_how_it_was_made(run):
    models = {model.name: model for model in read_result(run).candidates}
    assert len({model.digest for model in models.values()}) == 4
    assert {model.kind for model in models.values()} == {"trained"}
    assert models["whole"].training.startswith("all weights, 24 examples of rows.jsonl, 2 epochs")
    assert "; then the same adapter, LoRA r=16" in models["second"].training
    assert "42 examples of others.jsonl, 2 of them replayed from rows.jsonl" in models["second"].training
    assert "average of weights with decay 0.5" in models["averaged"].training
    assert [len(models[name].stages) for name in ("whole", "first", "second", "averaged")] == [1, 1, 2, 2]


def test_a_shared_beginning_was_tuned_once_and_everything_is_found_again(run, folder, monkeypatch, capsys):
    trained = [each for each in (folder / "home/store/trained").iterdir() if each.is_dir()]
    assert len(trained) == 4 and not any(each.suffix for each in trained)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "home"))
    before = (run / "samples_mine.jsonl").read_bytes()
    assert main(["audit=tuned"]) in (0, 1, 2)
    assert "tuning" not in capsys.readouterr().err
    assert (run / "samples_mine.jsonl").read_bytes() == before


def test_the_card_says_it_and_the_plan_foretells_it(run, folder, monkeypatch, capsys):
    assert "all weights, 24 examples of rows.jsonl" in (run / "toxaudit/audit.md").read_text()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "home"))
    assert main(["plan", "audit=tuned"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"to be tuned: all weights, 24 examples of \S*rows.jsonl in 6 steps", said), said
    assert re.search(r"to be tuned from first: LoRA r=16, 42 examples of \S*others.jsonl in 6 steps", said)


def test_the_curvature_of_what_the_last_stage_learnt_is_told(run):
    (found,) = json.loads((run / "results.json").read_text())["analyses"]
    about = {row["about"]["candidate"]: row["about"] for row in found["rows"]}
    assert set(about) == {"second", "averaged"} and not found["refusals"]
    assert [about[name]["rows"] for name in ("second", "averaged")] == ["4 of 42", "4 of 40"]
    assert all(row["value"] is not None or row["note"] == "not converged" for row in found["rows"])
    assert "#### Curvature of the loss" in (run / "toxaudit/audit.md").read_text()


WHOLE = "train: [{data: ./rows.jsonl, method: full, "


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("starts_from: first", "starts_from: frist", "'frist', which is no candidate. Did you mean 'first'?"),
        ("  first:\n", "  first:\n    starts_from: second\n", "rests on itself (first -> second -> first)"),
        ("  whole:\n", "  whole:\n    starts_from: base\n", "leave it out to start from the base"),
        (WHOLE, WHOLE + "optim: adamw_torhc, ", "Did you mean 'adamw_torch'?"),
        (WHOLE, WHOLE + "lr_scheduler_type: liner, ", "Did you mean 'linear'?"),
        ("method: full", "method: fulll", "Did you mean 'full'?"),
        (WHOLE, WHOLE + "use_dora: true, ", "use_dora does nothing: method is full"),
        ("decay: 0.5", "decay: 1.5", "ema.decay must be a number from 0"),
        ("share: 0.05", "share: 0", "replay.share must be above 0"),
        ("epochs: 2", "epochs: 0", "epochs is 0: it must be above 0"),
        (WHOLE, WHOLE + "limit_seed: 3, ", "limit_seed does nothing without a limit"),
        (WHOLE, WHOLE + "filter: 'instruction ==', ", "filter"),
        (WHOLE, WHOLE + "limt: 3, ", "'limit'"),
        ("data: ./rows.jsonl, method", "data: org/rows, method", "would fetch all of org/rows from the Hub"),
        (WHOLE, WHOLE + "load_in_4bit: true, ", "load_in_4bit does nothing: method is full"),
    ],
)
def test_recipes_that_cannot_be_carried_out_are_refused_by_plan_and_run(folder, old, new, said, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "empty"))
    assert old in AUDIT
    (folder / "audits/wrong.yaml").write_text(AUDIT.replace(old, new, 1))
    for verb in (["plan"], []):
        assert main([*verb, "audit=wrong"]) == 3
        err = capsys.readouterr().err
        assert said in " ".join(err.split()) and "Traceback" not in err
    assert not list((folder / "empty").glob("store/trained/*"))


def test_recipes_can_be_made_alone_and_plain_libraries_load_them(run, folder, tmp_path, monkeypatch, capsys):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from toxaudit.models import quiet_peft

    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "home"))
    assert main(["train", "audit=tuned", f"out={tmp_path}"]) == 0
    said = capsys.readouterr()
    assert f"second: {tmp_path / 'second'}" in said.out and "tuning" not in said.err  # all is in the store
    AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    with quiet_peft():
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "models/base"), tmp_path / "second")
    assert main(["train", "audit=tuned", f"out={tmp_path}"]) == 3
    assert "is there already: remove it" in capsys.readouterr().err
    assert main(["train", "audit=tiny"]) == 3
    assert "there is nothing to train" in capsys.readouterr().err
