"""Samples, clusters, weights, calibrations and rounds, from a spec to what is decided, on real small models."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import signing
import workspace
import yaml

from toxaudit import recomputation
from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.estimators.posterior import hdi
from toxaudit.records import digest
from toxaudit.signoff import contents

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

ERRORS = {"true_positive": 450, "false_negative": 50, "false_positive": 10, "true_negative": 490}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return workspace.audited(tmp_path_factory.mktemp("made"), prompts=150)


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A fresh copy of the workspace, with a store in which the plain audit is finished: few need new answers."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))


def results():
    return json.loads(Path("runs/tiny/results.json").read_text())


def total(candidate="tuned", measure="vowels", estimator="paired_exact", variant="observed"):
    (found,) = (
        each
        for each in results()["estimates"]
        if (each["candidate"], each["measure"], each["slice"]) == (candidate, measure, "all")
        and (each["estimator"], each["variant"]) == (estimator, variant)
    )
    return found


def rows():
    return [json.loads(line) for line in Path("runs/tiny/samples_mine.jsonl").read_text().splitlines()]


def scored_share(found):
    """Mean score of those completions that could be scored."""
    return np.mean([value for row in found if (value := row["scores"]["vowels"]["value"]) is not None])


def suite(**settings):
    file = Path("audits/suite/mine.yaml")
    file.write_text(file.read_text() + yaml.safe_dump(settings))


def calibration(**settings):
    content = {"source": "1,000 labelled answers", "threshold": 0.5, "counts": ERRORS} | settings
    Path("audits/scorer/errors.yaml").write_text(yaml.safe_dump(content))
    Path("audits/scorer/vowels.yaml").write_text(workspace.SCORER + "calibration: ./errors.yaml\n")


@pytest.mark.plots
def test_every_number_of_the_card_can_be_computed_again_from_the_stored_draws(here):
    main(["audit=tiny", "estimator=[paired_exact,paired_bb]"])
    names = ["candidate", "suite", "measure", "slice", "estimator", "variant"]
    draws = dict(iter(pq.read_table("runs/tiny/draws.parquet").to_pandas().groupby(names, observed=True)))
    for each in results()["estimates"]:
        chosen = draws[tuple(each[name] for name in names)]
        change = (chosen.candidate_rate - chosen.base_rate).to_numpy()
        assert each["p_above_margin"] == (change > each["margin"]).mean()
        assert each["p_increase"] == (change > 0).mean()
        assert each["quantities"]["change"]["hdi"] == list(hdi(change))
        assert each["quantities"]["base"]["mean"] == pytest.approx(chosen.base_rate.mean(), abs=1e-12)


def test_several_samples_of_a_prompt_are_drawn_apart_and_counted_together(here):
    main(["audit=tiny", "generation.temperature=1.0", "generation.samples=3"])
    found = rows()
    assert len(found) == 3 * 150 * 3
    assert {row["sample"] for row in found} == {0, 1, 2}
    texts = {(row["model"], row["prompt_id"], row["sample"]): row["text"] for row in found}
    assert sum(texts["base", f"p{i}", 0] != texts["base", f"p{i}", 1] for i in range(150)) > 140
    share = {arm: scored_share(row for row in found if row["model"] == arm) for arm in ("base", "tuned")}
    with_bb = total(estimator="paired_bb")
    assert with_bb["n"] == 150
    assert with_bb["quantities"]["candidate"]["mean"] == pytest.approx(share["tuned"], abs=0.01)
    assert with_bb["quantities"]["base"]["mean"] == pytest.approx(share["base"], abs=0.01)
    assert not [each for each in results()["estimates"] if each["estimator"] == "paired_exact"]
    assert all(reason["observed"] != "none" for verdict in results()["verdicts"] for reason in verdict["reasons"])


def test_more_samples_keep_those_that_are_there(here):
    some = ["audit=tiny", "generation.temperature=1.0", "suites.mine.limit=30"]
    main(some)
    first = {(row["model"], row["prompt_id"]): row["text"] for row in rows()}
    main([*some, "generation.samples=2"])
    again = {(row["model"], row["prompt_id"]): row["text"] for row in rows() if row["sample"] == 0}
    assert len(first) == 3 * 30 and again == first


def test_prompts_of_one_template_are_no_independent_evidence(here):
    main(["audit=tiny"])
    apart = total()
    lines = Path("audits/suite/prompts.jsonl").read_text().splitlines()
    with_template = [json.loads(line) | {"template": f"t{i // 30}"} for i, line in enumerate(lines)]
    Path("audits/suite/prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in with_template))
    suite(cluster="template")
    main(["audit=tiny"])
    assert results()["suites"][0]["clusters"] == 5
    together = total(estimator="paired_bb")
    assert together["counts"] == apart["counts"]
    assert "5" in together["diagnostics"]["warnings"][0]


def test_stated_weights_decide_what_a_stratum_counts_for(here):
    weights = {"question": 98.0, "order": 1.0, "remark": 1.0}
    suite(weights=weights)
    main(["audit=tiny"])
    found = [row for row in rows() if row["model"] == "tuned" and row["slices"]["kind"] == "question"]
    share = scored_share(found)
    assert total()["quantities"]["candidate"]["mean"] == pytest.approx(share, abs=0.03)
    assert results()["suites"][0]["weights"] == weights


def test_a_mean_score_is_a_measure_too(here):
    main(["audit=tiny", "scorers.vowels.threshold=null"])
    assert total()["counts"]["n11"] == int(total()["counts"]["n11"])  # keyword scores are 0 or 1: still a table


def test_a_calibrated_scorer_is_corrected_and_the_correction_decides(here):
    main(["audit=tiny"])
    before = total()
    calibration()
    main(["audit=tiny"])
    assert total() == before
    corrected = total(variant="corrected")
    observed, true = before["quantities"]["candidate"]["mean"], corrected["quantities"]["candidate"]["mean"]
    assert true == pytest.approx((observed - 0.02) / (0.9 - 0.02), abs=0.02)
    verdict = next(each for each in results()["verdicts"] if each["candidate"] == "tuned")
    assert verdict["reasons"][0]["observed"].startswith(f"{1 - corrected['p_above_margin']:.3f}")
    assert results()["scorers"][0]["calibration"]["counts"][""]["true_positive"] == 450


def test_a_calibration_by_slice_needs_counts_for_every_value(here, capsys):
    calibration(by="kind", counts={"question": ERRORS, "order": ERRORS})
    assert main(["audit=tiny"]) == 3
    assert "has no counts for 'remark', which suite 'mine' asks" in capsys.readouterr().err
    calibration(by="sort", counts={"question": ERRORS})
    assert main(["audit=tiny"]) == 3
    assert "which is no slice of suite 'mine'" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_what_a_run_would_refuse_of_a_calibration_a_plan_refuses_in_the_same_words(here, capsys):
    for settings in (
        {"by": "kind", "counts": {"question": ERRORS, "order": ERRORS}},
        {"by": "sort", "counts": {"question": ERRORS}},
        {"scorer": "of another"},
    ):
        calibration(**settings)
        said = []
        for words in (["audit=tiny"], ["plan", "audit=tiny"]):
            assert main(words) == 3
            said.append(capsys.readouterr().err.splitlines()[-1])
        assert said[0] == said[1] and said[0].startswith("toxaudit: ")


def test_a_calibration_by_slice_corrects_each_part_by_its_own_errors(here):
    poor = {"true_positive": 300, "false_negative": 200, "false_positive": 10, "true_negative": 490}
    calibration(by="kind", counts={"question": ERRORS, "order": poor, "remark": ERRORS})
    main(["audit=tiny"])
    shares = {"question": 0.9, "order": 0.6, "remark": 0.9}
    truth = 0.0
    for kind, sensitivity in shares.items():
        found = [row for row in rows() if row["model"] == "tuned" and row["slices"]["kind"] == kind]
        reported = scored_share(found)
        truth += (reported - 0.02) / (sensitivity - 0.02) / 3
    assert total(variant="corrected")["quantities"]["candidate"]["mean"] == pytest.approx(truth, abs=0.03)


def test_adaptive_sampling_asks_only_what_precision_takes_and_then_decides_as_ever(here):
    settings = ["audit=tiny", "sampling=adaptive", "sampling.first=60", "sampling.step=50", "gate.margin=0.2"]
    main(settings)
    (facts,) = results()["suites"]
    assert facts["n"] < facts["available"] == 150
    low, high = total()["quantities"]["change"]["hdi"]
    assert high - low <= 1.6 * 0.2
    assert total()["n"] == facts["n"] == len(rows()) / 3
    kinds = facts["slices"]["kind"].values()
    assert max(kinds) - min(kinds) <= 1
    assert "rounds" in results()["sampling"]
    ids = [row["prompt_id"] for row in rows()]
    main(settings)
    assert [row["prompt_id"] for row in rows()] == ids


@pytest.fixture(scope="module")
def in_rounds(made, tmp_path_factory):
    """A signed run in rounds, which left some prompts out, and the key."""
    folder = tmp_path_factory.mktemp("rounds")
    shutil.copytree(made, folder, dirs_exist_ok=True)
    with workspace.at(folder / "work", folder / "home"):
        main(["audit=tiny", "sampling=adaptive", "sampling.first=60", "gate.margin=0.2"])
        signing.key(folder)
        signing.signed(Path("runs/tiny"), folder / "ann", "--reject")
    return folder / "work" / "runs" / "tiny", folder / "ann"


def another_text(prompts, asked):
    return {asked[7]: prompts[asked[7]] | {"prompt": "An easy question"}}


def one_that_was_left_out(prompts, asked):
    kind = prompts[asked[7]]["kind"]
    return {asked[7]: next(each for name, each in prompts.items() if name not in asked and each["kind"] == kind)}


def one_less(prompts, asked):
    return {asked[7]: None}


@pytest.mark.parametrize("change", [another_text, one_that_was_left_out, one_less])
def test_prompts_of_rounds_are_the_first_of_the_order_that_was_committed_to(change, in_rounds, tmp_path, capsys):
    """Whoever can write the run, and sign it, can't say that others were drawn."""
    run, key = in_rounds
    assert json.loads((run / "commitment.json").read_text())["prompts"]["mine"].startswith("in order ")
    assert recomputation.read_checked(run, with_card=True).suites[0].n < 150
    run = shutil.copytree(run, tmp_path / "run")
    lines = (in_rounds[0].parents[1] / "audits/suite/prompts.jsonl").read_text()
    prompts = {each["id"]: each for each in map(json.loads, lines.splitlines())}
    samples = [json.loads(line) for line in (run / "samples_mine.jsonl").read_text().splitlines()]
    changes = change(prompts, list(dict.fromkeys(row["prompt_id"] for row in samples)))
    for row in samples:
        if other := changes.get(row["prompt_id"]):
            row |= {"prompt_id": other["id"], "prompt": other["prompt"]}
    kept = [row for row in samples if changes.get(row["prompt_id"], True)]
    (run / "samples_mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    signing.listed_again(run)
    capsys.readouterr()
    assert signing.verified(run, key) == 1
    assert "FAILED  files: samples_mine.jsonl is not the file that was signed" in capsys.readouterr().out
    with pytest.raises(ToxauditError, match="results.json was changed: 'suites.0.(digest|n)' is .* but samples_mine"):
        recomputation.read_checked(run)
    if change is one_less:
        return
    found = json.loads((run / "results.json").read_text())
    base = [row["prompt"] for row in kept if row["model"] == "base"]
    found["suites"][0]["digest"] = digest(*base)
    (run / "results.json").write_text(json.dumps(found))
    signing.listed_again(run)
    signing.resigned(run, key, {"files": contents.files(run)})
    capsys.readouterr()
    assert signing.verified(run, key) == 1
    assert "samples_mine.jsonl does not hold the first" in capsys.readouterr().out


def test_adaptive_sampling_asks_everything_where_that_is_not_enough(here):
    main(["audit=tiny", "sampling=adaptive", "sampling.first=60", "gate.margin=0.001"])
    (facts,) = results()["suites"]
    assert facts["n"] == facts["available"] == 150


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["generation.samples=0"], "generation.samples is 0"),
        (["generation.samples=2"], "greedy decoding repeats itself"),
        (["sampling=adaptve"], "Did you mean 'adaptive'"),
        (["sampling=adaptive", "estimator=[hier_paired]"], "needs an estimator of totals"),
        (["sampling=adaptive", "scorers.vowels.tier=advisory"], "so it could decide nothing"),
        (["sampling=adaptive", "sampling.width=9"], "sampling.width is 9"),
        (["suites.mine.cluster=template"], "no column 'template'"),
        (["scorers.vowels.calibration=nowhere.yaml"], "nowhere.yaml can't be read"),
        (["scorers.vowels.threshold=0"], "threshold is 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(here, capsys, overrides, said):
    assert main(["audit=tiny", *overrides]) == 3
    assert said in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"weights": {"question": 1.0}}, "kind 'order' has no weight"),
        ({"weights": dict.fromkeys(("question", "order", "remark", "other"), 1.0)}, "no prompt has kind 'other'"),
        ({"weights": {"question": -1.0}}, "the weight of 'question' is -1"),
    ],
)
def test_weights_that_do_not_fit_the_strata_are_refused(here, capsys, settings, said):
    suite(**settings)
    assert main(["audit=tiny"]) == 3
    assert said in capsys.readouterr().err


def test_weights_need_strata(here, capsys):
    file = Path("audits/suite/mine.yaml")
    file.write_text(file.read_text().replace("strata: kind\n", "") + "weights: {question: 1}\n")
    assert main(["audit=tiny"]) == 3
    assert "has weights but no strata" in capsys.readouterr().err


def test_prompts_of_no_template_are_each_their_own(here):
    lines = [json.loads(line) for line in Path("audits/suite/prompts.jsonl").read_text().splitlines()]
    rows_of = [row | {"template": f"t{i % 20}" if i < 100 else None} for i, row in enumerate(lines)]
    Path("audits/suite/prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of))
    suite(cluster="template")
    main(["audit=tiny"])
    assert results()["suites"][0]["clusters"] == 20 + 50
    assert total(estimator="paired_bb")["diagnostics"]["values"]["clusters"] > 50


@pytest.mark.parametrize(
    "overrides",
    [
        ["generation.temperature=1", "generation.samples=2"],
        ["scorers.vowels.threshold=null"],
    ],
)
def test_a_design_that_no_selected_estimator_takes_is_refused_before_anything_is_spent(here, capsys, overrides):
    for verb in ([], ["plan"]):
        assert main([*verb, "audit=tiny", "estimator=[paired_exact]", *overrides]) == 3
        assert "add paired_bb to 'estimator: [...]'" in capsys.readouterr().err


def test_two_estimators_of_one_kind_are_refused(here, capsys):
    Path("audits/estimator").mkdir()
    Path("audits/estimator/mine.yaml").write_text("kind: paired_exact\nprior: 1.0\n")
    assert main(["audit=tiny", "estimator=[paired_exact,mine]"]) == 3
    assert "two estimators of the kind paired_exact" in capsys.readouterr().err


def test_a_plan_says_that_fewer_prompts_may_do(here, capsys):
    assert main(["plan", "audit=tiny", "sampling=adaptive"]) == 0
    assert "Sampling: adaptive, in rounds: fewer prompts may do." in capsys.readouterr().out
