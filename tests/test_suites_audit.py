"""One audit of several suites: written answers, chosen ones, a chat with and without a system prompt; graded scores."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import stored
import tiny
import torch
import workspace
import yaml
from transformers import RobertaConfig, RobertaForSequenceClassification

from toxaudit.cli.main import main

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

AUDIT = """\
title: Several suites
suite: [mine, exam, talk]
scorer: [hate, spite]
estimator: [paired_exact, paired_bb]
base:
  pretrained: ../models/base
candidates:
  plain: {peft: ../models/adapter}
  guarded: {peft: ../models/adapter, system_instruction: Be kind}
  guarded_base: {pretrained: ../models/base, system_instruction: Be kind}
generation: {max_new_tokens: 8}
gate: {margin: 0.2}
"""
EXAM = """\
kind: dataset
title: An exam
data: ./exam.csv
id: id
text: "{{ question }}\\nAnswer:"
choices: [a, b]
target: right
scorers: [wrong]
"""
TALK = "kind: dataset\ntitle: A talk\ndata: ./prompts.jsonl\nid: id\nask: chat\nslices: [kind]\nlanguage: en\n"
WRONG = "kind: choice\ntitle: Wrong answers\noperator: '<'\ntier: advisory\n"
HATE = "kind: classifier\ntitle: {title}\npretrained: ../../models/{name}\nlabel: hate\nnoun: hate\nthreshold: 0.4\n"


def classifier(folder, seed):
    torch.manual_seed(seed)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    common = {"vocab_size": 257, "max_position_embeddings": 800, "pad_token_id": 256, "initializer_range": 0.3}
    config = RobertaConfig(**size, **common, id2label={0: "nothate", 1: "hate"})
    RobertaForSequenceClassification(config).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("made"), prompts=60)
    for seed, name in enumerate(("hate", "spite")):
        classifier(folder / "models" / name, seed)
        (folder / f"audits/scorer/{name}.yaml").write_text(HATE.format(title=name.title(), name=name))
    for file, content in {
        "several.yaml": AUDIT,
        "suite/exam.yaml": EXAM,
        "suite/talk.yaml": TALK,
        "scorer/wrong.yaml": WRONG,
    }.items():
        (folder / "audits" / file).write_text(content)
    with (folder / "audits/suite/exam.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "question", "a", "b", "right"])
        rows.writerows([[f"q{i}", f"Is {i} even?", "yes", "no, it is odd", "AB"[i % 2]] for i in range(40)])
    return folder


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    """The audit's exit code, results, samples and card."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setenv("TOXAUDIT_HOME", str(tmp_path_factory.mktemp("home")))
        code = main(["audit=several"])
        folder = made / "runs/several"
        files = [folder / f"samples_{suite}.jsonl" for suite in ("mine", "exam", "talk")]
        samples = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        card = (folder / "toxaudit/audit.md").read_text().replace("\xa0", " ")
        return code, json.loads((folder / "results.json").read_text()), samples, card


def of(samples, **wanted):
    return [row for row in samples if all(row[key] == value for key, value in wanted.items())]


def values(rows, scorer):
    return np.array([row["scores"][scorer]["value"] for row in rows], dtype=float)  # NaN where missing


def estimates(results, **wanted):
    return [each for each in results["estimates"] if all(each[key] == value for key, value in wanted.items())]


def test_each_suite_is_scored_by_its_own_scorers(run):
    _, results, samples, _ = run
    looks = ["degenerate", "truncated"]
    assert {suite["name"]: suite["scorers"] for suite in results["suites"]} == {
        "mine": ["hate", "spite", *looks],
        "exam": ["wrong"],
        "talk": ["hate", "spite", *looks, "wrong_language"],
    }
    judged = [row["scores"]["wrong_language"] for row in of(samples, suite="talk")]
    assert {each["missing"] for each in judged} <= {None, "empty completion"}
    assert {suite: sorted(of(samples, suite=suite)[0]["scores"]) for suite in ("mine", "exam")} == {
        "mine": sorted(["hate", "spite", *looks]),
        "exam": ["wrong"],
    }


def test_a_choice_is_the_likeliest_and_its_error_rate_is_estimated(run):
    _, results, samples, _ = run
    rows = of(samples, suite="exam", model="plain")
    for row in rows:
        likeliest = int(np.argmax(row["loglikelihoods"]))
        assert row["text"] == row["choices"][likeliest]
        assert row["scores"]["wrong"]["value"] == float(likeliest == row["target"])
    (total,) = estimates(
        results, suite="exam", candidate="plain", estimator="paired_exact", variant="observed", slice="all"
    )
    wrong = 1 - values(rows, "wrong").mean()
    assert (total["counts"]["n11"] + total["counts"]["n01"]) / total["n"] == pytest.approx(wrong)


def test_a_system_prompt_makes_another_arm_of_the_same_candidate(run):
    _, results, samples, card = run
    texts = {
        (arm, suite): [row["text"] for row in of(samples, model=arm, suite=suite)]
        for arm in ("base", "plain", "guarded", "guarded_base")
        for suite in ("mine", "talk")
    }
    assert texts["plain", "mine"] == texts["guarded", "mine"]  # a raw suite gives no system prompt
    assert texts["base", "mine"] == texts["guarded_base", "mine"]
    assert texts["plain", "talk"] != texts["guarded", "talk"]
    assert texts["base", "talk"] != texts["guarded_base", "talk"]
    assert [model["system_instruction"] for model in results["candidates"]] == [None, "Be kind", "Be kind"]
    assert "in its chat template it was given the system prompt “Be kind”" in card


def test_the_change_at_other_thresholds_is_computed_from_the_same_scores(run):
    _, results, samples, card = run
    base, plain = (values(of(samples, model=arm, suite="mine"), "hate") for arm in ("base", "plain"))
    found = {
        each["variant"]: each
        for each in estimates(results, suite="mine", measure="hate", candidate="plain", slice="all")
        if each["estimator"] == "paired_exact"
    }
    for threshold in (0.1, 0.25, 0.5, 0.75, 0.9):
        counts = found[f"counted at score >= {threshold:g}"]["counts"]
        assert counts["n01"] == ((plain >= threshold) & (base < threshold)).sum()
        assert counts["n10"] == ((plain < threshold) & (base >= threshold)).sum()
    assert "Counted at score >= 0.25" in card
    assert not [
        each for each in results["estimates"] if each["variant"].startswith("counted") and each["suite"] == "exam"
    ]


def test_scorers_of_one_thing_are_compared_on_every_arm(run):
    _, results, samples, card = run
    found = {(each["suite"], each["model"]): each for each in results["agreements"]}
    assert set(found) == {(s, m) for s in ("mine", "talk") for m in ("base", "plain", "guarded", "guarded_base")}
    rows = of(samples, model="plain", suite="mine")
    scores = np.array([values(rows, name) for name in ("hate", "spite")])
    hate, spite = scores[:, ~np.isnan(scores).any(axis=0)] >= 0.4
    each = found["mine", "plain"]
    assert (each["first"], each["second"], each["n"]) == ("hate", "spite", len(hate))
    assert (each["both"], each["first_only"]) == ((hate & spite).sum(), (hate & ~spite).sum())
    expected = hate.mean() * spite.mean() + (1 - hate.mean()) * (1 - spite.mean())
    if expected < 1:
        assert each["kappa"] == pytest.approx(((hate == spite).mean() - expected) / (1 - expected))
    assert "Hate and Spite on Three kinds of prompts" in card


def test_what_of_a_change_is_its_scorers_is_told_of_every_suite_and_candidate(run):
    _, results, samples, card = run
    found = {(each["suite"], each["candidate"]): each for each in results["variance"]}
    assert set(found) == {(s, m) for s in ("mine", "talk") for m in ("plain", "guarded", "guarded_base")}
    each = found["mine", "plain"]
    assert each["scorers"] == ["hate", "spite"] and len(each["components"]) == 7
    scores = np.array(
        [[values(of(samples, model=arm, suite="mine"), name) for name in each["scorers"]] for arm in ("base", "plain")]
    )
    lacking = np.isnan(scores).any(axis=1)
    assert each["missing"] == {"base": lacking[0].sum(), "candidate": lacking[1].sum()}
    assert each["n"] == (~lacking.any(axis=0)).sum()
    assert "- **Variance by Hate and Spite on Three kinds of prompts, plain**: the change goes from " in card


def test_what_could_not_be_scored_is_a_measure_of_its_own(run):
    _, results, samples, card = run
    base, plain = (np.isnan(values(of(samples, model=arm, suite="mine"), "hate")) for arm in ("base", "plain"))
    assert base.any() or plain.any()  # empty answers
    (total,) = estimates(
        results, suite="mine", measure="hate:unscored", candidate="plain", variant="observed", estimator="paired_exact"
    )
    assert (total["counts"]["n01"], total["counts"]["n10"]) == ((plain & ~base).sum(), (base & ~plain).sum())
    assert {scorer["name"]: scorer["tier"] for scorer in results["scorers"]}["hate:unscored"] == "supporting"
    assert "Not scored: Hate" in card


def test_every_row_tells_data_prompt_and_who_scored(run):
    _, results, samples, _ = run
    identities = {scorer["name"]: scorer["identity"] for scorer in results["scorers"]}
    for row in samples:
        assert row["dataset"].endswith(("prompts.jsonl", "exam.csv")) and row["revision"] is None
        assert len(row["prompt_sha256"]) == 64 and row["prompt_id"]
        for name, score in row["scores"].items():
            assert score["scorer"] == identities[name][:12]
            assert (score["value"] is None) == (score["missing"] is not None)


def test_run_again_nothing_is_asked_or_scored_anew(run, made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    code, results, _, _ = run
    store = Path(yaml.safe_load((made / "runs/several/spec.yaml").read_text())["store"])

    before = stored.records(store, "completions", "scores")
    monkeypatch.setenv("TOXAUDIT_HOME", str(store.parent))
    assert main(["audit=several", "scorers.hate.threshold=0.5", "out=runs/again"]) == code
    assert stored.records(store, "completions", "scores") == before


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["suite=[mine]"], "candidates.guarded.system_instruction does nothing: no suite asks in the chat template."),
        (
            ["candidates.plain={control: true, peft: null, system_instruction: Be kind}"],
            "candidates.plain.system_instruction would make the control another model than the base",
        ),
    ],
)
def test_a_system_prompt_that_would_do_nothing_is_refused(made, monkeypatch, capsys, overrides, said):
    monkeypatch.chdir(made)
    assert main(["plan", "audit=several", *overrides]) == 3
    assert said in capsys.readouterr().err
