"""What kill -9 at random moments costs an audit, and whether it changes anything.

    python benchmarks/kills.py [--audit tiny|quickstart] [--kills 100] [--within SECONDS] [--seed N] [--folder FOLDER]

The audit is done once undisturbed. Then it is done from an empty store again and again: each time it is killed at a
random moment of the next ``--within`` seconds and run again, until it is finished. After each one that is finished, all
its files, and all records and folders of the store, are compared with those of the undisturbed one, byte for byte; only
the clock of commitments stands still for that. ``tiny`` tunes a candidate on random weights, in seconds. Each run is a
copy of a process that has imported the libraries, and most moments count from when it has understood its words.

Prints in which phases the kills fell, what each lost at most, and what was left behind. Exit code 1 says that something
differs, is left behind, was kept twice, or that a kill lost a batch or more; of steps of tuning, it loses those of the
seconds since the last checkpoint.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noted import PHASES, UNITS, Noted, end, ended, start

sys.path.append(str(Path(__file__).parents[1] / "tests"))

FROM_THE_START = 0.1
"""The share of kills whose moment counts from the start of the process; for others, the words are understood first."""

TUNED = "train: [{data: ./rows.jsonl, r: 4, epochs: 6, learning_rate: 0.01, warmup_steps: 0}]"


@dataclass
class Count:
    """What all kills did."""

    kills: int = 0
    finished: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    lost: dict[str, list[int]] = field(default_factory=lambda: {unit: [] for unit in UNITS.values()})
    made: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audit", choices=("tiny", "quickstart"), default="tiny")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--within", type=float, help="seconds; by default what the undisturbed run takes, at most 60")
    parser.add_argument("--nice", type=int, default=0, help="how far it makes way for other work")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--folder", type=Path, help="one that stays; with what the undisturbed run left")
    options = parser.parse_args()
    os.nice(options.nice)
    with tempfile.TemporaryDirectory() as made:
        folder = (options.folder or Path(made)).absolute()
        count = killed(folder, options.audit, options.kills, options.seed, options.within)
    return 1 if count.wrong else 0


def killed(folder: Path, audit: str, kills: int, seed: int, within: float | None = None) -> Count:
    """Kill an audit so many times, compare each that is finished, and print what came of it.

    Args:
        folder: where it is done.
        audit: ``tiny`` or ``quickstart``.
        kills: how many, in as many audits as it takes.
        seed: of the random moments.
        within: a kill falls into so many seconds after the start.
    """
    import peft  # noqa: F401  (what a copy of this process need not import)
    import pymc  # noqa: F401
    import transformers  # noqa: F401

    from toxaudit import runner  # noqa: F401

    with _place(folder):
        words = [f"audit={audit}", "store=store", "out=run", "executor.threads=1"]
        words += ["backend.batch_size=8"] * (audit == "tiny")
        took, whole, meant = _undisturbed(folder, audit, words)
        moments, within = random.Random(seed), within or min(took, 60.0)
        units = "; ".join(f"{whole[f'made {unit}']:,} {unit}s" for unit in UNITS.values())
        print(f"{audit}: undisturbed {took:.1f} s, {units}; seed {seed}, a kill within {within:.1f} s", flush=True)
        count = Count()
        (folder / "twice").unlink(missing_ok=True)
        while count.kills < kills:
            _until_finished(folder, words, count, kills, lambda: moments.uniform(0, within))
            count.finished += 1
            count.wrong += _differences(meant, _state(folder))
            _clear(folder)
            print(f"{count.kills} kills, {count.finished} audits finished, {len(count.wrong)} wrong", flush=True)
    if count.twice:
        count.wrong += (folder / "twice").read_text().splitlines()
    _tell(count, whole)
    return count


def _undisturbed(folder: Path, audit: str, words: Sequence[str]) -> tuple[float, dict[str, int], dict[str, str]]:
    """How many seconds the audit takes, how much work it is, and what it leaves; kept in the folder."""
    kept = folder / "undisturbed.json"
    if not kept.is_file():
        if audit == "tiny":
            _in_a_copy(_workspace, folder)
        noted, began = Noted(), time.monotonic()
        code = end(start(folder, words, noted))
        took = time.monotonic() - began
        assert code in (0, 1, 2), (folder / "said").read_text()
        kept.write_text(json.dumps([took, {name: noted[name] for name in Noted.FIELDS}, _state(folder)]))
        _clear(folder)
    found: tuple[float, dict[str, int], dict[str, str]] = tuple(json.loads(kept.read_text()))
    return found


def _until_finished(folder: Path, words: Sequence[str], count: Count, kills: int, moment: Callable[[], float]) -> None:
    """Run an audit until it is finished, and kill it meanwhile."""
    while True:
        noted = Noted()
        child, after = start(folder, words, noted), moment() if count.kills < kills else float("inf")
        begun = time.monotonic() if random.Random(after).random() < FROM_THE_START else None
        while (code := ended(child)) is None and (begun is None or time.monotonic() - begun < after):
            if begun is None and noted["phase"]:
                begun = time.monotonic()
            time.sleep(0.002)
        if code is None:
            os.kill(child, signal.SIGKILL)
            code = end(child)
        count.twice += noted["twice"]
        for unit in UNITS.values():
            count.made[unit] += noted[f"made {unit}"]
        if code != -signal.SIGKILL:
            if code not in (0, 1, 2):
                count.wrong.append(f"exit code {code}: {(folder / 'said').read_text()[-400:]}")
            return
        count.kills += 1
        count.phases[PHASES[noted["phase"]]] += 1
        for unit in UNITS.values():
            if lost := noted[f"pending {unit}"]:
                count.lost[unit].append(lost)


def _tell(count: Count, whole: dict[str, int]) -> None:
    print(f"{count.kills} kills over {count.finished} audits, by phase:")
    print("  " + ", ".join(f"{name} {count.phases[name]}" for name in PHASES if count.phases[name]))
    for unit, lost in count.lost.items():
        most, again = whole[f"most {unit}"], count.made[unit] - count.finished * whole[f"made {unit}"]
        worst = max(lost, default=0)
        print(
            f"  {unit}s made again: {again:,} in all, {again / count.kills:,.1f} a kill; {len(lost)} kills lost some, "
            f"{worst:,} at most; the most between two that are kept: {most:,}"
        )
        if worst > most and unit != UNITS["tuning"]:  # the clock decides when a checkpoint is due
            count.wrong.append(f"a kill lost {worst} {unit}s")
    print(f"  records kept twice: {count.twice}")
    if count.twice:
        count.wrong.append(f"{count.twice} records were made though they were there")
    print(f"  wrong: {len(count.wrong)}", *count.wrong, sep="\n    ")


@contextmanager
def _place(folder: Path) -> Iterator[None]:
    """Work in a folder, which has temporary files of its own."""
    before, temporary = Path.cwd(), os.environ.get("TMPDIR")
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ["TMPDIR"], tempfile.tempdir = str(folder / "tmp"), None
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop("TMPDIR")
        if temporary is not None:
            os.environ["TMPDIR"] = temporary
        tempfile.tempdir = None


def _workspace(folder: Path) -> int:
    """A small audit that tunes one of its candidates."""
    import workspace

    workspace.make(folder, prompts=60)
    spec = folder / "audits/tiny.yaml"
    spec.write_text(spec.read_text().replace("peft: ../models/adapter", TUNED))
    rows = [{"instruction": f"Say {n}.", "response": "e" * (n % 5 + 1)} for n in range(48)]
    (folder / "audits/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0


def _in_a_copy(work: Callable[..., int], *given: Any) -> None:
    child = os.fork()
    if not child:
        code = 70
        try:
            code = work(*given)
        finally:
            os._exit(code)
    assert end(child) == 0


def _state(folder: Path) -> dict[str, str]:
    """Digests of all that an audit leaves: its files, and the records of its store."""
    import stored

    records = stored.records(folder / "store").items()
    found = {f"record {name}": hashlib.sha256(value).hexdigest() for name, value in records}
    for file in sorted(path for place in ("run", "store", "tmp") for path in (folder / place).rglob("*")):
        if file.is_file() and not file.is_symlink() and not file.name.startswith("records.sqlite"):
            found[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif not file.is_dir() or not any(file.iterdir()):
            found[str(file.relative_to(folder))] = os.readlink(file) if file.is_symlink() else "empty"
    return found


def _differences(meant: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is missing, left behind, or differs."""
    said = [f"missing: {name}" for name in meant.keys() - found.keys()]
    said += [f"left behind: {name}" for name in found.keys() - meant.keys()]
    return said + [f"differs: {name}" for name in meant.keys() & found.keys() if meant[name] != found[name]]


def _clear(folder: Path) -> None:
    for name in ("run", "store", "tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "tmp").mkdir()


if __name__ == "__main__":
    sys.exit(main())
