"""Whatever goes wrong, a deciding command ends with exit code 3 and one sentence, and never with a verdict's code.

What this file leaves to others: overrides and YAML in all their forms (``tests/cli/test_wrong_inputs.py``,
``tests/compose``), those of ``toxaudit gate`` (``tests/test_gating.py``), argparse's mistakes
(``tests/cli/test_options.py``), a panic of a library (``tests/cli/test_cli.py``), a full disk under the store
(``tests/store/test_store.py``) or under a log (``tests/cli/test_streams.py``), the Hub out of reach
(``tests/test_audit.py``), Ctrl-C with its own 130 (``tests/cli/test_stopping.py``).
"""

import errno
import py_compile
import resource
import shutil
import sys
from pathlib import Path

import finished
import pytest
import workspace
from finished import HARDER
from forked import forked

from toxaudit.cli import listing
from toxaudit.cli.main import main
from toxaudit.stages import rendering

WORDS = {
    "an unknown override": (
        ["audit=tiny", "gate.margn=0.1"],
        "There is no key 'margn' in 'gate'. Did you mean 'margin'?",
    ),
    "an unknown audit": (["audit=tinny"], "There is no audit named 'tinny'. Did you mean 'tiny'?"),
    "an unknown gate": (["audit=tiny", "gate=strikt"], "There is no gate named 'strikt'. Did you mean 'strict'?"),
    "a gate of no sense": (
        ["audit=tiny", "gate.certainty=0.4"],
        "gate.certainty is 0.4: it must lie between 0.5 and 1",
    ),
    "nothing gated": (["audit=tiny", "scorers.vowels.tier=advisory"], "is critical (vowels, degenerate"),
    "Hydra's own mistake": (["audit=tiny", "hydra.run.dir=x"], "'hydra.run.dir=x' is Hydra's own and would do nothing"),
    "Hydra's grammar": (["audit=tiny", "a=[b"], "'a=[b' is not an override"),
    "argparse's own mistake": (["audit=tiny", "--junit"], "junit needs a value: write --junit VALUE."),
    "codes of no sense": (["audit=tiny", "--exit-codes", "go=3"], "--exit-codes: 'go=3' takes 3"),
    "no verb": (["audt"], "There is no command 'audt'."),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return workspace.written(tmp_path_factory.mktemp("project"))


@pytest.fixture
def here(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("kind", WORDS)
def test_a_mistake_is_one_sentence_and_exit_code_3(kind, here, capsys):
    words, said = WORDS[kind]
    assert main(words) == 3
    error = capsys.readouterr().err
    assert error.startswith("toxaudit: ") and said in error and error.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.thorough
def test_a_store_that_is_none_is_one_sentence_and_exit_code_3(here, tiny_base, tiny_adapter, capsys):
    models = [f"base.pretrained={tiny_base}", f"candidates.tuned.peft={tiny_adapter}"]
    assert main(["audit=tiny", *models, "store=audits/tiny.yaml"]) == 3
    error = capsys.readouterr().err
    assert "audits/tiny.yaml can't be made: File exists. Set store=FOLDER." in error and error.count("\n") == 1


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return finished.committed_run(tmp_path_factory.mktemp("made") / "run", HARDER["no-go"])[0]


@pytest.fixture
def run(made, tmp_path, without_plots):
    return shutil.copytree(made, tmp_path / "run")


def files(run: Path) -> dict[str, bytes]:
    return {str(file.relative_to(run)): file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.mark.thorough
def test_a_full_disk_while_it_is_decided_again_leaves_the_run_as_it_was(run):
    before = files(run)

    def decide() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))  # as a full disk, for one process
        return main(["gate", str(run), "gate.margin=0.97"])

    done = forked(decide)
    assert done.returncode == 3 and "can't be written: File too large. Make room there" in done.stderr
    assert "Traceback" not in done.stderr and files(run) == before


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            MemoryError(),
            "not enough memory: choose a smaller model or batch size. Nothing was decided; finished work is kept.",
        ),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "a file: Network is unreachable."),
        (RuntimeError("boom"), "this is a defect of toxaudit, or a file that made a library panic."),
    ],
)
def test_what_fails_while_a_run_is_written_decides_nothing_and_leaves_it(error, said, run, monkeypatch, capsys):
    def fail(*_):
        raise error

    before = files(run)
    monkeypatch.setattr(rendering, "render_decided", fail)
    assert main(["gate", str(run), "gate.margin=0.97"]) == 3
    assert said in capsys.readouterr().err.splitlines()[-1] and files(run) == before


@pytest.mark.thorough
def test_a_run_that_was_cut_off_is_named(run, capsys):
    for name in ("results.json", "draws.parquet", "commitment.json", "samples_rtp_categories.jsonl"):
        shutil.copytree(run, run.parent / "cut")
        file = run.parent / "cut" / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        assert main(["gate", str(run.parent / "cut")]) == 3
        error = capsys.readouterr().err
        assert name in error and error.count("\n") == 1, error
        shutil.rmtree(run.parent / "cut")


def test_half_a_compiled_module_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    compiled = Path(py_compile.compile(listing.__file__))
    compiled.write_bytes(compiled.read_bytes()[: compiled.stat().st_size // 2])  # a full disk, which Python overlooks
    monkeypatch.delitem(sys.modules, listing.__name__)
    assert main(["ls", "audits"]) == 3
    error = capsys.readouterr().err
    assert str(compiled) in error and error.count("\n") == 1
    compiled.unlink()
    assert main(["ls", "audits"]) == 0
