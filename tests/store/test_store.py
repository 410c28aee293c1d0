"""Finished work outlives a kill, and is found again under all that changes it and nothing else."""

import builtins
import io
import json
import os
import shutil
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
    kind = "merged"


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
def test_a_damaged_line_costs_that_record_is_named_and_made_again(tmp_path, damage, capsys):
    store = Store(tmp_path)
    store.shelf(IDENTITY).add(dict.fromkeys("abc", 1))
    whole = records_file(store).read_bytes()
    first, _, third = whole.splitlines()
    records_file(store).write_bytes(b"\n".join([first, damage, third, b""]))
    shelf = store.shelf(IDENTITY)
    assert content(shelf, "abc") == {"a": 1, "c": 1}
    said = f"{records_file(store)} is damaged (line 2): what it held there is made again."
    assert "".join(capsys.readouterr().err.split()) == "".join(said.split())
    shelf.add({"b": 1})
    assert sorted(records_file(store).read_bytes().splitlines()) == sorted(whole.splitlines())
    store.shelf(IDENTITY)
    assert not capsys.readouterr().err


def test_no_flipped_bit_gives_another_record(tmp_path, capsys):
    store = Store(tmp_path)
    records = {"a": {"text": "né", "tokens": 3}, "b": {"value": 0.25, "missing": None}, "c": 7}
    store.shelf(IDENTITY).add(records)
    file = records_file(store)
    whole = file.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        shelf = store.shelf(IDENTITY)
        found = content(shelf, records)
        assert len(shelf) == len(found) >= 1 and found.items() <= records.items()
        shelf.add(records)
        assert content(store.shelf(IDENTITY), records) == records
        assert sorted(file.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_record_that_belongs_elsewhere_is_damage(tmp_path, capsys):
    store, other = Store(tmp_path), replace(IDENTITY, seed=1)
    store.shelf(IDENTITY).add({"a": 1})
    ours = records_file(store)
    theirs = ours.parents[1] / other.key / ours.name
    store.shelf(other).add({"a": 2})
    theirs.write_bytes(ours.read_bytes())
    assert "a" not in store.shelf(other)
    store.shelf(IDENTITY).add({"b": 2})
    lines = ours.read_bytes().splitlines(keepends=True)
    ours.write_bytes(lines[0].replace(b'"a"', b'"b"') + lines[1].replace(b'"b"', b'"a"'))
    assert not len(store.shelf(IDENTITY))


def test_a_record_whose_checksum_was_taken_away_is_damage(tmp_path, capsys):
    store = Store(tmp_path)
    store.shelf(IDENTITY).add({"a": 1, "b": 2})
    first, second = records_file(store).read_bytes().splitlines(keepends=True)
    records_file(store).write_bytes(first + b'{"key": "b", "value": 3}\n')
    assert content(store.shelf(IDENTITY), "ab") == {"a": 1}


def made_of(parts):
    def make(folder):
        for name, text in parts.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)

    return make


PARTS = {"weights": "w" * 40, "more/config.json": "{}"}


def flip(folder):
    data = bytearray((folder / "weights").read_bytes())
    data[7] ^= 1
    (folder / "weights").write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda folder: (folder / "weights").unlink(),
        lambda folder: (folder / "more" / "code.py").write_text("x"),
        lambda folder: (folder / "weights").rename(folder / "weight"),
        lambda folder: folder.with_name(folder.name + ".sha256").write_text("x"),
        lambda folder: (folder / "more").joinpath("link").symlink_to("/etc"),
    ],
)
def test_a_damaged_folder_is_named_and_made_again(tmp_path, damage, capsys):
    store = Store(tmp_path)
    made = store.folder(FOLDER, made_of(PARTS))
    damage(made)
    assert store.folder(FOLDER, made_of(PARTS)) == made
    assert "".join(f"{made} is damaged: it is made again.".split()) == "".join(capsys.readouterr().err.split())
    assert store.folder(FOLDER, lambda _: pytest.fail("made again")) == made
    assert {str(file.relative_to(made)) for file in made.rglob("*") if file.is_file()} == set(PARTS)


def test_what_was_copied_over_another_folder_is_damage(tmp_path, capsys):
    store, other = Store(tmp_path), Folders(seed=1)
    one, two = store.folder(FOLDER, made_of(PARTS)), store.folder(other, made_of(PARTS | {"weights": "other"}))
    for ours, theirs in ((one, two), *((each.with_name(each.name + ".sha256") for each in (one, two)),)):
        (shutil.copytree if ours.is_dir() else shutil.copy)(
            ours, theirs, **({"dirs_exist_ok": True} if ours.is_dir() else {})
        )
    store.folder(other, made_of({"weights": "other"}))
    assert (two / "weights").read_text() == "other" and (one / "weights").read_text() == PARTS["weights"]


def test_a_folder_from_before_there_were_checksums_serves_and_gets_one(tmp_path, capsys):
    store = Store(tmp_path)
    made = store.folder(FOLDER, made_of(PARTS))
    made.with_name(made.name + ".sha256").unlink()
    assert store.folder(FOLDER, lambda _: pytest.fail("made again")) == made
    flip(made)
    store.folder(FOLDER, made_of(PARTS))
    assert (made / "weights").read_text() == PARTS["weights"]


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    """A store in which nothing can be written, not even by root; and what it holds."""
    store = Store(tmp_path / "store")
    store.shelf(IDENTITY).add({"a": 1})
    folder = store.folder(FOLDER, made_of(PARTS))
    with (folder.parents[1] / IDENTITY.kind / IDENTITY.key / "records.jsonl").open("ab") as file:
        file.write(b'{"key": "torn')
    access, opened = os.access, builtins.open

    def refuse(file, mode="r", *arguments, **settings):
        if set(mode) & set("wax+") and str(file).startswith(str(store.root)):
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, mode, *arguments, **settings)

    monkeypatch.setattr(os, "access", lambda path, how: str(path) != str(store.root) and access(path, how))
    monkeypatch.setattr(io, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    return Store(store.root)


def test_a_store_that_may_not_be_written_serves_what_it_holds(read_only):
    before = {path: path.stat().st_mtime_ns for path in read_only.root.rglob("*")}
    with read_only.lock():
        shelf = read_only.shelf(IDENTITY)
        assert shelf["a"] == 1 and len(shelf) == 1
        shelf.add({"a": 1})
        read_only.folder(FOLDER, lambda _: pytest.fail("made again"))
        assert "a" not in read_only.shelf(replace(IDENTITY, seed=3))
        for needed in (lambda: shelf.add({"b": 1}), lambda: read_only.folder(Folders(seed=9), made_of({}))):
            with pytest.raises(
                ToxauditError, match=r"can't be written, and lacks work that this run needs: set store="
            ):
                needed()
    assert {path: path.stat().st_mtime_ns for path in read_only.root.rglob("*")} == before


LIMITED = """
import resource, signal, sys
from pathlib import Path
from toxaudit.errors import ToxauditError
from toxaudit.store.identities import Merged, Scores
from toxaudit.store.shelves import Store

store = Store(Path(sys.argv[1]))
shelf = store.shelf(Scores("a"))
shelf.add({"a": "x" * 500})
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # as a full disk, for one process
for full in (
    lambda: shelf.add({"b": "x" * 5000}),
    lambda: store.folder(Merged("a", "b", "float32", {}), lambda folder: (folder / "w").write_text("x" * 5000)),
):
    try:
        full()
    except ToxauditError as error:
        print(error)
shelf.add({"c": "y"})
"""


def test_a_full_disk_is_a_sentence_that_names_the_thing_and_leaves_nothing_half_written(tmp_path):
    with python(LIMITED, tmp_path, stdout=subprocess.PIPE) as limited:
        said = limited.stdout.read().splitlines()
    assert limited.returncode == 0 and len(said) == 2
    assert "/records.jsonl can't be written: File too large. Make room there, or name another place" in said[0]
    assert f"{tmp_path}/merged/" in said[1] and "can't be written: File too large." in said[1]
    assert not list((tmp_path / "merged").iterdir())
    lines = records_file(Store(tmp_path)).read_bytes().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "c"]


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
from toxaudit.store.identities import Merged
from toxaudit.store.shelves import Store

def make(folder):
    (folder / "half").write_text("of it")
    os.kill(os.getpid(), signal.SIGKILL)

Store(Path(sys.argv[1])).folder(Merged("a", "b", "float32", {}), make)
"""


def finished(root):
    return [folder for folder in (root / "merged").iterdir() if folder.is_dir() and folder.suffix != ".unfinished"]


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


def test_who_holds_the_lock_clears_what_killed_runs_left_and_nothing_of_the_living(tmp_path):
    store, home = Store(tmp_path), tmp_path / "scores" / "abc"
    home.mkdir(parents=True)
    (tmp_path / "merged" / "x.unfinished" / "more").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    left, living = home / f".identity.json.{gone.pid}", home / f".identity.json.{os.getpid()}"
    others = [living, home / ".mine.txt", home / "records.jsonl"]
    for file in (left, *others):
        file.write_text("")
    with store.lock():
        assert not left.exists() and not list((tmp_path / "merged").iterdir())
        assert all(file.exists() for file in others)


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


def test_a_store_named_by_a_relative_path_hands_out_absolute_ones(tmp_path, monkeypatch):
    """transformers takes a relative path such as ``store/views`` for a repository of the Hub."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert Store(Path("../store")).root.is_absolute()
    assert Store(Path("../store")).root.samefile(tmp_path / "store")
