"""Overrides of the command line that add, change and take away candidates."""

import re
from pathlib import Path

import pytest
import workspace
from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra.core.config_store import ConfigStore

from toxaudit.compose import parts
from toxaudit.compose.compose import compose
from toxaudit.compose.overrides import sweep
from toxaudit.errors import ToxauditError

PACKAGE = "pkg:pypi/x@1.0?checksum=sha256:" + "a" * 64 + "#x/model"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return workspace.make(tmp_path_factory.mktemp("compose"))


@pytest.fixture(autouse=True)
def here(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))


def candidates(*overrides):
    return compose(["audit=tiny", *overrides]).candidates


def refusal(*overrides):
    with pytest.raises(ToxauditError) as caught:
        candidates(*overrides)
    said = str(caught.value)
    assert "\n" not in said and said.endswith((".", "?")), said
    return said


@pytest.mark.parametrize("name", ["tuned", "other"])
@pytest.mark.parametrize("whole_first", [True, False])
def test_keys_of_a_candidate_go_on_top_of_its_model(name, whole_first):
    words = [f"candidates.{name}=org/m@v1:org/a", f"candidates.{name}.allow_base_mismatch=true"]
    words.append(f"candidates.{name}.expect='NO-GO'")
    found = candidates(*(words if whole_first else reversed(words)))[name]
    assert (found.pretrained, found.peft) == ("org/m@v1", "org/a")
    assert (found.allow_base_mismatch, found.expect) == (True, "NO-GO")


def test_a_candidate_is_replaced_whole():
    assert candidates("candidates.noop=org/m")["noop"].batch_size is None
    assert candidates("candidates.tuned=org/m", "candidates.tuned=org/n")["tuned"].pretrained == "org/n"


def test_recipes_and_mappings_go_on_top_too():
    train = "candidates.x.train=[{data: ./x.jsonl, epochs: 2}]"
    (stage,) = candidates("candidates.x=org/m", "candidates.x.pretrained=null", train)["x"].train
    assert (stage.data, stage.epochs) == ("./x.jsonl", 2)
    assert candidates("candidates.x=org/m", "candidates.x={revision: v1, expect: GO}")["x"].revision == "v1"


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["tuned", "other"])
@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("allow_bas_mismatch=true", "'allow_base_mismatch'"),
        ("load_in_4bit=perhaps", "load_in_4bit' is wrong"),
        ("train=[{dta: x}]", "'data'"),
        ("expect=FINE", "GO or NO-GO"),
        ("peft_revision=v1", "pins nothing"),
        ("batch_size=1,2", "add -m to sweep"),
    ],
)
def test_keys_on_top_are_checked(name, key, said):
    assert said in refusal(f"candidates.{name}=org/m", f"candidates.{name}.{key}")


@pytest.mark.thorough
@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.parametrize("model", ["org/m", "org/m@v1", "./a dir/it, too", "~/m", PACKAGE])
def test_a_model_may_stand_in_quotes(quote, model):
    if "," in model and not quote:
        assert "add -m to sweep" in refusal(f"candidates.x={model}")
    else:
        assert candidates(f"candidates.x={quote}{model}{quote}")["x"].pretrained == model


def test_an_adapter_over_a_package_file_needs_no_quotes():
    found = candidates(f"candidates.x={PACKAGE}:org/a")["x"]
    assert (found.pretrained, found.peft) == (PACKAGE, "org/a")


@pytest.mark.parametrize("model", ["~nobodys-home:org/a", "m" * 5000 + ":org/a"])
def test_what_can_not_be_a_path_is_no_defect(model):
    assert candidates(f"candidates.x={model}")["x"].peft == "org/a"


def test_a_candidate_is_taken_away_by_the_grammars_tilde_alone():
    assert set(candidates("~candidates.tuned")) == {"noop"}
    assert set(candidates("~candidates.tuned", "candidates.x=org/m")) == {"noop", "x"}
    for null in ("null", "NULL"):
        assert "~candidates.tuned" in refusal(f"candidates.tuned={null}")
    assert "candidates.tuned" in refusal("~candidates.tuned", "candidates.tuned=org/m")


@pytest.mark.parametrize("name", ["1x", "x y", "ä", "-x"])
def test_a_name_of_other_letters_is_refused_with_those_that_it_may_have(name):
    assert "letters a-z, digits, - and _" in refusal(f"candidates.{name}=org/m")
    with pytest.raises(ToxauditError, match="letters a-z, digits, - and _"):
        sweep(["audit=tiny", f"candidates.{name}=org/m,org/n"])


def test_the_bases_name_and_an_empty_model_are_refused():
    assert "can't be called 'base'" in refusal("candidates.base=org/m")
    assert "A candidate can't be called 'CON', for its card gets a folder of that name" in refusal(
        "candidates.CON=org/m"
    )
    assert "names no model" in refusal("candidates.x=")
    assert "names no model" in refusal("candidates.x=''")


def test_how_a_candidate_is_added_is_said_where_one_is_missing():
    assert "candidates.NAME=MODEL" in refusal("candidates.other.peft=org/a")
    assert "candidates.NAME=MODEL" in refusal("+candidates.other.peft=org/a")


def swept(*overrides):
    return [candidates(*job)["x"].pretrained for job in sweep(overrides)]


@pytest.mark.thorough
def test_candidates_can_be_swept():
    assert swept("candidates.x=org/m,org/n@v1") == ["org/m", "org/n@v1"]
    assert swept("candidates.x='org/m','./a, b'") == ["org/m", "./a, b"]
    assert swept(f"candidates.x={PACKAGE},org/m") == [PACKAGE, "org/m"]
    assert swept(f"candidates.x={PACKAGE}") == [PACKAGE]
    assert [candidates(*job)["x"].expect for job in sweep(["candidates.x=org/m", "candidates.x.expect=GO,NO-GO"])] == [
        "GO",
        "NO-GO",
    ]


def test_a_sweep_leaves_other_overrides_as_they_are():
    jobs = sweep(["audit=tiny", "~candidates.tuned", "generation.seed=1,2"])
    assert jobs == [["audit=tiny", "~candidates.tuned", f"generation.seed={n}"] for n in (1, 2)]
    assert set(compose(jobs[0]).candidates) == {"noop"}


@pytest.mark.parametrize("values", ["interval(0,1)", "glob(*)"])
def test_a_sweep_over_what_has_no_list_is_refused(values):
    with pytest.raises(ToxauditError, match="key=a,b"):
        sweep(["audit=tiny", f"generation.temperature={values}"])


def test_a_sweep_without_end_is_refused():
    for overrides in (["generation.seed=range(0,1000000000000)"], [f"{key}=range(0,40)" for key in ("a", "b")]):
        with pytest.raises(ToxauditError, match="This is a sweep of 1,(001|600) runs or more: name fewer values"):
            sweep(["audit=tiny", *overrides])


def test_a_number_that_is_too_long_to_be_read_is_no_defect():
    assert candidates("candidates.x=range(" + "9" * 5000 + ")")["x"].pretrained.startswith("range(99")


@pytest.mark.parametrize(
    "overrides, margin, certainty",
    [
        ([], 0.05, 0.95),
        (["gate=strict"], 0.01, 0.975),
        (["gate.margin=0.02", "gate=strict"], 0.02, 0.975),
        (["gate.margin=0.02"], 0.02, 0.95),
    ],
)
def test_a_policy_that_a_command_names_decides_by_its_own_numbers_not_by_the_audits(overrides, margin, certainty):
    """The quickstart tolerates 5 pp, which no strict rule does: `toxaudit gate` takes a policy whole as well."""
    found = compose(["audit=quickstart", *overrides]).gate.facts()
    assert (found.margin, found.certainty) == (margin, certainty)


@pytest.mark.parametrize("expect, has", [("", "GO"), ("NO-GO", "NO-GO")])
def test_a_control_that_a_policy_asks_for_is_what_the_audit_expects_it_to_be(expect, has):
    said = [f"candidates.noop.expect={expect}"] if expect else []
    candidates(*said, f"gate.controls=[{has}]")
    other = {"GO": "NO-GO", "NO-GO": "GO"}[has]
    assert f"must be a {other}, and the audit declares none" in refusal(*said, f"gate.controls=[{other}]")


@pytest.mark.parametrize("empty", ["gate.rules={}", "gate.rules.whole={}"])
def test_an_empty_mapping_which_would_leave_a_policys_rules_as_they_are_is_refused(empty, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits" / "gate").mkdir(parents=True)
    text = "kind: margin\nrules:\n  whole: {measure: degenerate, tier: critical, margin: 0.2}\n"
    (tmp_path / "audits" / "gate" / "ours.yaml").write_text(text)
    said = f"'{empty}' would change nothing, for a mapping is added to what is there"
    with pytest.raises(ToxauditError, match=re.escape(said)):
        compose(["audit=quickstart", "gate=ours", empty])
    own = compose(["audit=quickstart", "gate=ours"]).gate
    with pytest.raises(ToxauditError, match=re.escape(said)):
        parts.gate(own, [empty])
    assert parts.gate(own, ["gate=margin"]).rules == {}
    assert parts.gate(own, ["gate=margin", "gate.rules={}"]).rules == {}  # there are none


def test_a_rule_for_slices_needs_an_estimator_of_slices(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits" / "gate").mkdir(parents=True)
    text = "kind: margin\nrules:\n  threat: {slice: category=threat, margin: 0.02}\n"
    (tmp_path / "audits" / "gate" / "ours.yaml").write_text(text)
    compose(["audit=quickstart", "gate=ours"])
    with pytest.raises(ToxauditError, match="gate.rules.threat does nothing without an estimator of slices"):
        compose(["audit=quickstart", "gate=ours", "estimator=[paired_exact]"])


STAGES = """\
title: Two stages
suite: [rtp_categories]
scorer: [toxicity_bilstm]
base: {pretrained: org/base}
candidates:
  mine:
    train:
      - &learnt {data: ./a.jsonl, replay: {data: ./r.jsonl, share: 0.1}}
      - {data: ./b.jsonl}
  other:
    train:
      - <<: *learnt
        data: "${candidates.mine.train.0.data}"
"""


@pytest.fixture
def staged(tmp_path, monkeypatch):
    (tmp_path / "audits").mkdir()
    (tmp_path / "audits/staged.yaml").write_text(STAGES)
    monkeypatch.chdir(tmp_path)


def test_a_key_of_one_stage_of_a_recipe_is_set(staged):
    words = ["candidates.mine.train.0.data=./c.jsonl", "candidates.mine.train.1.max_steps=3"]
    spec = compose(["audit=staged", *words, "candidates.mine.train.0.replay.share=0.25"])
    mine, other = spec.candidates["mine"].train, spec.candidates["other"].train
    assert [stage.data for stage in (*mine, *other)] == [
        "./c.jsonl",
        str(Path("audits/b.jsonl").absolute()),
        "./c.jsonl",
    ]
    assert (mine[1].max_steps, mine[0].replay.share, other[0].replay.share) == (3, 0.25, 0.1)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("candidates.mine.train.2.data=x", "There is no stage 2 in 'candidates.mine.train'"),
        ("candidates.mine.train.0.dta=x", "There is no key 'dta' in 'candidates.mine.train.0'. Did you mean 'data'?"),
        ("candidates.mine.train.1.replay.data=x", "'candidates.mine.train.1.replay' is null"),
        ("candidates.mine.train.1.replay={data: x}", "'candidates.mine.train.1.replay' is null"),
        ("candidates.mine.train.0.data=7e12", "'candidates.mine.train[0].data' is 7e12, read as the number"),
        ("candidates.mine.train.0.seed=x", "'candidates.mine.train[0].seed' is wrong"),
        ("candidates.mine.train.0={data: x}", "must be a list"),
        ("candidates.mni.train.0.data=x", "no key 'mni' in 'candidates'"),
    ],
)
def test_a_wrong_key_of_a_stage_is_named(staged, word, said):
    with pytest.raises(ToxauditError) as refused:
        compose(["audit=staged", word])
    assert said in str(refused.value)


def test_hydra_s_own_files_are_not_read_and_its_other_users_find_its_settings_as_they_were(monkeypatch):
    own = ConfigStore.instance().repo["hydra"]
    before = own["config.yaml"]
    monkeypatch.setattr(ImportlibResourcesConfigSource, "load_config", lambda *_, **more: pytest.fail(str(more)))
    assert "tuned" in candidates()
    assert own["config.yaml"] is before and before.node.defaults
