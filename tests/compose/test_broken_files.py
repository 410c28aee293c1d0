"""A broken file costs itself only: it is named with file and key, and every other command of the folder works."""

import os
from pathlib import Path

import pytest
import workspace

from toxaudit.cli.main import main
from toxaudit.compose import parts
from toxaudit.compose.catalogue import Catalogue
from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.spec import strict_yaml

VALUES = {
    "2024-05-01": "'x' is a date: write quotes around it",
    "2024-05-01 10:00:00": "'x' is a date: write quotes around it",
    "!!timestamp '2024-05-01'": "'x' is a date: leave out its tag",
    "!!binary aGk=": "'x' is binary data: leave out its tag",
    "!!set {a, b}": "'x' is a set, which no spec can hold: leave out its tag",
    "!!omap [a: 1]": "'x' is an ordered mapping, which no spec can hold",
    "!!python/name:os.system": "'x' is of the type tag:yaml.org,2002:python/name:os.system: leave out its tag",
    "!mine 3": "'x' is of the type !mine: leave out its tag",
    "!!int word": "'x' is a number: leave out its tag",
    "!!float 3": "'x' is a number: leave out its tag",
    "!!bool word": "'x' is a truth value: leave out its tag",
    "[a, {b: 2024-05-01}]": "'x[1].b' is a date: write quotes around it",
    "{1: a}": "'x' has a key that is no text ('1' is a number): write quotes around it",
    "{no: a}": "'x' has a key that is no text ('no' is a truth value): write quotes around it",
    "{~: a}": "'x' has a key that is no text ('~' is null): write quotes around it",
    "{2024-05-01: a}": "'x' has a key that is no text ('2024-05-01' is a date): write quotes around it",
    "{? [a] : b}": "'x' has a key that is no text (is a list): write quotes around it",
    ".nan": "'x' is .nan, which is no number that a spec can mean",
    "-.inf": "'x' is -.inf, which is no number that a spec can mean",
    "1.0e+999": "'x' is 1.0e+999, which is no number that a spec can mean",
    "9" * 5000: "'x' is " + "9" * 40 + ", which is no number that a spec can mean",
    "0x_": "'x' is 0x_, which is no number that a spec can mean",
    "9223372036854775808": "'x' is 9223372036854775808, which is no number that a spec can mean",
    "&a [*a]": "'x[0]' holds itself: write out what it is to hold",
    "&a {b: {c: *a}}": "'x.b.c' holds itself",
    "{a: 1, a: 2}": "line 1 is not valid YAML: the key 'a' stands twice",
    "{<<: 3}": "is not valid YAML: expected a mapping or list of mappings for merging",
    "*nowhere": "is not valid YAML: found undefined alias 'nowhere'",
    "[" * 51 + "]" * 51: "is nested more than 50 deep",
    "[" * 5000: "is nested more than 50 deep",
    "'a\x07b'": "it holds the character U+0007, which YAML can't",
}
BYTES = {
    b"": "holds no keys",
    b"# nothing\n": "holds no keys",
    b"- a\n": "holds no keys",
    b"just words\n": "holds no keys",
    b"a: 1\n---\nb: 2\n": "line 2 is not valid YAML: there are several documents in it, parted by ---: leave one",
    b"a: 1\n\tb: 2\n": "line 2 is not valid YAML",
    b"a: \xff\n": "line 1 is not UTF-8. Save it as UTF-8",
    "a: 1\n".encode("utf-16"): "is not UTF-8",
    b"a: 1\nb: \x00\n": "U+0000",
    b"a: %s\n" % (b"x" * strict_yaml.LARGEST_FILE_BYTES): "is larger than the 200 kB",
    bytes(range(256)) * 9: "not UTF-8",
    b"- " * 2000 + b"a\n": "is nested more than 50 deep",
}


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_that_no_spec_can_hold_is_named_with_its_place(tmp_path, value):
    file = tmp_path / "x.yaml"
    file.write_text(f"x: {value}\n")
    with pytest.raises(ToxauditError) as caught:
        strict_yaml.read(file)
    said = str(caught.value)
    assert said.startswith(f"{file}") and VALUES[value] in said and "\n" not in said


@pytest.mark.parametrize("content", BYTES, ids=range(len(BYTES)))
def test_a_file_that_is_no_mapping_is_said_to_be_none(tmp_path, content):
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(ToxauditError) as caught:
        strict_yaml.read(file)
    assert str(caught.value).startswith(f"{file}") and BYTES[content] in str(caught.value)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
MERGED = "a0: &a0 {k: x}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 30))


@pytest.mark.parametrize("content", [BOMB, MERGED], ids=["aliases", "merge keys"])
def test_a_few_lines_that_stand_for_billions_of_values_are_refused(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ToxauditError, match="holds more than 100,000 values once all aliases are written out"):
        strict_yaml.read(tmp_path / "x.yaml")


def test_what_yaml_and_a_spec_share_is_read(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_bytes(
        b"\xef\xbb\xbfa: &a {b: 1, c: [1.5, yes, ~, '2024-05-01']}\r\nd: {<<: *a, b: 2}\r\ne: 0x1F\r\n...\r\n"
    )
    same = [1.5, True, None, "2024-05-01"]
    assert strict_yaml.read(file) == {"a": {"b": 1, "c": same}, "d": {"b": 2, "c": same}, "e": 31}
    assert strict_yaml.written(file).scalars["e"] == "0x1F"


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(workspace.written(tmp_path / "made"))


KINDS = {
    "a_list.yaml": b"kind: [keywords]\ntitle: x\n",
    "a_mapping.yaml": b"kind: {a: b}\n",
    "a_date.yaml": b"kind: 2024-05-01\n",
    "nothing.yaml": b"kind:\n",
    "a_bool.yaml": b"kind: yes\n",
    "bytes.yaml": b"\x80\x81\n",
    "bomb.yaml": BOMB.encode(),
}


def test_broken_files_of_every_kind_stop_no_other_command(made, capsys):
    for group in ("", "suite", "scorer", "gate", "backend"):
        folder = Path("audits", group)
        folder.mkdir(exist_ok=True)
        for name, content in {**KINDS, "dated.yaml": b"title: 2024-05-01\n"}.items():
            (folder / name).write_bytes(content)
        os.mkfifo(folder / "pipe.yaml")
        (folder / "folder.yaml").mkdir()
        (folder / "dangling.yaml").symlink_to("nowhere")
        (folder / "round.yaml").symlink_to("round.yaml")
        (folder / "zeros.yaml").symlink_to("/dev/zero")
    assert main(["show", "audit=tiny"]) == main(["ls"]) == 0
    out, err = capsys.readouterr()
    assert not err and out.count("can't be used: ") == 5 * 13 - 4  # an audit's 'kind' is no more than an unknown key
    for name in ("pipe", "folder", "zeros"):
        assert f"{name}.yaml can't be read: it is no file." in Catalogue().broken["scorer", name]
    for words in (["scorer=[a_list]"], ["suite=[a_date]"], ["gate=pipe"], ["backend=bomb"], ["audit=dated"]):
        assert main(["show", "audit=tiny", *words]) == 3
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and ".yaml" in said


NO_TEXTS = {
    "- Sorry: I cannot": "'phrases[1]' is a mapping: write quotes around a text with a colon or in braces",
    "- {a}": "'phrases[1]' is a mapping",
    "- [a, b]": "'phrases[1]' is a list: write one text",
    "- no": "'phrases[1]' is a truth value: write quotes around it",
    "- On": "'phrases[1]' is a truth value",
    "- ~": "'phrases[1]' is null: write a text",
    "-": "'phrases[1]' is null",
    "- 012": "'phrases[1]' is 012, read as the number 10: write quotes around it",
    "- 12:30": "'phrases[1]' is 12:30, read as the number 750",
    "- 1_000": "'phrases[1]' is 1_000, read as the number 1000",
    "- 1.10": "'phrases[1]' is 1.10, read as the number 1.1",
    "- 2024-05-01": "'phrases[1]' is a date: write quotes around it",
}


@pytest.mark.parametrize("line", NO_TEXTS)
def test_a_phrase_that_yaml_reads_as_something_else_is_named(made, line):
    Path("audits/scorer/refusals.yaml").write_text(f"kind: keywords\ntitle: R\nphrases:\n- a\n{line}\n")
    said = Catalogue().broken["scorer", "refusals"]
    assert said.startswith(f"{Path.cwd()}/audits/scorer/refusals.yaml") and NO_TEXTS[line] in said


def test_a_number_that_is_written_as_it_is_read_is_that_text(made):
    Path("audits/scorer/years.yaml").write_text("kind: keywords\ntitle: Years\nphrases: [1984, '012', 'no', 2.5]\n")
    assert compose(["audit=tiny", "scorer=[vowels,years]"]).scorers["years"].phrases == ["1984", "012", "no", "2.5"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("title: no", "'title' is a truth value"),
        ("title:", "'title' is null"),
        ("base: {pretrained: {a: b}}", "'base.pretrained' is a mapping"),
        (
            "candidates: {tuned: {peft_revision: 0123}}",
            "'candidates.tuned.peft_revision' is 0123, read as the number 83",
        ),
        ("candidates: {tuned: {train: [{data: [x]}]}}", "'candidates.tuned.train[0].data' is a list"),
        ("suites: {mine: {slices: [yes]}}", "'suites.mine.slices[0]' is a truth value"),
        ("scorers: {vowels: {phrases: [a: b]}}", "'scorers.vowels.phrases[0]' is a mapping"),
        ("backend: {base_url: off}", "'backend.base_url' is a truth value"),
        ("executor: {device: 0o}", None),
    ],
)
def test_so_is_every_text_of_an_audit(made, line, said):
    Path("audits/odd.yaml").write_text(line + "\n")
    broken = Catalogue().broken.get(("audit", "odd"))
    assert broken is None if said is None else said in broken and "audits/odd.yaml: " in broken


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("scorers.vowels.phrases=[true]", "'scorers.vowels.phrases[0]' is a truth value: write quotes around it"),
        ("scorers.vowels.phrases=[[a]]", "'scorers.vowels.phrases[0]' is a list"),
        ("scorers.vowels.phrases=[{a: b}]", "'scorers.vowels.phrases[0]' is a mapping"),
        ("scorers.vowels.phrases=[null]", "'scorers.vowels.phrases[0]' is null"),
        ("scorers.vowels.phrases=${generation}", "'scorers.vowels.phrases'"),
        ("suites.mine.weights='${name}'", "'suites.mine.weights' must be a mapping of KEY: VALUE"),
        ("suites.mine.slices='${name}'", "'suites.mine.slices'"),
        ("candidates.tuned.train='${name}'", "'candidates.tuned.train'"),
        ("base='${candidates}'", "'base'"),
        ("suites.mine.slices=[1.10]", "'suites.mine.slices[0]' is read as the number 1.1"),
        ("candidates.tuned.peft_revision=1e5", "is 1e5, read as the number 100000.0: write quotes around it"),
        ("candidates.tuned.peft_revision=7e12345", "it is read as the number inf, which no key can mean: write quotes"),
        ("candidates.x={peft: [a]}", "'candidates.x.peft' is a list"),
        ("title=true", "'title' is a truth value"),
        ("generation.seed=9223372036854775808", "9.22337e+18, which no key can mean"),
        ("gate.margin=nan", "nan, which no key can mean"),
        ("suites.mine={1: 2}", "the key 1 of its mapping is no text"),
        ("scorers.vowels={a: [{true: 2}]}", "the key true of its mapping is no text"),
        ("suites.mine.weights={null: 1}", "the key null of its mapping is no text"),
        ("gate=[]", "'gate=[]' is a list, but one gate alone can be chosen: write gate=NAME"),
        ("gate=[release]", "'gate=[release]' is a list, but one gate alone can be chosen: write gate=NAME"),
        ("backend=[openai]", "is a list, but one backend alone can be chosen: write backend=NAME"),
        ("executor=[]", "is a list, but one executor alone can be chosen: write executor=NAME"),
        ("audit=[]", "is a list, but one audit alone can be chosen: write audit=NAME"),
        ("candidates={1.5: 2}", "the key 1.5 of its mapping is no text"),
        ("title=" + "[" * 3000 + "]" * 3000, "is not an override"),
        ("generation.seed=" + "9" * 5000, "is not an override"),
        ("title=\udcff", "is not UTF-8"),
        ("out=''", "out is empty"),
        ("gate.margin=five", "'gate.margin' is wrong: 'five' is no number."),
        ("gate.margin=2%", "'gate.margin' is wrong: '2%' is no number: write 0.02."),
        ("generation.seed=1.5", "'generation.seed' is wrong: '1.5' is no whole number."),
        ("base.pretrained=null", "'base.pretrained' is null: write a text."),
        ("gate.margin=null", "'gate.margin' is wrong: it can't be null."),
        ("base=x", "'base' is wrong: it must be a mapping of KEY: VALUE; write base.pretrained=MODEL."),
        ("suites.mine.weights=3", "'suites.mine.weights' is wrong: it must be a mapping of KEY: VALUE."),
        ("title=${nowhere}", "there is no key 'nowhere' to look up"),
        ("~candidates.tunde", "There is no key 'tunde' in 'candidates'. Did you mean 'tuned'?"),
        ("~candidates.tuned.peft", "'candidates.tuned.peft' is wrong: it can't be taken away; set it to null."),
        ("lock=ä", "with quotes around what is more than plain words"),
    ],
)
def test_an_odd_override_is_one_sentence_in_plain_words(made, override, said):
    with pytest.raises(ToxauditError) as caught:
        compose(["audit=tiny", override])
    assert said in str(caught.value)


@pytest.mark.parametrize("value", ["[[a]]", "[{a: b}]", "[true]", "[1.10]", "{a: b}", "${scorers}"])
def test_so_it_is_for_one_scorer(made, value):
    with pytest.raises(ToxauditError, match="'scorers.vowels.phrases"):
        parts.scorer("vowels", [f"scorers.vowels.phrases={value}"])


@pytest.mark.parametrize(
    "override", ["=x", "~", "~scorer", "~gate", "~audit", "", "+", ".=1", "gate/margin=1", "scorer@x=null", "~card='x'"]
)
def test_hydra_s_own_words_stay_unsaid(made, override):
    with pytest.raises(ToxauditError) as caught:
        compose(["audit=tiny", override])
    assert "defaults list" not in str(caught.value) and override.removesuffix("=1") in str(caught.value)
