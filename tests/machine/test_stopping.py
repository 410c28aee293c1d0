"""A command that is stopped from outside says so, and ends with the code by which shells tell the signal."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from time import sleep

import pytest

from toxaudit.cli.main import main
from toxaudit.machine import stopping
from toxaudit.models.refusing import refusing

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def ending_early(number):
    """A run in which a library takes an interrupt for a wish to end early, as samplers do."""

    def run(words):
        with refusing("what strangers wrote"):
            try:
                os.kill(os.getpid(), number)
                sleep(10)  # the signal ends it at once
            except KeyboardInterrupt:
                pass
        return 0

    return run


@pytest.fixture
def heeded():
    """Signals as a terminal leaves them, also where the tests run under ``nohup``, which ignores one."""
    before = {each: signal.signal(each, signal.SIG_DFL) for each in CODES}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("number", CODES)
def test_a_signal_stops_a_run_at_once_and_no_library_makes_a_verdict_of_it(heeded, monkeypatch, capsys, number):
    before = {each: signal.getsignal(each) for each in CODES}
    monkeypatch.setattr("toxaudit.cli.audit.run", ending_early(number))
    assert main(["audit=x"]) == CODES[number]
    said = capsys.readouterr().err
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    assert said == f"\ntoxaudit: stopped{by}. Finished work is kept: the same command goes on from here.\n"
    assert {each: signal.getsignal(each) for each in CODES} == before


def test_a_library_that_makes_its_own_error_of_a_signal_is_no_defect(heeded, monkeypatch, capsys):
    def run(words):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            sleep(10)
        except SystemExit:
            raise ValueError("Invalid affine transformation matrix") from None

    monkeypatch.setattr("toxaudit.cli.audit.run", run)
    assert main(["audit=x"]) == CODES[signal.SIGTERM]
    assert "stopped by SIGTERM" in capsys.readouterr().err


def in_batches(kept, sent, apart=0.0):
    """A run in three batches, in the second of which so many signals come; what it keeps is in ``kept``."""

    def work(batch):
        for signals in sent if batch == 2 else ():
            os.kill(os.getpid(), signals)
            sleep(apart)
        sleep(0.01)
        return batch

    def run(words):
        for batch in stopping.each_finished(map(work, (1, 2, 3))):
            kept.append(batch)
        return 0

    return run


STOPPING = "\ntoxaudit: stopping once this batch is kept; the same again stops now.\n"
STOPPED = "\ntoxaudit: stopped{}. Finished work is kept: the same command goes on from here.\n"


@pytest.mark.parametrize("number", CODES)
def test_a_batch_that_is_under_way_is_kept_before_a_first_signal_stops_the_run(heeded, monkeypatch, capsys, number):
    kept = []
    monkeypatch.setattr("toxaudit.cli.audit.run", in_batches(kept, [number]))
    assert main(["audit=x"]) == CODES[number]
    assert kept == [1, 2]
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    assert capsys.readouterr().err == STOPPING + STOPPED.format(by)
    assert main(["--version"]) == 0  # nothing of it is left


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once_what_is_under_way(heeded, monkeypatch, capsys, second):
    kept = []
    monkeypatch.setattr("toxaudit.cli.audit.run", in_batches(kept, [signal.SIGINT, second], stopping.SAME_SECONDS))
    assert main(["audit=x"]) == CODES[second]
    assert kept == [1]
    assert "stopped" in capsys.readouterr().err


def test_what_a_launcher_passes_on_of_a_terminal_s_signal_is_no_second_one(heeded, monkeypatch):
    kept = []
    monkeypatch.setattr("toxaudit.cli.audit.run", in_batches(kept, [signal.SIGINT] * 3))
    assert main(["audit=x"]) == 130
    assert kept == [1, 2]


def test_an_error_in_the_batch_goes_before_the_signal(heeded, monkeypatch, capsys):
    def run(words):
        with stopping.finishing():
            os.kill(os.getpid(), signal.SIGTERM)
            raise OSError(28, "No space left on device", "here")

    monkeypatch.setattr("toxaudit.cli.audit.run", run)
    assert main(["audit=x"]) == 3
    assert capsys.readouterr().err.endswith("toxaudit: here: No space left on device.\n")


def test_a_signal_that_is_ignored_stays_so(monkeypatch):
    monkeypatch.setattr("toxaudit.cli.audit.run", lambda words: os.kill(os.getpid(), signal.SIGHUP) or 2)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["audit=x"]) == 2
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_elsewhere_than_in_the_main_thread_signals_are_left_alone():
    codes = []
    thread = Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


def test_the_process_ends_so_even_where_the_terminal_is_gone(heeded):
    code = (
        "import os, signal, time; from toxaudit.cli import main as m\n"
        "def run(words):\n    os.kill(os.getpid(), signal.SIGHUP); time.sleep(10)\n"
        "m._dispatch = run; m.script()"
    )
    done = subprocess.run(["bash", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, code])
    assert done.returncode == 129


def test_the_codes_are_those_that_the_readme_tells():
    text = (Path(__file__).parents[2] / "README.md").read_text()
    told = re.search(r"^\| stopped \| ([\d, ]+) \| by Ctrl-C, SIGTERM .* or SIGHUP", text, re.MULTILINE)
    assert [int(code) for code in told[1].split(", ")] == list(CODES.values())
