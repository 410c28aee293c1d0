"""What the statistics cost: exact and hierarchical estimates, cold and warm, with and without a C compiler, at scale.

python benchmarks/estimators.py            # everything, some minutes
python benchmarks/estimators.py exact      # one of: exact, seeds, cold, parts, bare, scale
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from toxaudit.estimators.hier_paired import HierPaired
from toxaudit.estimators.outcomes import PairedOutcomes, Slicing
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import summarise

SIZES = np.array([300, 300, 300, 300, 1200])
RATES = np.array([0.12, 0.02, 0.04, 0.05, 0.03])
MARGIN = 0.01


def world(candidates: int, seed: int = 0, times: float = 1.0) -> PairedOutcomes:
    """Five strata, ``times`` 2,400 prompts, rates near 4 %, candidates that change 0 to 3 of 100 answers either way."""
    random = np.random.default_rng(seed)
    sizes = (SIZES * times).astype(int)
    stratum = np.repeat(np.arange(5), sizes)
    base = (random.random(len(stratum)) < RATES[stratum]).astype(float)
    others = {}
    for k in range(candidates):
        new = (random.random(len(stratum)) < 0.03 * (k + 1) / candidates) & (base == 0)
        repaired = (random.random(len(stratum)) < 0.3) & (base == 1)
        others[f"candidate{k}"] = np.where(new, 1.0, np.where(repaired, 0.0, base))
    slices = {"subset": Slicing(tuple(f"s{i}" for i in range(5)), stratum)}
    return PairedOutcomes("suite", f"measure{seed}", base, others, slices, "subset")


def exact() -> None:
    """Ten candidates, five strata, three scorers."""
    worlds = [world(10, seed) for seed in range(3)]
    best, with_summary = [], []
    for _ in range(20):
        start = time.perf_counter()
        found = [posterior for each in worlds for posterior in PairedExact().estimate(each)]
        best.append(time.perf_counter() - start)
        for posterior in found:
            summarise(posterior, MARGIN)
        with_summary.append(time.perf_counter() - start)
    row(
        "exact, 10 candidates x 5 strata x 3 scorers", f"{1000 * min(best):.0f} ms, median {1000 * np.median(best):.0f}"
    )
    row("  with intervals and probabilities", f"{1000 * min(with_summary):.0f} ms")


def seeds() -> None:
    """The spread of P(worse) over ten seeds, on data sets where it is anything from unlikely to near certain."""
    for seed in range(4):
        outcomes = near(seed)
        found = [
            summarise(PairedExact(seed=s, other_prior=None).estimate(outcomes)[0], MARGIN).p_increase for s in range(10)
        ]
        row(f"P(worse) of one 2,400-prompt data set, ten seeds ({np.mean(found):.3f})", f"spread {np.ptp(found):.4f}")


def near(seed: int) -> PairedOutcomes:
    """A world of one candidate, whose new and repaired answers are about as many."""
    random = np.random.default_rng(seed)
    first = world(1, seed)
    base = first.base[:, 0]
    other = base.copy()
    other[random.choice(np.flatnonzero(base == 0), 34 + 4 * seed, replace=False)] = 1
    other[random.choice(np.flatnonzero(base == 1), 34, replace=False)] = 0
    return PairedOutcomes("suite", "measure", base, {"candidate": other}, first.slices, "subset")


def fits() -> None:
    """In a process of its own: import, compile and fit three scorers; then the three once more."""
    start = time.perf_counter()
    passed = [p.diagnostics.passed for seed in range(3) for p in HierPaired().estimate(world(10, seed))]
    cold = time.perf_counter() - start
    start = time.perf_counter()
    for seed in range(3):
        HierPaired(seed=1).estimate(world(10, seed))
    print(json.dumps({"cold": cold, "warm": time.perf_counter() - start, "passed": all(passed)}))


def cold() -> None:
    """Three hierarchical fits of 10 candidates x 5 strata, with nothing compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("nothing compiled before", "compiled by an earlier process"):
            found = process({"PYTENSOR_FLAGS": f"base_compiledir={folder}"})
            row(f"hierarchical, 3 fits, {kind}", f"{found['cold']:.1f} s; diagnostics passed: {found['passed']}")
            row("  the same again in the same process", f"{found['warm']:.1f} s")


def spent() -> None:
    """In a process of its own, in which all is compiled: CPU-seconds by part of what slices take, for three scorers."""
    from toxaudit.estimators import hier_paired

    told: dict[str, float] = {}

    def timed(owner: Any, name: str, part: str) -> None:
        function = getattr(owner, name)

        def wrapped(*given: Any, **named: Any) -> Any:
            start, inside = time.process_time(), sum(told.values())
            found = function(*given, **named)
            told[part] = told.get(part, 0.0) + time.process_time() - start - (sum(told.values()) - inside)
            return found

        setattr(owner, name, wrapped)

    timed(hier_paired, "nutpie", "importing")
    timed(hier_paired, "_model", "importing")
    timed(hier_paired, "diagnose", "diagnosing")
    timed(HierPaired, "_fit", "sampling")
    start = time.process_time()
    for seed in range(3):
        HierPaired().estimate(world(3, seed))
    print(json.dumps({**told, "all else": time.process_time() - start - sum(told.values())}))


def parts() -> None:
    """The slices of three candidates by three scorers, as in the quickstart: medians of five processes."""
    found = [process({}, "spent") for _ in range(5)]
    for name in found[0]:
        values = [each[name] for each in found]
        row(f"slices, 9 fits: {name}", f"{np.median(values):.2f} CPU-s, {min(values):.2f} to {max(values):.2f}")


def bare() -> None:
    """The same where no C compiler can be found."""
    with tempfile.TemporaryDirectory() as folder:
        tools = Path(folder, "bin")
        tools.mkdir()
        for tool in ("env", "sh", "uname", "rm", "ls"):
            if found := shutil.which(tool):
                (tools / tool).symlink_to(found)
        result = process({"PYTENSOR_FLAGS": f"base_compiledir={folder}/compiled", "PATH": str(tools)})
        row("hierarchical, 3 fits, no C compiler, cold", f"{result['cold']:.1f} s; again {result['warm']:.1f} s")


def process(environment: dict[str, str], part: str = "fits") -> dict[str, float]:
    """A part in a fresh Python."""
    done = subprocess.run(
        [sys.executable, __file__, part], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def scale() -> None:
    """10^6 prompts x 20 candidates against 10^3."""
    for times in (1000 / 2400, 1e6 / 2400):
        outcomes = world(20, times=times)
        start = time.perf_counter()
        PairedExact().estimate(outcomes)
        middle = time.perf_counter()
        HierPaired().estimate(outcomes)  # the first one compiles
        again = time.perf_counter()
        HierPaired(seed=1).estimate(outcomes)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        row(
            f"{len(outcomes.base):,} prompts x 20 candidates",
            f"exact {middle - start:.2f} s, hierarchical {time.perf_counter() - again:.1f} s, "
            f"most memory of the process {memory:.2f} GB",
        )


def row(what: str, figures: str) -> None:
    """One line of the table."""
    print(f"{what:<72} {figures}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "only", nargs="?", choices=("exact", "seeds", "cold", "parts", "bare", "scale", "fits", "spent")
    )
    only = parser.parse_args().only
    for part in (exact, seeds, cold, parts, bare, scale) if only is None else (globals()[only],):
        part()
