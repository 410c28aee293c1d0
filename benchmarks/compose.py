"""What composing an audit costs in CPU-seconds: the first time in a process, and once its files are known."""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from toxaudit.compose.compose import compose

LARGE = """\
title: Ten suites, ten candidates
suite: [{suites}]
scorer: [toxicity_bilstm, degenerate, refusal_keywords]
base: {{pretrained: org/base}}
candidates:
{candidates}
"""
SUITE = "kind: dataset\ntitle: Suite {number}\ndata: ./prompts.jsonl\nscorers: [roberta_hate]\nlanguage: en\n"


def large(folder: Path) -> Path:
    """Write an audit of ten suites, each with a scorer of its own, and ten candidates."""
    (folder / "audits" / "suite").mkdir(parents=True)
    for number in range(10):
        (folder / "audits" / "suite" / f"suite{number}.yaml").write_text(SUITE.format(number=number))
    suites = ", ".join(f"suite{number}" for number in range(10))
    candidates = "\n".join(f"  candidate{number}: org/model{number}" for number in range(10))
    (folder / "audits" / "large.yaml").write_text(LARGE.format(suites=suites, candidates=candidates))
    return folder


def seconds(overrides: list[str]) -> float:
    """The CPU-seconds of composing once."""
    begin = time.process_time()
    compose(overrides)
    return time.process_time() - begin


def main() -> None:
    """Print the times of the quickstart and of a large audit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="how often each is composed once its files are known")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(large(Path(folder)))
        for name in ("quickstart", "large"):
            first = seconds([f"audit={name}"])
            known = statistics.median(seconds([f"audit={name}"]) for _ in range(times))
            print(f"{name:<12} first {first:.2f} s, then {known:.3f} s (median of {times})")


if __name__ == "__main__":
    main()
