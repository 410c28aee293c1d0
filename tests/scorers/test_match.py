"""An answer is right where it is, or contains, a reference; without references there is no score."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.compose.parts import scorer
from toxaudit.errors import ToxauditError
from toxaudit.records import Completion, Prompt
from toxaudit.scorers.base import Unscored
from toxaudit.scorers.match import Match

NONE = Unscored("the prompt has no references")


def score(text, *references, **settings):
    scorer = Match(**settings)
    prompt = Prompt("1", "s", "Which?", references=references)
    (found,) = scorer.score([scorer.reads(prompt, Completion("base", "1", 0, text, 1, "stop"))])
    return found


@pytest.mark.parametrize(
    "text", ["Paris", " Paris\n", "paris", "PARIS.", "\u201cParis\u201d", "'Paris!'", "Pa-ris", "The City of Light"]
)
def test_an_answer_that_is_a_reference_is_right(text):
    assert score(text, "London", "Paris", "the  city of light", ignore_punctuation=True) == 1


@pytest.mark.parametrize("text", ["", " ", "...", "It is Paris", "Pari", "Par is", "Lyon", "Paris."])
def test_an_answer_that_is_none_is_wrong(text):
    assert score(text, "Paris", "London") == 0


@pytest.mark.parametrize(
    "text", ["It's Paris, I think.", "paris", "London? No:\nParis!", "(Paris)", "Par\u00adis Paris"]
)
def test_an_answer_that_contains_a_reference_is_right_where_that_is_enough(text):
    assert score(text, "Rome", "Paris", how="contains") == 1


@pytest.mark.parametrize("text", ["", "comparison", "parisian", "Pa ris", "Paris2", "Par-is-ian"])
def test_a_reference_is_found_only_as_whole_words(text):
    assert score(text, "Paris", how="contains") == 0


def test_a_curly_apostrophe_is_a_straight_one():
    for how in ("exact", "contains"):
        assert score("I don\u2019t know", "I don't know", how=how) == 1


@pytest.mark.parametrize(
    ("text", "reference"),
    [("35", "3.5"), ("5", "-5"), ("5", "+5"), ("1000", "1,000"), ("12", "1/2"), ("1030", "10:30"), ("18", "18+")],
)
def test_another_number_is_another_answer(text, reference):
    for how in ("exact", "contains"):
        for marks in (True, False):
            assert score(text, reference, how=how, ignore_punctuation=marks) == 0
            assert score(reference, reference, how=how, ignore_punctuation=marks) == 1
    assert score(reference, text, ignore_punctuation=True) == 0


@pytest.mark.parametrize("text", ["3.5", "It's 1,005.", "-5", "\u22125", "x=.5", "5.25", "(+5)", "5,000"])
def test_a_number_is_not_found_in_another(text):
    assert score(text, "5", how="contains") == 0


@pytest.mark.parametrize(
    "text", ["5", "5.", "It's 5, not 6.", "(5)", "4-5", "$5", "5%", "2+3=5", "- 5", "No.5", "It is...5"]
)
def test_a_number_is_found_among_other_signs(text):
    assert score(text, "5", how="contains") == 1


@pytest.mark.parametrize("text", ["42.", "42!", "(42)", "\u201c42\u201d", "**42**", "42,"])
def test_marks_around_a_number_are_punctuation(text):
    assert score(text, "42", ignore_punctuation=True) == 1


def test_a_name_with_signs_is_its_own_unless_that_is_waived():
    assert [score("C", "C++", ignore_punctuation=marks) for marks in (False, True)] == [0, 1]
    assert score("C", "C++") == 0


@pytest.mark.parametrize(
    ("settings", "right"),
    [
        ({"ignore_case": False, "ignore_punctuation": True}, [1, 0, 1]),
        ({}, [1, 1, 0]),
        ({"ignore_case": False}, [1, 0, 0]),
    ],
)
def test_case_and_punctuation_count_where_that_is_asked_for(settings, right):
    assert [score(text, "Straße", **settings) for text in ("Straße", "STRASSE", "Straße.")] == right


@pytest.mark.parametrize("references", [(), ("",), (" ",), ("...",)])
@pytest.mark.parametrize("how", ["exact", "contains"])
def test_without_a_reference_there_is_no_score(references, how):
    assert score("Paris", *references, how=how, ignore_punctuation=True) == NONE
    assert score("", *references, how=how, ignore_punctuation=True) == NONE


@given(text=st.text(max_size=30), other=st.text(max_size=30), case=st.booleans(), marks=st.booleans())
def test_to_be_the_same_answer_works_both_ways(text, other, case, marks):
    settings = {"ignore_case": case, "ignore_punctuation": marks}
    there, back = score(text, other, **settings), score(other, text, **settings)
    assert there == back or NONE in (there, back)


@given(
    text=st.text(alphabet=string.ascii_letters + string.punctuation + " ", max_size=20),
    before=st.sampled_from(["", "It is ", "(", "\n"]),
    after=st.sampled_from(["", " of course", ")", "\n"]),
    marks=st.booleans(),
)
def test_a_reference_of_any_characters_is_found_in_itself_and_among_others(text, before, after, marks):
    for how, whole in (("exact", text), ("contains", f"{before} {text} {after}")):
        assert score(whole, text, how=how, ignore_punctuation=marks) in (1, NONE)


def test_an_unknown_way_to_compare_is_refused_with_the_nearest():
    with pytest.raises(ToxauditError, match=r"^scorer 'Wrong': how can't be 'contain'\. Did you mean 'contains'\?$"):
        Match(title="Wrong", how="contain").check()


def test_the_rule_is_the_identity_and_the_source():
    settings = [{}, {"how": "contains"}, {"ignore_case": False}, {"ignore_punctuation": True}]
    assert len({Match(**each).identity() for each in settings}) == 4
    assert Match(ignore_punctuation=True).source == "rule: is a reference, whatever its case and punctuation"
    assert Match(how="contains").source == "rule: contains a reference, whatever its case"
    assert Match(ignore_case=False).source == "rule: is a reference"


@pytest.mark.parametrize("name", ["exact_match", "contains_match"])
def test_the_presets_count_wrong_answers(name):
    found = scorer(name, [])
    assert (found.outcome(1.0), found.outcome(0.0)) == (0.0, 1.0)
    assert found.tier == "advisory"
