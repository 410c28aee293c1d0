"""Whatever a spec, a preset or an override holds: an audit, or one sentence, and every other audit goes on."""

import random
from pathlib import Path

import pytest
import workspace
import yaml
from fuzzing import TIMES, seeds

from toxaudit.cli.main import main

TRIES = 125 * TIMES

VALUES = """
2024-05-01 | 2024-05-01T10:00:00Z | !!binary aGk= | !!set {a, b} | !!omap [a: 1] | !!pairs [a: 1] | !x y
!!str 5 | !!int x | !!float no | !!bool maybe | !!int "" | !!map [a] | !!python/name:os.system | ~ | null | yes
no | on | true | .nan | .inf | -.inf | 1e400 | -0.0 | 1e-320 | 0b | 0x_ | 0x1F | 012 | 0o17 | 1_000 | 1:30
190:20:30 | -1 | 0 | 1 | 3 | 100000000000000000000000000000 | 0.5 | 1e3 | 5% | [] | {} | [[]] | [1, [2, [3]]]
{a: {b: {c: d}}} | [a, b] | {a: 1} | {1: 2} | {yes: no} | {~: x} | {2024-05-01: x} | {? [a] : b} | {a: 1, a: 2}
&a [*a] | &a {b: *a} | [&a x, *a] | *nowhere | "" | " " | "\\0" | "\\ud800" | "\\x1b[2J" | "\\u202e" | "${name}"
"${oc.env:HOME}" | "${" | "\\\\${a}" | "${a.b.c}" | "???" | "${.}" | "${..title}" | "${out}" | ../ | ./x | ~/x
/ | /dev/null | a:b | a:b:c | ORG/NAME@main | pkg:pypi/x | http://[ | "{{" | "{% for" | "{{ 1/0 }}" | kind
base | toxaudit | GO | NO-GO | "NO-GO" | critical | chat | <= | >= | ">" | a b | ä | 文 | 😀 | - | !!null x | - x
? x | "a\\nb" | x: y | [no, yes] | [1.10] | [~] | [{a: b}] | [[a]] | mine | [mine, mine] | tiny | vowels
""".replace("\n", " | ").split(" | ")
VALUES = [value for value in VALUES if value] + ["[" * 60 + "]" * 60, "[" * 3000 + "]" * 3000, "9" * 5000, "x" * 3000]

BYTES = "\t|\0|\xff|\xef\xbb\xbf|---\n|...\n|\r|: |- |#|'|\"|{|[|&a |*a |<<: *a\n|%YAML 9.9\n|\xc2\x85|\xe2\x80\xa8|!!"
BYTES = [text.encode("latin-1") for text in [*BYTES.split("|"), "defaults: [tiny]\n"]]

FILES = {"audits/fuzzed.yaml": workspace.AUDIT, "audits/suite/fuzzed.yaml": workspace.SUITE}
FILES |= {"audits/scorer/fuzzed.yaml": workspace.SCORER, "audits/gate/fuzzed.yaml": "kind: margin\nmargin: 0.1\n"}
KEYS = {
    "audits/fuzzed.yaml": "title name suite scorer estimator gate base candidates generation backend executor card out "
    "store lock on_candidate_error suites scorers estimators sampling defaults hydra kind x",
    "audits/suite/fuzzed.yaml": "kind title data revision config split id text filter slices strata weights cluster "
    "ask choices target scorers n limit licence language system_instruction x",
    "audits/scorer/fuzzed.yaml": "kind title phrases published case_sensitive origin noun more less tier operator "
    "threshold calibration x",
    "audits/gate/fuzzed.yaml": "kind margin cap certainty max_missing x",
}
SET = [
    "title",
    "name",
    "out",
    "store",
    "lock",
    "base",
    "base.pretrained",
    "base.dtype",
    "candidates",
    "candidates.tuned",
    "candidates.tuned.peft",
    "candidates.x",
    "candidates.tuned.train",
    "candidates.noop.expect",
    "candidates.noop.batch_size",
    "generation.seed",
    "generation.temperature",
    "gate",
    "gate.margin",
    "suite",
    "scorer",
    "estimator",
    "suites.mine",
    "suites.mine.data",
    "suites.mine.limit",
    "suites.mine.weights",
    "suites.mine.slices",
    "scorers",
    "scorers.vowels",
    "scorers.vowels.phrases",
    "scorers.vowels.operator",
    "scorers.vowels.threshold",
    "backend.batch_size",
    "executor.device",
    "card.template",
    "card",
    "sampling",
    "audit",
    "defaults",
    "x",
    "hydra",
]


def mutated(chance: random.Random, file: str) -> bytes:
    """The content of a file, changed in one to three places."""
    content = yaml.safe_load(FILES[file])
    put = {}
    for number in range(chance.choice([1, 1, 1, 2, 3])):
        node, keys = content, KEYS[file].split()
        while chance.random() < 0.6 and isinstance(node, dict):
            inner = [value for value in node.values() if isinstance(value, dict) and value]
            if not inner:
                break
            node = chance.choice(inner)
            keys = [*node, "pretrained", "peft", "revision", "train", "control", "margin", "seed"]
        put[f"PLACE{number}"] = chance.choice(VALUES)
        if chance.random() < 0.1:
            put[f"KEY{number}"] = chance.choice(VALUES)
            node[f"KEY{number}"] = f"PLACE{number}"
        else:
            node[chance.choice(keys)] = f"PLACE{number}"
    text = yaml.safe_dump(content, default_flow_style=chance.random() < 0.3, width=10**6)
    for place, value in put.items():
        text = text.replace(place, value)
    data = text.encode("utf-8", "surrogatepass")
    for _ in range(chance.choice([0, 0, 0, 1, 2])):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice([*BYTES, data[at : at + 20]]) + data[at + chance.choice([0, 0, 1, 5]) :]
    return data


def override(chance: random.Random) -> str:
    """Something that might be meant as an override."""
    value = chance.choice(VALUES)
    if chance.random() < 0.2:
        value = f"{value},{chance.choice(VALUES)}"
    if chance.random() < 0.2:
        value = chance.choice(
            ["'{}'", '"{}"', "[{}]", "{{a: {}}}", "int({})", "choice({})", "{}'", "[{}", "\\{}", "range({})"]
        ).format(value)
    key = chance.choice(["", "", "", "", "+", "++", "~", "-"]) + chance.choice(SET)
    return chance.choice(["{}={}"] * 12 + ["{}", "{}{}", "{}@x={}", "{}.{}=1", "{}:{}", "{}=={}"]).format(key, value)


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(workspace.written(tmp_path / "made"))


def end(words, capsys):
    """Run a command that ends in an audit or in one sentence; whether it is the former."""
    code = main(words)
    captured = capsys.readouterr()
    said = captured.err
    assert code in (0, 3), (code, words)
    assert (
        not said if code == 0 else said.count("\n") == 1 and said.startswith("toxaudit: ") and "defect" not in said
    ), said
    assert len(said) < 700 and said.strip().isprintable(), said
    return code == 0


def fuzz(seed, tries, capsys):
    chance, whole = random.Random(seed), 0
    selected = {"audits/fuzzed.yaml": "audit=fuzzed", "audits/suite/fuzzed.yaml": "suite=[fuzzed]"}
    selected |= {"audits/scorer/fuzzed.yaml": "scorer=[fuzzed]", "audits/gate/fuzzed.yaml": "gate=fuzzed"}
    for number in range(tries):
        file = chance.choice(list(FILES))
        Path(file).parent.mkdir(exist_ok=True)
        data = mutated(chance, file)
        Path(file).write_bytes(data)
        words = [selected[file]] if file == "audits/fuzzed.yaml" else ["audit=tiny", selected[file]]
        try:
            whole += end(["show", *words], capsys)
            if number % 20 == 0:
                assert end(["show", "audit=tiny"], capsys) and end(["ls", "audits", "suites", "scorers"], capsys)
        except AssertionError as error:
            raise AssertionError(f"{seed}, {number}: {data!r}") from error
        Path(file).unlink()
        words = ["audit=tiny", *(override(chance) for _ in range(chance.choice([1, 1, 2])))]
        try:
            whole += end(["show", *words], capsys)
        except AssertionError as error:
            raise AssertionError(f"{seed}, {number}: {words!r}") from error
    assert 0 < whole < tries * 2  # neither are all refused, nor none


@pytest.mark.slow
@seeds
def test_any_spec_and_any_override_end_in_an_audit_or_one_sentence(made, capsys, seed):
    fuzz(seed, TRIES, capsys)
