"""Audits of three candidates of one base, with one store at the same time: as one after another, and nothing twice."""

import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import stored
import tiny
import workspace

from toxaudit.cli.main import main
from toxaudit.store.shelves import Shelf

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("without_plots")]

CANDIDATES = range(3)
KILLED = 2
"""The audit that is killed once it has kept some of the base's or of its candidate's answers."""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    made = workspace.make(tmp_path_factory.mktemp("shared") / "work", prompts=40)
    for number in CANDIDATES:
        tiny.adapter(made / "models/base", made / f"models/adapter{number}", seed=10 + number)
    return made


def audited(store: Path, groups: Sequence[Sequence[int]], killed: int | None = None) -> dict[int, Any]:
    """Run the audits with a store, those of a group together; what each found, without when it was."""
    for some in groups:
        started = [start(number, store, killed) for number in some]
        codes = [finish(each) for each in started]
        assert all(code in (0, 1, 2) or number == killed for number, code in zip(some, codes, strict=True)), codes
    if killed is not None:
        assert finish(start(killed, store, None)) in (0, 1, 2)
    return {number: found(store.parent / f"{store.name}-{number}") for number in CANDIDATES}


@pytest.fixture(scope="module")
def alone(work, tmp_path_factory):
    """What they find one after another, and with which store."""
    store = tmp_path_factory.mktemp("alone") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        return audited(store, [[number] for number in CANDIDATES]), store


def start(number: int, store: Path, killed: int | None) -> int:
    """An audit in a process of its own, which notes what it keeps; its number."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        noting(store.parent / f"{store.name}-{number}.kept", dies=number == killed)
        candidate, out = f"candidates.tuned.peft=models/adapter{number}", f"out={store.parent}/{store.name}-{number}"
        with open(os.devnull, "w") as nobody:
            os.dup2(nobody.fileno(), 1)
            code = main(["audit=tiny", candidate, out, f"store={store}", "backend.batch_size=16"])
    finally:
        os._exit(code)


def noting(file: Path, dies: bool) -> None:
    add = Shelf.add

    def added(self: Shelf, records: dict[str, Any]) -> None:
        add(self, records)
        if self.place.startswith("completions/"):
            with file.open("a") as log:
                log.writelines(f"{self.place} {name}\n" for name in records)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)

    Shelf.add = added  # type: ignore[method-assign]


def finish(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def found(run: Path) -> dict[str, Any]:
    result = json.loads((run / "results.json").read_text())
    del result["commitment"], result["command"]
    return result | {name: (run / name).read_bytes() for name in ("samples_mine.jsonl", "draws.parquet")}


def generated(store: Path) -> Counter[str]:
    """How often each completion was kept, by whichever audit."""
    return Counter(line for file in store.parent.glob(f"{store.name}-*.kept") for line in file.read_text().splitlines())


@pytest.mark.parametrize("killed", [None, pytest.param(KILLED, marks=pytest.mark.slow)])
def test_audits_at_the_same_time_find_the_same_and_generate_nothing_twice(work, alone, tmp_path, monkeypatch, killed):
    monkeypatch.chdir(work)
    (meant, before), store = alone, tmp_path / "store"
    assert len({each["samples_mine.jsonl"] for each in meant.values()}) == len(CANDIDATES)
    assert audited(store, [CANDIDATES], killed) == meant
    for each in (before, store):
        assert generated(each) == dict.fromkeys(stored.records(each, "completions"), 1)
    assert stored.records(store) == stored.records(before)
    assert not list((store / "claims").iterdir())
