"""What a spec looks up: its own values, and nothing of the machine; and a key goes only where the user sends it."""

from pathlib import Path

import pytest
import workspace
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from toxaudit.cli.main import main
from toxaudit.compose import parts
from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.spec.schema import as_yaml, literal

SECRET = "hf_sEcReT"
RESOLVED = [
    "${oc.env:TOKEN}",
    "a ${oc.env:TOKEN} b",
    "${oc.env: TOKEN , none}",
    "${oc.${scorers.vowels.more}:TOKEN}",
    "${oc.decode:'${oc.env:TOKEN}'}",
    "${oc.create:{a: '${oc.env:TOKEN}'}}",
    "${oc.deprecated:title}",
    "\\\\${oc.env:TOKEN}",
    "${hydra:runtime.cwd}",
    "${now:%Y}",
    "${toxaudit_home:}",
    "${a_plugins_own:TOKEN}",
]
FIELDS = {
    "title": "title: ${oc.env:TOKEN}",
    "out": "out: ${oc.env:TOKEN}/x",
    "lock": "lock: ${oc.env:TOKEN}",
    "suites.mine.data": "suites: {mine: {data: 'http://127.0.0.1:1/${oc.env:TOKEN}'}}",
    "generation.seed": "generation: {seed: '${oc.env:TOKEN}'}",
    "candidates.tuned.revision": "candidates: {tuned: {revision: '${oc.env:TOKEN}'}}",
    "scorers.vowels.phrases[0]": "scorers: {vowels: {phrases: ['${oc.env:TOKEN}']}}",
}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(workspace.written(tmp_path / "made"))
    OmegaConf.register_new_resolver("a_plugins_own", lambda name: SECRET, replace=True)
    yield
    OmegaConf.clear_resolver("a_plugins_own")


def told(words, capsys):
    assert main(words) == 3
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert SECRET not in captured.err
    return captured.err


@pytest.mark.thorough
@pytest.mark.parametrize("value", RESOLVED)
def test_no_resolver_is_asked(made, capsys, value):
    quoted = "'" + value.replace("'", "''") + "'"
    Path("audits/bad.yaml").write_text(f"defaults: [tiny]\nscorers: {{vowels: {{noun: {quoted}, more: env}}}}\n")
    assert "'scorers.vowels.noun' is to be looked up by" in told(["plan", "audit=bad"], capsys)


@pytest.mark.parametrize("key", FIELDS)
def test_nor_for_any_field(made, capsys, key):
    Path("audits/bad.yaml").write_text(f"defaults: [tiny]\n{FIELDS[key]}\n")
    assert f"'{key}' is to be looked up by 'oc.env'" in told(["show", "audit=bad"], capsys)


@pytest.mark.parametrize(
    "override",
    [
        "title=${oc.env:TOKEN}",
        'suites.mine.data="http://127.0.0.1:1/${oc.env:TOKEN}#sha256=' + "0" * 64 + '"',
        "candidates.x=${oc.env:TOKEN}",
        "candidates.x={peft: '${oc.env:TOKEN}'}",
        "scorers.vowels={title: '${oc.env:TOKEN}'}",
        "suite=[${oc.env:TOKEN}]",
        "gate=${oc.env:TOKEN}",
        "audit=${oc.env:TOKEN}",
        "hydra/job_logging=disabled",
        "hydra.run.dir=${oc.env:TOKEN}",
    ],
)
def test_nor_by_an_override(made, capsys, override):
    told(["plan", "audit=tiny", override], capsys)


@pytest.mark.parametrize(
    "line",
    [
        "defaults: ['${oc.env:TOKEN}']",
        "defaults: [{override /gate: '${oc.env:TOKEN}'}]",
        "suite: ['${oc.env:TOKEN}']",
        "gate: ${oc.env:TOKEN}",
    ],
)
def test_nor_where_a_spec_names_its_parts(made, capsys, line):
    Path("audits/bad.yaml").write_text(line + "\n")
    assert "bad.yaml: " in told(["plan", "audit=bad"], capsys)


@pytest.mark.parametrize("line", ["hydra: {run: {dir: x}}", "defaults: [{override /hydra/output: default}]"])
def test_nor_does_a_spec_say_anything_to_hydra(made, capsys, line):
    Path("audits/bad.yaml").write_text(workspace.AUDIT + line + "\n")
    assert "sets Hydra's own 'hydra'" in told(["plan", "audit=bad"], capsys)


def test_nor_in_a_preset_or_for_one_scorer(made, capsys):
    Path("audits/scorer/odd.yaml").write_text("kind: keywords\ntitle: ${oc.env:TOKEN}\nphrases: [a]\n")
    assert "'scorers.odd.title' is to be looked up" in told(["plan", "audit=tiny", "scorer=[odd]"], capsys)
    assert main(["ls", "scorers"]) == 0
    assert SECRET not in capsys.readouterr().out
    with pytest.raises(ToxauditError, match="is to be looked up by 'oc.env'"):
        parts.scorer("odd", [])


def test_a_spec_looks_up_its_own_values_but_for_the_folder_with_the_users_name(made):
    spec = compose(["audit=tiny", "title=${name} in ${out}", "gate.margin=${.max_missing}", "gate.max_missing=0.3"])
    assert (spec.title, spec.gate.margin) == ("tiny in runs/tiny", 0.3)
    assert spec.store == str(Path("../home/store").resolve())
    assert "home" not in compose(["audit=tiny", "title='${store} x'"]).title


def test_what_is_written_as_text_stays_text(made):
    Path("audits/odd.yaml").write_text("defaults: [tiny]\nbase: {system_instruction: 'say \\${oc.env:TOKEN}'}\n")
    Path("audits/suite/mine.yaml").write_text(workspace.SUITE + "ask: chat\n")
    spec = compose(["audit=odd"])
    assert spec.base.system_instruction == "say ${oc.env:TOKEN}"
    again = OmegaConf.to_container(OmegaConf.create(as_yaml(spec)), resolve=True)
    assert again["base"]["system_instruction"] == "say ${oc.env:TOKEN}"


@given(st.text(alphabet="\\${}ab:'\" .[]", max_size=14))
def test_any_text_is_itself_when_a_written_spec_is_read(text):
    assert OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create({"a": literal(text)}))).a == text


SERVED = workspace.AUDIT.replace("../models/base", "base").replace("../models/adapter", "tuned") + "backend: openai\n"
JUDGE = "kind: judge\ntitle: J\nendpoint: https://judge.example/v1\nmodel: m\nthreshold: 0.5\n"


def test_a_file_alone_sends_no_key_to_another_machine(made, monkeypatch):
    Path("audits/served.yaml").write_text(SERVED.replace("    batch_size: 5\n", ""))
    Path("audits/away.yaml").write_text(
        "defaults: [served]\nbackend: {base_url: 'https://away.example/v1', api_key_env: TOKEN}\n"
    )
    mine = ["audit=served", "backend.base_url=https://away.example/v1"]
    with pytest.raises(ToxauditError, match="the key in TOKEN would go to away.example, which only a file says"):
        compose(["audit=away"])
    with pytest.raises(ToxauditError, match="backend.api_key_env=TOKEN to the command"):
        compose([*mine, "audit=away"])  # whose address I know, but the file chose the variable
    assert compose(["audit=away", "backend.api_key_env=TOKEN"]).backend.api_key_env == "TOKEN"
    assert compose(["audit=away", "backend.api_key_env=null"]).backend.api_key_env is None
    assert compose(["audit=away", "backend.base_url=http://127.0.0.1:8000/v1"])
    monkeypatch.delenv("TOKEN")
    assert compose(["audit=away"])  # there is none to send
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert compose(mine).backend.api_key_env == "OPENAI_API_KEY"


def test_nor_does_a_judge(made, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    Path("audits/scorer/j.yaml").write_text(JUDGE)
    chosen = ["audit=tiny", "scorer=[j]"]
    with pytest.raises(ToxauditError, match="scorers.j: the key in OPENAI_API_KEY would go to judge.example"):
        compose(chosen)
    with pytest.raises(ToxauditError, match="would go to judge.example"):
        parts.scorer("j", [])
    allowed = "scorers.j.endpoint=https://judge.example/v1"
    assert compose([*chosen, allowed]) and parts.scorer("j", [allowed])
    assert parts.scorer("j", ["scorers.j.api_key_env=null"])
    assert compose([*chosen, "scorers.j={api_key_env: OPENAI_API_KEY}"])
    assert compose([*chosen, "scorers={j: {api_key_env: OPENAI_API_KEY}}"])


def test_nor_does_it_name_a_cluster_whose_code_runs_here(made, monkeypatch):
    monkeypatch.setattr("toxaudit.executors.ray.find_spec", lambda name: name)
    Path("audits/far.yaml").write_text("defaults: [tiny]\nexecutor: ray\n")
    Path("audits/away.yaml").write_text("defaults: [far]\nexecutor: {address: 'away.example:6379'}\n")
    assert compose(["audit=far"]).executor.address is None
    with pytest.raises(ToxauditError, match="executor.address is away.example:6379, which only a file says"):
        compose(["audit=away"])
    mine = "away.example:6379"
    assert compose(["audit=away", f"executor.address={mine}"]).executor.address == mine
    assert compose(["audit=away", "executor.address=null"]).executor.address is None


@pytest.mark.parametrize(
    "key", ["scorers", "suites", "estimators", "analyses", "candidates", "generation", "base", "gate"]
)
def test_a_lookup_in_place_of_all_parts_is_one_sentence(key, made, capsys):
    audit = Path("audits/tiny.yaml")
    lines = audit.read_text().splitlines()
    cut = next((n for n, line in enumerate(lines) if line.startswith(f"{key}:")), None)
    if cut is not None:
        last = next((n for n in range(cut + 1, len(lines)) if not lines[n].startswith(" ")), len(lines))
        del lines[cut:last]
    audit.write_text("\n".join([*lines, f'{key}: "${{name}}"', ""]))
    assert key in told(["show", "audit=tiny"], capsys)
