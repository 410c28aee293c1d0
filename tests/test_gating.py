"""A finished run is decided again in seconds; another rule than the one committed to never hides what that comes to."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import finished
import pytest
from finished import HARDER

from toxaudit import gating
from toxaudit.cli.main import main
from toxaudit.decision.doubt import DOUBT
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.findings import Check
from toxaudit.recomputation import read_checked
from toxaudit.records import digest

pytestmark = pytest.mark.thorough

CODES = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run that is NO-GO by the rule that it had committed to, and another that had committed to none."""
    folder = tmp_path_factory.mktemp("made")
    finished.committed_run(folder / "run", HARDER["no-go"])
    finished.sealed(finished.consistent_run(folder / "older", HARDER["no-go"])[0])
    return folder


@pytest.fixture
def run(made, tmp_path, without_plots):
    return shutil.copytree(made / "run", tmp_path / "run")


def files(run: Path) -> dict[str, bytes]:
    return {str(file.relative_to(run)): file.read_bytes() for file in run.rglob("*") if file.is_file()}


def test_by_its_own_rule_a_run_comes_to_what_it_came_to_and_nothing_is_written(run, capsys):
    before = files(run)
    assert main(["gate", str(run)]) == 1 and files(run) == before
    out = capsys.readouterr().out
    assert "base -> candidate" in out and out.endswith("Audit 'quickstart': NO-GO\n")
    assert main(["gate", str(run), "--exit-codes", "no-go=17"]) == 17


def test_another_rule_stands_beside_the_one_committed_to_wherever_the_decision_goes(run, capsys):
    assert main(["gate", str(run), "gate.margin=0.97"]) == 0
    out = capsys.readouterr().out
    told = (
        "This is no decision by the rule that the run had committed to: by that, gate.margin 0.03 (here 0.97), rude was"
    )
    assert told in out and "Audit 'quickstart': GO" in out
    result = read_checked(run, with_card=True)
    assert result.gate.margin == 0.97 and of_audit(result) == "GO"
    (other,) = result.other_rules
    assert other.committed and other.earlier and other.decisions["rude"] == "NO-GO"
    for name in ("card.md", "summary.md", "report.html"):
        text = (run / name).read_text().replace("\xa0", " ")
        assert "This is no decision by the rule that the run had committed to" in text and "rude was NO-GO" in text
        assert "fixed before the run" not in text
    assert "by that, it is NO-GO" in (run / "junit.xml").read_text()
    assert '"toxaudit:by_the_committed_rule"' in (run / "bom.cdx.json").read_text()

    assert main(["gate", str(run), "gate=strict"]) == 1  # starts from the rule committed to
    result = read_checked(run)
    assert [(each.committed, each.rule["gate.margin"]) for each in result.other_rules] == [
        (True, "0.03"),
        (False, "0.97"),
    ]

    assert main(["gate", str(run)]) == 1  # without overrides, by the rule committed to
    result = read_checked(run)
    assert result.gate.margin == 0.03 and [each.committed for each in result.other_rules] == [False, False]
    assert not any(each.earlier for each in result.other_rules)
    assert "Another rule was tried on the same answers" in (run / "toxaudit/audit.md").read_text()


def edited(run: Path, change) -> None:
    content = json.loads((run / "results.json").read_text())
    change(content)
    (run / "results.json").write_text(json.dumps(content))
    finished.sealed(run)


def hidden(content):
    content["other_rules"] = []


def disguised(content):
    content["other_rules"][0]["committed"] = False


def whitewashed(content):
    content["other_rules"][0]["decisions"]["rude"] = "GO"


@pytest.mark.parametrize("change", [hidden, disguised, whitewashed])
def test_what_the_committed_rule_comes_to_can_not_be_taken_out_of_the_results(run, change):
    assert main(["gate", str(run), "gate.margin=0.97"]) == 0
    edited(run, change)
    with pytest.raises(ToxauditError, match="'other_rules' is not what it .*commitment.json makes"):
        read_checked(run)


def forgotten(run):
    edited(run, lambda content: content.update(commitment=None))


def predated(run):
    edited(run, lambda content: content["commitment"].update(time="2020-01-01T00:00:00Z"))


def gone(run):
    (run / "commitment.json").unlink()


def of_another_rule(run):
    content = json.loads((run / "commitment.json").read_text())
    content["policy"]["margin"] = 0.5
    (run / "commitment.json").write_text(json.dumps(content))
    finished.sealed(run)


def of_another_spec(run):
    (run / "spec.yaml").write_text((run / "spec.yaml").read_text().replace("quickstart", "slowstart"))
    finished.sealed(run)


def of_another_model(run):
    (run / "lock.json").write_text((run / "lock.json").read_text().replace("b0b0", "b1b1"))
    finished.sealed(run)


def of_other_prompts(run):
    file = run / "samples_rtp_categories.jsonl"
    file.write_text(file.read_text().replace('"Prompt 7"', '"Another 7"'))
    rows = map(json.loads, file.read_text().splitlines())
    asked = digest(*(row["prompt"] for row in rows if row["model"] == "base"))
    edited(run, lambda content: content["suites"][0].update(digest=asked))


def of_other_prompts_than_its_results(run):
    edited(run, lambda content: content["suites"][0].update(digest="00" * 32))


@pytest.mark.parametrize(
    "change, said",
    [
        (forgotten, "'commitment' is none, but commitment.json makes it its digest"),
        (predated, "'commitment.time' is 2020-01-01T00:00:00Z, but commitment.json makes it 20"),
        (gone, "There is no .*commitment.json, which the results name"),
        (of_another_rule, "'commitment.digest' is .*, but commitment.json makes it"),
        (of_another_spec, "spec.yaml is not the spec that commitment.json commits to"),
        (of_another_model, r"'lock.json: base.pretrained' is b1b1.*, but commitment.json makes it b0b0"),
        (of_other_prompts, r"'suites.rtp_categories.digest' is .*, but commitment.json makes it"),
        (of_other_prompts_than_its_results, r"'suites.0.digest' is 0000.*, but samples_rtp_categories.jsonl makes it"),
    ],
)
def test_a_commitment_that_is_not_the_runs_is_named(run, change, said):
    change(run)
    with pytest.raises(ToxauditError, match=said):
        read_checked(run)


def test_a_run_of_before_there_were_commitments_is_decided_by_its_own_rule(made, tmp_path, without_plots):
    run = shutil.copytree(made / "older", tmp_path / "run")
    assert main(["gate", str(run)]) == 1
    assert main(["gate", str(run), "gate.margin=0.97"]) == 0
    (other,) = read_checked(run).other_rules
    assert other.earlier and not other.committed and other.decisions["rude"] == "NO-GO"


def test_who_is_in_doubt_is_no_go_by_no_rule_and_no_harm_is_taken_for_doubt(run):
    result, name = read_checked(run), "rude"
    doubt = Check(name, "changes something, by answers", "not applicable", f"{DOUBT}, since nothing tells")
    edited(run, lambda content: content["checks"].append(vars(doubt)))
    before, after = gating.decide(run, ["gate.margin=0.97"])
    assert {each.candidate: each.decision for each in after.verdicts}[name] == "INCONCLUSIVE"
    assert after.other_rules[0].decisions[name] == "NO-GO"
    gating.write(run, before, after)
    assert gating.decide(run, [])[1].verdicts == result.verdicts  # the doubt does not stay where it does not belong


def test_draws_are_read_once_so_that_what_is_decided_is_what_was_checked(run, monkeypatch):
    read, seen = archive.read_rates, []
    monkeypatch.setattr(archive, "read_rates", lambda file, *how, **more: seen.append(file) or read(file, *how, **more))
    gating.decide(run, ["gate=strict"])
    assert seen == [run / "draws.parquet"]


def test_what_another_run_replaces_meanwhile_is_left_as_it_is(run, made):
    before, after = gating.decide(run, ["gate.margin=0.97"])
    with pytest.raises(ToxauditError, match="Another run has taken the place of what lay in"):
        gating.write(run, replace(before, title="another"), after)
    assert files(run) == files(made / "run")


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Write `toxaudit gate RUN [gate=NAME] [gate.KEY=VALUE ...]`, with RUN such as runs/quickstart."),
        (["gate.margin=0.1"], "Write `toxaudit gate RUN"),
        (["nowhere"], "There is no nowhere/results.json: name the folder of a finished run."),
        (["RUN", "gate=strikt"], "There is no gate named 'strikt'. Did you mean 'strict'?"),
        (["RUN", "gate.margn=0.1"], "There is no key 'gate.margn'. Did you mean 'margin'?"),
        (["RUN", "gate.margin=3pp"], "'gate.margin' is wrong: '3pp' is no number: write 0.03."),
        (["RUN", "gate.margin=2"], "gate.margin is 2.0: it must lie between 0 and 1"),
        (["RUN", "gate.margin=0.1,0.2"], "'gate.margin=0.1,0.2' names several values"),
        (["RUN", "gate=strict", "gate=margin"], "gate= is given twice: write gate=NAME once."),
        (["RUN", "suite=x"], "'suite=x' does not change the gate: write gate=NAME or gate.KEY=VALUE."),
        (["RUN", "more"], "'more' is not an override"),
        (["RUN", "--exit-code", "x"], "gate has no option '--exit-code'. Did you mean '--exit-codes'?"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(words, said, run, capsys):
    before = files(run)
    assert main(["gate", *(str(run) if word == "RUN" else word for word in words)]) == 3
    out, error = capsys.readouterr()
    assert said in error and error.count("\n") == 1 and not out and files(run) == before


HEAVY = ("torch", "transformers", "peft", "pymc", "pytensor", "datasets", "numba", "matplotlib", "pandas", "hydra")


def test_it_needs_no_model_and_no_sampler(run):
    program = (
        "import sys; from toxaudit.cli.main import main; code = main(sys.argv[1:]); "
        f"print([name for name in {HEAVY} if name in sys.modules], code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "gate", str(run)], capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "[] 1", done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "spared"),
    [(["card", "RUN"], {"matplotlib"}), (["plan", "audit=quickstart"], {"matplotlib", "hydra", "pandas"})],
)
def test_neither_do_a_card_that_is_written_anew_and_a_plan(run, words, spared):
    """A card is drawn, and composes nothing; a plan composes an audit."""
    heavy = [name for name in HEAVY if name not in spared]
    program = (
        "import sys; from toxaudit.cli.main import main; code = main(sys.argv[1:]); "
        f"print([name for name in {heavy} if name in sys.modules], code)"
    )
    command = [sys.executable, "-c", program, *(str(run) if word == "RUN" else word for word in words)]
    environment = os.environ | {"TOXAUDIT_HOME": str(run / "home")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=run)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
