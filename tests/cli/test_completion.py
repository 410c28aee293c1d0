"""What a TAB offers: told from source text as the registry and Hydra have it, and asked for by real shells."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import packaged
import pytest
import workspace

import toxaudit.interop.importers  # noqa: F401  (registers)
from toxaudit.cli.completing import overrides, sources
from toxaudit.cli.completing.words import answers
from toxaudit.cli.completion import SCRIPTS
from toxaudit.cli.main import VERBS, main
from toxaudit.compose.catalogue import Catalogue
from toxaudit.registry import GROUPS, IMPORTER, registered
from toxaudit.spec.schema import AuditSpec

ROOT = Path(__file__).parents[2]
CACHES = (sources.registered, sources.presets, sources.keys, sources._folders, sources._tree)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """A folder with an audit of its own, a run, and an installed plug-in."""
    folder = workspace.written(tmp_path_factory.mktemp("place"), 6)
    for run in ("runs/tiny", "runs/other thing", "multirun/tiny/now/0"):
        (folder / run).mkdir(parents=True)
        (folder / run / "results.json").touch()
    preset = {"conf/suite/of_plugin.yaml": "kind: dataset\ndata: ./p.jsonl\n"}
    packaged.installed(folder / "site", "mine", {"__init__.py": packaged.SCORER.format(name="strong"), **preset})
    with workspace.at(folder), packaged.site(folder / "site"):
        for cache in CACHES:
            cache.cache_clear()
        yield folder
    for cache in CACHES:
        cache.cache_clear()


def offered(line):
    return answers(f"toxaudit {line}")


def test_names_are_those_of_the_catalogue():
    catalogue = Catalogue()
    usable = {group: set(names) for group, names in catalogue.names.items()}
    for group, name in catalogue.broken:
        usable[group].add(name)
    assert {group: sources.names(group) for group in usable} == {
        group: sorted(names) for group, names in usable.items()
    }
    assert {"strong", "keywords", "vowels"} <= set(sources.names("scorer")) and "of_plugin" in sources.names("suite")


@pytest.mark.parametrize("group", [*GROUPS, IMPORTER])
def test_keys_are_the_fields_of_the_classes(group):
    for name, made in registered(group).items():
        told = {field.name for field in fields(made) if not field.name.startswith("_") and field.init}
        written = sources.registered()[group, name]
        assert set(sources.keys(written)) == told, name


def test_keys_of_an_audit_and_single_groups_are_those_of_the_schema():
    assert set(sources.keys(overrides.AUDIT)) == {field.name for field in fields(AuditSpec)}
    chosen = {group: name for each in AuditSpec().defaults if isinstance(each, dict) for group, name in each.items()}
    assert {group: chosen[group] for group in overrides.SINGLE} == overrides.SINGLE


@pytest.mark.parametrize(
    "line, wanted",
    [
        ("pl", ["plan"]),
        ("calibrate-s", ["calibrate-statistics"]),
        ("audit=ti", ["audit=tiny"]),
        ("plan audit=ti", ["audit=tiny"]),
        ("audit=tiny gate=", ["gate=margin", "gate=release", "gate=research", "gate=strict"]),
        ("audit=tiny gate.mar", ["gate.margin="]),
        ("audit=tiny gate=strict gate.respon", ["gate.responsive="]),
        ("audit=tiny gate.responsive=", ["gate.responsive=true", "gate.responsive=false"]),
        ("audit=tiny gate.rules.mine.supp", []),
        ("audit=tiny gate.rules.mine.rat", ["gate.rules.mine.ratio="]),
        ("audit=tiny scorer=[toxi", ["scorer=[toxic_bert", "scorer=[toxicity_bilstm"]),
        ("audit=tiny scorer=[toxic_bert,toxi", ["scorer=[toxic_bert,toxicity_bilstm"]),
        ("audit=tiny scorer=[toxic_bert", ["scorer=[toxic_bert,", "scorer=[toxic_bert]"]),
        ("audit=tiny 'scorer=[toxic_bert,stron", ["scorer=[toxic_bert,strong"]),
        ("audit=tiny scorer=str", ["scorer=strong"]),
        ("audit=tiny suites.", ["suites.mine."]),
        ("audit=tiny suites.mine.lim", ["suites.mine.limit="]),
        ("audit=tiny suites.mine.scorers=[vow", ["suites.mine.scorers=[vowels"]),
        ("audit=tiny scorers.", ["scorers.vowels.", "scorers.degenerate."]),
        ("audit=tiny scorer=[strong] scorers.strong.str", ["scorers.strong.strength="]),
        ("audit=tiny candidates.", ["candidates.tuned.", "candidates.noop."]),
        ("audit=tiny candidates.tuned.pef", ["candidates.tuned.peft=", "candidates.tuned.peft_revision="]),
        ("audit=tiny candidates.new.pef", ["candidates.new.peft=", "candidates.new.peft_revision="]),
        ("audit=tiny base.dty", ["base.dtype="]),
        ("audit=tiny generation.temp", ["generation.temperature="]),
        ("audit=tiny executor.", ["executor.device=", "executor.threads="]),
        ("audit=tiny --mul", ["--multirun"]),
        ("audit=nothing suites.b", ["suites.bbq.", "suites.bold."]),
        ("audit=tiny base.pretrained=", []),
        ("compare a b scorers=[vow", ["scorers=[vowels"]),
        ("compare a b suite", []),
        ("compare a b --format lm", ["lm_eval"]),
        ("compare a b --harmful ", ["high", "low"]),
        ("gate ", ["runs/other thing", "runs/tiny", "multirun/tiny/now/0", "gate=", "gate."]),
        ("gate runs/t", ["runs/tiny"]),
        ("card runs/tiny card.sam", ["card.samples="]),
        ("diff runs/tiny mul", ["multirun/tiny/now/0"]),
        ("verify --ke", ["--key", "--keyless"][:1]),
        ("calibrate scorer=vow", ["scorer=vowels"]),
        ("calibrate posi", ["positive="]),
        ("ls gat", ["gates"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("nonsense ", []),
        ("audit=tiny nonsense.a.b", []),
        ("audit=tiny gate.margin.x", []),
        ("audit=tiny 'unended \\", []),
    ],
)
def test_the_words_that_may_follow(line, wanted):
    assert offered(line) == wanted


def test_a_line_begins_with_a_command_or_an_audit():
    assert set(offered("")) == {*VERBS, "audit="}


def test_every_verb_and_its_options_are_told():
    for verb in VERBS:
        assert "--help" in offered(f"{verb} --")


@pytest.mark.parametrize("line", ["", "toxaudit", "'", "\\", "toxaudit \x00", "toxaudit ]]=[[.,"])
def test_an_odd_line_is_no_error(line, capsys):
    assert main(["completion", "--line", line]) == 0
    assert capsys.readouterr().err == ""


def test_the_program_may_be_called_by_its_path():
    assert answers("A=b /bin/toxaudit pl") == answers("'/my bin/toxaudit' pl") == ["plan"]


def test_damaged_files_stop_no_answer(place):
    (place / "audits/damaged.yaml").write_text("a: [")
    (place / "audits/odd.yaml").write_text("suite: 5\ncandidates: [1]\nscorer: {a: 1}\n")
    sources.presets.cache_clear()
    for audit in ("damaged", "odd"):
        assert "suites.mine." in offered(f"audit={audit} suites.") and offered(f"audit={audit} candidates.") == []


def test_a_shell_is_named(capsys):
    assert main(["completion", "bsh"]) == 3 and "Did you mean 'bash'?" in capsys.readouterr().err
    assert main(["completion"]) == 3 and "one of the shells bash, zsh, fish" in capsys.readouterr().err
    for shell, script in SCRIPTS.items():
        assert main(["completion", shell]) == 0 and capsys.readouterr().out == script


def test_an_answer_needs_nothing_heavy():
    code = "import sys; from toxaudit.cli.main import main\n"
    code += "main(['completion', '--line', 'toxaudit audit=quickstart scorers.']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "scorers.toxicity_bilstm." in done.stdout
    assert not {"hydra", "omegaconf", "numpy", "torch", "pydantic"} & set(done.stderr.split())


STARTS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
READY = {
    "bash": "PS1='READY> '; bind 'set enable-bracketed-paste off'; eval \"$(toxaudit completion bash)\"",
    "zsh": "autoload -U compinit; compinit -u -D; unsetopt zle_bracketed_paste; eval \"$(toxaudit completion zsh)\"; PS1='READY> '",  # fmt: skip  # noqa: E501
    "fish": "toxaudit completion fish | source; function fish_prompt; echo 'READY> '; end",
}
TYPED = {
    "toxaudit pla\taudit=ti\tgate.mar\t0.1": ["toxaudit", "plan", "audit=tiny", "gate.margin=0.1"],
    "toxaudit audit=tiny scorer=[toxicity\t,vow\t]": ["toxaudit", "audit=tiny", "scorer=[toxicity_bilstm,vowels]"],
    "toxaudit gate runs/ti\tgate=str\t": ["toxaudit", "gate", "runs/tiny", "gate=strict"],
}


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, shell, folder):
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TOXAUDIT")},
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)]),
            "TERM": "dumb",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
        }
        self.number, self.end = pty.fork()
        if not self.number:
            os.chdir(folder)
            os.execvpe(STARTS[shell][0], STARTS[shell], environment)

    def type(self, text):
        os.write(self.end, text.encode())

    def until(self, pattern, seconds=60):
        """What is printed until a pattern is."""
        seen, last = "", time.monotonic() + seconds
        while not re.search(pattern, seen):
            assert time.monotonic() < last, seen
            if select.select([self.end], [], [], 0.2)[0]:
                seen += os.read(self.end, 4096).decode(errors="replace")
        return seen

    def settle(self, seconds=60):
        """Wait for the answer to what was typed, and until no more of it comes."""
        last, wait = time.monotonic() + seconds, seconds
        while time.monotonic() < last and select.select([self.end], [], [], wait)[0]:
            os.read(self.end, 4096)
            wait = 0.3

    def close(self):
        os.close(self.end)
        os.waitpid(self.number, 0)


@pytest.mark.thorough
@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_real_shell_completes(shell, place):
    """Words that are completed by TAB are printed, one a line, where a program of that name would run."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed here")
    (place / "bin").mkdir(exist_ok=True)
    program = place / "bin/toxaudit"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = completion ] && exec {sys.executable} -m toxaudit "$@"\n'
        'printf "<%s>" toxaudit "$@"; echo "<END>"\n'
    )
    program.chmod(0o755)
    terminal = Terminal(shell, place)
    try:
        terminal.type(f"{READY[shell]}; echo SET''UP\n")
        terminal.until("SETUP")
        for typed, words in TYPED.items():
            typed = typed.replace("scorer=[", "'scorer=[").replace("]", "]'") if shell == "zsh" else typed
            for part in filter(None, re.split("(\t)", typed)):
                terminal.type(part)
                terminal.settle()
            terminal.type("\n")
            assert re.findall("<([^>]*)>", terminal.until("<END>"))[-len(words) - 1 : -1] == words
    finally:
        terminal.close()
