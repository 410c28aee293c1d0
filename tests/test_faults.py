"""What happens to a running audit, one fault after another, each really caused; ``docs/faults.md`` lists all faults."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import stored
import tiny
import workspace
from forked import forked

from toxaudit import runner
from toxaudit.cli.main import main
from toxaudit.machine import progress, stopping

ROOT = Path(__file__).parents[1]
WORDS = ["audit=tiny", "backend.batch_size=16", "store=store", "out=run"]
NOON = "2026-11-29T12:00:00Z"


@pytest.fixture(scope="module")
def work(tmp_path_factory, fixtures_without_plots):
    """Where the audits run: without a store, and with the files of an undisturbed one in ``whole``."""
    folder = workspace.make(tmp_path_factory.mktemp("faults") / "work", prompts=40)
    with workspace.at(folder) as patch:
        patch.setattr("toxaudit.commitment.now", lambda: NOON)
        assert main(WORDS) in (0, 1, 2)
        shutil.move("run", "whole")
        shutil.move("store", "store of the whole")
        yield folder


def files(folder):
    return {file.relative_to(folder): file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()}


def at(name, fault):
    """An audit to which something happens as soon as the runner comes to one of its functions."""

    def run():
        work = getattr(runner, name)
        setattr(runner, name, lambda *given, **named: fault() or work(*given, **named))
        return main(WORDS)

    return run


def signalled(*sent):
    """An audit that gets signals in the middle of a batch, apart by more than a launcher takes to pass one on."""

    def run():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        wrote, left = progress.Writing.wrote, list(sent)

        def dying(self, tokens):
            wrote(self, tokens)
            while left:
                os.kill(os.getpid(), left.pop(0))
                time.sleep(stopping.SAME_SECONDS)

        progress.Writing.wrote = dying
        return main(WORDS)

    return run


def no_more_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


BALLAST = []


def no_more_memory():
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken, taken))
    for size in (2**20, 2**13):  # what the process holds already and does not use is taken, too
        with suppress(MemoryError):
            while True:
                BALLAST.append(bytearray(size))


def completions():
    return set(stored.records(Path("store"), "completions"))


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
def test_an_audit_that_meets_one_fault_after_another_finds_what_an_undisturbed_one_finds(work):
    """SIGTERM, SIGINT twice, no more files, no more memory: each keeps what was finished, and says how to go on."""
    ended = forked(signalled(signal.SIGTERM))
    first = completions()
    assert ended.returncode == 143, ended.stderr
    assert stopping.STOPPING in ended.stderr and "the same command goes on from here" in ended.stderr.splitlines()[-1]
    assert 0 < len(first) <= 16  # the batch that was under way, and no other

    ended = forked(signalled(signal.SIGINT, signal.SIGINT))
    assert ended.returncode == 130 and "the same command goes on" in ended.stderr.splitlines()[-1], ended.stderr
    assert completions() == first

    for name, fault, said in (
        ("_answer", no_more_files, "Too many open files. Raise the limit on open files (`ulimit -n`), or close other"),
        ("_estimate", no_more_memory, "not enough memory: choose a smaller model or batch size. Nothing was decided"),
    ):
        ended = forked(at(name, fault))
        assert ended.returncode == 3 and said in ended.stderr.splitlines()[-1], ended.stderr
        assert "Traceback" not in ended.stderr and set(files("run")) == {Path("commitment.json")}
    assert first < completions()

    made = completions()
    assert forked(lambda: main(WORDS)).returncode in (0, 1, 2)
    assert completions() == made == set(stored.records(Path("store of the whole"), "completions"))
    assert files("run") == files("whole")
    shutil.rmtree("run")
    shutil.rmtree("store")


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_prompts_to_which_a_model_s_output_is_no_number_are_missing_and_never_safe(work, tmp_path):
    tiny.overflowing(work / "models/base", tmp_path / "broken", "9")
    out, store = f"out={tmp_path / 'run'}", f"store={tmp_path / 'store'}"
    more = ["candidates.tuned.peft=null", f"candidates.tuned.pretrained={tmp_path / 'broken'}", out, store]
    assert main([*WORDS[:2], *more]) != 0
    rows = [json.loads(line) for line in (tmp_path / "run/samples_mine.jsonl").read_text().splitlines()]
    lost = {row["prompt_id"] for row in rows if row.get("missing")}
    assert {"p9", "p19", "p29", "p39"} <= lost < {row["prompt_id"] for row in rows}
    for row in rows:
        broken = row["model"] == "tuned" and row["prompt_id"] in lost
        assert row.get("missing") == ("the model's output was no number" if broken else None)
        assert (row["scores"]["vowels"]["value"] is None) >= broken
    result = json.loads((tmp_path / "run/results.json").read_text())
    assert {verdict["candidate"]: verdict["decision"] for verdict in result["verdicts"]}["tuned"] != "GO"
    total = next(e for e in result["estimates"] if (e["candidate"], e["measure"]) == ("tuned", "vowels"))
    assert total["missing"]["candidate"] >= len(lost)


CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static const long YEAR = 365L * 24 * 3600;
int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, clock, at);
    if (!failed && clock == CLOCK_REALTIME) at->tv_sec -= YEAR;
    return failed;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="a clock is set back by a library in C")
def test_an_audit_whose_clock_is_set_back_by_a_year_goes_on_to_the_same_results(work, tmp_path):
    assert forked(signalled(signal.SIGTERM)).returncode == 143
    first = completions()
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    command = [sys.executable, "-m", "toxaudit", *WORDS]
    done = subprocess.run(command, env=os.environ | {"LD_PRELOAD": str(library)}, capture_output=True, text=True)
    assert done.returncode in (0, 1, 2), done.stderr
    assert first < completions() == set(stored.records(Path("store of the whole"), "completions"))
    found, meant = (json.loads(Path(name, "results.json").read_text()) for name in ("run", "whole"))
    assert found.pop("date")[:4] == str(int(time.strftime("%Y")) - 1) and meant.pop("date")
    for each in (found, meant):
        del each["command"], each["commitment"]
    assert found == meant
    assert (Path("run") / "draws.parquet").read_bytes() == (Path("whole") / "draws.parquet").read_bytes()
    shutil.rmtree("run")
    shutil.rmtree("store")


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_kills_at_random_moments_change_nothing_and_leave_nothing_behind(tmp_path):
    """The short form of ``benchmarks/kills.py``, whose moments a printed seed repeats."""

    def benchmark():
        sys.path.append(str(ROOT / "benchmarks"))
        sys.argv = ["kills.py", "--kills", "3", "--folder", str(tmp_path)]
        import kills

        return kills.main()

    done = forked(benchmark)
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "3 kills over" in done.stderr and "wrong: 0" in done.stderr


def test_every_fault_that_is_listed_names_a_test_that_causes_it():
    listed = re.findall(r"`(tests/\S+?\.py)`, `(test_\w+)`", (ROOT / "docs/faults.md").read_text())
    assert len(listed) >= 20
    for file, name in listed:
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file} has no {name}"
