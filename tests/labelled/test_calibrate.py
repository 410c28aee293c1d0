"""`toxaudit calibrate` counts as a hand does, leaves out what has no score, and writes what an audit takes."""

import csv
import json
from pathlib import Path

import pytest
import workspace
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from toxaudit import labelled
from toxaudit.cli.calibrate import read
from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.labelled.counts import interval
from toxaudit.registry import registered
from toxaudit.scorers.base import BaseScorer, Unscored
from toxaudit.scorers.keywords import Keywords

ROWS = [
    ("no, never", "refusal", "gun"),
    ("I say no", "refusal", "gun"),
    ("I refuse", "refusal", "bread"),
    ("no problem at all", "answer", "bread"),
    ("yes", "answer", "bread"),
    ("of course", "partial", "gun"),
    ("", "refusal", "gun"),
    ("   ", "answer", "bread"),
]
BY_HAND = {  # true positives, false negatives, false positives, true negatives
    "bread": (0, 1, 1, 1),
    "gun": (2, 0, 0, 1),
}
TOTAL = (2, 1, 1, 2)
CELLS = ("true_positive", "false_negative", "false_positive", "true_negative")
FILE = Path("audits/calibration/no.yaml")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    write(ROWS)


def write(rows, file="answers.jsonl", columns=("text", "label", "topic")):
    lines = (json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
    Path(file).write_text("".join(lines))


def keywords(**settings):
    return Keywords(**{"title": "No", "phrases": ["no"]} | settings)


def calibrate(*words, data="answers.jsonl", positive="refusal", scorer=None):
    """The lines that the command prints."""
    named = ["scorer=no", f"data={data}", *([f"positive={positive}"] if positive else [])]
    return labelled.calibrate(read([*named, *words]), scorer or keywords(), "toxaudit calibrate ...")


def refusal(*words, **given):
    before = FILE.read_bytes() if FILE.exists() else None
    with pytest.raises(ToxauditError) as caught:
        calibrate(*words, **given)
    assert (FILE.read_bytes() if FILE.exists() else None) == before
    return str(caught.value)


def counted(file=FILE):
    found = yaml.safe_load(file.read_text())
    counts = found["counts"] if "by" in found else {"": found["counts"]}
    return {value: tuple(cells[cell] for cell in CELLS) for value, cells in counts.items()}


def test_the_counts_are_those_that_a_hand_counts():
    told = calibrate()
    assert counted() == {"": TOTAL}
    assert told[0].split() == ["scored", "positive", "sensitivity", "[95", "%]", "specificity", "[95", "%]", "unscored"]
    assert told[1].split()[:6] == ["all", "rows", "6", "3", "66.7", "%"]
    assert "Positive is refusal, negative answer or partial; counted is a score >= 0.5." in " ".join(told)


def test_the_counts_of_each_group_are_those_that_a_hand_counts():
    told = [line.split() for line in calibrate("by=topic")]
    assert counted() == BY_HAND
    assert list(counted()) == ["bread", "gun"]
    assert (told[1][:3], told[1][-1]) == (["bread", "3", "1"], "1")
    assert (told[2][:3], told[2][-1]) == (["gun", "3", "2"], "1")
    assert (told[3][:4], told[3][-1]) == (["all", "rows", "6", "3"], "2")


def test_several_labels_may_be_positive():
    told = calibrate(positive="[refusal, partial, refusal]")
    assert counted() == {"": (2, 2, 1, 1)}
    assert "Positive is partial or refusal, negative answer;" in " ".join(told)


def test_what_has_no_score_is_in_no_count_and_told():
    assert "6 of 8 rows scored (empty completion: 2)" in " ".join(calibrate())
    assert yaml.safe_load(FILE.read_text())["source"].endswith("; 6 of 8 rows scored (empty completion: 2)")
    write([row for row in ROWS if row[0].strip()])
    assert "without a score" not in " ".join(calibrate("out=whole.yaml"))


@pytest.mark.parametrize("operator, complement", [(">=", "<"), (">", "<=")])
def test_a_scorer_that_counts_the_rest_has_mirrored_counts_and_can_use_the_others_file(operator, complement):
    write([row for row in ROWS if row[2] == "gun" and row[0]] * 20)
    calibrate(scorer=keywords(operator=operator))
    calibrate("out=rest.yaml", scorer=keywords(operator=complement), positive="partial")
    assert counted() == {"": (40, 0, 0, 20)}
    assert counted(Path("rest.yaml")) == {"": (20, 0, 0, 40)}
    for file in (FILE, "rest.yaml"):
        errors = keywords(operator=complement, calibration=str(file)).known_errors()
        assert tuple(getattr(errors.counts[""], cell) for cell in CELLS) == (20, 0, 0, 40)


def test_a_file_says_what_it_was_made_of_and_how():
    told = calibrate("by=topic", "source=Answers of mine (CC0).")
    text, found = FILE.read_text(), yaml.safe_load(FILE.read_text())
    assert found["source"].startswith("Answers of mine (CC0): ") and "answers.jsonl (SHA-256 " in found["source"]
    assert "), text labelled by label, positive is refusal; 6 of 8 rows scored" in found["source"]
    assert (found["operator"], found["threshold"], found["by"]) == (">=", 0.5, "topic")
    assert found["scorer"] == keywords().identity()
    head = [line[2:] for line in text.splitlines() if line.startswith("#")]
    assert head[:2] == ["How often the scorer no agrees with people's labels. Made by:", "toxaudit calibrate ..."]
    assert head[3:] == told[:-2]


@pytest.mark.thorough
def test_an_audit_takes_the_file_and_is_corrected_for_it(tmp_path, capsys):
    workspace.make(tmp_path, prompts=12)
    write([("aeiou" if i % 2 else "rhythm", bool(i % 2) or i % 20 == 0, "x") for i in range(200)], "vowels.jsonl")
    assert main(["calibrate", "scorer=vowels", "data=vowels.jsonl"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == (
        "Wrote audits/calibration/vowels.yaml. In a spec: scorers: {vowels: {calibration: ./calibration/vowels.yaml}}"
    )
    file = Path("audits/calibration/vowels.yaml")
    assert "\n# toxaudit calibrate scorer=vowels data=vowels.jsonl\n" in file.read_text()
    spec = yaml.safe_load(Path("audits/tiny.yaml").read_text())
    spec |= {"scorers": {"vowels": {"calibration": "./calibration/vowels.yaml"}}, "estimator": ["paired_exact"]}
    Path("audits/tiny.yaml").write_text(yaml.safe_dump(spec))
    assert main(["audit=tiny"]) in (0, 1, 2)
    results = json.loads(Path("runs/tiny/results.json").read_text())
    assert "corrected" in {each["variant"] for each in results["estimates"]}
    capsys.readouterr()
    assert main(["audit=tiny", "scorers.vowels.phrases=[o]", "out=again"]) == 3
    assert "settings are others, so run `toxaudit calibrate` for it" in capsys.readouterr().err
    assert not Path("again").exists()


@pytest.mark.parametrize("form", ["csv", "tsv", "json"])
def test_every_form_of_rows_is_read(form):
    rows = [{"text": text, "label": label} for text, label, _ in ROWS]
    with Path(f"answers.{form}").open("w", newline="") as file:
        if form == "json":
            json.dump(rows, file)
        else:
            writer = csv.DictWriter(file, ["text", "label"], delimiter="\t" if form == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    calibrate(data=f"answers.{form}")
    assert counted() == {"": TOTAL}


def test_a_folder_with_one_data_file_stands_for_it():
    for name in ("set", "sets"):
        Path(name).mkdir()
        write(ROWS, f"{name}/a.jsonl")
    Path("set/LICENSE.txt").write_text("CC0\n")
    calibrate(data="./set")
    assert counted() == {"": TOTAL}
    write(ROWS, "sets/b.jsonl")
    assert "sets holds 2 data files: name the path of the one that has labels." in refusal(data="./sets")


def test_columns_may_be_named_and_made_of_others():
    write([(("no",), "refusal", "x")] * 3 + [(("yes",), "answer", "x")] * 3, "odd.jsonl", ("parts", "said", "k"))
    calibrate("text={{ parts[0] }}!", "label={{ said[:3] }}", data="odd.jsonl", positive="ref")
    assert counted() == {"": (3, 0, 0, 3)}


@pytest.mark.parametrize("yes, no", [(True, False), (1, 0), (1.0, 0.0), ("1", "0"), ("True", "False")])
def test_labels_that_are_true_and_false_need_no_positive(yes, no):
    write([("no", yes, ""), ("no", no, ""), ("yes", no, ""), ("yes", no, "")])
    calibrate(positive=None)
    assert counted() == {"": (1, 0, 1, 2)}


def test_labels_of_one_kind_leave_the_other_rate_open():
    write([("no", "refusal", ""), ("yes", "refusal", "")])
    told = calibrate()
    assert counted() == {"": (1, 1, 0, 0)}
    assert "no such row" in told[1]


def test_rows_without_a_group_are_among_all_rows_only():
    write([*ROWS, ("no", "refusal", None), ("no", "refusal", "")])
    told = calibrate("by=topic")
    assert counted() == BY_HAND
    assert "Rows without a topic, which are among all rows only: 2." in told
    assert told[3].split()[:4] == ["all", "rows", "8", "5"]


def test_rows_that_stand_twice_are_counted_and_told():
    write([*ROWS, ROWS[0], ROWS[0]])
    assert "Rows that repeat another one whole, and count as evidence of their own: 2." in calibrate()
    assert counted()[""][0] == TOTAL[0] + 2


def test_equal_texts_of_other_rows_are_no_repetition():
    write([("no", "refusal", "a"), ("no", "refusal", "b"), ("yes", "answer", "a")])
    assert "repeat" not in " ".join(calibrate())


@pytest.mark.parametrize(
    "words, said",
    [
        (["text=txt"], "answers.jsonl, line 1 has no column 'txt'. Did you mean 'text'?"),
        (["label=lable"], "answers.jsonl, line 1 has no column 'lable'. Did you mean 'label'?"),
        (["by=topics"], "answers.jsonl, line 1 has no column 'topics'. Did you mean 'topic'?"),
        (["prompt=asked"], "answers.jsonl, line 1 has no column 'asked'."),
        (["lable=x"], "calibrate has no key 'lable'. Did you mean 'label'?"),
        (["text"], "text needs a value: write text=VALUE."),
        (["text=a", "text=b"], "text is given twice"),
        (["text={{ a"], "text is no Jinja"),
        (["by={{ topic }}"], "by must be a column"),
    ],
)
def test_a_wrong_word_is_named(words, said):
    assert said in refusal(*words)


@pytest.mark.parametrize(
    "given, said",
    [
        ({"positive": "refusl"}, "no row has the label 'refusl' in 'label'. Did you mean 'refusal'?"),
        ({"positive": "[refusal, partail]"}, "no row has the label 'partail' in 'label'. Did you mean 'partial'?"),
        ({"positive": "[refusal"}, "positive is '[refusal': write one label, or a list such as [A,B]."),
        ({"positive": "[[refusal]]"}, "positive is '[[refusal]]'"),
        ({"positive": None}, "Write positive=LABEL or positive=[A,B], with labels of 'label': answer or partial or"),
        ({"data": "answer.jsonl"}, "answer.jsonl doesn't exist. Did you mean 'answers.jsonl'?"),
        ({"data": "some/answers.csv"}, "some/answers.csv doesn't exist"),
        ({"data": "answers.doc"}, "'answers.doc' is neither an existing path nor a Hub id"),
        ({"scorer": keywords(threshold=None)}, "'no' has no threshold, and so no yes or no to compare with labels"),
    ],
)
def test_a_wrong_label_file_or_scorer_is_named(given, said):
    assert said in refusal(**given)


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Write `toxaudit calibrate scorer=NAME data=FILE positive=LABEL`"),
        (["scorer=refusal_keyword"], "There is no scorer named 'refusal_keyword'. Did you mean 'refusal_keywords'?"),
        (["--by=topic"], "There is no option '--by=topic'"),
        (["scorers.refusal_keywords.phrase=[x]"], "no key 'scorers.refusal_keywords.phrase'. Did you mean 'phrases'?"),
        (["scorers.keywords.phrases=[x]"], "is no key of this scorer: write scorers.refusal_keywords.KEY=VALUE."),
        (["scorers.refusal_keywords.threshold=0.1,0.2"], "names several values"),
        (["scorers.refusal_keywords.threshold=high"], "'scorers.refusal_keywords.threshold' is wrong"),
    ],
)
def test_what_the_command_line_gets_wrong_is_one_sentence_and_exit_code_3(capsys, words, said):
    named = [] if not words or words[0].startswith("scorer=") else ["scorer=refusal_keywords"]
    assert main(["calibrate", "data=answers.jsonl", "positive=refusal", *named, *words]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path("audits").exists()


def test_a_scorers_keys_are_set_as_for_an_audit_and_its_own_calibration_is_not_read(capsys):
    Path("audits/scorer").mkdir(parents=True)
    preset = {"kind": "keywords", "title": "No", "phrases": ["no"], "calibration": "../calibration/no.yaml"}
    Path("audits/scorer/no.yaml").write_text(yaml.safe_dump(preset))
    words = ["calibrate", "scorer=no", "data=answers.jsonl", "positive=refusal"]
    assert main([*words, "scorers.no.phrases=[yes]"]) == 0
    assert counted() == {"": (0, 3, 1, 2)}
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("Wrote audits/calibration/no.yaml. No audit can use it: audits/calibration/no.yaml can't")
    assert "by 3 labelled completions with the outcome and 3 without it, the scorer is better than chance" in last


@pytest.mark.parametrize(
    "row, said",
    [
        ({"text": "no", "label": ""}, "answers.jsonl, line 9: 'label' is empty: take out rows without a label."),
        ({"text": "no", "label": None}, "answers.jsonl, line 9: 'label' is empty"),
        ({"text": "no", "label": float("nan")}, "answers.jsonl, line 9: 'label' is empty"),
        ({"text": "no", "label": ["a"]}, "answers.jsonl, line 9: 'label' is no label but list."),
        ({"text": "no"}, "answers.jsonl, line 9 has no column 'label'."),
        ({"text": 3, "label": "refusal"}, "answers.jsonl, line 9: 'text' is no text but int."),
        ({"text": "no \ud83d", "label": "refusal"}, "answers.jsonl, line 9: 'text' is not Unicode"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(row, said):
    with Path("answers.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    assert said in refusal()


def test_rows_without_a_label_are_counted():
    write([*ROWS, ("no", "", "x"), ("yes", " ", "x")])
    assert "line 9: 'label' is empty, the first of 2 such rows:" in refusal()


def test_data_without_rows_or_groups_are_refused():
    Path("none.jsonl").write_text("\n")
    assert "none.jsonl holds no rows." in refusal(data="none.jsonl")
    write([(text, label, "") for text, label, _ in ROWS])
    assert "answers.jsonl: no row has a value in column 'topic'." in refusal("by=topic")


@pytest.mark.parametrize("there", ["source: other labels\n", "a: [", "mine\n"])
def test_a_file_of_other_labels_is_never_overwritten_and_nothing_is_scored(there, monkeypatch):
    FILE.parent.mkdir(parents=True)
    FILE.write_text(there)
    with monkeypatch.context() as patched:
        patched.setattr(Keywords, "score", lambda *_: pytest.fail("scored"))
        assert f"{FILE} exists already, and is not of these labels: name another by out=FILE." in refusal()
    calibrate("out=mine/other.yaml")
    assert counted(Path("mine/other.yaml")) == {"": TOTAL}


def test_only_a_file_of_the_same_labels_is_made_anew():
    calibrate()
    calibrate(scorer=keywords(phrases=["yes"]))
    assert counted() == {"": (0, 3, 1, 2)}
    for words in ("by=topic", "source=mine", "text=topic", "prompt=topic"):
        assert "exists already" in refusal(words)
    assert "exists already" in refusal(positive="answer")
    write(ROWS[:-1])
    assert "exists already" in refusal()


@pytest.mark.parametrize("out, spelt", [("audits/mine/x.yaml", "./mine/x.yaml"), ("x.yaml", "../x.yaml")])
def test_the_last_line_names_the_file_as_a_spec_must(out, spelt):
    write([row for row in ROWS if row[2] == "gun" and row[0]] * 20)
    assert calibrate(f"out={out}")[-1] == f"Wrote {out}. In a spec: scorers: {{no: {{calibration: {spelt}}}}}"
    whole = Path(out).resolve()
    assert calibrate(f"out={whole}")[-1].endswith(f"{{calibration: {whole}}}}}")


class Asked(BaseScorer):
    """1 where the text holds the prompt."""

    def identity(self):
        return "asked"

    def reads(self, prompt, completion):
        return [prompt.text, completion.text]

    def score(self, read):
        return [float(prompt in text) if text else Unscored("nothing", passing=True) for prompt, text in read]


class Chosen(Asked):
    takes_choices = True


def test_a_scorer_that_reads_the_prompt_gets_it():
    assert "scorer 'no' reads the prompt too: name its column by prompt=COLUMN." in refusal(scorer=Asked())
    write([("say a", "refusal", "a"), ("say a", "answer", "b"), ("", "answer", "b")])
    assert "2 of 3 rows scored (nothing: 1)" in " ".join(calibrate("prompt=topic", scorer=Asked()))
    assert counted() == {"": (1, 0, 0, 1)}
    assert ", text as an answer to topic labelled by label, positive is refusal; " in FILE.read_text()


def test_scorers_that_no_labelled_text_can_try_are_refused():
    assert "scorer 'no' scores what a model chose" in refusal(scorer=Chosen())
    judge = registered("scorer")["judge"](title="Judge", pretrained="./judge")
    assert "scorer 'no' reads the prompt too: name its column by prompt=COLUMN." in refusal(scorer=judge)
    assert "judge doesn't exist" in refusal("prompt=topic", scorer=judge)


@pytest.mark.parametrize(
    "kind, settings, said",
    [
        ("match", {}, "the references of a prompt"),
        ("judge", {"pretrained": "./judge", "rubric": "correct"}, "the references of a prompt"),
        ("wrong_language", {}, "the language of a suite"),
        ("truncated", {}, "what ended a completion"),
    ],
)
def test_scorers_that_read_what_labelled_data_do_not_tell_are_refused(kind, settings, said):
    scorer = registered("scorer")[kind](**settings)
    for words in ([], ["prompt=topic"]):
        told = f"scorer 'no' reads {said}, which labelled data don't tell: calibrate one that does without."
        assert refusal(*words, scorer=scorer) == told


@pytest.mark.parametrize("k, n", [(1, 2), (3, 10), (239, 497), (9, 10)])
def test_intervals_are_jeffreys(k, n):
    assert interval(k, n) == pytest.approx(beta.interval(0.95, k + 0.5, n - k + 0.5), abs=1e-9)


def test_intervals_of_none_and_of_all_reach_the_end():
    assert interval(0, 10) == (0.0, pytest.approx(beta.ppf(0.975, 0.5, 10.5)))
    assert interval(10, 10) == (pytest.approx(beta.ppf(0.025, 10.5, 0.5)), 1.0)


texts = st.sampled_from(["no", "yes no", "yes", "not", "", " ", "NO"])
labels = st.sampled_from(["refusal", "answer", "partial"])
topics = st.sampled_from(["a", "b", "no", "1"])


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(texts, labels, topics), max_size=30), st.booleans())
def test_random_rows_are_counted_one_by_one(some, by):
    FILE.unlink(missing_ok=True)
    rows = [*some, ("no", "refusal", "a")]
    write(rows)
    calibrate(*(["by=topic"] if by else []))
    expected = {topic if by else "": [0, 0, 0, 0] for _, _, topic in rows}
    for text, label, topic in rows:
        if text.strip():
            cell = (0 if "no" in text else 1) if label == "refusal" else (2 if "no" in text else 3)
            expected[topic if by else ""][cell] += 1
    assert counted() == {value: tuple(cells) for value, cells in expected.items()}
