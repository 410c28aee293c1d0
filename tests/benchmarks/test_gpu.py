"""``benchmarks/gpu.py`` at toy size, on a CPU: every part of it that needs no GPU runs to its end."""

import os
import re
import threading
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    return gpu


def rows(told: str) -> dict[tuple[str, int, int], list[float]]:
    """The figures of a table's rows, by the way, arms and prompts."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines() if line[:2] == "| "]
    return {
        (way, int(arms), int(prompts)): [float(figure.rstrip("%")) for figure in figures]
        for way, arms, prompts, *figures in cells
        if arms != "arms"
    }


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:.*_get_default_device")
@pytest.mark.parametrize("shape", ["llama", "gemma", "qwen"])
def test_the_gpu_benchmark_runs_at_toy_size(gpu, shape, capsys):
    gpu.main(["--toy", "--shapes", shape])
    told = capsys.readouterr().out
    measured = rows(told)
    ways = ["generate, padded", "toxaudit", "toxaudit, batch 4", "toxaudit, no CUDA graphs"]
    assert {(way, 3, 6) for way in ways} | {("toxaudit", 1, 6), ("toxaudit", 3, 12)} == set(measured)
    assert all(speed > 0 and memory > 0 and 1 <= at_once <= 36 for at_once, speed, _, memory in measured.values())
    assert measured["toxaudit, batch 4", 3, 6][0] <= 4
    assert "18 answers alike, 0 part at a tie, 0 elsewhere, 0 not looked at" in told
    assert re.findall("(.*): left out", told) in ([], ["vLLM"])


def test_without_time_the_gpu_benchmark_says_what_it_leaves_out(gpu, capsys):
    answers = gpu.Bench._timed(object(), "toxaudit", None, ["base"], 6, until=0.0)
    assert answers == {}
    assert capsys.readouterr().out == "toxaudit, 1 arms, 6 prompts: left out: no time is left\n"


def test_the_gpu_benchmark_ends_itself(gpu, monkeypatch, capsys):
    ended = threading.Event()
    monkeypatch.setattr(gpu, "GRACE", 0.0)
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(gpu.psutil.Process, "children", lambda self, recursive: [])  # other tests' may be among them
    monkeypatch.setattr(gpu, "_measure", lambda *given: ended.wait(10))
    gpu.main(["--minutes", "0"])
    assert ended.is_set() and "The time is up" in capsys.readouterr().out


def test_the_least_time_counts_what_a_device_must_do(gpu):
    import gpu_limit

    limit = gpu_limit.Limit(flops=100.0, bandwidth=10.0)
    work = gpu_limit.Work(layers=5, head=3, adapter=1, cache=2, size=1)
    lengths = [gpu_limit.Length(prompt=4, new=1, adapted=False), gpu_limit.Length(prompt=6, new=2, adapted=True)]
    read = 2 * (5 * 10 + 3 * 2 + 1 * 6) / 100  # longer than reading the weights, 0.8 s
    written = (5 + 3) / 10 + 2 * (6 + 1) / 10  # one row left: reading the weights takes longer than multiplying
    assert gpu_limit.least(limit, work, lengths) == pytest.approx(read + written)
