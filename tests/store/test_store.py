"""Finished work outlives a kill, and is found again under all that changes it and nothing else."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import write_atomically
from toxaudit.store.identities import Identity, key
from toxaudit.store.shelves import Store


@dataclass(frozen=True)
class Answers(Identity):
    kind = "answers"

    model: str = "a"
    seed: int = 0


class Grades(Answers):
    kind = "grades"


class Later(Answers):
    version = 2


class Folders(Answers):
    kind = "adapters"


IDENTITY, FOLDER = Answers(), Folders()
AWKWARD = st.sampled_from(
    ["\n", "\r", "\r\n", "\x85", "\u2028", "\x00", "\ud800", "\ud83d\ude00", "\U0001f600", '"', "\\"]
)
TEXT = st.lists(AWKWARD | st.text(st.characters(), max_size=5), max_size=3).map("".join)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
FEW = st.sampled_from([None, True, False, 0, 1, 0.0, 1.0, "", "1", "null", [], [1], ["1"], {}, {"a": 1}])
IDENTITIES = st.dictionaries(st.sampled_from("abc"), FEW, max_size=2)


def content(shelf, names):
    return {name: shelf[name] for name in names if name in shelf}


def records_file(store):
    (file,) = store.root.rglob("records.jsonl")
    return file


def python(script, *arguments, **settings):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], text=True, **settings)


@given(st.lists(st.dictionaries(TEXT, VALUE, max_size=3), max_size=4))
def test_records_come_back_whatever_their_text_and_batches(batches):
    with TemporaryDirectory() as folder:
        store, expected = Store(Path(folder)), {}
        for batch in batches:
            shelf = store.shelf(IDENTITY)
            shelf.add(batch)
            expected = batch | expected  # what is there already stays as it is
            assert content(shelf, expected) == expected
        again = store.shelf(IDENTITY)
        assert content(again, expected) == expected and len(again) == len(expected)


def test_a_file_cut_at_any_byte_reopens_to_whole_records_and_takes_more(tmp_path):
    store = Store(tmp_path)
    records = {"first": {"text": "né\n\u2028"}, "second": {"text": "\ud800 \U0001f600"}, "third": {"text": ""}}
    store.shelf(IDENTITY).add(records)
    whole = records_file(store).read_bytes()
    for cut in range(len(whole)):
        records_file(store).write_bytes(whole[:cut])
        shelf = store.shelf(IDENTITY)
        kept = whole[:cut].count(b"\n")
        assert content(shelf, records) == dict(list(records.items())[:kept]) and len(shelf) == kept
        shelf.add(records)
        assert records_file(store).read_bytes() == whole


@pytest.mark.parametrize(
    "damage", [b"", b"half a li", b"\xff\xff", b"[]", b"7", b'{"key": "a"}', b'{"key": [], "value": 1}', b"[" * 100_000]
)
def test_a_damaged_line_is_one_sentence_naming_file_and_line(tmp_path, damage):
    store = Store(tmp_path)
    store.shelf(IDENTITY).add(dict.fromkeys("abc", 1))
    first, _, third = records_file(store).read_bytes().splitlines()
    records_file(store).write_bytes(b"\n".join([first, damage, third, b""]))
    with pytest.raises(ToxauditError) as caught:
        store.shelf(IDENTITY)
    assert str(caught.value).startswith(f"{records_file(store)}, line 2 is damaged: ")


def test_work_of_another_kind_or_identity_lies_elsewhere(tmp_path):
    store = Store(tmp_path)
    store.shelf(IDENTITY).add({"a": 1})
    for other in (replace(IDENTITY, seed=1), Grades(), Later()):
        assert "a" not in store.shelf(other)


@given(IDENTITIES, IDENTITIES)
def test_keys_differ_just_where_identities_do(one, other):
    assert (key("answers", one) == key("answers", other)) == (typed(one) == typed(other))
    assert key("answers", one) != key("scores", one)


def typed(value):
    """Equal for equal JSON only: in Python 1, 1.0 and True are equal too."""
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else repr(value)


@given(st.dictionaries(TEXT, VALUE, max_size=3), TEXT, TEXT)
def test_any_change_of_a_text_changes_the_key(identity, one, other):
    keys = {key("answers", identity | {"text": text}) for text in (one, other)}
    assert len(keys) == len({one, other})


@given(st.dictionaries(TEXT, VALUE))
def test_the_order_in_which_an_identity_is_written_changes_no_key(identity):
    def turned(value):
        if isinstance(value, dict):
            return {name: turned(item) for name, item in reversed(value.items())}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert key("answers", turned(identity)) == key("answers", identity)


MAKER_THAT_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from toxaudit.store.identities import Adapter
from toxaudit.store.shelves import Store

def make(folder):
    (folder / "half").write_text("of it")
    os.kill(os.getpid(), signal.SIGKILL)

Store(Path(sys.argv[1])).folder(Adapter("a", [], "float32"), make)
"""


def finished(root):
    return [folder for folder in (root / "adapters").iterdir() if folder.suffix != ".unfinished"]


def test_a_folder_whose_maker_is_killed_is_not_finished_and_made_again_from_nothing(tmp_path):
    with python(MAKER_THAT_IS_KILLED, tmp_path) as maker:
        assert maker.wait() == -signal.SIGKILL
    store = Store(tmp_path)
    assert not finished(tmp_path)
    found = []

    def make(folder):
        found.extend(folder.iterdir())
        (folder / "all").write_text("of it")

    made = store.folder(FOLDER, make)
    assert not found and [file.name for file in made.iterdir()] == ["all"]
    assert finished(tmp_path) == [made]


def test_a_finished_folder_is_not_made_twice(tmp_path):
    store = Store(tmp_path)
    made = store.folder(FOLDER, lambda folder: (folder / "file").write_text("once"))
    assert store.folder(FOLDER, lambda folder: pytest.fail("made again")) == made


def test_a_maker_that_fails_leaves_no_finished_folder(tmp_path):
    def make(folder):
        raise ToxauditError("No.")

    with pytest.raises(ToxauditError, match="No."):
        Store(tmp_path).folder(FOLDER, make)
    assert not finished(tmp_path)


HOLDER = """
import sys
from pathlib import Path
from toxaudit.store.shelves import Store

with Store(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_in_a_sentence_until_the_first_is_killed(tmp_path):
    store = Store(tmp_path)
    with python(HOLDER, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ToxauditError) as caught, store.lock():
            pytest.fail("two processes write to one store")
        holder.kill()
        holder.wait()
    assert str(caught.value).startswith(f"Another run is writing to the store {tmp_path}: ")
    with store.lock():
        pass


def test_the_lock_is_given_back_after_an_error(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(KeyError), store.lock():
        raise KeyError
    with store.lock():
        pass


def test_a_store_where_a_file_is_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ToxauditError, match=r"The store .*file.* can't be made: .*Set store=FOLDER\."):
        Store(tmp_path / "file" / "store")


def test_a_file_written_anew_is_whole_and_alone(tmp_path):
    for written in ("long " * 1000, "né \ud800"):
        write_atomically(tmp_path / "file", written)
        assert (tmp_path / "file").read_bytes() == written.encode("utf-8", "surrogatepass")
    assert os.listdir(tmp_path) == ["file"]
