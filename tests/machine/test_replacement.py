"""A run's files are replaced all at once, whatever stops it, and only those that were written together are read."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toxaudit.errors import ToxauditError
from toxaudit.machine.replacement import OURS, SUMS, changed, checksums, obstacle, replaced, settle

OLD = {"results": "old", "card": "old", "plots/one": "old", "only old": "old"}
NEW = {"results": "new", "card": "new", "plots/two": "new"}
MINE = {"notes": "mine", "plots/mine": "mine", "0/results": "mine"}


def write(folder, parts):
    for name, text in parts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.fixture
def folder(tmp_path):
    """A folder with the files of one run, and with some of its user's."""
    with replaced(tmp_path / "run") as new:
        write(new, OLD)
    write(tmp_path / "run", MINE)
    return tmp_path / "run"


def test_new_files_take_the_place_of_the_old_and_the_users_own_stay(folder):
    with replaced(folder) as new:
        write(new, NEW)
        assert contents(folder).items() >= (OLD | MINE).items()
    assert contents(folder) == NEW | MINE
    assert set(checksums(folder)) == set(NEW) and changed(folder, NEW) is None
    assert {path.name for path in folder.iterdir()} == {"results", "card", "plots", "notes", "0", SUMS}
    (folder / "card").write_text("edited")
    assert changed(folder, NEW) == "card"


def test_the_list_is_one_that_sha256sum_reads(folder):
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("error", [ToxauditError("full"), KeyboardInterrupt(), OSError(28, "full")])
def test_what_fails_leaves_the_folder_as_it_was(folder, error):
    before = contents(folder)
    with pytest.raises(type(error)), replaced(folder) as new:
        write(new, {"results": "new"})
        raise error
    assert contents(folder) == before and changed(folder, OLD) is None
    with pytest.raises(type(error)), replaced(folder.parent / "none") as new:
        raise error
    assert not (folder.parent / "none").exists()


def test_what_killed_runs_left_is_cleared(folder):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    left = [folder / f".draws.parquet.{gone.pid}", folder / ".toxaudit.unfinished" / "half"]
    left[1].parent.mkdir()
    living = folder / f".draws.parquet.{os.getpid()}"
    for file in (*left, living):
        file.write_text("")
    with replaced(folder) as new:
        write(new, NEW)
    assert not any(file.exists() for file in left) and living.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from toxaudit.machine import replacement

calls, names = int(sys.argv[2]), ("rename", "replace", "unlink", "rmdir", "mkdir")

def counted(function):
    def wrapped(*arguments, **settings):
        global calls
        calls -= 1
        if not calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **settings)
    return wrapped

for name in names:
    setattr(Path, name, counted(getattr(Path, name)))
with replacement.replaced(Path(sys.argv[1])) as new:
    for name in ("results", "card", "plots/two"):
        (new / name).parent.mkdir(exist_ok=True)
        (new / name).write_text("new")
calls = -1
print("done")
"""


@pytest.mark.thorough
def test_a_kill_at_any_moment_leaves_all_of_the_old_or_all_of_the_new(folder, tmp_path):
    found, whole = set(), shutil.copytree(folder, tmp_path / "whole")
    for call in range(1, 60, 1):
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        done = subprocess.run([sys.executable, "-c", KILLED, folder, str(call)], capture_output=True, text=True)
        if done.stdout:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        settle(folder)
        left = {name: text for name, text in contents(folder).items() if not name.startswith(".toxaudit.")}
        assert left in (OLD | MINE, NEW | MINE)
        assert changed(folder, checksums(folder)) is None
        found.add(left["results"])
        with replaced(folder) as new:
            write(new, NEW)
        assert contents(folder) == NEW | MINE
    assert done.stdout and found == {"old", "new"}


def test_two_writers_are_kept_apart(folder):
    script = "import sys; from pathlib import Path; from toxaudit.machine.replacement import replaced\n"
    script += "with replaced(Path(sys.argv[1])) as new:\n    (new / 'results').write_text(sys.argv[2])\n"
    script += "    (new / 'card').write_text(sys.argv[2])\n"
    writers = [subprocess.Popen([sys.executable, "-c", script, folder, str(number)]) for number in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert (folder / "results").read_text() == (folder / "card").read_text() in "012"
    assert changed(folder, checksums(folder)) is None and not list(folder.glob(".*"))


def test_what_is_in_the_way_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "lost").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert obstacle(tmp_path, ["file", "none", "link", "folder/new", "new/new"]) is None
    for name, said in (
        ("folder", "is a folder, where a file must be"),
        ("lost", "is a link to nothing, where a file must be"),
        ("pipe", "is a pipe or a device, where a file must be"),
        ("file/x", "is a file, where a folder must be"),
        ("lost/x", "is a link to nothing, where a folder must be"),
    ):
        assert obstacle(tmp_path, [name]) == f"{tmp_path / name.split('/')[0]} {said}"
    assert obstacle(tmp_path / "lost", []) == f"{tmp_path / 'lost'} is a link to nothing, where a folder must be"


@pytest.mark.parametrize("text", ["x", "a" * 64 + "  ../x\n", "a" * 64 + "  /etc/passwd\n", "g" * 64 + "  x\n"])
def test_a_list_that_is_none_is_a_sentence(folder, text):
    (folder / SUMS).write_text(OURS + text)
    with pytest.raises(ToxauditError, match="SHA256SUMS is damaged"):
        checksums(Path(folder))


@pytest.mark.parametrize("text", [f"{'a' * 64}  weights.bin\n", f"{'a' * 64} *weights.bin\n", "# mine\n", ""])
def test_a_list_of_the_users_own_deletes_nothing_and_is_in_the_way(tmp_path, text):
    """A file of that name often lies beside weights: all that it listed was deleted."""
    write(tmp_path, {"weights.bin": "mine", SUMS: text})
    said = f"{tmp_path / SUMS} is a list that toxaudit did not write"
    assert obstacle(tmp_path, ["results"]) == said
    with pytest.raises(ToxauditError, match=f"^{said}: move it away"), replaced(tmp_path) as new:
        write(new, NEW)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"weights.bin": "mine", SUMS: text}


def test_a_kill_while_the_emptied_folder_is_removed_is_forgotten(folder):
    (folder / ".toxaudit.new").mkdir()
    before = contents(folder)
    settle(folder)
    assert contents(folder) == before and not (folder / ".toxaudit.new").exists()
