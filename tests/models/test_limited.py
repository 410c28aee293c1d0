"""What works on strangers' words is stopped in time, and that time begins when its process is ready."""

import os

import pytest

from toxaudit.models import limited

FAKE = """\
import json, sys, time
for line in sys.stdin:
    time.sleep({before})
    {fail}
    print("ready", flush=True)
    time.sleep({after})
    print(json.dumps({{"code": 0, "out": json.dumps(json.loads(line)[2]), "said": ""}}), flush=True)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Puts another script in the place of the real one, which sleeps before and after it is ready."""

    def put(before: float = 0, after: float = 0, fail: str = "") -> None:
        file = tmp_path / "script.py"
        file.write_text(FAKE.format(before=before, after=after, fail=fail))
        monkeypatch.setattr(limited, "SCRIPT", file)
        limited.close()

    yield put
    limited.close()


def test_what_a_process_takes_to_begin_is_not_the_works_time(script):
    """A healthy base was refused on a slow machine: importing took longer than the template's ten seconds."""
    script(before=1.5)
    assert limited.run("render", 1.0, said="é") == {"said": "é"}


def test_the_work_itself_is_stopped_in_time(script):
    script(after=60)
    with pytest.raises(TimeoutError, match=r"^stopped after 1 seconds$"):
        limited.run("render", 1.0)


@pytest.mark.parametrize("size", [0, 10**6])
def test_a_process_that_fails_before_it_is_ready_says_why(script, size):
    script(fail="raise ImportError('no such library')")
    with pytest.raises(limited.Failed, match=r"^ImportError: no such library$"):
        limited.run("render", 5.0, said="x" * size)


def test_a_process_that_never_begins_is_given_up(script, monkeypatch):
    monkeypatch.setattr(limited, "START_SECONDS", 1.0)
    script(before=60)
    with pytest.raises(limited.Failed, match=r"^its process did not begin within 1 seconds$"):
        limited.run("render", 5.0)


@pytest.mark.thorough
def test_what_is_computed_before_the_work_begins_is_not_its_own(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import time\nwhile time.process_time() < 2.5: pass\n")
    limited.close()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert limited.run("match", 1.0, patterns=["a+"], names=["aaa"]) is None
    with pytest.raises(TimeoutError):
        limited.run("match", 1.0, patterns=["(a+)+b"], names=["a" * 50])


def test_no_library_is_imported_twice_and_a_piece_of_work_finds_nothing_of_the_one_before():
    limited.close()
    limited.run("match", 5.0, patterns=["a"], names=["a"])
    process = limited._kept[0]
    with pytest.raises(limited.Failed, match=r"^re\.error: "):
        limited.run("match", 5.0, patterns=["("], names=["a"])
    assert limited.run("match", 5.0, patterns=["a"], names=["a"]) is None
    assert limited._kept == [process]


def test_after_work_that_had_to_be_stopped_the_next_begins_anew():
    with pytest.raises(TimeoutError):
        limited.run("match", 1.0, patterns=["(a+)+b"], names=["a" * 50])
    assert limited._kept == []
    assert limited.run("match", 5.0, patterns=["a"], names=["a"]) is None


def test_a_process_that_somebody_stopped_is_followed_by_another():
    limited.run("match", 5.0, patterns=["a"], names=["a"])
    limited._kept[0]._process.kill()
    limited._kept[0]._process.wait()
    assert limited.run("match", 5.0, patterns=["a"], names=["a"]) is None


def test_where_the_system_knows_no_copies_each_piece_of_work_has_a_process(monkeypatch, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"import os, runpy\ndel os.fork\nrunpy.run_path({str(limited.SCRIPT)!r}, run_name='__main__')\n")
    monkeypatch.setattr(limited, "SCRIPT", script)
    limited.close()
    for _ in range(2):
        assert limited.run("match", 5.0, patterns=["a"], names=["a"]) is None
    with pytest.raises(limited.Failed, match=r"^re\.error: "):
        limited.run("match", 5.0, patterns=["("], names=["a"])
    limited.close()
