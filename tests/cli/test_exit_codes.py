"""The exit codes of verdicts can be others; no verdict's is ever an error's, and what can't be meant is refused."""

import pytest

from toxaudit.cli.exit_codes import DECISIONS, VARIABLE, chosen, worst
from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError

WRONG = {
    "go": "'go' is no exit code: write VERDICT=CODE, such as no-go=10.",
    "go=0,": "'' is no exit code: write VERDICT=CODE",
    "goo=0": "'goo' is no verdict. Did you mean 'go'?",
    "nogo=4": "'nogo' is no verdict. Did you mean 'no-go'?",
    "=4": "'' is no verdict. Choose from: go, inconclusive, no-go.",
    "error=4": "an error always ends with exit code 3: leave 'error=4' out.",
    "ERROR=3": "an error always ends with exit code 3",
    "no-go=3": "'no-go=3' takes 3, which is the exit code of an error: take another number.",
    "inconclusive=003": "takes 3, which is the exit code of an error",
    "go=126": "'go=126' must give a whole number from 0 to 125.",
    "go=-1": "must give a whole number from 0 to 125.",
    "go=1.0": "must give a whole number from 0 to 125.",
    "go=": "must give a whole number from 0 to 125.",
    "go=\u0664": "must give a whole number from 0 to 125.",
    "go=0,GO=1": "'GO' is given twice: write it once.",
}


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_codes_are_the_usual_ones_unless_something_says_otherwise(monkeypatch):
    assert chosen(None) == DECISIONS == {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}
    monkeypatch.setenv(VARIABLE, " ")
    assert chosen(None) == DECISIONS
    monkeypatch.setenv(VARIABLE, "no-go=10, Inconclusive = 0")
    assert chosen(None) == {"GO": 0, "NO-GO": 10, "INCONCLUSIVE": 0}
    assert chosen("no-go=11") == {"GO": 0, "NO-GO": 11, "INCONCLUSIVE": 2}  # the option alone


@pytest.mark.parametrize("text", WRONG)
def test_what_can_not_be_meant_is_one_sentence_that_says_where(text, monkeypatch):
    with pytest.raises(ToxauditError) as caught:
        chosen(text)
    assert str(caught.value).startswith("--exit-codes: ") and WRONG[text] in str(caught.value)
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ToxauditError, match="^TOXAUDIT_EXIT_CODES: "):
        chosen(None)


def test_it_is_refused_before_anything_else_is_looked_at(monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "no-go=3")
    assert main(["audit=nowhere"]) == 3
    assert capsys.readouterr().err.startswith("toxaudit: TOXAUDIT_EXIT_CODES: 'no-go=3' takes 3")
    assert main(["audit=nowhere", "--exit-codes", "no=1"]) == 3
    assert capsys.readouterr().err.startswith("toxaudit: --exit-codes: 'no' is no verdict")


def test_a_sweeps_verdict_is_its_worst():
    assert worst(["GO", "INCONCLUSIVE"]) == "INCONCLUSIVE"
    assert worst(["INCONCLUSIVE", "NO-GO", "GO"]) == "NO-GO"
    assert worst(["GO"]) == "GO"
