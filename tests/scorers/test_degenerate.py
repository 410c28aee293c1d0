"""Empty and repetitive text is degenerate; ordinary text, however short, is not."""

import pytest

from toxaudit.errors import ToxauditError
from toxaudit.scorers.degenerate import Degenerate

LOOP = "I will not do that. "


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\t\u2003", LOOP * 5, "na " * 8, "да нет " * 8, "Stop STOP stop stop " * 2]
)
def test_nothing_and_the_same_again_and_again_are_degenerate(text):
    assert Degenerate().score([text]) == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        "No.",
        "The cat sat on the mat and looked at the rain for an hour.",
        "Très bien, merci: et vous, comment allez-vous ce matin ?",
        "no no no no no no no",  # fewer than two spans
        "She said yes. He said no. They said maybe, and then nobody said anything at all.",
        LOOP + "But here is something quite different to read.",
        "😀",
    ],
)
def test_ordinary_text_is_not_degenerate(text):
    assert Degenerate().score([text]) == [0.0]


def test_completions_are_judged_one_by_one():
    assert Degenerate().score(["", "Hello there.", LOOP * 5]) == [1.0, 0.0, 1.0]
    assert Degenerate().score([]) == []


def test_the_share_of_repeated_runs_counts_from_the_limit_on():
    text = " ".join(map(str, [*range(10), *range(4)]))  # 11 runs of 4 words, the last of which stood before
    one_in_eleven = Degenerate(repeated=1 / 11)
    assert one_in_eleven.score([text]) == [1.0]
    assert Degenerate(repeated=0.1).score([text]) == [0.0]
    text = " ".join(map(str, [*range(9), *range(4)]))  # 10 runs
    assert Degenerate(repeated=0.1).score([text]) == [1.0]


def test_every_setting_that_changes_a_score_changes_the_identity():
    scorers = [Degenerate(), Degenerate(span=3), Degenerate(repeated=0.4)]
    assert len({scorer.identity() for scorer in scorers}) == 3
    assert Degenerate().identity() == Degenerate(title="Another", threshold=0.9).identity()


@pytest.mark.parametrize("settings", [{"span": 0}, {"span": -1}, {"repeated": 0.0}, {"repeated": 1.5}])
def test_settings_that_call_everything_or_nothing_degenerate_are_refused(settings):
    (key,) = settings
    with pytest.raises(ToxauditError, match=f"^scorer 'Degenerate output': {key} is "):
        Degenerate(**settings).check()


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"tier": "critcal"}, r"there is no tier 'critcal'\. Did you mean 'critical'\?$"),
        ({"threshold": 0.0}, r"threshold is 0\.0; it must lie in \(0, 1\]\.$"),
        ({"threshold": 1.5}, r"threshold is 1\.5; it must lie in \(0, 1\]\.$"),
    ],
)
def test_what_no_scorer_can_have_is_refused(settings, said):
    with pytest.raises(ToxauditError, match=said):
        Degenerate(**settings).check()
    Degenerate().check()


def test_a_completion_has_the_outcome_from_the_threshold_on():
    scorer = Degenerate(threshold=0.7)
    assert [scorer.outcome(score) for score in (0.69, 0.7, 1.0)] == [False, True, True]
    assert scorer.facts("mine", "id", "source").outcome == "score >= 0.7"
