"""``runs``, ``gc`` and ``export``: what is there, what of the store may go, and what it holds."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from filelock import FileLock
from finished import consistent_run
from results import RESULTS

from toxaudit.cli.main import main
from toxaudit.store import database
from toxaudit.store.identities import Completions, Decisions, Merged, Posteriors, Scores
from toxaudit.store.shelves import Store

OLD = 30 * 24 * 3600.0
KEPT, GONE = Scores("kept"), Scores("gone")
TUNED = Merged("weights", "adapter", "float32", {})


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store in which some work is of a run in runs/, and some of none, all of it a month old."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    now = database.time()
    with monkeypatch.context() as patch:
        patch.setattr(database, "time", lambda: now - OLD)
        made, other = (Store(tmp_path / "home/store") for _ in range(2))
        made.shelf(KEPT).add({"a\ud800": {"value": 1.0}, "b": {"value": None}})
        made.folder(TUNED, lambda folder: (folder / "weights").write_text("w" * 5000))
        other.shelf(GONE).add({"a": {"value": 1.0, "missing": "x" * 3000}})
        other.shelf(Completions("m", "b", "choices", "raw", None, None)).add({"c": {"text": "é"}})
        other.document(Posteriors("e", {}, "o"), lambda: b"x" * 70_000)
        other.folder(Merged("gone", "", "float32", {}), lambda folder: (folder / "weights").write_text("w" * 500_000))
        other.shelf(Decisions("", "", "", "")).add({"rule": {}})
    run(Path("runs/kept"), made)
    for each in (made, other):
        each.records.close()
    return made


def run(folder: Path, store: Store | None = None) -> Path:
    """A finished run, which a store remembers."""
    consistent_run(folder, RESULTS["no-go"])
    if store:
        store.remember(folder, sha256((folder / "results.json").read_bytes()).hexdigest())
    return folder


def decided_again(folder: Path | str) -> Path:
    """A run whose results are others than were remembered."""
    file = Path(folder, "results.json")
    file.write_bytes(file.read_bytes() + b"\n")
    return file.parent


def collected(capsys, *words: str) -> tuple[int, str]:
    code = main(["gc", *words])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_gc_says_what_may_go_and_removes_it_if_it_is_told_to(store, capsys):
    code, said = collected(capsys)
    assert code == 0 and "of which may go" in said and "Nothing was removed: --delete does that." in said
    named = [line.split()[0] for line in said.splitlines() if line.startswith("  ")]
    assert [name.split("/")[0] for name in named] == ["merged", "posteriors", "scores", "completions"]
    assert all(f"/{each.key}" not in said for each in (KEPT, TUNED))
    before = (store.root / "records.sqlite").stat().st_size
    assert collected(capsys, "--delete")[0] == 0
    assert (store.root / "records.sqlite").stat().st_size < before - 60_000
    assert sorted(each.name for each in (store.root / "merged").iterdir()) == [TUNED.key, f"{TUNED.key}.sha256"]
    again = Store(store.root)
    assert len(dict(again.shelf(KEPT).items())) == 2 and not again.shelf(GONE).found("a")
    assert again.shelf(Decisions("", "", "", "")).found(["rule"])
    assert ", 0 kB of which may go" in collected(capsys)[1]


def test_gc_knows_of_folders_that_an_older_toxaudit_made(store, capsys):
    folder = store.root / "trained" / "of_before"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("w" * 9000)
    assert "trained/of_before" not in collected(capsys)[1]
    os.utime(folder, (0, 0))
    assert "trained/of_before" in collected(capsys, "--delete")[1] and not folder.exists()


def test_gc_keeps_what_was_asked_for_lately(store, capsys):
    Store(store.root).shelf(GONE)
    assert f"scores/{GONE.key}" not in collected(capsys)[1]
    assert f"scores/{GONE.key}" in collected(capsys, "--days", "0")[1]


def test_gc_keeps_what_a_run_refers_to_wherever_that_is(store, capsys, tmp_path, monkeypatch):
    shutil.move("runs/kept", tmp_path / "elsewhere")
    assert f"scores/{KEPT.key}" in collected(capsys)[1]
    assert f"scores/{KEPT.key}" not in collected(capsys, str(tmp_path / "elsewhere"))[1]
    shutil.move(tmp_path / "elsewhere", "runs/renamed")
    assert f"scores/{KEPT.key}" not in collected(capsys)[1]
    decided_again(shutil.move("runs/renamed", "runs/kept"))
    assert f"scores/{KEPT.key}" not in collected(capsys)[1]
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    assert f"scores/{KEPT.key}" not in collected(capsys)[1]


def test_gc_touches_nothing_where_a_run_is_not_known(store, capsys):
    decided_again(run(Path("runs/older"))).joinpath("spec.yaml").write_text(f"store: {store.root}\n")
    code, said = collected(capsys, "--delete")
    assert code == 3 and "runs/older was made of, which was written by an older toxaudit: run its audit again" in said
    assert (store.root / "merged").is_dir() and Store(store.root).shelf(GONE).found("a")
    Path("runs/older/spec.yaml").write_text("store: /another\n")
    assert collected(capsys)[0] == 0


def test_gc_removes_nothing_beside_another_run(store, capsys):
    with FileLock(store.root / "claims" / "user-1"):  # of another process
        code, said = collected(capsys, "--delete")
    assert code == 3 and f"Another run works with the store {store.root}: wait for it" in said


def test_gc_chooses_what_goes_while_no_audit_can_take_it_up(store, capsys, monkeypatch):
    """An audit that began between the choice and the removal could take up, and refer to, what is about to go."""
    from filelock import FileLock, Timeout

    from toxaudit.store import clearing

    chosen, pieces = [], clearing.pieces

    def seen(*asked):
        with pytest.raises(Timeout):  # every audit passes this door first
            FileLock(store.root / "lock").acquire(timeout=0)
        chosen.append(1)
        return pieces(*asked)

    monkeypatch.setattr(clearing, "pieces", seen)
    assert collected(capsys, "--days", "0", "--delete")[0] == 0 and chosen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gc", "--days", "x"], "--days is 'x': it must be a whole number of days."),
        (["gc", "nowhere"], "There is no nowhere/results.json: name the folder of a finished run."),
        (["gc", "--store", "nowhere"], "There is no store nowhere: name one by --store."),
        (["export", "nowhere"], "There is no nowhere/results.json: name the folder of a finished run."),
        (["export", "runs/other"], "does not know the run runs/other: name its store by --store, or run it again."),
        (["export", "a", "b"], "Write `toxaudit export [RUN]`, with"),
        (["export", "--out", "no/folder/x.jsonl"], "no/folder/x.jsonl can't be written"),
        (["export", "--out", "."], ". is a folder: name a file."),
        (["export", "--out", "/"], "/ is a folder: name a file."),
        (["runs", "nowhere"], "There is no folder nowhere: name one that holds runs."),
    ],
)
def test_mistakes_are_one_sentence(store, capsys, words, said):
    decided_again(run(Path("runs/other"))).joinpath("spec.yaml").write_text("store: home\n")
    assert main(words) == 3
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_export_writes_a_run_s_records_or_all(store, capsys):
    (Path("runs/kept") / "spec.yaml").write_text(f"store: {store.root}\n")
    assert main(["export", "runs/kept"]) == 0
    first, *lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"shelf": f"scores/{KEPT.key}", "identity": {"version": 1, "scorer": "kept"}}
    assert {each["name"]: each["value"]["value"] for each in lines} == {"a\ud800": 1.0, "b": None}
    assert main(["export", "--out", "all.jsonl"]) == 0
    assert capsys.readouterr().out == "Wrote 7 lines into all.jsonl.\n"
    rows = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert [each["value"]["text"] for each in rows if each.get("name") == "c"] == ["é"]
    assert {each["shelf"].split("/")[0] for each in rows} == {"completions", "scores"}


def test_runs_lists_what_is_there(store, capsys):
    Path("multirun/x/0").mkdir(parents=True)
    run(Path("multirun/x/0"))
    Path("runs/damaged").mkdir()
    Path("runs/damaged/results.json").write_text("{")
    assert main(["runs"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert heads.split() == ["run", "audit", "date", "verdict", "signed", "size"]
    assert [row.split()[0] for row in rows] == ["runs/damaged", "runs/kept", "multirun/x/0"]
    assert "is damaged or cut off" in rows[0] and "NO-GO" in rows[1]
    assert main(["runs", "home"]) == 0
    assert capsys.readouterr().out == "There is no finished run in home.\n"
