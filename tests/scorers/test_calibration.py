"""A calibration file is read whole or refused in one sentence, and never where it can't correct anything."""

from pathlib import Path

import pytest
import yaml

from toxaudit.compose.parts import scorer as composed
from toxaudit.errors import ToxauditError
from toxaudit.facts import Calibration, Confusion
from toxaudit.scorers.calibration import as_yaml, read
from toxaudit.scorers.keywords import Keywords

GOOD = {"true_positive": 90, "false_negative": 10, "false_positive": 5, "true_negative": 95}
SHIPPED = Path(__file__).parents[2] / "audits" / "calibration"
FILE = {"source": "200 labelled answers", "threshold": 0.5, "counts": GOOD}


@pytest.fixture
def write(tmp_path):
    def put(content):
        file = tmp_path / "calibration.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(file)

    return put


def test_counts_of_all_are_read(write):
    found = read(write(FILE), ">=", 0.5).errors
    assert found == Calibration("200 labelled answers", None, {"": Confusion(90, 10, 5, 95)})


def test_counts_by_a_slice_are_read(write):
    found = read(write(FILE | {"by": "topic", "counts": {"a": GOOD, 2: GOOD}}), ">=", 0.5).errors
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
        (FILE | {"by": "topic", "counts": {"": GOOD}}, 0.5, "a value of 'topic' is empty"),
        (FILE | {"operator": "=="}, 0.5, "operator is '=='; it must be one of >=, <, >, <="),
        (FILE | {"operator": ">"}, 0.5, "counts score > 0.5, but the scorer counts score >= 0.5"),
        (FILE | {"operator": "<="}, 0.5, "counts score <= 0.5, but the scorer counts score >= 0.5"),
        (FILE | {"counts": {**GOOD, "true_positive": 5, "false_negative": 95}}, 0.5, "better than chance"),
        (FILE | {"counts": dict.fromkeys(GOOD, 0)}, 0.5, "better than chance"),
        (FILE | {"by": "topic", "counts": {"a": GOOD, "b": dict.fromkeys(GOOD, 3)}}, 0.5, "topic 'b' can't correct"),
    ],
)
def test_a_file_of_no_use_is_refused_in_a_sentence(write, content, threshold, said):
    file = write(content)
    with pytest.raises(ToxauditError, match=r"calibration\.yaml") as error:
        read(file, ">=", threshold)
    assert said in str(error.value)


@pytest.mark.parametrize("operator, complement", [(">=", "<"), ("<", ">="), (">", "<="), ("<=", ">")])
def test_a_scorer_that_counts_the_rest_finds_positives_and_negatives_in_each_others_place(write, operator, complement):
    file = write(FILE | {"operator": operator})
    assert read(file, operator, 0.5).errors.counts == {"": Confusion(90, 10, 5, 95)}
    assert read(file, complement, 0.5).errors.counts == {"": Confusion(95, 5, 10, 90)}


def test_a_file_that_names_no_operator_is_of_scores_at_or_above_the_threshold(write):
    assert read(write(FILE), "<", 0.5).errors.counts == {"": Confusion(95, 5, 10, 90)}


def test_what_is_written_is_read_again(tmp_path):
    file = tmp_path / "calibration.yaml"
    counts = {"no": Confusion(90, 10, 5, 95), "1": Confusion(95, 5, 10, 90), "ä: [": Confusion(80, 0, 0, 20)}
    for errors in (Calibration("mine: 1", "topic", counts), Calibration("x", None, {"": counts["no"]})):
        file.write_text(as_yaml(errors, "abc", "<", 0.25))
        found = read(str(file), "<", 0.25)
        assert (found.errors, found.scorer) == (errors, "abc")


def test_a_file_of_another_scorer_is_refused_when_its_errors_are_asked_for(write):
    one, other = (Keywords(title="Words", phrases=[phrase]) for phrase in ("x", "y"))
    one.calibration = other.calibration = write(FILE | {"scorer": one.identity()})
    for scorer in (one, other):
        scorer.check()
    assert one.known_errors().counts == {"": Confusion(90, 10, 5, 95)}
    names = f"is of scorer {one.identity()[:12]}, but this one is {other.identity()[:12]}:"
    with pytest.raises(ToxauditError, match=names):
        other.known_errors()


def test_one_file_serves_all_scorers_by_one_list(write):
    refusal = Keywords(title="Refusal", phrases=["x"])
    compliance = Keywords(title="Compliance", phrases=["x"], operator="<")
    refusal.calibration = compliance.calibration = write(FILE | {"scorer": refusal.identity()})
    assert refusal.known_errors().counts == {"": Confusion(90, 10, 5, 95)}
    assert compliance.known_errors().counts == {"": Confusion(95, 5, 10, 90)}
    assert refusal.known_errors().source == "200 labelled answers"
    assert compliance.known_errors().source == "200 labelled answers (counted here: completions without that label)"


def test_the_file_is_read_once(write):
    scorer = Keywords(title="Words", phrases=["x"], calibration=write(FILE))
    found = scorer.known_errors()
    write(FILE | {"source": "others"})
    assert scorer.known_errors() == found


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ToxauditError, match="none.yaml can't be read"):
        read(str(tmp_path / "none.yaml"), ">=", 0.5)


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


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_file_fits_the_scorer_that_it_is_named_after(file):
    scorer = composed(file.stem, [f"scorers.{file.stem}.calibration={file}"])
    assert scorer.calibration == str(file)
    assert "SHA-256" in yaml.safe_load(file.read_text())["source"]


@pytest.mark.parametrize("name, first", [("refusal", 806), ("over_refusal", 806), ("compliance", 1054)])
def test_the_shipped_counts_of_the_refusal_list_are_of_the_list_as_it_stands(name, first):
    scorer = composed(f"{name}_keywords", [f"scorers.{name}_keywords.calibration={SHIPPED / 'refusal_keywords.yaml'}"])
    assert scorer.known_errors().counts[""].true_positive == first
