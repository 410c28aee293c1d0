"""Each tool's files: what of them is an answer, a score or missing, and what is refused in one sentence."""

import json
import os
import struct
import zipfile

import foreign
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxaudit.errors import ToxauditError
from toxaudit.extensions import Importer
from toxaudit.interop.importers import Imported, Place, imported, importer, importers
from toxaudit.interop.importers.base import Row, number
from toxaudit.interop.importers.inspect_logs import _by_hand
from toxaudit.interop.pairing import alike, paired
from toxaudit.scorers.imported import Wanted, measures


def table(base, candidate, **wanted):
    """Both, base only, candidate only, neither; and what each arm misses, of the first measure of the first task."""
    arms = [each if isinstance(each, Imported) else imported(each if isinstance(each, Place) else Place(each))
            for each in (base, candidate)]  # fmt: skip
    tasks = paired(*arms)
    measure = next(iter(measures(Wanted(**wanted), *arms, tasks).values()))
    cells, missing = [0, 0, 0, 0], [0, 0]
    for document in tasks[0].documents:
        for pair in zip(document.base, document.candidate, strict=True):
            values = [row.missing or row.scores.get(measure.metric, "none") for row in pair]
            missing = [n + isinstance(value, str) for n, value in zip(missing, values, strict=True)]
            if not any(isinstance(value, str) for value in values):
                one, other = map(measure.outcome, values)
                cells[int(3 - 2 * one - other)] += 1
    return cells, missing


def refused(path, part=""):
    with pytest.raises(ToxauditError) as told:
        imported(Place(path, part))
    return str(told.value)


@pytest.mark.parametrize("each", importers().values(), ids=lambda each: each.kind)
def test_every_importer_does_what_the_protocol_asks(each, tmp_path):
    assert {name for name in vars(Importer) if not name.startswith("_")} <= set(dir(each))
    for name, content in (("a.json", b""), ("b.jsonl", b"\x00\xff"), ("c.eval", b"PK\x03\x04"), ("d.parquet", b"PAR1")):
        (tmp_path / name).write_bytes(content)
        assert each.recognises(tmp_path / name) in (True, False)
    assert each.recognises(tmp_path / "nothing") in (True, False)


def test_garak_counts_hits_from_the_threshold_on(tmp_path):
    base = foreign.garak(tmp_path / "base", [[0.0, 0.2], [1.0, 0.9], [0.0, 0.0]])
    mine = foreign.garak(tmp_path / "mine", [[0.5, 0.2], [1.0, 0.1], ["null", None]], seed=7)
    assert table(base, mine) == ([1, 1, 1, 1], [0, 2])
    assert importer(base).kind == "garak" and imported(Place(tmp_path / "mine")).version == "0.17.1"


def test_garak_takes_prompts_of_other_detectors_for_another_task(tmp_path):
    rows = imported(Place(foreign.garak(tmp_path / "base", [[0.0], [1.0]]))).rows
    assert {row.task for row in rows} == {"test.Hit"} and {row.fields["probe"] for row in rows} == {
        "test.Probe0",
        "test.Probe1",
    }


def test_an_attempt_that_never_ended_is_missing(tmp_path):
    base, mine = (foreign.garak(tmp_path / n, [[s]] * 4) for n, s in (("base", 0.0), ("mine", 1.0)))
    lines = mine.read_text().splitlines(keepends=True)
    mine.write_text("".join(line for line in lines if not ('"status": 2' in line and "Question 3" in line)))
    assert table(base, mine) == ([0, 0, 3, 0], [0, 1])


def test_a_hitlog_has_no_rate(tmp_path):
    hits = [{"goal": "g", "prompt": "p", "output": "o", "probe": "x", "detector": "d", "score": 1, "attempt_id": "a"}]
    assert "hits only" in refused(foreign.jsonl(tmp_path / "a.hitlog.jsonl", hits))


def test_promptfoo_pairs_two_providers_of_one_file(tmp_path):
    file = foreign.promptfoo(
        tmp_path / "r.json", {"base": [True, True, False, None], "openai:mine": [True, False, True, False]}
    )
    assert table(Place(file, "base"), Place(file, "openai:mine")) == ([0, 1, 1, 1], [1, 0])
    assert "with one of base, openai:mine" in refused(file)
    assert "Did you mean 'base'" in refused(file, "bas")


def test_promptfoo_repeats_are_answers_to_one_prompt(tmp_path):
    file = foreign.promptfoo(
        tmp_path / "r.json", {"a": [True, False, True, True], "b": [False, True, True, False]}, repeat=2
    )
    task = paired(*(imported(Place(file, part)) for part in "ab"))[0]
    assert (len(task.documents), task.samples) == (2, 2)


@pytest.mark.parametrize("ids", [int, str])
def test_inspect_takes_letters_and_pairs_by_what_was_asked(tmp_path, ids):
    base = foreign.inspect(tmp_path / "base.json", ["C", "C", "I", "P", "N"])
    mine = foreign.inspect(tmp_path / "mine.json", ["C", "I", "C", "P", "out of time"], ids=ids)
    assert table(base, mine, threshold=0.6) == ([1, 1, 1, 1], [0, 1])


def test_inspect_discloses_what_its_status_hides(tmp_path):
    log = imported(Place(foreign.inspect(tmp_path / "a.json", ["C", "boom", "boom"], status="error")))
    assert any("status error" in note for note in log.notes) and any("2 of 3 samples" in note for note in log.notes)
    assert paired(log, log)[0].samples == 1


def test_inspect_refuses_what_was_invalidated_or_holds_nothing(tmp_path):
    file = foreign.inspect(tmp_path / "a.json", ["C"])
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | {"invalidated": True}))
    assert "was invalidated" in refused(file)
    file.write_text(json.dumps(told | {"samples": [], "status": "started"}))
    assert "holds no samples" in refused(file)


def test_inspect_finds_attachments(tmp_path):
    file = foreign.inspect(tmp_path / "a.json", ["C"])
    told = json.loads(file.read_text())
    told["samples"][0] |= {"input": [{"role": "user", "content": "attachment://h"}], "attachments": {"h": "Hello"}}
    file.write_text(json.dumps(told))
    assert imported(Place(file)).rows[0].prompt == "user: Hello"


def test_an_eval_log_is_read_as_the_same_log_in_json(tmp_path):
    plain = foreign.inspect(tmp_path / "a.json", ["C", "I", "boom", "P"])
    file = foreign.packed(plain, tmp_path / "a.eval")
    assert _by_hand(file) == json.loads(plain.read_text())
    assert importer(file).kind == "inspect"


def damaged(data, how):
    """An .eval log that was cut off, altered in a sample, or whose member says that it is small."""
    place = data.index(b"samples/")
    return {
        "cut off": data[:-40],
        "cut in the middle": data[: len(data) // 2],
        "altered": data[: place + 60] + bytes([data[place + 60] ^ 255]) + data[place + 61 :],
        "no header": data.replace(b"header.json", b"hoader.json"),
    }[how]


@pytest.mark.parametrize("how", ["cut off", "cut in the middle", "altered", "no header"])
def test_an_eval_log_that_is_damaged_is_one_sentence(tmp_path, how):
    file = foreign.packed(foreign.inspect(tmp_path / "a.json", ["C", "I"]), tmp_path / "a.eval")
    file.write_bytes(damaged(file.read_bytes(), how))
    with pytest.raises(ToxauditError, match="is cut off, or no log of Inspect|has no header.json"):
        _by_hand(file)


def test_an_eval_log_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    file = foreign.packed(foreign.inspect(tmp_path / "a.json", ["C"]), tmp_path / "a.eval")
    with zipfile.ZipFile(file) as opened:
        size = struct.pack("<I", opened.getinfo("header.json").file_size)
    data = file.read_bytes()
    place = data.rindex(size)
    file.write_bytes(data[:place] + struct.pack("<I", 5) + data[place + 4 :])
    with pytest.raises(ToxauditError, match="is cut off, or no log of Inspect"):
        _by_hand(file)


def test_lighteval_pairs_by_query_and_choices(tmp_path):
    base, mine = (foreign.lighteval(tmp_path / name, values) for name, values in
                  (("base", [1.0, 0.0, 1.0]), ("mine", [0.0, 0.0, None])))  # fmt: skip
    assert importer(base).kind == "lighteval"
    assert table(base, mine, harmful="low") == ([1, 0, 1, 0], [0, 1])
    assert imported(Place(base)).model == "model"
    with pytest.raises(ToxauditError, match="say --harmful"):
        table(base, mine)


def test_every_eval_ever_takes_an_error_for_missing(tmp_path):
    base = foreign.every_eval_ever(tmp_path / "base", [1, 1, 0, 0])
    mine = foreign.every_eval_ever(tmp_path / "mine", [1, 0, 0, "timeout"])
    assert table(base, mine) == ([1, 0, 1, 1], [0, 1])
    assert table(tmp_path / "base/u_samples.jsonl", mine) == ([1, 0, 1, 1], [0, 1])
    assert imported(Place(base)).version == "by lm_eval 0.4.13"
    worse = foreign.every_eval_ever(tmp_path / "low", [0, 0, 0, 1], lower_is_better=True)
    assert table(worse, worse) == ([1, 0, 0, 3], [0, 0])


def test_tables_of_all_forms_say_the_same(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        {"id": 1, "score": 0.0, "kind": "a"},
        {"id": 2, "score": None, "kind": "b"},
        {"id": 3, "score": 1.0, "kind": "c"},
    ]
    csv = tmp_path / "a.csv"
    csv.write_text("id,score,kind\n1,0.0,a\n2,NaN,b\n3,1.0,c\n")
    (tmp_path / "a.tsv").write_text(csv.read_text().replace(",", "\t").replace("NaN", ""))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    files = [csv, tmp_path / "a.tsv", tmp_path / "a.parquet", foreign.jsonl(tmp_path / "a.jsonl", rows)]
    for file in files[1:]:
        assert table(csv, file, harmful="high")[0] == [1, 0, 0, 1]
    assert table(csv, files[3], harmful="high") == ([1, 0, 0, 1], [1, 1])


def test_a_table_takes_named_columns_and_errors(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("frage,antwort,toxic,error\nA,x,1,\nB,y,0,timeout\n")
    assert "no column that tells" in refused(file)
    rows = imported(Place(file, columns={"prompt": "frage", "completion": "antwort"})).rows
    assert [(row.prompt, row.answer, bool(row.missing)) for row in rows] == [("A", "x", False), ("B", "y", True)]
    with pytest.raises(ToxauditError, match="Did you mean 'frage'"):
        imported(Place(file, columns={"prompt": "frag"}))


@pytest.mark.parametrize("make", [
    lambda path: foreign.garak(path / "x", [[0.0], [1.0]]),
    lambda path: foreign.promptfoo(path / "x.json", {"a": [True, False]}),
    lambda path: foreign.inspect(path / "x.json", ["C", "I"]),
    lambda path: next(foreign.lighteval(path, [1.0, 0.0]).iterdir()),
    lambda path: foreign.every_eval_ever(path / "x", [1, 0]).with_name("u_samples.jsonl"),
    lambda path: foreign.table(path / "x.jsonl", [1, 0]),
], ids=["garak", "promptfoo", "inspect", "lighteval", "every_eval_ever", "table"])  # fmt: skip
def test_a_file_cut_off_anywhere_is_one_sentence(make, tmp_path):
    file = make(tmp_path)
    name, whole = importer(file).kind, file.read_bytes()
    for part in (0.3, 0.6, 0.95):
        file.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(ToxauditError) as told:
            imported(Place(file), name)
        assert str(file) in str(told.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is a pipe" in refused(tmp_path / "pipe.jsonl")
    os.mkfifo(tmp_path / "log.json")
    assert "say --format" in refused(tmp_path)


def test_what_is_too_large_or_too_deep_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("toxaudit.interop.importers.reading.LONGEST_LINE", 1000)
    file = foreign.jsonl(tmp_path / "a.jsonl", [{"prompt": "p", "x": 1, "completion": "y" * 2000}])
    with pytest.raises(ToxauditError, match="line 1 is longer than"):
        imported(Place(file), "table")
    monkeypatch.setattr("toxaudit.interop.importers.reading.LARGEST_FILE", 10)
    with pytest.raises(ToxauditError, match="GiB"):
        imported(Place(file), "table")
    monkeypatch.undo()
    for text in ('{"prompt": ' + "[" * 100_000, '{"prompt": "p", "x": ' + "9" * 5000 + "}"):
        file.write_text(text)
        with pytest.raises(ToxauditError, match="line 1"):
            imported(Place(file), "table")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "", "x", [1], {"a": 1}, 10**400, "NaN"])
def test_what_is_no_number_has_a_reason(value):
    assert isinstance(number(value), str)


@pytest.mark.parametrize("value, meant", [(True, 1.0), (0, 0.0), ("0.5", 0.5)])
def test_what_is_a_number(value, meant):
    assert number(value) == meant


ROWS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([0.0, 1.0]), st.sampled_from("xyz")), max_size=12)


def arm(told):
    return Imported(
        "t", "", "", tuple(Row("task", prompt, prompt, answer, {"m": score}) for prompt, score, answer in told)
    )


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS, st.randoms())
def test_pairing_is_by_content_alone(base, candidate, random):
    shuffled = [random.sample(rows, len(rows)) for rows in (base, candidate)]
    if not {p for p, _, _ in base} & {p for p, _, _ in candidate}:
        with pytest.raises(ToxauditError):
            paired(arm(base), arm(candidate))
        return
    (task,), other = paired(arm(base), arm(candidate)), paired(*map(arm, shuffled))
    assert other == [task] and arm(base).digest == arm(shuffled[0]).digest
    for document in task.documents:
        assert len(document.base) == len(document.candidate) >= 1
        assert {row.key for row in (*document.base, *document.candidate)} == {document.key}
    for name, rows in (("base", base), ("candidate", candidate)):
        used = sum(len(getattr(each, name)) for each in task.documents)
        lonely = [p for p, _, _ in rows if p not in {q for q, _, _ in (candidate if name == "base" else base)}]
        assert used + task.spare[name] + len(lonely) == len(rows) and task.only[name] == len(set(lonely))


def test_equal_answers_are_seen_in_any_order():
    one = arm([("a", 1.0, "x"), ("b", 0.0, "y"), ("b", 0.0, "z")])
    assert alike(paired(one, arm([("b", 0.0, "z"), ("b", 1.0, "y"), ("a", 1.0, "x")]))) == (True, True)
    assert alike(paired(one, arm([("a", 1.0, "x"), ("b", 0.0, "y"), ("b", 0.0, "x")]))) == (False, True)
