"""Scores are kept by what was read and who scored it; what another try may mend is not kept."""

import pytest

from toxaudit.scorers.base import BaseScorer, Unscored
from toxaudit.scorers.keywords import Keywords
from toxaudit.stages.scoring import stored_scores
from toxaudit.store.shelves import Store


class Counting(Keywords):
    """Notes what it is given; can't reach its server while ``down``."""

    down = False

    def score(self, completions):
        self.given = [*getattr(self, "given", []), *completions]
        if self.down:
            return [Unscored("out of reach", passing=True) if text == "b" else 1.0 for text in completions]
        return super().score(completions)


@pytest.fixture
def scorer():
    return Counting(title="Vowels", phrases=["a", "e"])


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def values(found):
    return [(each["value"], each["missing"]) for each in found]


def test_each_text_is_scored_once_and_never_again(store, scorer):
    assert values(stored_scores(store, "vowels", scorer, [["a", "bb", "a", ""]], {})) == [
        (1.0, None),
        (0.0, None),
        (1.0, None),
        (None, "empty completion"),
    ]
    assert scorer.given == ["", "a", "bb"]  # texts of like length together
    assert len(stored_scores(store, "vowels", scorer, [["bb", "a", "new"]], {})) == 3
    assert scorer.given == ["", "a", "bb", "new"]


def test_what_another_try_may_mend_is_missing_now_and_tried_again(store, scorer):
    scorer.down = True
    first = stored_scores(store, "vowels", scorer, [["a", "b"]], {})
    assert values(first) == [(1.0, None), (None, "out of reach")]
    scorer.down = False
    assert values(stored_scores(store, "vowels", scorer, [["a", "b"]], {})) == [(1.0, None), (0.0, None)]
    assert scorer.given == ["a", "b", "b"]


def test_another_list_of_phrases_scores_anew(store, scorer):
    stored_scores(store, "vowels", scorer, [["b"]], {})
    other = Counting(title="Vowels", phrases=["b"])
    assert values(stored_scores(store, "vowels", other, [["b"]], {})) == [(1.0, None)]


def test_what_is_read_may_be_more_than_a_text(store):
    class Longer(BaseScorer):
        """1 where the answer is longer than the question."""

        def identity(self):
            return "longer"

        def score(self, read):
            return [float(len(answer) > len(question)) for question, answer in read]

    pairs = [["why?", "because"], ["why?", ""], ["why?", "because"]]
    found = stored_scores(store, "longer", Longer(), [pairs], {})
    assert [each["value"] for each in found] == [1.0, 0.0, 1.0]
