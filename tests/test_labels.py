"""A file of labels is read strictly, tells nothing of who wrote an answer, and counts for what was read only."""

import json
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from toxaudit import labels
from toxaudit.errors import ToxauditError
from toxaudit.labels import COPY, Draw, LabelFile, answer_key, given, matched, prompt_key

ALIKE = (0, 6, 9)
PAIRS = [(f"Say {i}", *(["alike"] * 2 if i in ALIKE else [f"base {i}", f"own {i}"])) for i in range(12)]
NAN = float("nan")
SCORED = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, NAN], [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]
"""Outcomes of base and candidate."""

CELLS = [4, 0, 1, 1, 2, 2, 5, 3, 3, 5, 3, -1]
OUTCOME = "score >= 0.5"
ABOUT = ("one", "toxic", "x")


def keys(number):
    prompt, *answers = PAIRS[number]
    return [answer_key("one", "toxic", prompt, each) for each in answers]


def draw_of(numbers):
    there, drawn = (labels.by_cell(each) for each in (CELLS, [CELLS[number] for number in numbers]))
    return Draw(*ABOUT, OUTCOME, there, drawn, tuple(prompt_key("one", PAIRS[i][0]) for i in numbers))


CHOSEN = labels.chosen(ABOUT, [prompt for prompt, *_ in PAIRS], CELLS, 100)
SILENT = [number for number in CHOSEN if CELLS[number] == 3]
DRAW = draw_of(CHOSEN)
FILE = LabelFile((DRAW,), {key: {} for i in CHOSEN for key in keys(i)})


def said(**raters):
    """The file in which each rater says yes of these prompts' candidates, and no of all else; None is skipped."""
    made = FILE
    for rater, yes in raters.items():
        told = dict.fromkeys(FILE.answers, "no") | {keys(i)[1]: "yes" for i in yes}
        made = given(made, rater, told)
    return made


def match(found=FILE, draw=DRAW, outcome=OUTCOME, pairs=PAIRS, scored=SCORED):
    return matched("labels.json", found, draw, outcome, pairs, *np.array(scored))


def test_labels_come_to_the_answers_that_were_read_and_equal_answers_are_one():
    told, facts = match(said(a=[1, 6]))
    assert len(FILE.answers) == 19 == facts.drawn == facts.labelled  # of prompts 0 and 6 both answers are alike
    assert told.candidate[[1, 6, 2]].tolist() == [1, 1, 0] and told.base[[1, 6]].tolist() == [0, 1]
    assert np.isnan(told.base[11]) and facts.prompts == 11 and told.same.nonzero()[0].tolist() == list(ALIKE)
    assert (facts.raters, facts.twice, facts.agreed, facts.kappa, facts.skipped) == (1, 0, None, None, 0)
    assert (facts.counted, facts.upheld, facts.overlooked) == (7, 1, 1)  # of prompts 0 to 5; yes of 1 and 6


def test_two_raters_agreement_is_counted_and_a_disagreement_is_half():
    told, facts = match(said(a=[1, 2, 6], b=[1, 6, 8]))
    assert told.candidate[[1, 2, 8, 4]].tolist() == [1, 0.5, 0.5, 0]
    assert (facts.raters, facts.twice, facts.agreed) == (2, 19, 17 / 19)
    both, first, second, n = 2, 1, 1, 19  # Cohen 1960, by hand
    expected = ((both + first) * (both + second) + (n - both - first) * (n - both - second)) / n**2
    assert facts.kappa == pytest.approx((17 / 19 - expected) / (1 - expected))


def test_what_nobody_could_judge_is_counted_and_left_out():
    made = given(said(a=[1]), "a", {keys(2)[0]: "skip", keys(4)[1]: "skip"})
    told, facts = match(made)
    assert told.skipped == 2 and np.isnan(told.base[2]) and facts.skipped == 2 and facts.prompts == 9
    told, facts = match(given(made, "b", {keys(2)[0]: "yes"}))
    assert told.skipped == 1 and told.base[2] == 1 and facts.labelled == 18


def test_nothing_in_the_file_tells_who_wrote_an_answer():
    """With arms exchanged, and texts kept, the answers' part of the file is the same."""
    other = {answer_key("one", "toxic", prompt, text) for i in CHOSEN for prompt, b, c in [PAIRS[i]] for text in (c, b)}
    assert other == set(FILE.answers) and "base" not in labels.as_json(said(a=[1])).replace('"candidate"', "")
    assert list(json.loads(labels.as_json(FILE))["answers"]) == sorted(FILE.answers)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"pairs": [*PAIRS[:6], ("Say 6", "other", "alike"), *PAIRS[7:]]},
            "is of other answers than these models give",
        ),
        (
            {"pairs": [(f"{p}!", b, c) for p, b, c in PAIRS]},
            "11 of the 11 prompts drawn for x and 'toxic' on suite 'one'",
        ),
        ({"outcome": "score >= 0.9"}, "drawn where the measure counted score >= 0.5, which is now score >= 0.9"),
        (
            {"scored": ([1, 0, *SCORED[0][2:]], SCORED[1])},
            "(n11 1, n10 2, n01 2, n00 3, same11 1, same00 2; now n11 0, n10 2",
        ),
        ({"draw": replace(DRAW, drawn=DRAW.drawn | {"n11": 0})}, "was changed: the prompts of a draw are not those"),
        ({"draw": draw_of(CHOSEN[1:])}, "are not those that are drawn by design"),
        ({"draw": draw_of([*CHOSEN[: CHOSEN.index(SILENT[0])], SILENT[-1]])}, "that are drawn by design"),
        ({"draw": draw_of(CHOSEN[::-1])}, "are not those that are drawn by design"),
    ],
)
def test_labels_of_other_answers_are_refused_in_one_sentence(change, what):
    with pytest.raises(ToxauditError) as caught:
        match(**change)
    assert str(caught.value).startswith("labels.json") and what in str(caught.value)


def test_what_is_written_is_read(tmp_path):
    made = said(a=[1], b=[2])
    assert labels.write(tmp_path / "deep" / "x.json", lambda before: made) == made
    assert labels.read(tmp_path / "deep" / "x.json") == made
    assert labels.read(labels.copied(made, tmp_path)) == made and (tmp_path / COPY).is_file()


def test_raters_at_the_same_time_lose_nothing(tmp_path):
    file = tmp_path / "x.json"
    labels.write(file, lambda before: FILE)

    def rate(rater):
        for key in FILE.answers:
            labels.write(file, partial(given, rater=rater, told={key: "no"}))

    threads = [threading.Thread(target=rate, args=[name]) for name in ("a", "b")]
    [each.start() for each in threads]
    [each.join() for each in threads]
    assert all(set(told) == {"a", "b"} for told in labels.read(file).answers.values())


def test_a_label_can_be_taken_back():
    assert given(said(a=[1]), "a", dict.fromkeys(FILE.answers)) == FILE


def broken(**change):
    content = json.loads(labels.as_json(said(a=[1])))
    draw = content["draws"][0]
    for name, value in change.items():
        (draw if name in draw else content)[name] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "\x00", "[" * 100_000, '{"format": "toxaudit.labels/1"}'),
        *(broken(format="toxaudit.labels/2"), broken(more=1), broken(draws={}), broken(answers=[])),
        *(
            broken(answers={"abc": {}}),
            broken(answers={"a" * 64: {"a": "maybe"}}),
            broken(answers={"a" * 64: {"": "yes"}}),
        ),
        *(broken(answers={"a" * 64: {"a/../b": "yes"}}), broken(answers={"a" * 64: {"a": True}}), broken(there={})),
        *(
            broken(seed=-1),
            broken(suite=1),
            broken(there={"n11": 1}),
            broken(prompts=["x"]),
            broken(prompts=["a" * 64] * 2),
        ),
        broken(draws=json.loads(broken())["draws"] * 2),
        broken().replace('"draws"', '"answers": {}, "draws"'),
    ],
)
def test_what_is_no_file_of_labels_is_one_sentence(text, tmp_path):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(ToxauditError, match="is no file of labels"):
        labels.read(file)
    with pytest.raises(ToxauditError, match="is no file of labels"):
        labels.write(file, lambda before: FILE)
    assert file.read_text() == text


def test_a_file_that_is_not_there_is_one_sentence():
    with pytest.raises(ToxauditError, match="^/no/such can't be read: No such file"):
        labels.read(Path("/no/such"))
