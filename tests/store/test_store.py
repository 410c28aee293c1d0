"""Finished work outlives a kill, and is found again under all that changes it and nothing else."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from filelock import FileLock
from forked import forked
from fuzzing import TIMES, named, seeds
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import write_atomically
from toxaudit.store import database
from toxaudit.store.identities import Identity, Scores, key
from toxaudit.store.opening import FORMAT, PAGE, TWICE
from toxaudit.store.shelves import RECORDS, Store

FLIPS = 40 * TIMES


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


def python(script, *arguments, **settings):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], text=True, **settings)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store, and a seed that gives each identity of it a shelf of its own."""
    return Store(tmp_path_factory.mktemp("shared")), count()


@given(st.lists(st.dictionaries(TEXT, VALUE, max_size=3), max_size=4))
def test_records_come_back_whatever_their_text_and_batches(shared, batches):
    (store, seeds), expected = shared, {}
    identity = replace(IDENTITY, seed=next(seeds))
    for batch in batches:
        shelf = store.shelf(identity)
        shelf.add(batch)
        expected = batch | expected  # what is there already stays as it is
        assert content(shelf, expected) == expected
    again = store.shelf(identity)
    assert again.found(expected) == expected == dict(again.items()) and again.held(expected) == set(expected)


def test_a_damaged_record_is_named_and_made_again(tmp_path, capsys):
    store = Store(tmp_path)
    shelf = store.shelf(IDENTITY)
    shelf.add(dict.fromkeys("abc", 1))
    change(store, "UPDATE record SET value = ? WHERE name = ?", (b"2", b"b"))
    assert shelf.found("abc") == {"a": 1, "c": 1}
    said = f"{tmp_path / RECORDS} is damaged (1 record of {shelf.place}): what was there is made again."
    assert "".join(capsys.readouterr().err.split()) == "".join(said.split())
    shelf.add({"b": 1})
    assert shelf.found("abc") == dict.fromkeys("abc", 1) and not capsys.readouterr().err


@pytest.mark.parametrize("column", ["shelf", "item", "name", "value", "sum"])
def test_a_record_that_belongs_elsewhere_is_none(tmp_path, column):
    store, other = Store(tmp_path), replace(IDENTITY, seed=1)
    for identity in (IDENTITY, other):
        store.shelf(identity).add({name: f"{identity.seed}{name}" for name in "ab"})
    query = f"UPDATE OR REPLACE record SET {column} = (SELECT {column} FROM record WHERE value = ?) WHERE value = ?"
    change(store, query, (b'"1a"', b'"0b"'))
    for identity in (IDENTITY, other):
        for name, value in store.shelf(identity).found("ab").items():
            assert value == f"{identity.seed}{name}"


def change(store, query, values):
    with closing(sqlite3.connect(store.root / RECORDS)) as connection, connection:
        connection.execute(query, values)


def filled(root):
    """A store of several pages, some of them a record's own: its file, and what is on its shelf."""
    store = Store(root)
    records = {f"{n:03}": {"text": f"né {n} " * 20, "tokens": n} for n in range(60)} | {"long": "x" * 9000, "": 7}
    for start in range(0, 60, 10):
        store.shelf(IDENTITY).add(dict(list(records.items())[start : start + 10]))
    store.shelf(IDENTITY).add(records)
    store.shelf(replace(IDENTITY, seed=1)).add({"a": 1})
    store.records.close()
    return store.root / RECORDS, records


@seeds
def test_no_flipped_bit_gives_another_record_or_costs_more_than_some(tmp_path, seed, capsys):
    chance = random.Random(seed)
    file, records = filled(tmp_path)
    whole = file.read_bytes()
    assert len(whole) >= 8 * PAGE
    lost = []
    for number in range(FLIPS):
        place = chance.randrange(len(whole)) if number % 4 else chance.randrange(2 * PAGE)
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        file.write_bytes(flipped)
        with named(seed, number, file):
            store = Store(tmp_path)
            shelf = store.shelf(IDENTITY)
            found = shelf.found(records)
            assert found.items() <= records.items()
            lost.append(len(records) - len(found))
            shelf.add(records)
            assert len(records) - len(shelf.found(records)) <= 1
            store.records.check()  # of what hindered nobody before
            assert len(records) - len(shelf.found(records)) <= 1
            shelf.add(records)
            assert shelf.found(records) == records == dict(shelf.items())
            store.records.close()
        for left in tmp_path.glob(f"{RECORDS}-*"):
            left.unlink()
    assert max(lost) <= len(records) / 2 and sum(lost) < FLIPS


@pytest.mark.parametrize("cut", [0, 1, 99, PAGE, 7 * PAGE + 7, -1])
def test_a_database_that_is_cut_off_keeps_what_is_left_of_it(tmp_path, cut, capsys):
    file, records = filled(tmp_path)
    file.write_bytes(file.read_bytes()[:cut])
    shelf = Store(tmp_path).shelf(IDENTITY)
    found = shelf.found(records)
    assert found.items() <= records.items() and (found or cut <= PAGE)
    shelf.add(records)
    assert shelf.found(records) == records
    assert f"{RECORDS} is damaged" in "".join(capsys.readouterr().err.split("\n")) or not cut


def test_a_database_that_is_none_is_made_anew(tmp_path, capsys):
    (tmp_path / RECORDS).write_text("no database " * 1000)
    Store(tmp_path).shelf(IDENTITY).add({"a": 1})
    assert Store(tmp_path).shelf(IDENTITY)["a"] == 1
    assert "is damaged" in capsys.readouterr().err


def test_what_is_damaged_while_others_work_with_it_is_left_to_them(tmp_path, capsys):
    file, _ = filled(tmp_path)
    with python(HOLDER, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "held\n"
        file.write_bytes(b"damaged" * 1000)
        with pytest.raises(ToxauditError, match="Another run works with the store .*: wait for it"):
            Store(tmp_path).shelf(IDENTITY)
        holder.communicate("")
    Store(tmp_path).shelf(IDENTITY)


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path):
    file, _ = filled(tmp_path)
    change(Store(tmp_path), f"PRAGMA user_version = {2 * FORMAT * TWICE}", ())
    before = contents(tmp_path)
    for work in (
        lambda store: store.in_use().__enter__(),
        lambda store: store.shelf(IDENTITY),
        lambda store: store.folder(FOLDER, made_of(PARTS)),
    ):
        with pytest.raises(ToxauditError) as caught:
            work(Store(tmp_path))
        assert str(caught.value).startswith(f"{file} was written by a newer toxaudit (format 2, and this one reads 1)")
        assert contents(tmp_path) == before


def contents(folder):
    return {each.name: each.read_bytes() if each.is_file() else None for each in folder.rglob("*")}


def test_documents_come_back_and_a_damaged_one_is_made_again(tmp_path, capsys):
    store, made = Store(tmp_path), iter([b"one", b"two"])
    for _ in range(2):
        assert store.document(IDENTITY, lambda: next(made)) == b"one"
    change(store, "UPDATE record SET value = ?", (b"other",))
    for _ in range(2):
        assert store.document(IDENTITY, lambda: next(made)) == b"two"
    assert "1 record of answers/" in capsys.readouterr().err


def test_what_only_goes_into_other_work_is_not_used(tmp_path):
    store = Store(tmp_path)

    def make(folder):
        store.shelf(IDENTITY)
        store.folder(Folders(seed=1), lambda folder: None)

    store.folder(FOLDER, make)
    assert store.used == [f"merged/{FOLDER.key}"]
    store.shelf(IDENTITY)
    assert store.used == sorted([f"merged/{FOLDER.key}", f"answers/{IDENTITY.key}"])


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


@pytest.fixture(params=["closed", "killed", "damaged"])
def read_only(request):
    """A store in which another user may write nothing, after a process that ended in some way."""
    with TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"))
        store.shelf(IDENTITY).add({"a": 1})
        store.folder(FOLDER, made_of(PARTS))
        store.document(Grades(), lambda: b"bytes")
        file, log = (store.root / f"{RECORDS}{end}" for end in ("", "-wal"))
        left = log.read_bytes()
        store.records.close()
        if request.param == "killed":
            log.write_bytes(left)
        elif request.param == "damaged":
            file.write_bytes(b"x" * 200 + file.read_bytes()[200:])
        Path(folder).chmod(0o755)
        yield store.root


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="root alone can be somebody else")
def test_a_store_that_may_not_be_written_serves_what_it_holds(read_only):
    def as_somebody_else():
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(PermissionError):
            (read_only / "x").write_text("")
        store = Store(read_only)
        with store.in_use():
            shelf = store.shelf(IDENTITY)
            assert not store.writable and shelf["a"] == 1 and dict(shelf.items()) == {"a": 1}
            shelf.add({"a": 1})
            assert (store.folder(FOLDER, made_of({})) / "weights").read_text() == PARTS["weights"]
            assert store.document(Grades(), lambda: b"other") == b"bytes"
            assert not store.shelf(replace(IDENTITY, seed=3)).found("a")
            for needed in (
                lambda: shelf.add({"b": 1}),
                lambda: store.folder(Folders(seed=9), made_of({})),
                lambda: store.document(Grades(seed=9), lambda: b""),
            ):
                with pytest.raises(ToxauditError, match="can't be written, and lacks work that this run needs: set st"):
                    needed()
        return 0

    before = contents(read_only)
    done = forked(as_somebody_else)
    assert done.returncode == 0, done.stderr
    assert contents(read_only) == before


LIMITED = """
import resource, signal, sys
from pathlib import Path
from toxaudit.errors import ToxauditError
from toxaudit.store.identities import Merged, Scores
from toxaudit.store.shelves import Store

store = Store(Path(sys.argv[1]))
shelf = store.shelf(Scores("a"))
shelf.add({"a": "x" * 500})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # as a full disk, for one process
for full in (
    lambda: shelf.add({"b": "x" * 500_000}),
    lambda: store.folder(Merged("a", "b", "float32", {}), lambda folder: (folder / "w").write_text("x" * 500_000)),
    lambda: store.document(Scores("b"), lambda: b"x" * 500_000),
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
    assert limited.returncode == 0 and len(said) == 3
    for each in (said[0], said[2]):
        assert f"/{RECORDS} can't be written: there " in each and "Make room there, or name another place" in each
    assert f"{tmp_path}/merged/" in said[1] and "can't be written: File too large." in said[1]
    assert not list((tmp_path / "merged").iterdir())
    assert dict(Store(tmp_path).shelf(Scores("a")).items()) == {"a": "x" * 500, "c": "y"}


def test_a_store_that_is_removed_under_a_run_is_a_sentence(tmp_path):
    store = Store(tmp_path / "store")
    with store.in_use():
        shelf = store.shelf(IDENTITY)
        shelf.add({"a": 1})
        shutil.rmtree(store.root)
        for work in (
            lambda: shelf.add({"b": 1}),
            lambda: shelf.found("a"),
            lambda: store.folder(FOLDER, made_of(PARTS)),
            lambda: store.document(IDENTITY, lambda: b""),
        ):
            with pytest.raises(ToxauditError, match="was removed while it was in use: run the same again"):
                work()
    assert not store.root.exists()


def test_a_clock_that_was_set_back_makes_no_work_look_unused(tmp_path, monkeypatch):
    store, noon = Store(tmp_path), 20_000 * database.DAY_SECONDS + 43_200
    for moment, told in ((noon, 20_000), (noon - 300 * database.DAY_SECONDS, 20_000), (noon + 10**5, 20_001)):
        monkeypatch.setattr(database, "time", lambda moment=moment: moment)
        store.shelf(IDENTITY)
        assert [used // database.DAY_SECONDS for _, _, used in store.records.places()] == [told]


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
from toxaudit.store.identities import Scores
from toxaudit.store.shelves import Store

store = Store(Path(sys.argv[1]))
with store.in_use(), store.claims.held("merged/x"), store.claims.held("merged/y"):
    store.shelf(Scores("a")).add({"a": 1})
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    with python(HOLDER, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_process_waits_for_what_another_makes_and_for_nothing_else(tmp_path, holder):
    store, made = Store(tmp_path), []
    with store.in_use(), store.claims.free(["merged/x", "merged/z"]) as mine:
        assert mine == ["merged/z"] and store.shelf(Scores("a"))["a"] == 1

    def make(works):
        made.append(list(works))
        if works == ["z"]:
            holder.kill()  # who made the others is gone

    def missing():
        return [f"merged/{each}" for each in "xyz" if [f"merged/{each}"] not in made]

    with store.in_use():
        store.claims.each_once(missing, lambda works: (made.append(works), holder.kill()))
    assert made == [["merged/z"], ["merged/x", "merged/y"]]


def test_nobody_is_alone_beside_another_process_until_that_is_killed(tmp_path, holder):
    store = Store(tmp_path)
    with store.in_use():
        with pytest.raises(ToxauditError) as caught, store.claims.alone():
            pytest.fail("two processes are each alone")
        holder.kill()
        holder.wait()
        with store.claims.alone():
            pass
    assert str(caught.value).startswith(f"Another run works with the store {tmp_path}: ")


def test_an_older_toxaudit_that_holds_the_store_is_waited_for_and_then_named(tmp_path, monkeypatch):
    monkeypatch.setattr("toxaudit.store.claims.LONGEST_WAIT_SECONDS", 0.1)
    store, said = Store(tmp_path), "Another run is writing to the store"
    with FileLock(tmp_path / "lock"), pytest.raises(ToxauditError, match=said), store.in_use():
        pass


def test_what_killed_runs_left_is_cleared_and_nothing_of_the_living(tmp_path, holder):
    store = Store(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    for name in ("x.unfinished/more", "z.unfinished/more"):
        (tmp_path / "merged" / name).mkdir(parents=True)
    left, living = (tmp_path / f".{RECORDS}.{pid}" for pid in (gone.pid, os.getpid()))
    for file in (left, living, tmp_path / ".mine.txt", tmp_path / "claims" / "merged.old"):
        file.write_text("")
    with store.in_use():
        assert not left.exists() and living.exists() and (tmp_path / ".mine.txt").exists()
        assert [each.name for each in (tmp_path / "merged").iterdir()] == ["x.unfinished"]
        names = {each.name for each in (tmp_path / "claims").iterdir()}
        assert names == {"merged.x", "merged.y", f"user-{holder.pid}", f"user-{os.getpid()}"}


def test_claims_are_given_back_after_an_error(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(KeyError), store.in_use(), store.claims.held("a"):
        raise KeyError
    with store.in_use(), store.claims.held("a"), store.claims.alone():
        pass
    assert not list((tmp_path / "claims").iterdir())


WRITER = """
import sys
from pathlib import Path
from toxaudit.store.identities import Scores
from toxaudit.store.shelves import Store

store, own = Store(Path(sys.argv[1])), sys.argv[2]
with store.in_use():
    shelf = store.shelf(Scores("a"))
    for start in range(0, 300, 10):
        shelf.add({f"{own} {n}": [own, n] for n in range(start, start + 10)} | {f"both {start}": "the same"})
"""


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path):
    writers = [python(WRITER, tmp_path, own) for own in "abcd"]
    for writer in writers:
        assert writer.wait() == 0
    found = dict(Store(tmp_path).shelf(Scores("a")).items())
    assert found == {f"{own} {n}": [own, n] for own in "abcd" for n in range(300)} | {
        f"both {start}": "the same" for start in range(0, 300, 10)
    }


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
