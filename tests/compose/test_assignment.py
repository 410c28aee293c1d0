"""Which scorers score which suite: the audit's own, those that a suite brings along, and those that look at all."""

from pathlib import Path

import pytest
import workspace

from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.records import OF_EVERY_ANSWER as ALWAYS

ROWS = '{"id": "a", "prompt": "Which is it?", "yes": "up", "no": "down", "right": "A"}\n'
EXAM = """\
kind: dataset
title: An exam
data: ./exam.jsonl
choices: ["yes", "no"]
target: right
scorers: [wrong]
"""
WRONG = "kind: choice\ntitle: Wrong answers\noperator: '<'\ntier: advisory\n"
RIGHT = "kind: match\ntitle: Right\noperator: '<'\n"
CONSONANTS = "kind: keywords\ntitle: Consonants\nphrases: [b, c, d]\n"
OWN = "kind: dataset\ntitle: Own\ndata: ./prompts.jsonl\nscorers: [consonants]\nlanguage: en\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("measures"))
    for file, content in {
        "suite/exam.yaml": EXAM,
        "suite/exam.jsonl": ROWS,
        "suite/own.yaml": OWN,
        "scorer/wrong.yaml": WRONG,
        "scorer/consonants.yaml": CONSONANTS,
        "scorer/right.yaml": RIGHT,
    }.items():
        (folder / "audits" / file).write_text(content)
    return folder


@pytest.fixture(autouse=True)
def here(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))


def scorers(*overrides):
    return {name: suite.scorers for name, suite in compose(["audit=tiny", *overrides]).suites.items()}


def refusal(*overrides):
    with pytest.raises(ToxauditError) as caught:
        compose(["audit=tiny", *overrides])
    return str(caught.value)


def test_the_audits_scorers_score_every_suite_beside_its_own():
    assert scorers("suite=[mine,own]") == {
        "mine": ["vowels", "degenerate", "truncated"],
        "own": ["vowels", "degenerate", "consonants", "truncated", "wrong_language"],
    }


def test_a_suite_brings_its_scorers_along():
    assert scorers("suite=[own]", "scorer=[]") == {"own": ["consonants", *ALWAYS]}
    spec = compose(["audit=tiny", "suite=[own]", "scorer=[]", "scorers.consonants.noun=letters"])
    assert spec.scorers["consonants"].noun == "letters"


def test_a_suite_can_be_given_others():
    assert scorers("suite=[own]", "scorer=[]", "suites.own.scorers=[vowels]") == {"own": ["vowels", *ALWAYS]}


def test_what_a_file_says_of_a_suite_goes_where_the_command_line_selects_another():
    audit = Path("audits/tiny.yaml")
    Path("audits/limited.yaml").write_text(audit.read_text() + "suites: {mine: {limit: 1}}\n")
    assert compose(["audit=limited"]).suites["mine"].limit == 1
    assert list(compose(["audit=limited", "suite=[own]", "scorer=[]"]).suites) == ["own"]
    with pytest.raises(ToxauditError, match="suites.mine is set but no suite 'mine' is selected"):
        compose(["audit=limited", "suite=[own]", "scorer=[]", "suites.mine.limit=1"])


def test_what_is_chosen_and_what_is_written_have_scorers_of_their_own():
    found = compose(["audit=tiny", "suite=[mine,exam]"])
    assert {name: suite.scorers for name, suite in found.suites.items()} == {
        "mine": ["vowels", "degenerate", "truncated"],
        "exam": ["wrong"],
    }
    assert set(found.scorers) == {"vowels", "degenerate", "truncated", "wrong"}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["scorer=[]"], "suite 'mine' has written answers, and no scorer of such is selected: add one to 'scorer: ["),
        (
            ["suites.mine.scorers=[vowel]"],
            "suite 'mine': There is no scorer named 'vowel'. Did you mean 'vowels'?",
        ),
        (
            ["suites.mine.scorers=[wrong]"],
            "suite 'mine' has written answers, which the scorer 'wrong' can't score: leave it out.",
        ),
        (
            ["suite=[exam]", "suites.exam.scorers=[vowels]"],
            "suite 'exam' offers choices, which the scorer 'vowels' can't score: leave it out.",
        ),
        (
            ["suite=[exam]"],
            "No suite of this audit has what the scorer 'vowels' scores: leave it out.",
        ),
        (
            ["scorer=[vowels,wrong]"],
            "No suite of this audit has what the scorer 'wrong' scores: leave it out.",
        ),
        (["scorer=[wrong_language,vowels]"], "No suite of this audit has what the scorer 'wrong_language' scores"),
        (["scorers.wrong_language.tier=critical"], "There is no key 'wrong_language' in 'scorers'."),
        (
            ["suite=[exam]", "scorer=[]"],
            "Nothing that this audit measures is critical (wrong), so it could decide nothing",
        ),
        (["suite=[]"], "audit 'tiny' selects no suite"),
        (["~scorers.degenerate"], "'~scorers.degenerate' can't be taken away: say which are selected by suite=["),
        (["~suites.mine.scorers"], "'~suites.mine.scorers' can't be taken away"),
        (
            ["suites.mine.scorers=[right]"],
            "suite 'mine' has written answers, which the scorer 'right' can't score: leave it out, or set 'target'.",
        ),
        (["scorer=[right]"], "suite 'mine' has written answers, and no scorer of such is selected"),
        (["scorer=[vowles]"], "There is no scorer named 'vowles'. Did you mean 'vowels'?"),
        (["scorers.consonants.tier=advisory"], "There is no key 'consonants' in 'scorers'."),
    ],
)
def test_what_could_score_nothing_is_refused(overrides, said):
    assert refusal(*overrides).startswith(said)


@pytest.mark.parametrize("operator", ["<", "<=", ">"])
def test_an_operator_needs_no_quotes_within_quotes(operator):
    assert compose(["audit=tiny", f"scorers.vowels.operator={operator}"]).scorers["vowels"].operator == operator


def test_a_candidate_can_be_given_as_a_mapping():
    words = "candidates.guarded={peft: ./my_adapter, system_instruction: Be kind}"
    found = compose(["audit=tiny", "suite=[own]", "suites.own.ask=chat", words]).candidates["guarded"]
    assert (found.peft, found.system_instruction) == ("./my_adapter", "Be kind")
    assert "There is no key" in refusal("candidates.guarded={pefft: ./my_adapter}")
