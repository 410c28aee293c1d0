"""Progress moves with every token, and a log gets lines."""

import subprocess
import sys

import pytest

from toxaudit.machine import progress
from toxaudit.records import Completion


def answer(tokens, finish="length"):
    return Completion("base", "p", 0, "", tokens, finish)


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only as it is told to."""
    now = [100.0]
    monkeypatch.setattr("toxaudit.machine.progress.monotonic", lambda: now[0])
    return now


def test_a_bar_over_completions_moves_with_their_tokens(clock, capsys):
    with progress.Writing("generating", total=12, done=2, most=20) as bar:
        shown = bar.bar
        clock[0] += 1000  # the model is loaded
        bar.wrote(100)
        assert shown.n == 2 + 5
        clock[0] += 10
        bar.wrote(40)
        assert shown.n == 2 + 7
        assert "14 tokens/s" in str(shown)
        bar.answered([answer(20)] * 6 + [answer(9, "stop")] * 2)
        assert shown.n == 2 + 8
        bar.wrote(-20)  # what did not fit is made again
        bar.wrote(40)
        bar.answered([answer(20)] * 2)
        assert shown.n == 12
    assert "12/12" in capsys.readouterr().err.splitlines()[-1]


CHOSEN = Completion("base", "p", 0, "yes", 0, "stop", (-1.0, -2.0))


@pytest.mark.parametrize(
    ("completion", "rate"),
    [(answer(20), "6 tokens/s"), (answer(None), None), (CHOSEN, None)],
    ids=["a backend that tells none", "a server that counts none", "a choice"],
)
def test_tokens_that_nobody_told_of_are_counted_with_their_answers(clock, completion, rate):
    with progress.Writing("generating", total=3, done=0, most=20) as bar:
        clock[0] += 10
        bar.answered([completion] * 3)
        assert bar.bar.n == 3
        assert rate in str(bar.bar) if rate else "tokens/s" not in str(bar.bar)


def test_what_is_stored_already_tells_nothing_of_the_rate(capsys):
    progress.bar("scoring", 100, "text", done=99).close()
    said = capsys.readouterr().err.splitlines()[-1]
    assert "99/100" in said and "?text/s" in said


def told_apart(code):
    """The lines on standard error of a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stderr.splitlines()


def test_a_log_gets_lines():
    code = (
        "from toxaudit.machine import progress\n"
        "with progress.bar('tuning', 2, 'step') as bar:\n"
        "    progress.say('A word.')\n"
        "    bar.update(2)\n"
    )
    # Apart: a word is written between all bars that there are, and one that another test gave up may not be gone yet.
    first, word, last = told_apart(code)
    assert "0/2" in first and word == "A word." and "2/2" in last


def test_bars_of_libraries_are_silent_and_ours_are_not():
    code = (
        "from toxaudit.machine import progress\n"
        "from tqdm.auto import tqdm\n"
        "list(tqdm(range(3), desc='theirs'))\n"
        "progress.bar('ours', 3, 'step').close()\n"
    )
    said = " ".join(told_apart(code))
    assert "ours" in said and "theirs" not in said


def test_a_download_has_one_bar_which_is_ours(capsys, monkeypatch):
    monkeypatch.setattr(progress, "DOWNLOAD_DELAY_SECONDS", 0)
    kind = progress.of_downloads("fetching org/base")
    asked = {"total": 0, "unit": "B", "unit_scale": True, "name": "hub", "bar_format": "theirs {n}"}
    first, second = kind(desc="Downloading", **asked), kind(desc="Reconstructing", **asked)
    list(kind(range(3), desc="Fetching 3 files"))
    for bar in (first, second):
        bar.total = 2000
        bar.update(2000)
        bar.set_description_str("Download complete")
        bar.close()
    said = capsys.readouterr().err
    assert "fetching org/base" in said and "2.00k/2.00k" in said
    assert not any(word in said for word in ("theirs", "Downloading", "Reconstructing", "Fetching", "complete"))
