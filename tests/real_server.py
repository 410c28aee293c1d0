"""transformers' own OpenAI-compatible server, run as a user would run it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen


@dataclass
class RealServer:
    """A running one, its host, and what it has said so far."""

    host: str
    process: "subprocess.Popen[Any]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"


@contextmanager
def transformers_serve(folder: Path, *arguments: str) -> Iterator[RealServer]:
    """Serve models on the CPU; none is listed, since the server lists those of an empty cache, in ``folder``."""
    (folder / "hub").mkdir()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", *arguments]
    with (folder / "log").open("w") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_CACHE": str(folder / "hub")},
        )
    server = RealServer(f"127.0.0.1:{port}", process, folder / "log")
    try:
        _wait(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(server: RealServer) -> None:
    for _ in range(600):
        try:
            urlopen(f"{server.url}/models", timeout=10).close()
            return
        except (URLError, ConnectionError):
            assert server.process.poll() is None, server.log.read_text()
            time.sleep(0.2)
    raise TimeoutError(server.log.read_text())
