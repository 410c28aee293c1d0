"""The commands of ``action.yml`` and ``docs/release.md``, run as they are written, leave the documented files."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import workspace
import yaml

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
RELEASE = (ROOT / "docs" / "release.md").read_text()
CODES = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}


def block(before: str, language: str) -> str:
    """The first block of code after some words."""
    return RELEASE.split(before)[1].split(f"```{language}\n")[1].split("```")[0]


def gitlab() -> dict:
    return yaml.safe_load(block("## GitLab", "yaml"))["toxaudit"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A project with the audit ``my_audit``; ``python -m pip`` only notes its words, and ``toxaudit`` is this one."""
    folder = tmp_path_factory.mktemp("machine")
    work = workspace.make(folder / "work")
    (work / "audits" / "tiny.yaml").rename(work / "audits" / "my_audit.yaml")
    (folder / "bin").mkdir()
    for name, script in {
        "python": f'[ "$2" = pip ] && echo "$@" >> "{folder}/pip.log" && exit 0; exec "{sys.executable}" "$@"',
        "toxaudit": f'exec "{sys.executable}" -m toxaudit "$@"',
    }.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    return folder


def ran(machine: Path, script: str, **more: str) -> subprocess.CompletedProcess:
    """What a runner's shell makes of a script."""
    path = f"{machine / 'bin'}{os.pathsep}{os.environ['PATH']}"
    home = {"PATH": path, "TOXAUDIT_HOME": str(machine / "home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=machine / "work",
        env=os.environ | home | more,
        capture_output=True,
        text=True,
    )


def of_action(machine: Path, **inputs: str) -> tuple[int, str, str]:
    """Run the action's steps: the exit code, the output ``exit-code``, and the job's summary."""
    given = {name: each.get("default", "") for name, each in ACTION["inputs"].items()} | inputs
    output, summary = machine / "output", machine / "summary.md"
    runner = {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    for file in (output, summary):
        file.write_text("")
    code = 0
    for step in ACTION["runs"]["steps"]:
        said = {
            key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], value)
            for key, value in step.get("env", {}).items()
        }
        assert "${{" not in step["run"]  # what others write is no part of a script
        code = code or ran(machine, step["run"], **said, **runner).returncode
    return code, output.read_text(), summary.read_text()


@pytest.mark.thorough
def test_the_commands_of_all_three_ways_decide_alike_and_leave_the_documented_files(machine):
    work = machine / "work"
    code, output, summary = of_action(machine, audit="audit=my_audit\n\n")
    result = json.loads((work / "runs/my_audit/results.json").read_text())
    assert code == CODES[result["decision"]] and output == f"exit-code={code}\n"
    assert f": {result['decision']}\n" in summary and "\nRule, fixed before the run (committed to on " in summary
    told = re.findall(r"^\| (`.+?) \|", RELEASE.split("## Files\n")[1], re.MULTILINE)
    documented = {name.rstrip("/") for row in told for name in re.findall("`(.+?)`", row)}
    assert {file.name for file in (work / "runs/my_audit").iterdir()} == documented
    assert ElementTree.parse(work / "junit.xml").getroot().tag == "testsuites"

    job = gitlab()
    (work / "junit.xml").unlink()
    done = ran(machine, "\n".join(job["script"]), TOXAUDIT=job["variables"]["TOXAUDIT"])
    assert done.returncode == code, done.stderr
    assert (work / job["artifacts"]["reports"]["junit"]).is_file()
    assert all((work / path).exists() for path in job["artifacts"]["paths"])
    assert job["allow_failure"]["exit_codes"] == [CODES["INCONCLUSIVE"]]
    assert (machine / "pip.log").read_text().splitlines()[-1] == "-m pip install --quiet toxaudit"

    done = ran(machine, block("<!-- laptop -->", "bash"))
    assert done.returncode == code, done.stderr
    assert done.stdout.endswith(f"Audit 'my_audit': {result['decision']}\n")
    again = json.loads((work / "runs/my_audit/results.json").read_text())
    assert again["commitment"] == result["commitment"]


@pytest.mark.thorough
def test_other_exit_codes_and_errors_get_out_of_the_action_as_they_are(machine):
    code, output, summary = of_action(machine, audit="audit=nowhere")
    assert (code, output) == (3, "exit-code=3\n") and "There is no audit named" in summary
    (case,) = ElementTree.parse(machine / "work" / "junit.xml").getroot().iter("testcase")
    assert case[0].tag == "error"
    assert of_action(machine, audit="")[0] == 3
    assert of_action(machine, audit="audit=my_audit", **{"exit-codes": "no-go=3"})[0] == 3
    assert of_action(machine, audit="$(touch hacked)\n`touch hacked`; touch hacked")[0] == 3
    assert not (machine / "work" / "hacked").exists()


def test_where_nothing_could_be_installed_no_verdict_is_read(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/bash\nexit 2\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    for script in ("\n".join(gitlab()["script"]), ACTION["runs"]["steps"][0]["run"]):
        assert ran(tmp_path, script, TOXAUDIT="toxaudit", GITHUB_ACTION_PATH=str(ROOT)).returncode == 3


def test_the_documented_workflow_uses_the_action_as_it_is():
    workflow = yaml.safe_load(block("## GitHub Actions", "yaml"))
    (step,) = [each for each in workflow["jobs"]["audit"]["steps"] if "toxaudit@" in each["uses"]]
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert {name for name, each in ACTION["inputs"].items() if each.get("required")} <= set(step["with"])
