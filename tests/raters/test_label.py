"""`toxaudit label` draws by design, hides the arm, keeps each label, and lets no answer act in a terminal or a page."""

import io
import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import labelling
import pytest
from labelling import HOSTILE

from toxaudit import labels
from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.raters import page, table
from toxaudit.raters.drawing import Wanted, _command, drawn
from toxaudit.raters.terminal import ask
from toxaudit.recomputation import read_checked

FILE = Path("audits/labels/mine.json")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return labelling.run(tmp_path_factory.mktemp("runs") / "mine")[0]


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    shutil.copytree(finished, "runs/mine")
    return Path("runs/mine")


def label(capsys, monkeypatch, typed, *options):
    """What the command prints where somebody types this, and its exit code."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    code = main(["label", "runs/mine", *options])
    return code, capsys.readouterr()


def file():
    return labels.read(FILE)


def test_a_draw_takes_both_answers_of_prompts_from_each_cell(run):
    sheet = drawn(Wanted(run, 40), "1")
    draw = file().draws[0]
    assert draw.there == {"n11": 0, "n10": 0, "n01": 6, "n00": 42, "same11": 6, "same00": 6}
    assert draw.drawn == {"n11": 0, "n10": 0, "n01": 4, "n00": 15, "same11": 1, "same00": 1}
    assert len(sheet.items) == len(file().answers) == 40
    prompts = [item.prompt for item in sheet.items]
    assert all(prompts.count(each) == (1 if int(each[4:]) % 5 == 0 else 2) for each in prompts)


def test_more_answers_enlarge_a_draw_and_keep_its_labels_and_fewer_are_refused(run):
    before = drawn(Wanted(run, 20), "1")
    labels.write(FILE, lambda found: labelling.judged(found, dict.fromkeys(found.answers, True)))
    after = drawn(Wanted(run, 60), "1")
    assert file().draws[0].prompts[:10] == labels.read(FILE).draws[0].prompts[:10] and len(file().draws) == 1
    assert {item.key for item in before.items} < {item.key for item in after.items}
    assert sum(map(bool, file().answers.values())) == len(before.items)
    assert drawn(Wanted(run), "1") == after
    with pytest.raises(ToxauditError, match="holds a draw of 60 answers already, which can be enlarged only"):
        drawn(Wanted(run, 40), "1")
    assert len(drawn(Wanted(run, 5000), "1").items) == 60 + 48  # all there are, equal answers once


def test_order_and_keys_tell_nothing_of_the_arm(run):
    """Were arms exchanged, prompts would be drawn of exchanged cells, and nothing else would differ."""
    items = drawn(Wanted(run, 5000), "1").items
    of_base = [item.answer.endswith("base") for item in items if not item.answer.split()[-1].isdigit()]
    first = [one for one, other in zip(of_base, of_base[1:], strict=False) if one != other]
    assert 15 < sum(first) < 45 and [item.key for item in items] != sorted(item.key for item in items)
    assert [item.key for item in drawn(Wanted(run), "2").items] != [item.key for item in items]


def test_a_person_labels_stops_goes_back_and_goes_on(run, capsys, monkeypatch):
    code, said = label(capsys, monkeypatch, "y\nmaybe\nN\nb\ns\nq\n", "--n", "20")
    assert code == 0 and "Write one of: y yes, n no, s can't tell, b back, q quit." in said.out
    assert (
        said.out.count("this one: no") == 1 and "Would you count this answer under “Toxicity” (toxicity)?" in said.out
    )
    items = drawn(Wanted(run), "1").items
    assert [file().answers[item.key] for item in items[:3]] == [{"1": "yes"}, {"1": "skip"}, {}]
    code, said = label(capsys, monkeypatch, "n\n" * 100)
    assert f"--- Answer 3 of {len(items)}; 2 labelled ---" in said.out and "Answer 1 of" not in said.out
    assert all(file().answers.values()) and f"{len(items)} of {len(items)} answers are labelled by rater 1." in said.out
    assert said.out.splitlines()[-1] == "Next: toxaudit audit=mine gate.margin=0.2 labels=audits/labels/mine.json"
    code, said = label(capsys, monkeypatch, "y\ny\n", "--rater", "ann")
    assert "1 more rater has labelled some" in said.out and "the same command goes on from here" in said.out
    assert sum("ann" in told for told in file().answers.values()) == 2


def test_arms_are_told_nowhere_on_the_screen(run, capsys, monkeypatch):
    _, said = label(capsys, monkeypatch, "n\n" * 200)
    heads = [line for line in said.out.splitlines() if not line.startswith("  | ")]
    assert not any(word in " ".join(heads) for word in ("base", "candidate", "by x", "n01"))


def test_a_hostile_answer_does_nothing_in_a_terminal(run, capsys, monkeypatch):
    shutil.rmtree("runs/mine")
    labelling.run(Path("runs/mine"), lambda number, arm: HOSTILE if arm == "x" else labelling.told(number, arm))
    _, said = label(capsys, monkeypatch, "n\n" * 40)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", said.out)
    assert "\n  | [y yes, n no]\n" in said.out  # what imitates us stands behind a mark


def test_very_long_answers_end_somewhere(run, capsys, monkeypatch):
    shutil.rmtree("runs/mine")
    labelling.run(Path("runs/mine"), lambda number, arm: f"kind {number} {arm}" + "x" * 30_000, prompts=12)
    _, said = label(capsys, monkeypatch, "q\n", "--n", "20")
    assert "more characters" in said.out and max(map(len, said.out.splitlines())) < 20_100


def test_thoughts_are_not_shown_for_they_are_not_scored(run):
    shutil.rmtree("runs/mine")
    labelling.run(Path("runs/mine"), lambda number, arm: f"<think>\nby {arm}\n</think>\n\nkind {number} {arm}")
    assert all(item.answer.startswith("kind") for item in drawn(Wanted(run), "1").items)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"choices": True}, "on suite 'one' models chose among given answers"),
    ],
)
def test_what_can_not_be_labelled_is_said(facts, why, run, capsys, monkeypatch):
    shutil.rmtree("runs/mine")
    labelling.run(Path("runs/mine"), **facts)
    code, said = label(capsys, monkeypatch, "")
    assert code == 3 and f"runs/mine has no answers to label: {why}" in said.err and not FILE.exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--n", "19"], "--n is '19': it must be a whole number of answers, 20 or more."),
        (["--n", "x"], "--n is 'x'"),
        (["--measure", "toxik"], "runs/mine has no measure 'toxik' to label. Did you mean 'toxic'?"),
        (["--candidate", "base"], "runs/mine has no candidate 'base' to label. Choose from: x."),
        (["--suite", "two"], "runs/mine has no suite 'two' to label."),
        (["--rater", "a/b"], "--rater is 'a/b': it must be a name"),
        (["--page", "x.txt"], "--page is 'x.txt': it must be the name of a file that ends in .html."),
        (["--read", "no.csv"], "no.csv can't be read: No such file or directory."),
        (["--page", "x.html", "--read", "x.csv"], "give one of them"),
        (["--file", "runs/mine/results.json"], "runs/mine/results.json is no file of labels"),
        (["more"], "Write `toxaudit label RUN [--n 100]`, with RUN the folder"),
    ],
)
def test_a_mistake_is_one_sentence(options, why, run, capsys, monkeypatch):
    code, said = label(capsys, monkeypatch, "", *options)
    assert code == 3 and why in said.err and said.err.count("\n") == 1


def test_several_changes_are_told_apart_by_name(run, capsys, monkeypatch):
    content = json.loads((run / "results.json").read_text())
    found = read_checked(run)
    twice = replace(found, candidates=(*found.candidates, replace(found.candidates[0], name="z")))
    monkeypatch.setattr("toxaudit.raters.drawing.read_checked", lambda folder: twice)
    code, said = label(capsys, monkeypatch, "")
    assert (
        code == 3
        and "2 changes that can be labelled: name one, as by --measure toxic --suite one --candidate x; " in said.err
    )
    assert content["audit"] == "mine"


def test_a_run_whose_audit_has_a_name_that_leads_elsewhere_needs_a_file(run, capsys, monkeypatch):
    odd = replace(read_checked(run), audit="../../../mine")
    monkeypatch.setattr("toxaudit.raters.drawing.read_checked", lambda folder: odd)
    code, said = label(capsys, monkeypatch, "")
    assert code == 3 and "so name a file of labels: --file FILE.json." in said.err
    assert label(capsys, monkeypatch, "", "--file", "own.json")[0] == 0


def test_the_next_command_is_what_was_typed_and_nothing_else(run):
    for typed, meant in (
        ("toxaudit audit=mine labels=old.json out=x", "toxaudit audit=mine out=x labels='l b.json'"),
        ("toxaudit audit=mine; rm -rf x", "toxaudit 'audit=mine;' rm -rf x labels='l b.json'"),
        ("rm -rf x", "toxaudit audit=mine labels='l b.json'"),
        ("toxaudit 'audit=mine", "toxaudit audit=mine labels='l b.json'"),
    ):
        found = _command(replace(read_checked(run), command=typed), Path("l b.json"))
        assert shlex.split(found) == [*shlex.split(meant)[:-1], "labels='l b.json'"]


def test_a_file_of_another_runs_labels_is_refused_and_kept(run, capsys, monkeypatch):
    label(capsys, monkeypatch, "y\n")
    before = FILE.read_bytes()
    shutil.rmtree("runs/mine")
    labelling.run(Path("runs/mine"), lambda number, arm: labelling.told(number, arm) + " again")
    code, said = label(capsys, monkeypatch, "y\n")
    assert code == 3 and "is of other answers than these models give here: 53 of the 53 prompts" in said.err
    assert FILE.read_bytes() == before
    assert label(capsys, monkeypatch, "y\n", "--file", "other.json")[0] == 0


def test_a_run_that_was_changed_is_not_labelled(run, capsys, monkeypatch):
    samples = run / "samples_one.jsonl"
    samples.write_text(samples.read_text().replace("kind words 3 by x", "rude words 3 by x"))
    code, said = label(capsys, monkeypatch, "y\n")
    assert code == 3 and "samples_one.jsonl was changed" in said.err and not FILE.exists()


def test_a_page_holds_no_active_text_and_no_arm(run):
    shutil.rmtree("runs/mine")
    labelling.run(Path("runs/mine"), lambda number, arm: HOSTILE if arm == "x" else labelling.told(number, arm))
    html = page.page(drawn(Wanted(run, 20), "1"))
    body = html.split("<body>")[1].split("<script>")[0]
    assert "<img" not in body and "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in body and "{{ 7*7 }}" in body
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", body) and "http" not in html.replace(
        "http-equiv", ""
    )
    assert html.count("<script") == 1 and "default-src 'none'" in html and "n01" not in html


def test_a_page_is_written_and_what_it_saves_is_taken_in(run, capsys, monkeypatch):
    code, said = label(capsys, monkeypatch, "", "--n", "20", "--page", "new/page.html")
    assert code == 0 and said.out.splitlines()[-1].endswith("run: toxaudit label runs/mine --read labels.csv")
    keys = re.findall('data-key="([^"]+)"', Path("new/page.html").read_text())
    Path("labels.csv").write_text("answer,label\r\n" + "".join(f"{key},no\r\n" for key in keys[1:]), newline="")
    code, said = label(capsys, monkeypatch, "", "--read", "labels.csv", "--rater", "ann")
    assert code == 0 and f"Took in {len(keys) - 1} labels by rater ann." in said.out
    assert sum(told == {"ann": "no"} for told in file().answers.values()) == len(keys) - 1


KEY, OTHER = "ab" * 32, "1" * 63 + "e"


@pytest.mark.parametrize(
    "text",
    [
        f"answer,label\r\nk{KEY},yes\r\nk{OTHER},no\r\n".encode(),
        f"\ufeffanswer;label\nk{KEY};YES\nk{OTHER};No\n".encode(),
        f"Answer\tLabel\tmine\nk{KEY}\ttrue\tx\nk{OTHER}\t0\n".encode(),
        f'label,answer\n"y","{KEY}"\n\n,\nn,"{OTHER}"\n'.encode(),
        f"answer,label\nk{KEY},yes\nk{OTHER},no\n".encode("utf-16"),
    ],
)
def test_a_table_is_read_as_spreadsheets_write_it(text, tmp_path):
    (tmp_path / "x.csv").write_bytes(text)
    assert table.read(tmp_path / "x.csv", {KEY, OTHER}) == {KEY: "yes", OTHER: "no"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "must have one column 'answer'"),
        (b"answer,answer,label\n", "must have one column 'answer'"),
        (b"answer\nx\n", "must have one column 'label'"),
        (b"answer,label\n1.11E+63,yes\n", "line 2: '1.11E+63' is no answer"),
        (f"answer,label\nk{KEY},=yes\n".encode(), "line 2: '=yes' is no label"),
        (f"answer,label\nk{KEY},=HYPERLINK(0)\n".encode(), "is no label"),
        (f"answer,label\nk{KEY},yes\nk{KEY},no\n".encode(), "line 3: this answer has another label further up"),
        (b"answer,label\n\xff\xff", "is no text in UTF-8"),
        (b'answer,label\n"x', "is no row of a table"),
        (b"answer,label\n" + b'"' + b"x" * 200_000 + b'",yes', "is no "),  # libraries lift the limit on a cell
    ],
)
def test_a_table_that_is_none_is_one_sentence(text, why, tmp_path):
    (tmp_path / "x.csv").write_bytes(text)
    with pytest.raises(ToxauditError) as caught:
        table.read(tmp_path / "x.csv", {KEY})
    assert why in str(caught.value)


def test_a_text_that_stands_twice_is_labelled_once_and_for_both(run, tmp_path):
    """As in the quickstart, where some texts belong to two categories."""
    twice = {"prompts": 120, "copies": 2}
    shutil.rmtree("runs/mine")
    labelling.run(Path("runs/mine"), **twice)
    sheet = drawn(Wanted(run, 40), "1")
    assert sum(file().draws[0].there.values()) == 60 and len(file().answers) == len(sheet.items) == 40
    judged = labelling.judged(file(), {item.key: "rude" in item.answer for item in sheet.items})
    folder, result = labelling.run(tmp_path / "with", labels=judged, **twice)
    (told,) = (each for each in result.estimates if each.variant == "labelled")
    assert (result.labels[0].labelled, result.labels[0].prompts) == (40, 21)
    assert told.diagnostics.values == {"clusters": 60, "effective_clusters": 60, "labelled_prompts": 42}
    assert read_checked(folder) == result


def test_a_run_with_labels_is_read_only_where_they_bear_it_out(run, tmp_path):
    drawn(Wanted(run, 60), "1")
    judged = labelling.judged(file(), {key: False for key in file().answers})
    folder, result = labelling.run(tmp_path / "with", labels=judged)
    assert read_checked(folder) == result and result.labels[0].prompts == 32
    variants = [each.variant for each in result.estimates]
    assert variants == ["observed", "other prior", "labelled"]

    def refused(change):
        before = (folder / "results.json").read_text()
        content = json.loads(before)
        change(content)
        (folder / "results.json").write_text(json.dumps(content))
        with pytest.raises(ToxauditError) as caught:
            read_checked(folder)
        (folder / "results.json").write_text(before)
        return str(caught.value)

    assert "'labels.0.labelled' is 1," in refused(lambda found: found["labels"][0].update(labelled=1))
    assert "'labels.0.raters' is 3," in refused(lambda found: found["labels"][0].update(raters=3))
    assert "labels of x and 'toxic'" in refused(lambda found: found.update(labels=[]))
    (folder / labels.COPY).unlink()
    with pytest.raises(ToxauditError, match="labels.json makes it not so"):
        read_checked(folder)


def test_asking_saves_before_the_next_answer_is_shown(run):
    sheet = drawn(Wanted(run, 20), "1")
    kept = []

    def read():
        kept.append(sum(map(bool, file().answers.values())))
        return "y\n" if len(kept) < 4 else ""

    ask(sheet, read, lambda text: None)
    assert kept == [0, 1, 2, 3]
