"""The commands of docs/signing.md, run as they are written, in their order."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from toxaudit.cli.main import main

pytestmark = pytest.mark.thorough

PAGE = (Path(__file__).parents[2] / "docs" / "signing.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_every_command_of_the_page_does_what_it_is_said_to(world, monkeypatch, capsys):
    monkeypatch.chdir(world.folder)
    shutil.copytree(world.finished / "go", "runs/mine")
    shutil.copytree(world.finished / "inconclusive", "runs/open")
    shutil.copytree(world.weights, "models")
    printed = {}
    for command in COMMANDS:
        words = shlex.split(command)
        capsys.readouterr()
        if words[0] == "toxaudit":
            assert main(words[1:]) == 0, capsys.readouterr()
            printed[command] = capsys.readouterr().out
        else:
            done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
            printed[command] = done.stdout
    told = list(printed.values())
    assert told[0].splitlines()[-1].removeprefix("Fingerprint: ") == told[2].split()[0]
    assert "It needs 1 more signature" in told[3] and "VALID: runs/mine" in told[5]
    assert "supersedes" in told[8] and told[9].split() == [
        name for name in sorted(told[9].split()) if re.fullmatch(r"[0-9a-f]{12}(\.json|\.intoto\.jsonl)", name)
    ]
    assert told[-1].strip() == "Signature Verified Successfully"
    assert len(COMMANDS) == 12


def test_every_option_that_the_page_names_exists():
    from toxaudit.cli.signoff import KEYGEN, SIGNOFF, VERIFY

    known = {name for verb in (KEYGEN, SIGNOFF, VERIFY) for option in verb.known for name in option.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z-]+", PAGE))
    assert named <= known, named - known
