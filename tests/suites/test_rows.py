"""Every form of file gives the same rows, and every damaged one is named by file and line."""

import csv
import json
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import datasets
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from toxaudit.errors import ToxauditError
from toxaudit.suites import rows
from toxaudit.suites.dataset import Dataset


@pytest.fixture
def read(tmp_path):
    """The rows of a file with that name and content."""

    def read(name, data):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return list(rows.read(tmp_path / name))

    return read


def refusal(read, name, data):
    with pytest.raises(ToxauditError) as caught:
        read(name, data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


ROWS = [{"a": "x", "b": "1"}, {"a": "y, z", "b": "2"}]


@pytest.mark.parametrize(
    "name, data, numbers",
    [
        ("rows.jsonl", '{"a": "x", "b": "1"}\n\n{"a": "y, z", "b": "2"}', [1, 3]),
        ("rows.JSONL", '{"a": "x", "b": "1"}\r\n{"a": "y, z", "b": "2"}\r\n', [1, 2]),
        ("rows.json", json.dumps(ROWS, indent=1), [1, 2]),
        ("rows.json", '{"a": "x", "b": "1"}\n{"a": "y, z", "b": "2"}\n', [1, 2]),
        ("rows.csv", 'a,b\nx,1\n\n"y, z",2\n', [2, 4]),
        ("rows.csv", b'\xef\xbb\xbfa,b\r\nx,1\r\n"y, z","2"', [2, 3]),
        ("rows.tsv", "a\tb\nx\t1\ny, z\t2\n", [2, 3]),
    ],
)
def test_each_form_gives_rows_with_their_lines(read, name, data, numbers):
    found = read(name, data)
    assert [row for _, _, row in found] == ROWS
    assert [number for _, number, _ in found] == numbers
    place = "line" if name != "rows.json" or "[" not in data else "row"
    assert [where for where, _, _ in found] == [f"{name}, {place} {number}" for number in numbers]


def test_lines_of_text_are_the_column_text(read):
    found = read("a.txt", "One\r\n \n  Two\u2028\x85\n")
    rows = [(where, number, row["text"]) for where, number, row in found]
    assert rows == [("a.txt, line 1", 1, "One"), ("a.txt, line 3", 3, "  Two\u2028\x85")]
    assert all(row["prompt"] == row["text"] for *_, row in found)


def test_quoted_cells_keep_their_line_breaks_and_rows_the_lines_where_they_begin(read):
    found = read("a.csv", 'a,b\r\n"one\r\ntwo\nthree",1\r\nfour,2\n"five ""6""",""\n')
    assert [(number, row) for _, number, row in found] == [
        (2, {"a": "one\r\ntwo\nthree", "b": "1"}),
        (5, {"a": "four", "b": "2"}),
        (6, {"a": 'five "6"', "b": ""}),
    ]


def test_a_name_may_be_given_for_sentences(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"One\n\xe9")
    with pytest.raises(ToxauditError, match="^en/a.txt, line 2 is not UTF-8.$"):
        list(rows.read(tmp_path / "a.txt", "en/a.txt"))


@pytest.mark.parametrize(
    "name, data, said",
    [
        ("a.jsonl", '{"a": 1}\n{"a": }\n', "a.jsonl, line 2 is not JSON: Expecting value at column 7."),
        ("a.jsonl", '{"a": 1}\n[1]\n', "a.jsonl, line 2 is no JSON object."),
        ("a.jsonl", '{"a": 1}\n{"a": 1, "b": 2, "a": 1}', "a.jsonl, line 2: the key 'a' stands twice in an object."),
        ("a.jsonl", '{"a": {"b": 1, "b": 2}}', "a.jsonl, line 1: the key 'b' stands twice in an object."),
        ("a.json", '[{"a": 1, "a": 2}]', "a.json: the key 'a' stands twice in an object."),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', "a.jsonl, line 2 is not UTF-8."),
        ("a.json", '[{"a": 1},\n {"a" 2}]', "a.json, line 2 is not JSON: Expecting ':' delimiter at column 7."),
        ("a.json", '[{"a": 1},\n {"a": 2}', "a.json, line 2 is not JSON: Expecting ',' delimiter at column 10."),
        ("a.json", '[{"a": 1}, 2]', "a.json, row 2 is no JSON object."),
        ("a.json", "[" * 100_000, "a.json is not JSON: "),
        ("a.json", '{\n"a": 1}', "a.json, line 1 is not JSON: "),
        ("a.csv", "a,b\n1,2\n3\n", "a.csv, line 3 has 1 columns, but the header has 2."),
        ("a.csv", 'a,b\n"1\n2",3\n4,5,6\n', "a.csv, line 4 has 3 columns, but the header has 2."),
        ("a.csv", 'a,b\n1,2\n"3"4,5\n', "a.csv, line 3 is no CSV: ',' expected after '\"'."),
        ("a.csv", 'a,b\n1,2\n"3\n4,5\n', "a.csv, line 3 is no CSV: unexpected end of data."),
        ("a.csv", f"a,b\n1,{'x' * 2**24}y\n", "a.csv, line 2 is no CSV: field larger than field limit (16777216)."),
        (
            "a.csv",
            'a;b\n"1; 2";3\n',
            "a.csv, line 2 is no CSV: the header seems to be parted by semicolons: save the file with commas.",
        ),
        (
            "a.csv",
            "a;b\n1,5;3\n",
            "a.csv, line 2 has 2 columns, but the header seems to be parted by semicolons: save the file with commas.",
        ),
        ("a.csv", "a,b,a\n1,2,3\n", "a.csv, line 1, the header, names the column 'a' twice."),
        ("a.tsv", "a\tb\n1,2\n", "a.tsv, line 2 has 1 columns, but the header has 2."),
        ("a.txt", b"one\n\ntwo \xff\n", "a.txt, line 3 is not UTF-8."),
        ("a.parquet", b"no Parquet at all", "a.parquet is no readable Parquet file: "),
        ("a.parquet", b"", "a.parquet is no readable Parquet file: "),
        ("a.xlsx", b"", "a.xlsx is no data file: its name must end with .jsonl, .json, .csv, .tsv, .txt, .parquet."),
        ("a", b"", "a is no data file: its name must end with "),
    ],
)
def test_what_cannot_be_read_is_named_by_file_and_line(read, name, data, said):
    assert refusal(read, name, data).startswith(said)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt"])
def test_an_empty_file_has_no_rows(read, name):
    assert read(name, b"") == read(name, b"\xef\xbb\xbf\r\n") == []


def table(path, columns, **features):
    made = datasets.Dataset.from_dict(columns)
    for name, feature in features.items():
        made = made.cast_column(name, feature)
    parquet.write_table(made.data.table.replace_schema_metadata(made.features.arrow_schema.metadata), path)


def test_class_labels_are_read_by_their_names(tmp_path):
    sentiment = datasets.ClassLabel(names=["negative", "positive"])
    table(tmp_path / "a.parquet", {"text": ["Bad", "Good", "?", "-"], "label": [0, 1, None, -1]}, label=sentiment)
    found = list(rows.read(tmp_path / "a.parquet"))
    assert [row["label"] for _, _, row in found] == ["negative", "positive", None, -1]
    assert found[1][:2] == ("a.parquet, row 2", 2)


def test_nested_columns_of_parquet_are_objects_and_lists(tmp_path):
    row = {"question": "Why?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "n": 3, "none": None}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert [row for _, _, row in rows.read(tmp_path / "a.parquet")] == [row]


def test_a_parquet_file_that_breaks_off_or_is_damaged_within_is_named(tmp_path):
    file = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": [f"Some words {i}" for i in range(1000)]}), file, compression="zstd")
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:100] + bytes(200) + whole[300:]):
        file.write_bytes(damaged)
        with pytest.raises(ToxauditError, match="^a.parquet is no readable Parquet file: "):
            list(rows.read(file))


def lines(found):
    return "".join(json.dumps(row) + "\n" for row in found)


def cells(found, delimiter):
    sheet = StringIO()
    writer = csv.DictWriter(sheet, ["text", "topic"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(found)
    return sheet.getvalue()


WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
TOPICS = st.sampled_from(["war", "peace", "", 'a "quoted", one', "\u2028", "7"])


@given(st.lists(st.fixed_dictionaries({"text": WORDS, "topic": TOPICS}), min_size=1, max_size=8))
def test_the_same_rows_give_the_same_prompts_in_every_form(found):
    with TemporaryDirectory() as folder:
        written = {
            "a.jsonl": lines(found),
            "a.json": json.dumps(found, ensure_ascii=False),
            "a.csv": cells(found, ","),
            "a.tsv": cells(found, "\t"),
        }
        for name, text in written.items():
            (Path(folder) / name).write_bytes(text.encode())
        parquet.write_table(pyarrow.Table.from_pylist(found), Path(folder) / "a.parquet")
        for name in (*written, "a.parquet"):
            suite = Dataset(title="Mine", data=str(Path(folder) / name), text="text", slices=["topic"])
            prompts = suite.draw("mine").prompts
            assert [(prompt.text, prompt.slices.get("topic", "")) for prompt in prompts] == list(
                dict.fromkeys((row["text"], row["topic"]) for row in found)
            ), name


def test_a_parquet_file_in_a_folder_with_a_colon_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("s3:").mkdir()
    parquet.write_table(pyarrow.table({"a": ["x"]}), tmp_path / "s3:/rows.parquet")
    assert [row for _, _, row in rows.read(Path("s3:/rows.parquet"))] == [{"a": "x"}]
