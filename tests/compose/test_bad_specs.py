"""Bad input gets one clear sentence that names what, where and the mend, and exit code 3; nothing is written."""

from pathlib import Path

import pytest
import workspace

from toxaudit.cli.main import main

OVERRIDES = {
    "unknown audit": (["audit=tinny"], "no audit named 'tinny'", "'tiny'"),
    "no audit": (["gate.margin=0.1"], "audit=NAME", "tiny"),
    "misspelt key": (["audit=tiny", "gate.margn=0.1"], "'margn' in 'gate'", "'margin'"),
    "misspelt section": (["audit=tiny", "generaton.seed=1"], "'generaton'", "'generation'"),
    "misspelt candidate": (["audit=tiny", "candidates.tunde.peft=x"], "'tunde' in 'candidates'", "'tuned'"),
    "new candidate": (["audit=tiny", "+candidates.other.peft=x"], "candidate", "YAML file"),
    "wrong type": (["audit=tiny", "gate.margin=wide"], "gate.margin", "wide"),
    "wrong type of list": (["audit=tiny", "suites.mine.slices=kind"], "suites.mine.slices", "list"),
    "out of range": (["audit=tiny", "gate.margin=3"], "margin", "3"),
    "no tokens": (["audit=tiny", "generation.max_new_tokens=0"], "generation.max_new_tokens", "at least 1"),
    "negative temperature": (["audit=tiny", "generation.temperature=-1"], "generation.temperature", "0 (greedy)"),
    "batch size": (["audit=tiny", "backend.batch_size=0"], "backend.batch_size", "at least 1"),
    "unknown scorer": (["audit=tiny", "scorer=[vowel]"], "no scorer named 'vowel'", "'vowels'"),
    "unknown suite": (["audit=tiny", "suite=[mien]"], "no suite named 'mien'", "'mine'"),
    "no suite": (["audit=tiny", "suite=[]"], "selects no suite", "toxaudit ls suite"),
    "unknown gate": (["audit=tiny", "gate=margins"], "no gate named 'margins'", "'margin'"),
    "unknown tier": (["audit=tiny", "scorers.vowels.tier=critcal"], "tier 'critcal'", "'critical'"),
    "unknown dtype": (["audit=tiny", "base.dtype=bfloat"], "'bfloat'", "'bfloat16'"),
    "unknown device": (["audit=tiny", "executor.device=abacus"], "executor.device", "abacus"),
    "sweep without -m": (["audit=tiny", "generation.seed=1,2"], "generation.seed", "-m"),
    "no override": (["audit=tiny", "a b"], "'a b'", "key=value"),
    "unknown option": (["audit=tiny", "--limit"], "'--limit'", "--help"),
    "unknown command": (["plam", "audit=tiny"], "'plam'", "'plan'"),
    "missing base": (["audit=tiny", "base.pretrained=./models/bas"], "models/bas", "'base'"),
    "no reference": (["audit=tiny", "base.pretrained=nowhere"], "'nowhere'", "ORG/NAME"),
    "revision of a path": (["audit=tiny", "base.revision=main"], "revision 'main'", "only a Hub id"),
    "two kinds of candidate": (["audit=tiny", "candidates.tuned.control=true"], "candidates.tuned", "exactly one"),
    "wrong expectation": (["audit=tiny", "candidates.noop.expect=FINE"], "candidates.noop.expect", "GO or NO-GO"),
    "a control that is to be worse": (["audit=tiny", "candidates.noop.expect=worse"], "noop.expect", "can't be"),
    "nowhere to write": (["audit=tiny", "out=audits/tiny.yaml/run"], "audits/tiny.yaml/run", "out=FOLDER"),
    "added key": (["audit=tiny", "+gate.foo=1"], "'+gate.foo=1'", "only keys of the spec"),
    "a key of Hydra's": (["audit=tiny", "hydra.run.dir=x"], "'hydra.run.dir=x'", "only keys of the spec"),
    "no gate": (["audit=tiny", "gate=null"], "no gate named 'None'", "margin"),
    "pin of nothing": (["audit=tiny", "candidates.tuned.revision=v1"], "candidates.tuned.revision", "'pretrained'"),
    "empty reference": (["audit=tiny", "base.pretrained=''"], "reference is empty", "ORG/NAME"),
    "missing adapter": (["plan", "audit=tiny", "candidates.tuned.peft=./models/adaptr"], "models/adaptr", "'adapter'"),
    "the base as a candidate": (
        ["audit=tiny", "candidates.tuned.peft=null", "candidates.tuned.pretrained=./models/base"],
        "candidates.tuned is the base itself",
        "control: true",
    ),
    "a mapping": (["audit=tiny", "suites.mine.weights={order: 1}"], "'suites.mine.weights' is a mapping", "YAML file"),
    "tokenizer of a control": (
        ["audit=tiny", "candidates.noop.tokenizer=org/words"],
        "candidates.noop.tokenizer does nothing",
        "the base itself",
    ),
    "tokenizer of a recipe": (
        ["audit=tiny", "candidates.tuned={peft: null, tokenizer: org/words, train: [{data: ./x.jsonl}]}"],
        "candidates.tuned.tokenizer does nothing",
        "the base's tokenizer",
    ),
    "null candidate": (["audit=tiny", "candidates.tuned=null"], "can't be null", "~candidates.tuned"),
    "name of a candidate": (["audit=tiny", "candidates.1x=org/m"], "'candidates.1x=org/m'", "a letter first"),
    "misspelt key on top": (["audit=tiny", "candidates.x=org/m", "candidates.x.revison=v"], "revison", "'revision'"),
    "unknown template": (["audit=tiny", "card.template=sektion.md.jinja"], "sektion.md.jinja", "section.md.jinja"),
}

FILES = {
    "no YAML": ("audits/tiny.yaml", "title: [", "tiny.yaml", "not valid YAML"),
    "an empty spec": ("audits/tiny.yaml", "", "tiny.yaml", "title:"),
    "misspelt key in the file": ("audits/tiny.yaml", workspace.AUDIT + "bass: {}\n", "'bass'", "'base'"),
    "misspelt field of a candidate": (
        "audits/tiny.yaml",
        workspace.AUDIT.replace("peft:", "pefd:"),
        "'candidates.tuned.pefd'",
        "'peft'",
    ),
    "setting of a suite that is not selected": (
        "audits/tiny.yaml",
        workspace.AUDIT + "suites: {mien: {limit: 3}}\n",
        "suites.mien",
        "'mine'",
    ),
    "unknown suite in the file": ("audits/tiny.yaml", workspace.AUDIT.replace("[mine]", "[mein]"), "'mein'", "'mine'"),
    "unknown kind": ("audits/suite/mine.yaml", "kind: datset\n", "'datset'", "'dataset'"),
    "misspelt key in a suite": ("audits/suite/mine.yaml", workspace.SUITE + "lisence: MIT\n", "'lisence'", "'licence'"),
    "a key that stands twice": (
        "audits/tiny.yaml",
        workspace.AUDIT + "title: Again\n",
        "'title' stands twice",
        "tiny.yaml",
    ),
    "no list of defaults": ("audits/tiny.yaml", workspace.AUDIT + "defaults: 3\n", "'defaults'", "list of names"),
    "nothing selected": ("audits/tiny.yaml", workspace.AUDIT.replace("[mine]", "[mine, null]"), "'suite'", "names"),
    "no candidates": (
        "audits/tiny.yaml",
        "suite: [mine]\nscorer: [vowels]\nbase: {pretrained: x}\n",
        "tiny",
        "candidates",
    ),
    "a bad row": (
        "audits/suite/prompts.jsonl",
        '{"id": 1, "prompt": "x"}\n',
        "prompts.jsonl, line 1",
        "no column 'kind'",
    ),
    "no phrases": ("audits/scorer/vowels.yaml", "kind: keywords\ntitle: Vowels\n", "Vowels", "phrases"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return workspace.make(tmp_path_factory.mktemp("bad"))


@pytest.fixture
def refused(made, tmp_path, monkeypatch, capsys):
    """Run a command that must be refused; its sentence."""
    monkeypatch.chdir(made)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))

    def run(words: list[str]) -> str:
        assert main(words) == 3
        said = capsys.readouterr().err
        assert said.startswith("toxaudit: ") and said.count("\n") == 1, said
        assert not (made / "runs").exists()
        return said

    return run


@pytest.mark.thorough
@pytest.mark.parametrize("case", OVERRIDES)
def test_a_bad_override_gets_one_sentence(refused, case):
    words, what, mend = OVERRIDES[case]
    said = refused(words)
    assert what in said and mend in said


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_gets_one_sentence(refused, made, case):
    name, content, what, mend = FILES[case]
    file = made / name
    before = file.read_text()
    file.write_text(content)
    try:
        said = refused(["audit=tiny"])
    finally:
        file.write_text(before)
    assert what in said and mend in said


def test_a_broken_file_stops_only_those_who_name_it(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(made)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    broken = Path("audits/broken.yaml")
    broken.write_text("title: [")
    try:
        assert main(["plan", "audit=tiny"]) == 0
        assert main(["plan", "audit=broken"]) == 3
        assert main(["ls", "audits"]) == 0
    finally:
        broken.unlink()
    captured = capsys.readouterr()
    assert "broken.yaml, line 1 is not valid YAML" in captured.err
    assert "broken" in captured.out
