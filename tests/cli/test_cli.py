"""The verbs beside running an audit."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import workspace
import yaml

from toxaudit import __version__
from toxaudit.cli import exit_codes
from toxaudit.cli.help import HELP
from toxaudit.cli.main import VERBS, main, script
from toxaudit.compose.catalogue import Catalogue
from toxaudit.compose.compose import compose
from toxaudit.compose.overrides import sweep
from toxaudit.errors import LONGEST_LINE, ToxauditError
from toxaudit.machine import progress


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"], ["audit=quickstart", "--help"], ["pusj", "-h"]])
def test_help_says_what_to_type_next(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out == HELP
    assert "toxaudit audit=quickstart" in HELP and all(f"\n  toxaudit {verb} " in HELP for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_of_its_own(verb, capsys):
    assert main([verb, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"toxaudit {verb} ") and all(len(line) <= 120 for line in told.splitlines())
    for words in ([verb, "x", "-h"], ["help", verb], [verb, "help"], [verb, "--repo", "--help"]):
        assert main(words) == 0
        assert capsys.readouterr().out == told


@pytest.mark.parametrize("verb, said", [("plan", "toxaudit plan audit=quickstart"), ("push", "\n  --dry-run   ")])
def test_the_help_of_a_verb_says_what_to_type(verb, said, capsys):
    main([verb, "-h"])
    assert said in capsys.readouterr().out


def test_the_help_of_ls_names_every_group(capsys):
    main(["ls", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(("analyses" if group == "analysis" else f"{group}s") in told for group in Catalogue().names)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from toxaudit.cli.main import VERBS, main, script; main(['--help']); first = set(sys.modules);"
        "[main([verb, '--help']) for verb in VERBS]; print('argparse' in first, *sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    *_, last = out.splitlines()
    assert not {"torch", "pymc", "peft", "transformers", "hydra", "numpy", "omegaconf", "jinja2"} & set(last.split())
    assert last.startswith("False ")


def test_a_defect_never_ends_with_the_exit_code_of_a_verdict(monkeypatch, capsys):
    monkeypatch.setattr("toxaudit.compose.compose.compose", lambda _: 1 / 0)
    assert main(["audit=quickstart"]) == 3
    assert "defect of toxaudit" in capsys.readouterr().err


class Panic(BaseException):
    """Like pyo3_runtime.PanicException, which is no Exception."""


FORGED = "It says\nAudit 'x': GO\r\x1b[2J\u202e " + "y" * 5000 + ": mend it."


def raising(error):
    def run(_):
        raise error

    return run


@pytest.mark.parametrize("verb", ["audit=quickstart", "plan", "show", "ls", "discover"])
def test_a_librarys_panic_never_ends_with_the_exit_code_of_a_verdict(monkeypatch, capsys, verb):
    for function in ("audit.run", "audit.plan", "audit.show", "listing.ls", "hub.discover"):
        monkeypatch.setattr(f"toxaudit.cli.{function}", raising(Panic(f"index out of range\n{FORGED}")))
    assert main([verb]) == 3
    err = capsys.readouterr().err
    said = err.splitlines()
    assert said[-1] == (
        "toxaudit: this is a defect of toxaudit, or a file that made a library panic. Nothing was decided."
    )
    assert "Traceback" in err and "index out of range" in err
    assert not [line for line in said if line.startswith("Audit") or not line.isprintable()]


@pytest.mark.parametrize("error", [RuntimeError(), MemoryError(), GeneratorExit(), SystemExit(1), SystemExit(2)])
def test_what_gets_out_of_a_command_never_ends_with_the_exit_code_of_a_verdict(monkeypatch, error):
    def escaping():
        raise error

    monkeypatch.setattr("toxaudit.cli.main.main", escaping)
    with pytest.raises(SystemExit) as caught:
        script()
    assert caught.value.code == 3


@pytest.mark.parametrize("error", [SystemExit(5), GeneratorExit()])
def test_what_ends_python_passes(monkeypatch, error):
    monkeypatch.setattr("toxaudit.cli.audit.run", raising(error))
    with pytest.raises(type(error)):
        main(["audit=quickstart"])


def test_ctrl_c_has_an_exit_code_of_its_own(monkeypatch):
    monkeypatch.setattr("toxaudit.cli.audit.run", raising(KeyboardInterrupt()))
    assert main(["audit=quickstart"]) == 130


class OutOfMemoryError(RuntimeError):
    """Like torch's, of a GPU."""


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")])
def test_too_little_memory_is_one_sentence(monkeypatch, capsys, error):
    monkeypatch.setattr("toxaudit.cli.audit.run", raising(error))
    assert main(["audit=quickstart"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("toxaudit: not enough memory") and said.count("\n") == 1


@pytest.mark.parametrize("error", [ToxauditError(FORGED), FileNotFoundError(2, FORGED, FORGED)])
def test_a_sentence_with_a_strangers_text_is_one_short_line_in_which_nothing_acts(monkeypatch, capsys, error):
    monkeypatch.setattr("toxaudit.cli.audit.run", raising(error))
    assert main(["audit=quickstart"]) == 3
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("toxaudit: It says Audit 'x': GO ") and said.isprintable()
    assert len(said) <= LONGEST_LINE + len("toxaudit: ") and "…" in said
    assert not isinstance(error, ToxauditError) or said.endswith(": mend it.")


def test_progress_is_told_in_short_lines_in_which_nothing_acts(capsys):
    progress.say(FORGED)
    progress.bar(f"tuning {FORGED}", 2, "step").close()
    said = capsys.readouterr().err
    assert not [line for line in said.splitlines() if line.startswith("Audit")] and "\x1b[2J" not in said
    assert len(said.splitlines()[0]) <= LONGEST_LINE


def test_an_unusable_name_is_refused_where_it_is_made(fresh, capsys):
    for name in ("mäh", "2024", "-x", "a.b"):
        assert main(["init", name]) == 3
    Path("audits").mkdir()
    Path("audits/my.audit.yaml").write_text("title: x\n")
    assert main(["ls", "audits"]) == 0
    assert "can't be used" in capsys.readouterr().out


def test_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"toxaudit {__version__}\n"


@pytest.mark.parametrize("name", sorted({*Catalogue().names["audit"]} - {"honest_counterfactuals"}))
def test_every_shipped_audit_composes_and_plans_without_the_hub(fresh, name, capsys):
    (fresh / "turns.jsonl").write_text('{"prompt": "A room?", "response": "Gladly."}\n')
    left_open = {
        "quick": ["base.pretrained=ORG/BASE", "candidates.it=ORG/TUNED"],
        "three_axes": ["base.pretrained=ORG/BASE", "candidates.tuned=ORG/TUNED"],
        "rank_fairness": ["candidates.full.train.0.data=./made.jsonl"],
    }
    (fresh / "made.jsonl").write_text('{"prompt": "The nurse is", "completion": " kind."}\n')
    held_out = ["suites.dialogue_proficiency.data=./turns.jsonl"] if name == "three_axes" else []
    assert main(["plan", f"audit={name}", *left_open.get(name, []), *held_out]) == 0
    out = capsys.readouterr().out
    assert f"Plan of '{name}'" in out and "Rule: " in out
    assert not (fresh / "home").exists() and not (fresh / "runs").exists()


def test_every_shipped_preset_is_readable():
    catalogue = Catalogue()
    assert not catalogue.broken
    assert all(catalogue.title(group, name) for group, names in catalogue.names.items() for name in names)


def test_a_new_spec_can_be_planned_at_once(fresh, capsys):
    assert main(["init", "my_audit"]) == 0
    adapter = fresh / "audits" / "my_adapter"
    adapter.mkdir()
    assert main(["plan", "audit=my_audit"]) == 3  # as a run would: there is nothing in it
    assert "audits/my_adapter holds no adapter_config.json" in capsys.readouterr().err
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / file).touch()
    assert main(["plan", "audit=my_audit"]) == 0
    assert "my_adapter" in capsys.readouterr().out
    assert main(["init", "my_audit"]) == 3
    assert "exists already" in capsys.readouterr().err
    assert main(["init", "../x"]) == 3


def test_show_prints_a_spec_that_says_every_default(fresh, capsys):
    assert main(["show", "audit=quickstart", "gate.margin=0.07"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["gate"]["margin"] == 0.07
    assert shown["generation"] == {
        "max_new_tokens": 50,
        "temperature": 0.0,
        "samples": 1,
        "seed": 0,
        "chat_template_kwargs": {},
    }
    assert shown["candidates"]["rude"]["expect"] == "NO-GO"


def test_names_of_a_group_are_listed(fresh, capsys):
    assert main(["ls", "scorers"]) == 0
    out = capsys.readouterr().out
    assert "toxicity_bilstm" in out and "suite:" not in out
    assert "critical; worse is more toxic. A small demonstration classifier." in out  # what it counts, and how it errs
    assert "supporting; worse is more degenerate. Finds empty and repetitive text" in out  # a kind that needs no file
    assert "a kind of scorer: a spec, or a preset of your own, writes its settings" in out
    assert main(["ls", "scores"]) == 3


def test_ones_own_preset_hides_the_shipped_one(fresh):
    preset = Path("audits/suite/rtp_categories.yaml")
    preset.parent.mkdir(parents=True)
    preset.write_text("kind: dataset\ntitle: Mine\ndata: ./mine.jsonl\n")
    suite = compose(["audit=quickstart"]).suites
    assert suite["rtp_categories"].title == "Mine"
    assert suite["rtp_categories"].data == str(fresh / "audits" / "suite" / "mine.jsonl")


def test_an_audit_can_extend_another(fresh):
    Path("audits").mkdir()
    Path("audits/wide.yaml").write_text("defaults: [quickstart, _self_]\ntitle: Wide\ngate: {margin: 0.2}\n")
    spec = compose(["audit=wide"])
    assert (spec.name, spec.title, spec.gate.margin) == ("wide", "Wide", 0.2)
    assert set(spec.candidates) == {"benign", "rude", "noop"}


def test_a_sweep_is_every_combination():
    jobs = sweep(["audit=quickstart", "generation.temperature=0,0.7", "generation.seed=1,2"])
    assert len(jobs) == 4
    assert ["audit=quickstart", "generation.temperature=0.7", "generation.seed=2"] in jobs


def test_the_plan_counts_prompts_models_and_tokens(fresh, capsys):
    workspace.make(fresh)
    assert main(["plan", "audit=tiny", "suites.mine.limit=30"]) == 0
    assert "30 prompts x 3 models, at most 1,080 tokens" in capsys.readouterr().out


def test_exit_codes_are_those_that_the_readme_tells():
    text = (Path(__file__).parents[2] / "README.md").read_text()
    told = dict(re.findall(r"^\| (GO|NO-GO|INCONCLUSIVE|error) \| (\d) \|", text, re.MULTILINE))
    known = {**exit_codes.DECISIONS, "error": exit_codes.ERROR}
    assert {name: int(code) for name, code in told.items()} == known
