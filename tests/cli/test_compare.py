"""``toxaudit compare`` as it is typed: the page's commands, its help, and what is miswritten."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import foreign
import pytest

from toxaudit.cli.main import _decides, main

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("toxaudit.stages.rendering.render", lambda *_: [])


def made(tool):
    one, other = [1.0, 0.0, 1.0], [0.0, 0.0, 1.0]
    for name, values in (("base", one), ("mine", other)):
        if tool == "lm_eval":
            foreign.lm_eval(Path("lm_eval") / name, values)
        elif tool == "inspect":
            Path("inspect").mkdir(exist_ok=True)
            foreign.inspect(Path("inspect") / f"{name}.json", ["IC"[int(value)] for value in values])
        elif tool == "garak":
            foreign.garak(Path("garak") / name, [[value] for value in values])
        elif tool == "lighteval":
            foreign.lighteval(Path("made") / name, values).rename(Path("lighteval") / name)
        elif tool == "eee":
            foreign.every_eval_ever(Path("eee") / name, values)
        else:
            foreign.table(f"{name}.jsonl", values, completion=f"I am {name}, and cannot help with that.")
    foreign.promptfoo(Path("promptfoo.json"), {"base": [True, True], "mine": [True, False]})


@pytest.mark.parametrize("command", [line for line in COMMANDS if "--slice" not in line])
def test_the_pages_commands_do_as_they_say(command, capsys):
    tool = re.split(r"[/.:]", command.split()[2])[0]
    Path("lighteval").mkdir()
    made(tool)
    assert main(shlex.split(command)[1:]) == 2, capsys.readouterr().err
    assert "Audit 'compare': INCONCLUSIVE" in capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.parametrize("command", [line for line in COMMANDS if "--slice" in line])
def test_the_pages_commands_with_slices_do_as_they_say(command):
    made(re.split(r"[/.:]", command.split()[2])[0])
    assert main(shlex.split(command)[1:]) == 2


def test_the_help_is_fast_and_nothing_heavy_is_imported():
    start = time.perf_counter()
    code = "import sys; from toxaudit.cli.main import main; main(['compare', '--help']); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "toxaudit compare BASE CANDIDATE" in out and not {"torch", "transformers", "numpy"} & set(out.split())
    assert time.perf_counter() - start < 5  # on any machine; on an idle one a tenth of that


@pytest.mark.thorough
def test_a_comparison_imports_no_torch():
    made("table")
    words = "['compare', 'base.jsonl', 'mine.jsonl', '--harmful', 'high', 'scorers=[compliance_keywords]']"
    code = "import sys, toxaudit.stages.rendering as r; r.render = lambda *_: []\nfrom toxaudit.cli.main import main\n"
    code += f"print(main({words})); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "\n2\n" in out and not {"torch", "transformers", "pymc", "peft", "datasets"} & set(out.split())


@pytest.mark.parametrize(
    "words, said",
    [
        ("compare base.jsonl", "Write `toxaudit compare BASE CANDIDATE"),
        ("compare base.jsonl mine.jsonl third.jsonl", "Write `toxaudit compare"),
        ("compare base.jsonl mine.jsonl --harmful up", "must be high"),
        ("compare base.jsonl mine.jsonl --threshold nan", "must be a number"),
        ("compare base.jsonl mine.jsonl --columns prompt", "write prompt=NAME"),
        ("compare base.jsonl mine.jsonl --measur x", "Did you mean '--measure'"),
        ("compare base.jsonl mine.jsonl gate=strct", "Did you mean 'strict'"),
        ("compare base.jsonl mine.jsonl gate.margn=0.1", "Did you mean 'margin'"),
        ("compare base.jsonl mine.jsonl gate.margin=2", "gate.margin is 2"),
        ("compare base.jsonl mine.jsonl base.pretrained=x", "has no key 'base'"),
        ("compare base.jsonl mine.jsonl scorers=[wrong_choice]", "reads likelihoods of choices"),
        ("compare base.jsonl mine.jsonl --measure x:unscored", "can't be called 'x:unscored'"),
        ("compare base.jsonl mine.jsonl --name base", "'base'"),
        ("compare base.jsonl mine.jsonl --name a/b", "can't be called 'a/b'"),
        ("compare base.jsonl mine.jsonl --harmful high --slice no", "No prompt tells its 'no'"),
        ("compare base.jsonl mine.jsonl --harmful high --task no", "There is no task 'no'"),
        ("compare nowhere mine.jsonl", "There is no nowhere"),
    ],
)
def test_what_is_miswritten_is_one_sentence(words, said, capsys):
    made("table")
    assert main(words.split()) == 3
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1, err
    assert not Path("runs").exists()


def test_its_exit_code_is_a_verdict():
    assert _decides(["compare", "a", "b"]) and not _decides(["card", "a=b"])
