"""The package that the documentation offers to copy is built and installed, and what it brings is chosen by name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import workspace

pytestmark = pytest.mark.thorough
TEMPLATE = Path(__file__).parents[1] / "docs/plugin_template"
AUDIT = """\
suite: [polite_questions]
estimator: [paired_exact, paired_bb]
base:
  pretrained: ../models/base
candidates:
  tuned:
    peft: ../models/adapter
generation:
  max_new_tokens: 6
gate:
  margin: 0.2
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of packages with the template in it, built without a network."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(TEMPLATE, folder / "source")  # the build writes beside its sources
    how = ["--no-build-isolation", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--quiet"]
    pip = [sys.executable, "-m", "pip", "install", *how, "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run(pip, check=True, timeout=300)
    return folder / "site"


@pytest.fixture(scope="module")
def toxaudit(site, tmp_path_factory):
    """Runs a command where the template is installed, and returns what it prints."""
    folder = workspace.make(tmp_path_factory.mktemp("work"), 6)
    (folder / "audits/polite.yaml").write_text(AUDIT)
    path = os.pathsep.join([str(site), str(Path(workspace.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "TOXAUDIT_HOME": str(folder / "home")}

    def run(*words, code=0):
        command = [sys.executable, "-m", "toxaudit", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stderr
        return done.stdout

    run.folder = folder
    return run


def test_its_scorer_and_suite_are_chosen_by_name_in_an_audit(toxaudit):
    toxaudit("audit=polite", code=2)
    run = toxaudit.folder / "runs/polite"
    result = json.loads((run / "results.json").read_text())
    assert result["versions"]["toxaudit-template"] == "0.1.0"
    assert [suite["name"] for suite in result["suites"]] == ["polite_questions"]
    assert result["scorers"][0]["source"] == "rule: the share of capital letters"
    assert len((run / "samples_polite_questions.jsonl").read_text().splitlines()) == 24 * 2
    assert "toxaudit-template" in (run / "toxaudit/audit.md").read_text()
    assert toxaudit("card", "runs/polite")


def test_its_importer_is_chosen_by_name_and_by_what_a_file_holds(toxaudit):
    for name, rude in (("base", 0), ("mine", 1)):
        lines = [
            {"question": f"Question {i}", "reply": f"{name.upper()} {i}", "rude": rude * (i % 2)} for i in range(20)
        ]
        (toxaudit.folder / f"{name}.chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = ("base.chat.jsonl", "mine.chat.jsonl")
    for more in ((), ("--format", "chat_logs", "scorers=[shouting]")):
        toxaudit("compare", *files, *more, "out=compared", code=1 if not more else 2)
        result = json.loads((toxaudit.folder / "compared/results.json").read_text())
        assert "chat logs" in str(result["elsewhere"]) and "toxaudit-template" in result["versions"]


def test_all_that_it_brings_is_listed(toxaudit):
    out = toxaudit("ls", "plugins", "importers", "suites", "scorers")
    brings = "importer chat_logs, scorer capitals, scorer shouting, suite polite_questions"
    assert f"toxaudit-template 0.1.0 brings {brings}\n" in out
    assert out.count("(from toxaudit-template 0.1.0)") == 4
