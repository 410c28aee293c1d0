"""transformers' own OpenAI-compatible server, run by the command that a user would give."""

import importlib
import multiprocessing
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tqdm import tqdm


@dataclass
class RealServer:
    """A running one, its host, and what it has said so far."""

    host: str
    process: BaseProcess
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"


@contextmanager
def transformers_serve(folder: Path, *arguments: str) -> Iterator[RealServer]:
    """Serve models on the CPU; none is listed, since the server lists those of an empty cache, in ``folder``."""
    (folder / "hub").mkdir()
    (folder / "log").touch()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    words = ["transformers", "serve", *arguments, "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"]
    # A copy of this process has the libraries already; a fresh one imports them for seconds.
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(folder, words))
    process.start()
    server = RealServer(f"127.0.0.1:{port}", process, folder / "log")
    try:
        _wait(server)
        yield server
    finally:
        process.kill()
        process.join()


def _serve(folder: Path, words: list[str]) -> None:
    """What the command does, in a process of its own that writes to a log."""
    warnings.simplefilter("ignore")  # they are no errors in a process of one's own
    tqdm.set_lock(threading.RLock())  # a thread that only the parent has may hold the one before
    os.environ["HF_HUB_CACHE"] = str(folder / "hub")
    from huggingface_hub import constants

    importlib.reload(constants)
    from transformers.cli.transformers import app

    with (folder / "log").open("w", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log
        sys.argv = words
        app()


def _wait(server: RealServer) -> None:
    for _ in range(600):
        try:
            urlopen(f"{server.url}/models", timeout=10).close()
            return
        except (URLError, ConnectionError):
            assert server.process.is_alive(), server.log.read_text()
            time.sleep(0.2)
    raise TimeoutError(server.log.read_text())
