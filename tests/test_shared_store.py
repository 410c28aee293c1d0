"""Audits of four candidates of one base, with one store at the same time: as one after another, and nothing twice."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import stored
import tiny
import workspace

from toxaudit.cli.main import main
from toxaudit.store.shelves import Shelf

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("without_plots")]

CANDIDATES = range(4)
KILLED = 2
"""The audit that is killed once it has kept some of the base's or of its candidate's answers."""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    made = workspace.make(tmp_path_factory.mktemp("shared") / "work", prompts=40)
    for number in CANDIDATES:
        tiny.adapter(made / "models/base", made / f"models/adapter{number}", seed=10 + number)
    return made


@pytest.fixture
def audited(work, monkeypatch):
    """Runs the audits with a store, one after another or together; what each found, without when it was."""
    monkeypatch.chdir(work)

    def audit(store: Path, together: bool, killed: int | None = None) -> dict[int, Any]:
        for some in [CANDIDATES] if together else [[number] for number in CANDIDATES]:
            started = [start(number, store, killed) for number in some]
            codes = [finish(each) for each in started]
            assert all(code in (0, 1, 2) or number == killed for number, code in zip(some, codes, strict=True)), codes
        if killed is not None:
            assert finish(start(killed, store, None)) in (0, 1, 2)
        return {number: found(store.parent / f"{store.name}-{number}") for number in CANDIDATES}

    return audit


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


def test_audits_at_the_same_time_find_what_one_after_another_does_and_generate_nothing_twice(audited, tmp_path):
    alone, together, again = (tmp_path / name for name in ("alone", "together", "again"))
    meant = audited(alone, together=False)
    assert len({each["samples_mine.jsonl"] for each in meant.values()}) == len(CANDIDATES)
    assert audited(together, together=True) == meant
    assert audited(again, together=True, killed=KILLED) == meant
    for store in (alone, together, again):
        assert generated(store) == dict.fromkeys(stored.records(store, "completions"), 1)
        assert stored.records(store) == stored.records(alone)
        assert not list((store / "claims").iterdir())
