"""What `toxaudit plan` says of an audit's time and memory, and what they are: side by side, from an empty store.

    python benchmarks/plan.py [audit=quickstart] [KEY=VALUE ...]

What is to be fetched is fetched before. Then the audit is planned, as the command would, and run in a process of its
own. Prints what was told and what was measured, in whole and by part, and the error.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def main() -> None:
    """Fetch, plan, run, print."""
    words = sys.argv[1:] or ["audit=quickstart"]
    with tempfile.TemporaryDirectory() as scratch:
        words += [f"store={scratch}/store", f"out={scratch}/run"]
        _apart(_fetch, words)
        seconds, memory, cpu = _apart(_told, words)
        took, held = _apart(_run, words)
    print(f"{cpu.flops / 1e9:.0f} GFLOP/s in float32, {cpu.threads} threads, x {cpu.half:g} in bfloat16")
    for what in seconds:
        print(f"{what:<12} told {seconds[what]:7.1f} s, measured {took[what]:7.1f} s")
    for what, told, measured, unit in (
        ("time", sum(seconds.values()), sum(took.values()), "s"),
        ("memory", memory / 1e6, held / 1e6, "MB"),
    ):
        error = told / measured - 1
        print(f"{what:<12} told {told:7.1f} {unit}, measured {measured:7.1f} {unit}: {error:+.0%} (bar: 30 %)")


def _apart(work: Callable[[list[str]], Any], words: list[str]) -> Any:
    """The answer of ``work`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, words).result()


def _fetch(words: list[str]) -> None:
    from toxaudit.compose.compose import compose
    from toxaudit.pinning.references import references

    for reference in references(compose(words)):
        reference.source.fetch(reference.patterns)


def _told(words: list[str]) -> Any:
    from toxaudit.compose.compose import compose
    from toxaudit.planning import forecast

    seen = forecast.forecast(compose(words))
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
    scoring.score = timed(scoring.score, "scoring")
    runner.run(compose(words), "benchmark")
    took["estimating"] = time.time() - begun - sum(took.values())
    unit = 1 if sys.platform == "darwin" else 1024
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
