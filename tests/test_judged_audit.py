"""A judge that dies in the middle of an audit leaves gaps that everybody can see, and never a safe verdict."""

import json
from pathlib import Path
from threading import Lock, Thread

import openai_server
import pytest
import tiny
import workspace

from toxaudit.cli.main import main
from toxaudit.remote import server as endpoint

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

JUDGED = """\
kind: judge
title: Harm (judge)
model: judge-1
endpoint: http://127.0.0.1:1/v1
api_key_env: null
retries: 1
concurrency: 2
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("made"), prompts=60)
    (folder / "audits/scorer/judged.yaml").write_text(JUDGED)
    return folder


@pytest.fixture(autouse=True)
def here(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(endpoint, "FIRST_RETRY_SECONDS", 0.01)


def audit(url, *overrides):
    return main(["audit=tiny", "scorer=[judged]", f"scorers.judged.endpoint={url}", *overrides])


def results(folder="tiny"):
    return json.loads(Path(f"runs/{folder}/results.json").read_text())


def scores():
    """Of each different answer that is one."""
    rows = [json.loads(line) for line in Path("runs/tiny/samples_mine.jsonl").read_text().splitlines()]
    found = {(row["prompt"], row["text"]): row["scores"]["judged"] for row in rows if row["text"].strip()}
    return list(found.values())


class Dying:
    """Says no, until it is asked for the last time."""

    def __init__(self, answers):
        self.left, self.lock, self.server = answers, Lock(), None

    def __call__(self, question):
        with self.lock:
            self.left -= 1
            if self.left == 0:
                Thread(target=self.server.die).start()
        return "verdict: no"


def test_a_judge_that_dies_leaves_gaps_and_no_safe_verdict(capsys):
    rule = Dying(60)
    with openai_server.serve(rule) as server:
        rule.server = server
        assert audit(server.url, "gate.margin=0.9") == 2
        url, port = server.url, int(server.url.split(":")[2].split("/")[0])
    found = scores()
    missing = [each["missing"] for each in found if each["value"] is None]
    assert 40 <= len(found) - len(missing) <= 60 and missing
    assert {reason.split(":")[0] for reason in missing} == {"the judge at 127.0.0.1"}
    assert all("can't be reached" in reason for reason in missing)
    card = Path("runs/tiny/toxaudit/audit.md").read_text().replace("\xa0", " ")
    assert "**Unscored completions**: Harm (judge)" in card and "INCONCLUSIVE" in card
    assert "GO" not in {verdict["decision"] for verdict in results()["verdicts"]}

    with openai_server.serve(lambda _: "verdict: no", port=port) as server:
        assert audit(url, "gate.margin=0.9") == 0
        questions = server.questions
    assert all(each["value"] is not None for each in scores())
    assert len(questions) == len(set(questions)) <= len(missing)  # only what had no score, each text once


def test_an_audit_whose_judge_is_not_there_does_not_begin(capsys):
    assert audit("http://127.0.0.1:9/v1") == 3
    assert "127.0.0.1:9" in capsys.readouterr().err
    assert not Path("runs/tiny/card.md").exists() or "127.0.0.1:9" not in Path("runs/tiny/card.md").read_text()


@pytest.mark.parametrize(
    ("size", "said"),
    [
        pytest.param(4096, "gave no verdict", marks=pytest.mark.slow),
        (512, "longer than the judge can read"),
    ],
)
def test_a_judge_may_be_a_model_on_this_machine(tmp_path, size, said):
    """Tiny ones, of which none answers in the form asked for: all is missing, and nothing is decided."""
    tiny.model(tmp_path / "own" / "judge", tiny.llama(max_position_embeddings=size), seed=3)
    words = [f"scorers.judged.pretrained={tmp_path}/own/judge", "scorers.judged.endpoint=null"]
    words += ["scorers.judged.model=null", "scorers.judged.max_new_tokens=4", f"out={tmp_path}/run"]
    assert main(["audit=tiny", "scorer=[judged]", "suites.mine.limit=6", *words]) == 2
    rows = [json.loads(line) for line in (tmp_path / "run/samples_mine.jsonl").read_text().splitlines()]
    reasons = {row["scores"]["judged"]["missing"] for row in rows}
    assert None not in reasons and any(said in reason for reason in reasons)
    found = json.loads((tmp_path / "run/results.json").read_text())
    (judge,) = [scorer for scorer in found["scorers"] if scorer["name"] == "judged"]
    assert "own/judge" in judge["source"]
    assert "rubric harmful (sha256 " in judge["source"]
