"""What was kept before there was a database is found in it, whatever became of it meanwhile."""

import json
import shutil
from pathlib import Path

import old_store
import pytest
import stored
import workspace

from toxaudit.cli.main import main
from toxaudit.store import migration
from toxaudit.store.identities import Scores
from toxaudit.store.shelves import Shelf, Store

IDENTITY = Scores("a")
PLACE = f"scores/{IDENTITY.key}"
RECORDS = {"a": {"text": "né\n\u2028"}, "b": {"text": "\ud800 \U0001f600"}, "c": 1}


@pytest.fixture
def old(tmp_path):
    """The file of a shelf as it was."""
    file = tmp_path / PLACE / "records.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"".join(old_store.line(PLACE, *each) for each in RECORDS.items()))
    (file.parent / "identity.json").write_text(json.dumps(IDENTITY.content))
    return file


def taken_in(root):
    shelf = Store(root).shelf(IDENTITY)
    found = dict(shelf.items())
    assert shelf.found(RECORDS) == found and not list(root.glob("*/*"))
    return found


def test_lines_are_taken_in_and_removed(old, tmp_path):
    assert taken_in(tmp_path) == RECORDS
    assert taken_in(tmp_path) == RECORDS


def test_lines_of_before_there_were_checksums_are_taken_in(old, tmp_path):
    old.write_text("".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in RECORDS.items()))
    assert taken_in(tmp_path) == RECORDS


def test_a_torn_last_line_is_dropped_without_a_word(old, tmp_path, capsys):
    old.write_bytes(old.read_bytes() + b'{"key": "d", "va')
    assert taken_in(tmp_path) == RECORDS and not capsys.readouterr().err


@pytest.mark.parametrize(
    "damage", [b"", b"half a li", b"\xff\xff", b"[]", b"7", b'{"key": "b", "value": 3}', b"[" * 100_000, None]
)
def test_a_damaged_line_costs_that_record_and_is_named(old, tmp_path, damage, capsys):
    first, second, third = old.read_bytes().splitlines()
    of_another = old_store.line("scores/other", "b", 2).strip()
    old.write_bytes(b"\n".join([first, of_another if damage is None else damage, third, b""]))
    assert taken_in(tmp_path) == {key: value for key, value in RECORDS.items() if key != "b"}
    said = f"{old} is damaged (line 2): what it held there is made again."
    assert "".join(said.split()) in "".join(capsys.readouterr().err.split())


def test_who_is_killed_in_the_middle_goes_on(old, tmp_path, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migration.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            Store(tmp_path).shelf(IDENTITY)
    assert old.is_file() and taken_in(tmp_path) == RECORDS


def test_what_may_not_be_written_is_served_and_stays(old, tmp_path, monkeypatch):
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    monkeypatch.setattr("toxaudit.store.shelves.os.access", lambda *_: False)
    for _ in range(2):
        assert Store(tmp_path).shelf(IDENTITY).found(RECORDS) == RECORDS
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_an_audit_over_a_store_of_before_makes_nothing_anew(tmp_path, monkeypatch, capsys):
    workspace.make(tmp_path / "work", prompts=24)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    Path("audits/examples.jsonl").write_text('{"instruction": "hello", "response": "aeiou"}\n' * 8)
    recipe = "train: [{data: ./examples.jsonl, r: 2, epochs: 3, learning_rate: 0.05}]"
    spec = Path("audits/tiny.yaml")
    spec.write_text(spec.read_text().replace("peft: ../models/adapter", recipe))
    code, store = main(["audit=tiny"]), tmp_path / "home/store"
    run, records = contents(Path("runs/tiny")), stored.records(store)
    old_store.turned_back(store)
    assert len(list(store.glob("*/*/records.jsonl"))) > 5 and list(store.glob("posteriors/*/draws.parquet"))
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("toxaudit.models.Loader.open", lambda *_: pytest.fail("a model was loaded"))
        patch.setattr(Shelf, "add", only_known(Shelf.add))
        patch.setattr("toxaudit.estimators.archive.packed", lambda _: pytest.fail("estimated again"))
        assert main(["audit=tiny"]) == code
    assert "damaged" not in capsys.readouterr().err
    assert contents(Path("runs/tiny")) == run and stored.records(store) == records
    assert not (store / "completions").exists()
    shutil.rmtree(store)


def only_known(add):
    def added(self, records):
        assert self.place.startswith(("runs/", "decisions/")) or self.held(records) == set(records)
        add(self, records)

    return added


def contents(folder):
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
