"""A calibration file is read whole or refused in one sentence, and never where it can't correct anything."""

import pytest
import yaml

from toxaudit.errors import ToxauditError
from toxaudit.records import Calibration, Confusion
from toxaudit.scorers.calibration import read
from toxaudit.scorers.keywords import Keywords

GOOD = {"true_positive": 90, "false_negative": 10, "false_positive": 5, "true_negative": 95}
FILE = {"source": "200 labelled answers", "threshold": 0.5, "counts": GOOD}


@pytest.fixture
def write(tmp_path):
    def put(content):
        file = tmp_path / "calibration.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(file)

    return put


def test_counts_of_all_are_read(write):
    assert read(write(FILE), 0.5) == Calibration("200 labelled answers", None, {"": Confusion(90, 10, 5, 95)})


def test_counts_by_a_slice_are_read(write):
    found = read(write(FILE | {"by": "topic", "counts": {"a": GOOD, 2: GOOD}}), 0.5)
    assert found.by == "topic" and set(found.counts) == {"a", "2"}


@pytest.mark.parametrize(
    "content, threshold, said",
    [
        ("a: [", 0.5, "not valid YAML"),
        ("- 1\n", 0.5, "holds no keys"),
        (FILE | {"sorce": 1}, 0.5, "Did you mean 'source'"),
        ({"threshold": 0.5, "counts": GOOD}, 0.5, "no key 'source'"),
        (FILE, 0.7, "is of threshold 0.5, but the scorer's is 0.7"),
        (FILE, None, "has no threshold"),
        (FILE | {"counts": []}, 0.5, "'counts' must be a mapping"),
        (FILE | {"counts": {"true_positive": 1}}, 0.5, "must be true_positive, false_negative"),
        (FILE | {"counts": GOOD | {"true_positive": -1}}, 0.5, "true_positive is -1"),
        (FILE | {"counts": GOOD | {"true_positive": 0.5}}, 0.5, "true_positive is 0.5"),
        (FILE | {"counts": GOOD | {"true_positive": True}}, 0.5, "true_positive is True"),
        (FILE | {"by": "topic"}, 0.5, "counts of 'false_negative'"),
        (FILE | {"counts": {**GOOD, "true_positive": 5, "false_negative": 95}}, 0.5, "better than chance"),
        (FILE | {"counts": dict.fromkeys(GOOD, 0)}, 0.5, "better than chance"),
        (FILE | {"by": "topic", "counts": {"a": GOOD, "b": dict.fromkeys(GOOD, 3)}}, 0.5, "topic 'b' can't correct"),
    ],
)
def test_a_file_of_no_use_is_refused_in_a_sentence(write, content, threshold, said):
    file = write(content)
    with pytest.raises(ToxauditError, match=r"calibration\.yaml") as error:
        read(file, threshold)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ToxauditError, match="none.yaml can't be read"):
        read(str(tmp_path / "none.yaml"), 0.5)


def test_a_scorer_reads_its_file_when_it_is_checked_and_tells_the_card(write):
    scorer = Keywords(title="Words", phrases=["x"], calibration=write(FILE))
    scorer.check()
    assert scorer.facts("words", "id", "source").calibration == scorer.known_errors()
    assert Keywords(title="Words", phrases=["x"]).known_errors() is None
    with pytest.raises(ToxauditError, match="threshold"):
        Keywords(title="Words", phrases=["x"], calibration=write(FILE), threshold=0.9).check()


def test_without_a_threshold_the_outcome_is_the_score_itself():
    scorer = Keywords(title="Words", phrases=["x"], threshold=None)
    scorer.check()
    assert scorer.outcome(0.3) == 0.3
    assert scorer.facts("words", "id", "source").outcome == "mean score"
    with pytest.raises(ToxauditError, match=r"mean scores must lie in 0\.\.1"):
        scorer.outcome(1.5)
