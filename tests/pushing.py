"""The real Hub client in a process of its own, that runs one ``toxaudit push`` or ``verify`` after another."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CLIENT = """
import contextlib, io, json, os, sys, time
from huggingface_hub import constants
from toxaudit.cli.main import main

time.sleep = lambda seconds: None  # between attempts
for line in sys.stdin:
    words, token, offline = json.loads(line)
    os.environ.pop("HF_TOKEN", None)
    os.environ |= {"HF_TOKEN": token} if token else {}
    constants.HF_HUB_OFFLINE = offline
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""
DIED = "the client has died"
TOKENS = {
    "hf_aliceMayWrite": ("alice", "write"),
    "hf_aliceMayRead": ("alice", "read"),
    "hf_aliceFineGrained": ("alice", "fineGrained"),
    "hf_bobMayWrite": ("bob", "write"),
}
ALICE, READS, FINE, BOB = TOKENS


@dataclass
class Client:
    """A process in which the Hub client knows one address."""

    process: subprocess.Popen[str]

    def push(self, *words: object, token: str | None = ALICE, offline: bool = False) -> tuple[int, str, str]:
        """Exit code, output and errors of a push; the token is in neither."""
        return self.run("push", *words, token=token, offline=offline)

    def run(self, *words: object, token: str | None = None, offline: bool = False) -> tuple[int, str, str]:
        """Exit code, output and errors of a command; the token is in neither."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([[str(word) for word in words], token, offline]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, DIED
        assert not any(each in answer for each in TOKENS)
        code, out, err = json.loads(answer)
        return code, out, err

    def pushed(self, *words: object, **how: object) -> list[str]:
        """The lines of a push that succeeds."""
        code, out, err = self.push(*words, **how)  # type: ignore[arg-type]
        assert code == 0, err
        return out.splitlines()

    def refused(self, *words: object, **how: object) -> str:
        """The sentence of a push that doesn't."""
        code, _, err = self.push(*words, **how)  # type: ignore[arg-type]
        sentences = [line for line in err.splitlines() if line.startswith("toxaudit: ")]
        assert code == 3 and len(sentences) == 1, err
        return sentences[0].removeprefix("toxaudit: ")


@contextmanager
def client(url: str, folder: Path, ends: int = 0) -> Iterator[Client]:
    """A client of the Hub at ``url``; at the end no token is in anything that it logged or left in ``folder``.

    It ends with the code ``ends``, which is minus a signal's number where it is killed.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    settings = {"HF_ENDPOINT": url, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            env=clean | settings,
            cwd=folder,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with process:
            yield Client(process)
    assert process.returncode == ends, log.read_text()
    for file in folder.rglob("*"):
        assert not file.is_file() or not any(token.encode() in file.read_bytes() for token in TOKENS), file
