"""What users of other tools write, and slips of the hand: one sentence with the mend, exit code 3, nothing done."""

from pathlib import Path

import pytest
import workspace

from toxaudit.cli.main import main

WORDS = {
    "model=gpt2": "There is no key 'model'. Write base.pretrained.",
    "base.base_model=gpt2": "There is no key 'base_model' in 'base'. Write base.pretrained.",
    "tasks=toxigen": "There is no key 'tasks'. Write suite=[NAME].",
    "candidates.tuned.lora=./x": "There is no key 'lora' in 'candidates.tuned'. Write candidates.NAME.peft.",
    "generation.max_tokens=9": "There is no key 'max_tokens' in 'generation'. Write generation.max_new_tokens.",
    "generation.top_p=0.9": "There is no key 'top_p' in 'generation'. Write generation.temperature, which alone ",
    "output_path=x": "There is no key 'output_path'. Write out.",
    "suites.mine.system_prompt=Hi": "There is no key 'system_prompt' in 'suites.mine'. Write suites.NAME.",
    "base=org/model": "'base' is wrong: it must be a mapping of KEY: VALUE; write base.pretrained=MODEL.",
    "candidates=org/model": "'candidates' is wrong: it must be a mapping of KEY: VALUE; write candidates.NAME=MODEL.",
    "base.pretrained=https://huggingface.co/org/model": "'https://huggingface.co/org/model' is a page of the Hub: ",
    "base.pretrained=huggingface.co/org/model/tree/main": "'huggingface.co/org/model/tree/main' is a page of the Hub: ",
    "candidates.tuned.peft=org/name/checkpoint-500": "'org/name/checkpoint-500' is neither an existing path nor a ",
    "out=s3://bucket/x": "out is 's3://bucket/x': it must be a folder on this machine.",
    "store=gs://bucket/x": "store is 'gs://bucket/x': it must be a folder on this machine.",
    "suites.mine.limit=10%": "'suites.mine.limit' is wrong: '10%' is no whole number.",
    "gate=[margin]": "'gate=[margin]' is a list, but one gate alone can be chosen: write gate=NAME.",
    "card=[short,full]": "'card=[short,full]' is a list, but one card alone can be chosen: write card=NAME.",
    "suites.mine.limit=range(1,3)": "'suites.mine.limit=range(1,3)' names several values: write one, or add -m to ",
    "gate.margin=3pp": "'gate.margin' is wrong: '3pp' is no number: write 0.03.",
    "gate.margin=2.5%": "'gate.margin' is wrong: '2.5%' is no number: write 0.025.",
    "gate.margin=0,02": "'gate.margin=0,02': for one number write gate.margin=0.02, with a point; for a list ",
}
HEAD = "suite: [mine]\nscorer: [vowels]\n"
BASE, TUNED = "base: {pretrained: ../models/base}\n", "candidates: {tuned: {peft: ../models/adapter}}\n"
SPECS = {
    HEAD + BASE + "candidates: [{peft: x}]\n": "'candidates' must be a mapping of KEY: VALUE.",
    HEAD + BASE + "candidates: {tuned: [x]}\n": "'candidates.tuned' must be a mapping of KEY: VALUE.",
    HEAD + BASE + "candidates: {tuned: 5}\n": "'candidates.tuned' must be a mapping of KEY: VALUE.",
    HEAD + "base: ../models/base\n" + TUNED: "'base' must be a mapping of KEY: VALUE, such as 'pretrained: MODEL'.",
    HEAD + BASE + TUNED + "gate: [margin]\n": "'gate' is a list, but one gate alone can be chosen: write 'gate: NAME'.",
    HEAD + BASE + TUNED + "card: [short, full]\n": "'card' is a list, but one card alone can be chosen: write ",
    HEAD + BASE + TUNED + "generation: [64]\n": "'generation' must be a mapping of KEY: VALUE.",
    "defaults: [_self_, {suite: mine}]\nscorer: [vowels]\n" + BASE + TUNED: "'defaults' names audits to begin with; ",
    "defaults: [wrong]\n" + HEAD + BASE + TUNED: "'defaults' leads back to this audit itself: leave that name out.",
    "defaults: [suite/mine]\n" + HEAD: "'defaults' holds 'suite/mine': write names of audits, and perhaps _self_.",
    "defaults: [tiny@x]\n" + HEAD: "'defaults' holds 'tiny@x': write names of audits, and perhaps _self_.",
    "defaults: ['']\n" + HEAD: "'defaults' holds '': write names of audits, and perhaps _self_.",
    "defaults: [{tiny: x}]\n" + HEAD: "'defaults' holds {'tiny': 'x'}: write names of audits, and perhaps _self_.",
    "defaults: [_self_, tiny, _self_]\n" + HEAD: "'defaults' holds a name twice: leave one.",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(workspace.written(tmp_path / "work"))
    (tmp_path / "work/models/base").mkdir(parents=True)


def said(capsys, *words):
    assert main(["plan", *words]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].endswith(".")
    return lines[0].removeprefix("toxaudit: ")


@pytest.mark.parametrize("word", WORDS)
def test_a_wrong_word_gets_one_sentence_with_the_mend(word, here, capsys):
    assert said(capsys, "audit=tiny", word).startswith(WORDS[word])


@pytest.mark.parametrize("text", SPECS, ids=list(SPECS.values()))
def test_a_wrong_spec_gets_one_sentence_that_names_file_and_key(text, here, capsys):
    file = Path("audits/wrong.yaml").absolute()
    file.write_text(text)
    assert said(capsys, "audit=wrong").startswith(f"{file}: {SPECS[text]}")


def test_audits_that_begin_with_each_other_are_named_and_cost_no_other(here, capsys):
    Path("audits/one.yaml").write_text("defaults: [two]\n")
    Path("audits/two.yaml").write_text("defaults: [one]\n")
    Path("audits/three.yaml").write_text("defaults: [one]\n")
    assert said(capsys, "audit=one").startswith(f"{Path('audits/one.yaml').absolute()}: 'defaults' leads back to ")
    assert "'defaults' leads back to this audit itself" in said(capsys, "audit=three")
    assert main(["show", "audit=tiny"]) == 0


def test_a_suite_whose_list_of_scorers_holds_a_number_is_listed(here, capsys):
    Path("audits/suite/odd.yaml").write_text(f"{workspace.SUITE}scorers: [1]\n")
    assert main(["ls", "suites"]) == 0
    assert "worse is 1" in capsys.readouterr().out


def test_a_sweep_over_no_values_is_one_sentence(here, capsys):
    assert main(["-m", "audit=tiny", "suites.mine.limit=range(3,1)"]) == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "names no list of values to sweep over: write key=a,b." in told


def test_a_folder_within_a_repository_is_named_with_its_key(here, capsys):
    told = said(capsys, "audit=tiny", "candidates.tuned.peft=org/name/checkpoint-500")
    assert told.endswith("Of a folder in a repository, write org/name and subfolder: checkpoint-500.")
