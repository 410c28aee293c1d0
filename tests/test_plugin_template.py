"""The package that the documentation offers to copy is built and installed, and what it brings is chosen by name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import packaged
import pytest
import workspace
from forked import forked
from unplotted import draw_in_words

from toxaudit.cli.main import main

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
def work(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("work"), 6)
    (folder / "audits/polite.yaml").write_text(AUDIT)
    return folder


@pytest.fixture(scope="module")
def toxaudit(site, work):
    """Runs a command in a copy of this process in which the template is installed, and returns what it prints."""

    def run(*words, code=0):
        def command():
            os.chdir(work)
            os.environ["TOXAUDIT_HOME"] = str(work / "home")
            with packaged.site(site) as patch:
                draw_in_words(patch)
                return main(list(words))

        done = forked(command)
        assert done.returncode == code, done.stderr
        return done.stderr

    return run


def test_its_scorer_and_suite_are_chosen_by_name_in_an_audit(toxaudit, work):
    toxaudit("audit=polite", code=2)
    run = work / "runs/polite"
    result = json.loads((run / "results.json").read_text())
    assert result["versions"]["toxaudit-template"] == "0.1.0"
    assert [suite["name"] for suite in result["suites"]] == ["polite_questions"]
    assert result["scorers"][0]["source"] == "rule: the share of capital letters"
    assert len((run / "samples_polite_questions.jsonl").read_text().splitlines()) == 24 * 2
    assert "toxaudit-template" in (run / "toxaudit/audit.md").read_text()
    assert toxaudit("card", "runs/polite")


def test_its_importer_is_chosen_by_name_and_by_what_a_file_holds(toxaudit, work):
    for name, rude in (("base", 0), ("mine", 1)):
        lines = [
            {"question": f"Question {i}", "reply": f"{name.upper()} {i}", "rude": rude * (i % 2)} for i in range(20)
        ]
        (work / f"{name}.chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = ("base.chat.jsonl", "mine.chat.jsonl")
    for more in ((), ("--format", "chat_logs", "scorers=[shouting]")):
        toxaudit("compare", *files, *more, "out=compared", code=1 if not more else 2)
        result = json.loads((work / "compared/results.json").read_text())
        assert "chat logs" in str(result["elsewhere"]) and "toxaudit-template" in result["versions"]


def test_all_that_it_brings_is_listed_in_a_fresh_process(site, tmp_path):
    command = [sys.executable, "-m", "toxaudit", "ls", "plugins", "importers", "suites", "scorers"]
    path = os.pathsep.join([str(site), str(Path(workspace.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "TOXAUDIT_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    brings = "importer chat_logs, scorer capitals, scorer shouting, suite polite_questions"
    assert f"toxaudit-template 0.1.0 brings {brings}\n" in out
    assert out.count("(from toxaudit-template 0.1.0)") == 4
