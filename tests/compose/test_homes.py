"""What somebody meant who wrote a key, a name or a command as other tools have it."""

from pathlib import Path

import pytest
import workspace

from toxaudit.cli.main import main
from toxaudit.sources import parse


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(workspace.written(tmp_path / "made"))


MEANT = {
    "plan audit=tiny limit=10": "There is no key 'limit'. Write suites.NAME.limit or analyses.NAME.limit or ",
    "plan audit=tiny batch_size=8": "There is no key 'batch_size'. Write backend.batch_size or candidates.NAME.batch_",
    "plan audit=tiny device=cuda": "There is no key 'device'. Write executor.device.",
    "plan audit=tiny dtype=bfloat16": "There is no key 'dtype'. Write base.dtype or scorers.NAME.dtype.",
    "plan audit=tiny temperature=1": "There is no key 'temperature'. Write generation.temperature.",
    "plan audit=tiny gate.limit=10": "There is no key 'limit' in 'gate'. Write suites.NAME.limit or ",
    "plan audit=tiny gat.margin=0.1": "There is no key 'gat'. Did you mean 'gate'?",
    "plan audit=audits/tiny.yaml": "There is no audit named 'audits/tiny.yaml': write audit=tiny.",
    "plan audit=./audits/tiny.yaml": "There is no audit named './audits/tiny.yaml': write audit=tiny.",
    "plan audit=tiny.yaml": "There is no audit named 'tiny.yaml': write audit=tiny.",
    "plan audit=other/tiny.yaml": "There is no audit named 'other/tiny.yaml'. Choose from: ",
    "plan tiny": "'tiny' is not an override: write audit=tiny.",
    "show audits/tiny.yaml": "'audits/tiny.yaml' is not an override: write audit=tiny.",
    "tiny": "There is no command 'tiny': write `toxaudit audit=tiny`.",
    "audits/tiny.yaml x=1": "There is no command 'audits/tiny.yaml': write `toxaudit audit=tiny x=1`.",
    "run audit=tiny": "There is no command 'run': write `toxaudit audit=tiny`.",
    "run tiny -m": "There is no command 'run': write `toxaudit audit=tiny -m`.",
    "audit tiny": "There is no command 'audit': write `toxaudit audit=tiny`.",
    "audit": "There is no command 'audit': write `toxaudit audit=NAME`, with NAME one of `toxaudit ls audits`.",
    "plam": "There is no command 'plam'. Did you mean 'plan'?",
    "ls candidates": "A spec writes its own 'candidates:', of which there are no presets: see `toxaudit show",
}


@pytest.mark.thorough
@pytest.mark.parametrize("words", MEANT)
def test_what_is_meant_is_said(made, capsys, words):
    other = Path("other/tiny.yaml")
    other.parent.mkdir()
    other.write_text(workspace.AUDIT)
    assert main(words.split()) == 3
    assert capsys.readouterr().err.startswith(f"toxaudit: {MEANT[words]}")


def test_so_it_is_for_a_key_in_a_file(made, capsys):
    Path("audits/limited.yaml").write_text(workspace.AUDIT + "limit: 10\n")
    assert main(["plan", "audit=limited"]) == 3
    assert (
        "There is no key 'limit'. Write suites.NAME.limit or analyses.NAME.limit or candidates.NAME.train[N].limit or "
        in capsys.readouterr().err
    )


def test_a_path_that_lies_beside_the_folder_of_specs_is_named(made, capsys):
    Path("my_adapter").mkdir()
    Path("audits/mine.yaml").write_text(workspace.AUDIT.replace("../models/adapter", "./my_adapter"))
    Path("audits/my_adapter.yaml").write_text("title: no model\n")
    said = parse(f"{Path.cwd()}/audits/my_adapter")
    with pytest.raises(Exception) as caught:
        said.fetch()
    here = Path.cwd()
    assert str(caught.value) == (
        f"{here}/audits/my_adapter doesn't exist, but {here}/my_adapter does: ./ in a YAML file means that file's "
        "folder, and in a command the working folder."
    )


def test_no_yaml_file_is_offered_as_a_model(made):
    with pytest.raises(Exception, match=r"audits/mina doesn't exist\.( Did you mean '(?!tiny)|$| Choose)") as caught:
        parse("./audits/mina").fetch()
    assert ".yaml" not in str(caught.value)


@pytest.mark.parametrize("columns", [40, 80])
def test_a_plan_is_as_wide_as_the_terminal(made, monkeypatch, columns):
    from toxaudit.cli.audit import fitted

    text = "  Rule: " + "every word of it stands " * 12 + "\n\n    indented " + "x" * 100 + " and more\n"
    monkeypatch.setenv("COLUMNS", str(columns))
    assert fitted(text) == text  # nobody reads along
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = fitted(text).splitlines()
    assert [line for line in lines if len(line) > columns] == ["      " + "x" * 100]
    assert "".join(text.split()) == "".join("".join(lines).split())
