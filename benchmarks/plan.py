"""What `toxaudit plan` says of an audit's time and memory, and what they are: side by side, from an empty store.

    python benchmarks/plan.py [audit=quickstart] [KEY=VALUE ...]
    python benchmarks/plan.py --served [KEY=VALUE ...]

What is to be fetched is fetched before. Then the audit is planned, as the command would, and run in a process of its
own. Prints what was told and what was measured, in whole and by part, and the error. ``--served`` audits the
quickstart's model, a copy with noise on its weights and a control, which `transformers serve` answers for here.
"""

import multiprocessing
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

PROMPTS = 28  # of a served audit: about two minutes
NOISE = 0.05  # of a weight's spread


def main() -> None:
    """Fetch, plan, run, print."""
    words, served = sys.argv[1:], sys.argv[1:2] == ["--served"]
    with tempfile.TemporaryDirectory() as scratch, _serving(Path(scratch)) if served else nullcontext([]) as own:
        words = [*own, *words[1:]] if served else words or ["audit=quickstart"]
        words += [f"store={scratch}/store", f"out={scratch}/run"]
        _apart(_fetch, words)
        seconds, memory, cpu = _apart(_told, words)
        took, held = _apart(_run, words)
    print(f"{cpu.flops / 1e9:.0f} GFLOP/s in float32, {cpu.threads} threads, x {cpu.half:g} in bfloat16")
    for what in seconds:
        print(f"{what:<12} told {seconds[what]:7.1f} s, measured {took[what]:7.1f} s")
    whole = [("time", sum(seconds.values()), sum(took.values()), "s")]
    whole += [("memory", memory / 1e6, held / 1e6, "MB")] if memory else []
    for what, told, measured, unit in whole:
        error = told / measured - 1
        print(f"{what:<12} told {told:7.1f} {unit}, measured {measured:7.1f} {unit}: {error:+.0%} (bar: 20 %)")


def _apart(work: Callable[[Any], Any], given: Any) -> Any:
    """The answer of ``work`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, given).result()


@contextmanager
def _serving(scratch: Path) -> Iterator[list[str]]:
    """The words of an audit of two models that a server on this machine has, while it runs."""
    base, tuned = _apart(_models, scratch / "tuned")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    host, port = address.split(":")
    program = Path(sys.executable).with_name("transformers")
    command = [program, "serve", "--host", host, "--port", port, "--device", "cpu"]
    with (scratch / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        while server.poll() is None:
            with suppress(OSError):
                urlopen(f"http://{address}/health", timeout=10).close()
                break
            time.sleep(0.5)
        else:
            sys.exit((scratch / "log").read_text())
        yield [
            *("audit=quick", "backend=openai", f"backend.base_url=http://{address}/v1", f"base.pretrained={base}"),
            *(f"candidates.it={tuned}", "+candidates.noop={control: true}", f"suites.rtp_categories.limit={PROMPTS}"),
        ]
    finally:
        server.terminate()
        server.wait()


def _models(tuned: Path) -> tuple[Path, Path]:
    """The folders of the quickstart's model, and of one with noise on the weights of its layers, which is made."""
    import torch
    from safetensors.torch import load_file, save_file

    from toxaudit.compose.compose import compose
    from toxaudit.machine import folders
    from toxaudit.models import resolve_base
    from toxaudit.store.shelves import Store

    base = resolve_base(compose(["audit=quickstart"]).base, "cpu", Store(folders.home() / "store"))
    shutil.copytree(base.folder, tuned)
    weights = load_file(tuned / "model.safetensors")
    torch.manual_seed(0)
    for name, weight in weights.items():
        if ".layers." in name:
            weight += NOISE * weight.std() * torch.randn_like(weight)
    (tuned / "model.safetensors").unlink()  # it may be a link to the base's
    save_file(weights, tuned / "model.safetensors", {"format": "pt"})
    return base.folder, tuned


def _fetch(words: list[str]) -> None:
    from toxaudit.compose.compose import compose
    from toxaudit.pinning.references import references

    for reference in references(compose(words)):
        reference.source.fetch(reference.patterns)


def _told(words: list[str]) -> Any:
    from toxaudit.compose.compose import compose
    from toxaudit.planning import forecast

    seen = forecast.forecast(compose(words), asks=True)
    return seen.effort.seconds(seen.asked), seen.effort.memory(seen.asked), seen.cpu


def _run(words: list[str]) -> tuple[dict[str, float], int]:
    """Seconds of each part, from the start of this process on; and its peak of resident memory in bytes."""
    import psutil

    begun = psutil.Process(os.getpid()).create_time()
    from toxaudit import runner, training
    from toxaudit.compose.compose import compose
    from toxaudit.stages import answering, scoring

    took = dict.fromkeys(("tuning", "generating", "scoring"), 0.0)

    def timed(work: Callable[..., Any], what: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            start = time.time()
            if what == "generating" and "preparing" not in took:
                took["preparing"] = start - begun - took["tuning"]
            try:
                return work(*arguments, **named)
            finally:
                took[what] += time.time() - start

        return wrapped

    training.tune = timed(training.tune, "tuning")
    answering.answer = timed(answering.answer, "generating")
    answering.asked_again = timed(answering.asked_again, "generating")
    scoring.score = timed(scoring.score, "scoring")
    runner.run(compose(words), "benchmark")
    took["estimating"] = time.time() - begun - sum(took.values())
    unit = 1 if sys.platform == "darwin" else 1024
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
