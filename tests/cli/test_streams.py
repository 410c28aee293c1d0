"""What can't be printed changes no verdict, and an error never ends with a verdict's exit code."""

import errno
import io
import os
import subprocess
import sys

import pytest

from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.machine import progress


class Failing(io.StringIO):
    """A stream of which writing, or only the flush at the end, fails."""

    def __init__(self, error, at="write"):
        super().__init__()
        self.failure, self.at = error, at

    def write(self, text):
        if self.at == "write":
            raise self.failure
        return super().write(text)

    def flush(self):
        raise self.failure


FULL, GONE = OSError(errno.ENOSPC, "No space left on device"), BrokenPipeError(errno.EPIPE, "Broken pipe")
CLOSED = OSError(errno.EBADF, "Bad file descriptor")


def deciding(code):
    def run(words):
        print("Verdicts", flush=True)
        progress.say("A word.")
        with progress.bar("tuning", 1, "step") as bar:
            bar.update()
        return code

    return run


def refusing(words):
    raise ToxauditError("Mend it.")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("error", [FULL, GONE, CLOSED])
@pytest.mark.parametrize("at", ["write", "flush"])
@pytest.mark.parametrize("code", [0, 1, 2])
def test_an_audit_ends_with_its_verdict_whatever_becomes_of_its_log(monkeypatch, name, error, at, code):
    monkeypatch.setattr("toxaudit.cli.audit.run", deciding(code))
    monkeypatch.setattr(sys, name, Failing(error, at))
    assert main(["audit=x"]) == code


@pytest.mark.parametrize("words", [["-m", "audit=x"], ["--multirun", "audit=x"], ["audit=x", "--multirun"]])
def test_so_does_a_sweep(monkeypatch, words):
    monkeypatch.setattr("toxaudit.cli.audit.run", deciding(2))
    monkeypatch.setattr(sys, "stdout", Failing(FULL, "write"))
    assert main(words) == 2


@pytest.mark.parametrize("failing", [refusing, lambda _: 1 / 0, lambda _: (_ for _ in ()).throw(MemoryError())])
@pytest.mark.parametrize("error", [FULL, GONE, CLOSED])
def test_an_error_that_can_not_be_told_is_one_all_the_same(monkeypatch, failing, error):
    monkeypatch.setattr("toxaudit.cli.audit.run", failing)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, Failing(error))
    assert main(["audit=x"]) == 3


@pytest.mark.parametrize("at", ["write", "flush"])
def test_what_only_prints_has_failed_where_nothing_can_be_printed(monkeypatch, capsys, at):
    monkeypatch.setattr(sys, "stdout", Failing(FULL, at))
    assert main(["--version"]) == main(["--help"]) == 3
    assert "toxaudit: standard output can't be written: No space left on device.\n" in capsys.readouterr().err


def test_whoever_has_read_enough_may_go(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Failing(GONE))
    assert main(["--version"]) == main(["--help"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_none_may_be_there(monkeypatch, stream):
    monkeypatch.setattr(sys, stream, None)
    assert main(["--version"]) == 0
    assert main(["plam"]) == 3


def test_progress_that_can_not_be_written_stops_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Failing(FULL))
    deciding(0)([])


@pytest.mark.parametrize(
    ("code", "shell", "ends"),
    [
        ("m.main()", "2>/dev/full >/dev/full", 3),
        ("m.main()", "2>&- >&-", 3),
        ("print('GO') or 0", ">/dev/full", 0),
        ("print('GO') or 0", "2>&- >&-", 0),
        ("sys.exit(1)", "2>/dev/null", 3),
        ("sys.exit()", "2>/dev/full", 3),
    ],
)
def test_the_process_ends_with_that_code(code, shell, ends):
    run = "import sys; from toxaudit.cli import main as m; "
    if code == "m.main()":
        run += "sys.argv[1:] = ['plam']; m.script()"
    else:
        run += f"m._dispatch = lambda words: {code}; sys.argv[1:] = ['audit=x']; m.script()"
    done = subprocess.run(["bash", "-c", f'exec "$0" -c "$1" {shell}', sys.executable, run])
    assert done.returncode == ends


def test_whoever_has_read_enough_of_a_real_pipe_may_go():
    listing = f"{sys.executable} -m toxaudit --help"
    done = subprocess.run(
        ["bash", "-c", f"{listing} | head -1; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)


def narrow(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)


SHOWN = {
    "ascii": "-3.1 ... cafe ? ? 1-2 -> <= Zurich",
    "latin-1": "-3.1 ... café ? ? 1-2 -> <= Zürich",
    "cp1252": "-3.1 … café ? ? 1–2 -> <= Zürich",
    "utf-16": "−3.1 … café 文 😀 1–2 → ≤ Zürich",
}


@pytest.mark.parametrize("encoding", SHOWN)
@pytest.mark.parametrize("code", [0, 1])
def test_a_terminal_that_lacks_characters_gets_others_and_the_verdict_stands(monkeypatch, encoding, code):
    def run(words):
        print("−3.1 … café 文 😀 1–2 → ≤ Zürich", flush=True)
        progress.say("−3.1 … café")
        return code

    monkeypatch.setattr("toxaudit.cli.audit.run", run)
    out, err = narrow(encoding), narrow(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["audit=x"]) == code
    assert out.buffer.getvalue().decode(encoding).rstrip() == SHOWN[encoding]
    assert err.buffer.getvalue().decode(encoding).rstrip() == SHOWN[encoding].partition(" ?")[0].partition(" 文")[0]


def test_broken_characters_are_printed_as_well_as_can_be(monkeypatch):
    monkeypatch.setattr("toxaudit.cli.audit.run", lambda words: print("a\udcffb") or 0)
    monkeypatch.setattr(sys, "stdout", narrow("utf-8"))
    assert main(["audit=x"]) == 0
    assert sys.stdout.buffer.getvalue() == b"a?b\n"


def test_so_is_a_refusal(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", narrow("ascii"))
    assert main(["plän"]) == 3
    assert sys.stderr.buffer.getvalue().startswith(b"toxaudit: There is no command 'plan'. Did you mean 'plan'?")


def test_a_locale_of_ascii_takes_words_in_utf8():
    code = "from toxaudit.cli import main as m; m._dispatch = lambda words: print(ascii(words)) or 0; m.script()"
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    narrow["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    done = subprocess.run([sys.executable, "-c", code, "title=é"], capture_output=True, text=True, env=narrow)
    assert done.stdout == "['title=\\xe9']\n"


def test_a_name_that_the_locale_lacks_is_one_sentence(monkeypatch, capsys):
    def run(words):
        "é".encode("ascii")

    monkeypatch.setattr("toxaudit.cli.audit.run", run)
    assert main(["audit=x"]) == 3
    assert capsys.readouterr().err == "toxaudit: 'é' can't be named in this locale's ascii: set LC_ALL=C.UTF-8.\n"
