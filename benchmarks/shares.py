"""What share each way of generating has of what this machine could do, in one table.

Two shares, each of the processor's seconds that a way takes to generate, once warm:

- of the roofline: what each pass through the model takes at least, which is its products at the best rate that was
  measured at any number of rows, or reading the weights once, whichever is longer; and reading keys and values;
- of the products alone: what they take where those of new tokens have the rate of as many rows as there are (arms times
  prompts, at most the batch), and those of the prompts the best one. The machine could do more, by more rows.
"""

import math
from argparse import Namespace
from collections import Counter
from itertools import product
from typing import Any

from ways import PACKAGES, WAYS, Outcome, Way, has, rate, run

NUMBER_FORMATS, PROMPTS = ("float32", "bfloat16"), (60, 200)
SHARED = ("lm-eval-64", "vllm-eager", "ours", "set-adapter", "vllm-lora", "ours-lora")
"""The ways that are compared: lm-evaluation-harness at its best batch."""

MOST_ROWS = 256  # at once, unless a batch is named: as toxaudit chooses on a CPU
MEASUREMENTS = 2  # of the machine, in processes of their own: what happens beside only makes it slower
HEADS = (
    "| number format | arms | prompts | how | share of the roofline | of the products alone | tokens/CPU-s "
    "| whole process: CPU-s | of these before the first token: CPU-s |"
)

Job = dict[str, Any]
Ceiling = dict[str, Any]
"""What the peer ``roofline`` found."""


def installed(ways: list[str], pythons: dict[str, str]) -> list[str]:
    """Those of the ways whose Python has what they need; of each of the others a line is printed."""
    here = [name for name in ways if has(pythons[WAYS[name].python], PACKAGES[WAYS[name].python])]
    for name in ways:
        if name not in here:
            print(f"{WAYS[name].name}: not installed, left out")
    return here


def print_shares(jobs: dict[tuple[str, int], Job], pythons: dict[str, str], options: Namespace) -> None:
    """Measure the machine in each number format, then every way by each job, once; print a line for each.

    Args:
        jobs: what is to be done, by number format and number of prompts.
        pythons: see ``ways.run``.
        options: the command line's.
    """
    ways, most = installed(options.ways, pythons), options.batch or MOST_ROWS
    ceilings = {}
    for dtype in options.dtype:
        own = [job for (name, _), job in jobs.items() if name == dtype]
        rows = [min(arms * len(job["texts"]), most) for arms in (1, 1 + options.adapters) for job in own]
        ceilings[dtype] = ceiling(own[0] | {"rows": rows}, pythons, options)
    print(f"\n{HEADS}\n|{'---|' * (HEADS.count('|') - 1)}", flush=True)
    for ((dtype, prompts), job), adapted in product(jobs.items(), (False, True)):
        for name in (name for name in ways if WAYS[name].adapted == adapted):
            found = run(WAYS[name], job | {"warm": True}, pythons, options)
            about = dtype, str(len(found["found"])), str(prompts), WAYS[name].name
            print(f"| {' | '.join([*about, *_cells(found, job, ceilings[dtype], most)])} |", flush=True)


def ceiling(job: Job, pythons: dict[str, str], options: Namespace) -> Ceiling:
    """The most of several measurements of the machine, each of which is printed."""
    found = [run(Way("roofline", "roofline"), job, pythons, options)["found"] for _ in range(MEASUREMENTS)]
    for each in found:
        print(f"{job['dtype']}: {_in_words(each)}", flush=True)
    rates = {
        part: {rows: max(each["rates"][part][rows] for each in found) for rows in by_rows}
        for part, by_rows in found[0]["rates"].items()
    }
    return found[0] | {"rates": rates, "bandwidth": max(each["bandwidth"] for each in found)}


def _in_words(measured: Ceiling) -> str:
    """The measured rates, each per second of the processor."""
    rates = measured["rates"]
    told = (f"{rows} {rates['layers'][rows] / 1e9:.0f} ({rates['head'][rows] / 1e9:.0f})" for rows in rates["head"])
    return f"layers (last layer) in GFLOP/s by rows: {', '.join(told)}; reading {measured['bandwidth'] / 1e9:.1f} GB/s"


def _cells(found: Outcome, job: Job, measured: Ceiling, most: int) -> tuple[str, ...]:
    taken = found["stages"]["generating"]["cpu"]
    roofline = sum(least(found["found"], job, measured, most).values())
    shares = (f"{seconds / taken:.0%}" for seconds in (roofline, products(found["found"], job, measured, most)))
    return (*shares, f"{rate(found, 'cpu'):.0f}", f"{found['cpu']:.1f}", f"{found['cpu'] - taken:.1f}")


def least(found: Any, job: Job, measured: Ceiling, most: int = MOST_ROWS) -> dict[str, float]:
    """The CPU-seconds that the machine needs at least for what was ``found``, by what for."""
    seconds: Counter[str] = Counter()
    best = {part: max(by_rows.values()) for part, by_rows in measured["rates"].items()}
    for step in _steps(found, job):
        passes = math.ceil(step["head"] / most)
        for part in ("layers", "head"):
            reading = passes * measured[part] * measured["number"] / measured["bandwidth"]
            seconds[part] += max(2 * step[part] * measured[part] / best[part], reading)
        seconds["adapters"] += 2 * step["adapters"] * measured["adapted"] * job["rank"] / best["layers"]
        seconds["keys and values"] += step["read"] * measured["cache"] / measured["bandwidth"]
    return dict(seconds)


def products(found: Any, job: Job, measured: Ceiling, most: int = MOST_ROWS) -> float:
    """The CPU-seconds that the products alone take at as many rows as there are."""
    rates, rows = measured["rates"], str(min(sum(map(len, found.values())), most))
    seconds = 0.0
    for number, step in enumerate(_steps(found, job)):
        fast = rates["layers"][rows] if number else max(rates["layers"].values())
        through = step["layers"] * measured["layers"] + step["adapters"] * measured["adapted"] * job["rank"]
        seconds += 2 * through / fast + 2 * step["head"] * measured["head"] / rates["head"][rows]
    return seconds


def _steps(found: Any, job: Job) -> list[Counter[str]]:
    """How many tokens pass the layers, the last one and an adapter at each step, and how many are read before them.

    The prompts' pass at the first step, of which only the last of each passes the last layer.
    """
    steps: list[Counter[str]] = [Counter() for _ in range(job["tokens"])]
    for arm, answers in found.items():
        for answer, length in zip(answers, job["lengths"], strict=True):
            for number in range(min(answer["tokens"] + 1, job["tokens"])):
                rows, read = (1, length + number) if number else (length, 0)
                steps[number] += Counter(layers=rows, head=1, adapters=rows * (arm != "base"), read=read)
    return steps
