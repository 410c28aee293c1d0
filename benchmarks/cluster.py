"""What executor=ray costs beside an audit in one process: same arms, prompts and threads, answers compared.

    python benchmarks/cluster.py [--seconds 30] [--rounds 3] [--workers 1]

A job is all that some arms are asked: as many prompts as take one process about ``--seconds`` of a CPU. Both ways do it
by turns, with models that are loaded and looked at before. With one worker that leaves what Ray adds to the work
itself: handing over, calls, and the audit's own process, which waits. To start Ray and its workers is told apart.
CPU-seconds are those of all processes, Ray's own among them; on a machine with other work, they can be compared.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil

NEW_TOKENS = 32
FIRST = 256
"""Prompts by which it is found out how many take the time that is wanted."""


@dataclass(frozen=True)
class Took:
    """What something took: wall-clock and CPU-seconds, of all processes."""

    wall: float
    cpu: float


@contextmanager
def watched() -> Iterator[list[Took]]:
    """What the block takes: this process and all that it has started, those that ended meanwhile left out."""
    found: list[Took] = []
    wall, cpu = time.perf_counter(), used()
    yield found
    after = used()
    found.append(Took(time.perf_counter() - wall, sum(spent - cpu.get(each, 0.0) for each, spent in after.items())))


def used() -> dict[int, float]:
    """Process -> the CPU-seconds that it has used."""
    me, found = psutil.Process(), {}
    for each in [me, *me.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found[each.pid] = times.user + times.system
    return found


def asked(arms: Sequence[Any], prompts: int) -> list[Any]:
    """Requests of prompts of different lengths, for each arm."""
    from toxaudit.backends.request import Request
    from toxaudit.records import Prompt

    texts = [f"{place}: " + "Why is it so? " * (1 + place % 9) for place in range(prompts)]
    return [Request(arm.name, Prompt(f"p{place}", "mine", text)) for place, text in enumerate(texts) for arm in arms]


def answers(session: Any, requests: Sequence[Any]) -> list[Any]:
    """What each request is answered."""
    from toxaudit.spec.schema import Generation

    given = {
        id(request): completion
        for batch in session.generate(requests, Generation(max_new_tokens=NEW_TOKENS), lambda request: False)
        for request, completion in batch
    }
    return [given[id(request)] for request in requests]


def arms_in(folder: Path) -> list[Any]:
    """A base with random weights, of 25 million parameters, and an adapter over it."""
    import tiny

    size = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8}
    base = tiny.model(folder / "base", tiny.llama(**size, num_key_value_heads=4))
    return [tiny.resolved(base), tiny.resolved(base, tiny.adapter(base, folder / "adapter", scale=0.02))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()

    from toxaudit.backends.transformers import Transformers
    from toxaudit.executors.local import LocalExecutor
    from toxaudit.executors.ray import RayExecutor
    from toxaudit.models import Loader

    with tempfile.TemporaryDirectory() as folder:
        arms = arms_in(Path(folder))
        here, ray = LocalExecutor(device="cpu", threads=1), RayExecutor(device="cpu", threads=1, workers=given.workers)
        loader = Loader(here.start())
        ways: dict[str, Callable[[Sequence[Any]], list[Any]]] = {}
        with here.open(Transformers(batch_size=128), loader, arms) as session:
            ways["one process"] = lambda requests: answers(session, requests)
            answers(session, asked(arms, 8))
            with watched() as first:
                answers(session, asked(arms, FIRST))
            requests = asked(arms, round(FIRST * given.seconds / first[0].cpu))
            with watched() as start, ray.open(Transformers(batch_size=128), Loader("cpu"), arms) as workers:
                answers(workers, asked(arms, 8 * given.workers))  # they load and look at the arms
            ways[f"Ray, {given.workers} worker(s)"] = lambda requests: answers(workers, requests)
            took: dict[str, list[Took]] = {name: [] for name in ways}
            texts: dict[str, list[Any]] = {}
            for _ in range(given.rounds):
                for name, way in ways.items():
                    with watched() as found:
                        texts[name] = way(requests)
                    took[name] += found
            ray.close()
    shown(len(requests), start[0], took, texts)


def shown(requests: int, start: Took, took: dict[str, list[Took]], texts: dict[str, list[Any]]) -> None:
    """Print what was measured; the first way is what all are compared with."""
    first, expected = next(iter(took)), next(iter(texts.values()))
    print(f"{requests} completions a job; Ray and its workers start in {start.wall:.1f} s, {start.cpu:.1f} CPU-s\n")
    print("| how | CPU-seconds a job | of the first | seconds a job | of the first | same answers |")
    print("|---|---|---|---|---|---|")
    for name in took:
        cells = []
        for what in ("cpu", "wall"):
            own, other = (statistics.median(getattr(each, what) for each in took[way]) for way in (name, first))
            cells += [f"{own:.1f}", f"{own / other:.3f}"]
        cells.append(f"{sum(a == b for a, b in zip(texts[name], expected, strict=True))}/{len(expected)}")
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\nMedians of {len(took[first])}; each: {took}")


if __name__ == "__main__":
    main()
