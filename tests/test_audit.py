"""Whole audits through the command line, on real small models."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import stored
import workspace
from forked import forked
from unplotted import draw_in_words

from toxaudit.cli.main import main
from toxaudit.compose.compose import compose
from toxaudit.runner import run
from toxaudit.spec.schema import as_yaml
from toxaudit.store.shelves import Shelf

RESULTS = (
    "SHA256SUMS",
    "bom.cdx.json",
    "card.md",
    "commitment.json",
    "draws.parquet",
    "junit.xml",
    "lock.json",
    "model_card.md",
    "report.html",
    "results.json",
    "samples_mine.jsonl",
    "spec.yaml",
    "summary.md",
    "toxaudit/audit.md",
    "toxaudit/densities.png",
    "toxaudit/forest.png",
)

IN_BATCHES = ("audit=tiny", "backend.batch_size=32")
"""An audit whose completions are kept in several steps."""


def die_after(calls: int, kind: str, sent: signal.Signals, *words: str) -> Callable[[], int]:
    """An audit that gets a signal as soon as so many times records of a kind of work have been kept."""

    def audit() -> int:
        left, add = calls, Shelf.add
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

        def add_and_die(self: Shelf, records: Any) -> None:
            nonlocal left
            add(self, records)
            if self.place.startswith(f"{kind}/"):
                left -= 1
                if not left:
                    os.kill(os.getpid(), sent)

        Shelf.add = add_and_die
        return main(list(words))

    return audit


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return workspace.make(tmp_path_factory.mktemp("made"), prompts=80)


@dataclass(frozen=True)
class Finished:
    """What ``toxaudit audit=tiny`` left, and what it said."""

    folder: Path
    code: int
    out: str


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory):
    """The audit run once, on a machine of its own; nobody changes what it left."""
    folder, out = tmp_path_factory.mktemp("finished"), StringIO()
    shutil.copytree(made, folder / "work")
    with workspace.at(folder / "work", folder / "home"), redirect_stdout(out):
        code = main(["audit=tiny"])
    return Finished(folder, code, out.getvalue())


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A fresh copy of the workspace as the working directory, with a store of its own."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    return tmp_path


NOON = "2026-11-29T12:00:00Z"


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """What an audit in several batches leaves, whose clock stands still: its folder, its results, its store."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(made, folder / "work")
    with workspace.at(folder / "work", folder / "home") as patch:
        draw_in_words(patch)
        patch.setattr("toxaudit.commitment.now", lambda: NOON)
        main(list(IN_BATCHES))
    return folder, {file: (folder / "work/runs/tiny" / file).read_bytes() for file in RESULTS}, store_of(folder)


@pytest.fixture
def again(finished, tmp_path, monkeypatch):
    """The same after the first run, moved to another folder with its store."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    return tmp_path


def store_of(folder: Path) -> dict[str, bytes]:
    """Every record of finished work; of what says when it was made, nothing."""
    return stored.records(folder / "home" / "store")


def kinds(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """The kinds of work that are new or changed."""
    return {name.split("/")[0] for name in after if before.get(name) != after[name]}


def test_an_audit_writes_its_results_and_answers_with_an_exit_code(again, finished):
    results = json.loads(Path("runs/tiny/results.json").read_text())
    written = {str(file.relative_to("runs/tiny")) for file in Path("runs/tiny").rglob("*") if file.is_file()}
    records = {file for file in written if re.fullmatch(r"every_eval_ever/data/toxaudit/local/[^/]+/[^/]+\.json", file)}
    assert written - records == set(RESULTS) and records
    assert finished.code == {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}[results["decision"]]
    assert {verdict["candidate"]: verdict["decision"] for verdict in results["verdicts"]}["noop"] == "GO"
    last = finished.out.splitlines()[-3:]
    assert last[0] == f"Audit 'tiny': {results['decision']}"
    assert last[1].startswith("Results in runs/tiny/: card.md, report.html, ")
    assert all(file.split("/")[0] in last[1] for file in RESULTS)
    assert "runs/tiny/report.html" in last[2]


@pytest.mark.thorough
def test_the_spec_is_the_same_after_the_run(again, without_plots):
    spec = compose(["audit=tiny"])
    before, written = deepcopy(spec), as_yaml(spec)
    run(spec, "toxaudit audit=tiny")
    assert spec == before and as_yaml(spec) == written == Path("runs/tiny/spec.yaml").read_text()


def test_samples_hold_every_answer_of_every_arm(again):
    rows = [json.loads(line) for line in Path("runs/tiny/samples_mine.jsonl").read_text().splitlines()]
    assert {row["model"] for row in rows} == {"base", "tuned", "noop"}
    assert len(rows) == 3 * 80
    by_arm = {
        arm: {row["prompt_id"]: row["text"] for row in rows if row["model"] == arm} for arm in ("base", "tuned", "noop")
    }
    assert by_arm["base"] == by_arm["noop"]  # float32: the noise floor is zero
    assert by_arm["base"] != by_arm["tuned"]
    assert all(0 <= row["scores"]["vowels"]["value"] <= 1 for row in rows if row["text"].strip())


def test_estimates_are_those_of_a_hand_count(again):
    rows = [json.loads(line) for line in Path("runs/tiny/samples_mine.jsonl").read_text().splitlines()]
    hits = {(row["model"], row["prompt_id"]): row["scores"]["vowels"]["value"] for row in rows}
    pairs = [(hits["base", f"p{i}"], hits["tuned", f"p{i}"]) for i in range(80)]
    results = json.loads(Path("runs/tiny/results.json").read_text())
    counts = next(
        e["counts"]
        for e in results["estimates"]
        if (e["candidate"], e["measure"], e["slice"]) == ("tuned", "vowels", "all")
    )
    names = {(1.0, 1.0): "n11", (1.0, 0.0): "n10", (0.0, 1.0): "n01", (0.0, 0.0): "n00"}
    assert counts == {name: pairs.count(pair) for pair, name in names.items()}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        pytest.param("completions", 2, marks=pytest.mark.slow),
        ("completions", 7),
        pytest.param("scores", 1, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_resumes_without_redoing_work_to_the_same_bytes(whole, without_plots, monkeypatch, kind, calls):
    folder, results, finished = whole
    monkeypatch.chdir(folder / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "home"))
    monkeypatch.setattr("toxaudit.commitment.now", lambda: NOON)
    shutil.rmtree("runs")
    shutil.rmtree(folder / "home")

    died = forked(die_after(calls, kind, signal.SIGKILL, *IN_BATCHES))
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert [file.name for file in Path("runs/tiny").iterdir()] == ["commitment.json"]
    monkeypatch.setattr("toxaudit.commitment.now", lambda: "2026-11-29T12:00:01Z")  # the first one's time stays
    left, kept = store_of(folder), []
    assert any(name.startswith(kind) for name in left) and left.items() < finished.items()
    add = Shelf.add

    def noted(self: Shelf, records: Any) -> None:
        kept.extend(f"{self.place} {name}" for name in records)
        add(self, records)

    monkeypatch.setattr(Shelf, "add", noted)
    main(list(IN_BATCHES))
    assert {file: Path("runs/tiny", file).read_bytes() for file in RESULTS} == results
    assert store_of(folder) == finished
    assert {name for name in left if name.startswith(kind)}.isdisjoint(kept)  # none was made again


@pytest.mark.thorough
def test_a_repeated_run_makes_nothing_and_says_the_same(again, finished, monkeypatch):
    whole = {file: Path("runs/tiny", file).read_bytes() for file in RESULTS}
    named, named_anew = (
        whole["spec.yaml"],
        whole["spec.yaml"].replace(bytes(finished.folder), bytes(again)),
    )  # the store
    before, anew = (hashlib.sha256(content).hexdigest().encode() for content in (named, named_anew))
    whole |= {"spec.yaml": named_anew, "SHA256SUMS": whole["SHA256SUMS"].replace(before, anew)}
    before = store_of(again)
    monkeypatch.setattr("toxaudit.models.Loader.open", lambda *_: pytest.fail("a model was loaded"))
    main(["audit=tiny"])
    assert store_of(again) == before
    assert {file: Path("runs/tiny", file).read_bytes() for file in RESULTS} == whole


NOTHING_ANEW = [
    "backend.batch_size=3",
    "gate.margin=0.4",
    "gate.certainty=0.9",
    "executor.threads=1",
    "generation.seed=5",  # greedy decoding draws nothing
    "scorers.degenerate.tier=advisory",
]
"""Settings of which none makes any work anew, and so all of them together don't."""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("overrides", "made_anew"),
    [
        (NOTHING_ANEW, set()),
        (["scorer=[vowels,degenerate,refusal_keywords]"], {"scores", "posteriors"}),
        (["scorers.vowels.phrases=[o]"], {"scores", "posteriors"}),
        (["estimators.paired_exact.seed=1"], {"posteriors"}),
        (["generation.temperature=0.7"], {"completions", "scores", "posteriors"}),
        (["generation.max_new_tokens=9"], {"completions", "scores", "posteriors"}),
        (["suites.mine.ask=chat"], {"checks", "completions", "scores", "posteriors"}),
        (["suites.mine.limit=30"], {"posteriors"}),
        (["base.dtype=bfloat16"], {"checks", "completions", "scores", "posteriors"}),
    ],
)
def test_only_what_a_setting_changes_is_made_anew(again, without_plots, overrides, made_anew):
    before = store_of(again)
    assert main(["audit=tiny", *overrides]) in (0, 1, 2)
    assert kinds(before, store_of(again)) == made_anew


POLICY = """
kind: margin
margin: 0.2
min_prompts: 10
controls: [GO]
checks: [outputs are finite]
rules:
  vowels: {measure: vowels, margin: 0.9, ratio: 20, certainty: 0.8}
  whole: {measure: degenerate, tier: critical, cap: 0.999}
"""


@pytest.mark.thorough
def test_a_policy_of_ones_own_decides_by_its_rules_and_the_card_says_so(again, without_plots, capsys):
    Path("audits/gate").mkdir()
    Path("audits/gate/ours.yaml").write_text(POLICY)
    code = main(["audit=tiny", "gate=ours"])
    results = json.loads(Path("runs/tiny/results.json").read_text())
    (verdict,) = [each for each in results["verdicts"] if each["candidate"] == "tuned"]
    assert code == {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}[results["decision"]]
    limits = {(each["measure"], each["limit"]) for each in verdict["reasons"] if each["tier"] == "critical"}
    assert {("vowels", "change"), ("vowels", "ratio"), ("degenerate", "change"), ("degenerate", "cap")} <= limits
    assert {each["margin"] for each in results["estimates"] if each["measure"] == "vowels"} == {0.9}
    card = Path("runs/tiny/toxaudit/audit.md").read_text().replace("\xa0", " ")
    assert "By the rule vowels (measure vowels): margin +90.0 pp, ratio 20 times the base's rate, certainty 0.8" in card
    assert main(["card", "runs/tiny"]) == 0  # what it says is borne out by its draws
    before = Path("runs/tiny/results.json").read_bytes()
    capsys.readouterr()
    for word, said in (
        ("gate.rules.whole.measure=degnerate", "there is no measure 'degnerate'. Did you mean 'degenerate'?"),
        ("gate.controls=[NO-GO]", "gate.controls asks for a control that must be a NO-GO"),
        ("gate.rules.whole.slice=topik", "gate.rules.whole.cap can't be asked of a slice"),
        ("gate.checks=[outputs are fine]", "Did you mean 'outputs are finite'?"),
    ):
        assert main(["audit=tiny", "gate=ours", word]) == 3
        assert said in capsys.readouterr().err
    assert Path("runs/tiny/results.json").read_bytes() == before


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize(
    ("candidate", "also"), [("./models/adapter", []), ("./models/tuned", ["estimator=[paired_exact]"])]
)
def test_a_quick_question_is_one_line(here, candidate, also):
    """The pooled estimate, which takes as long as all else, is made of the adapter alone."""
    import tiny

    tiny.base(Path("models/tuned"), seed=1)
    shutil.copy("audits/suite/mine.yaml", "audits/suite/rtp_categories.yaml")
    shutil.copy("audits/scorer/vowels.yaml", "audits/scorer/toxicity_bilstm.yaml")
    line = ["audit=quick", "base.pretrained=./models/base", f"candidates.it={candidate}", *also]
    assert main(["plan", *line]) == 0
    assert main([*line, "generation.max_new_tokens=8"]) in (0, 1, 2)  # fewer than its own, which only take longer
    assert [each["name"] for each in json.loads(Path("runs/quick/results.json").read_text())["candidates"]] == ["it"]


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_a_rule_that_is_changed_after_a_look_is_told_wherever_the_results_go(again, capsys):
    main(["audit=tiny", "gate.margin=0.85"])
    said, results = capsys.readouterr().out, json.loads(Path("runs/tiny/results.json").read_text())
    assert "CAUTION: The rule was changed after results existed: on " in said and "CAUTION: The margin is +85" in said
    (before,) = results["other_rules"]
    assert (
        before["earlier"] and before["rule"]["gate.margin"] == "0.2" and set(before["decisions"]) == {"tuned", "noop"}
    )
    made = results["commitment"]
    assert made["answered"] == made["of"] > 0 and len(made["earlier"]) == 1
    main(["card", "runs/tiny"])
    for name in ("card.md", "summary.md", "report.html"):
        told = Path("runs/tiny", name).read_text().replace("\xa0", " ")
        assert "gate.margin 0.2 (here 0.85)" in told and "fixed before the run" not in told
    for folder, override in (("a", "scorers.vowels.tier=supporting"), ("b", "scorers.vowels.phrases=[o]")):
        main(["audit=tiny", "scorers.degenerate.tier=critical", override, f"out=runs/{folder}"])
        audit = Path(f"runs/{folder}/toxaudit/audit.md").read_text()
        assert "chosen after results of the same answers existed" in audit
    with closing(sqlite3.connect(again / "home/store/records.sqlite")) as store, store:
        store.execute(
            "DELETE FROM record WHERE shelf IN (SELECT number FROM shelf WHERE CAST(place AS TEXT) LIKE 'decisions/%')"
        )
    main(["audit=tiny", "gate.margin=0.84"])  # the folder remembers what the store forgot
    margins = [
        each["rule"]["gate.margin"] for each in json.loads(Path("runs/tiny/results.json").read_text())["other_rules"]
    ]
    assert margins == ["0.2", "0.85"]


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_a_sweep_runs_once_for_each_value_beside_finished_runs_and_tells_what_differs(again, capsys):
    before = {file: file.read_bytes() for file in Path("runs").rglob("*") if file.is_file()}
    assert main(["-m", "audit=tiny", "gate.margin=0.15,0.3"]) in (0, 1, 2)
    assert {file: file.read_bytes() for file in Path("runs").rglob("*") if file.is_file()} == before
    (sweep,) = Path("multirun/tiny").iterdir()
    said, found = capsys.readouterr().out, [json.loads((sweep / f"{n}/results.json").read_text()) for n in (0, 1)]
    assert [each["gate"]["margin"] for each in found] == [0.15, 0.3]
    lines = said.split("The sweep:\n")[1].splitlines()
    assert [line.split()[1:3] for line in lines[1:]] == [
        [f"gate.margin={each['gate']['margin']}", each["decision"]] for each in found
    ]
    told = [{rule["rule"]["gate.margin"]: bool(rule["decisions"]) for rule in each["other_rules"]} for each in found]
    assert told == [{"0.2": True, "0.3": False}, {"0.2": True, "0.15": True}]
    assert "One of several rules: the same sweep decides" in (sweep / "0/card.md").read_text()
    assert main(["diff", "runs/tiny", str(sweep / "1")]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^  gate.margin +0.2 +0.3$", said, re.MULTILINE)
    assert "What was loaded and asked: no difference" in said and re.search("tuned: mine, vowels .*pp", said)
    assert main(["-m", "audit=tiny", "generation.seed=1,2", f"out={sweep / '0'}"]) == 3
    assert "holds a finished run, into which no sweep is written: set out=FOLDER." in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_a_failed_control_makes_the_audit_inconclusive(again):
    spec = Path("audits/tiny.yaml")
    spec.write_text(spec.read_text().replace("expect: GO", "expect: NO-GO"))
    assert main(["audit=tiny"]) == 2
    assert "noop" in json.loads(Path("runs/tiny/results.json").read_text())["failed_controls"]


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_a_control_is_expected_to_pass_unless_the_spec_says_otherwise(again):
    spec = Path("audits/tiny.yaml")
    spec.write_text(spec.read_text().replace("    expect: GO\n", ""))
    main(["audit=tiny"])
    models = json.loads(Path("runs/tiny/results.json").read_text())["candidates"]
    assert {model["name"]: model["expect"] for model in models} == {"tuned": None, "noop": "GO"}


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_slices_are_judged_also_where_the_suite_names_no_strata(again):
    suite = Path("audits/suite/mine.yaml")
    suite.write_text(suite.read_text().replace("strata: kind\n", ""))
    main(["audit=tiny", "estimator=[paired_exact,hier_paired]"])
    estimates = json.loads(Path("runs/tiny/results.json").read_text())["estimates"]
    pooled = {(e["candidate"], e["slice"]) for e in estimates if e["estimator"] == "hier_paired"}
    assert {("tuned", f"kind={kind}") for kind in ("question", "order", "remark")} < pooled


def test_an_adapter_that_changes_nothing_stops_the_audit(here, capsys):
    import tiny

    shutil.rmtree("models/adapter")
    tiny.adapter(Path("models/base"), Path("models/adapter"), scale=0)
    assert main(["audit=tiny"]) == 3
    assert "changes nothing" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_a_recipe_is_tuned_once_and_then_audited(here):
    Path("audits/examples.jsonl").write_text('{"instruction": "hello", "response": "aeiou"}\n' * 8)
    spec = Path("audits/tiny.yaml")
    recipe = "train: [{data: ./examples.jsonl, r: 2, epochs: 3, learning_rate: 0.05}]"
    spec.write_text(spec.read_text().replace("peft: ../models/adapter", recipe))
    assert main(["audit=tiny"]) in (0, 1, 2)
    adapters = {file: file.stat().st_mtime_ns for file in (here / "home/store/trained").rglob("*.safetensors")}
    assert len(adapters) == 1
    main(["audit=tiny", "gate.margin=0.1"])
    assert {file: file.stat().st_mtime_ns for file in adapters} == adapters
    model = json.loads(Path("runs/tiny/results.json").read_text())["candidates"][0]
    assert model["kind"] == "trained" and "8 examples of examples.jsonl" in model["training"]


@pytest.mark.thorough
def test_ctrl_c_keeps_finished_work_and_says_so(here):
    done = forked(die_after(1, "completions", signal.SIGINT, "audit=tiny"))
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("toxaudit: stopped. Finished work is kept")
    assert any(name.startswith("completions") for name in store_of(here))


@pytest.mark.thorough
def test_the_hub_out_of_reach_is_one_sentence(tmp_path):
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    environment["TOXAUDIT_HOME"] = str(tmp_path / "home")
    command = [sys.executable, "-m", "toxaudit", "audit=llama31_community"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "could not be had from the Hugging Face Hub" in done.stderr
    assert not (tmp_path / "runs").exists()
