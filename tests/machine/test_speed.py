"""The speed of this machine is measured, with as many threads as a run would use."""

import os
import time
from contextlib import nullcontext

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from toxaudit.machine import speed


@pytest.fixture(autouse=True)
def anew():
    """Nothing is known yet of how fast this machine is."""
    speed.speed.cache_clear()


@pytest.fixture
def timed():
    """Operations a second of one thread, by a product that is timed here."""
    matrix = np.ones((speed.MATRIX_SIDE, speed.MATRIX_SIDE), dtype=np.float32)
    with threadpool_limits(1, "blas"):
        matrix @ matrix
        took = []
        for _ in range(5):
            start = time.perf_counter()
            matrix @ matrix
            took.append(time.perf_counter() - start)
    return 2 * speed.MATRIX_SIDE**3 / min(took)


def test_matrices_are_multiplied(monkeypatch, timed):
    monkeypatch.setattr(speed, "MEASURING_SECONDS", 0.01)
    found = speed.speed(1)
    assert timed / 10 < found.flops < timed * 10 and found.threads == 1


@pytest.mark.parametrize(("cores", "tried"), [(1, [1]), (2, [1, 2]), (6, [1, 3, 6])])
def test_one_half_and_all_of_the_cores_are_tried(monkeypatch, cores, tried):
    asked = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(speed, "together", lambda threads: asked.append(threads) or threads * 1e9)
    assert speed.speed().threads == cores and sorted(set(asked)) == tried


@pytest.mark.parametrize(
    ("together", "best"),
    [
        ({1: 10e9, 2: 20e9, 4: 40e9}, (40e9, 4)),
        ({1: 10e9, 2: 20e9, 4: 5e9}, (20e9, 2)),
        ({1: 10e9, 2: 11e9, 4: 11e9}, (10e9, 1)),
    ],
    ids=["idle", "a core is busy", "more gain too little"],
)
def test_as_many_threads_are_used_as_a_run_would_use(monkeypatch, together, best):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(speed, "together", together.get)
    found = speed.speed()
    assert (found.flops, found.threads) == best


@pytest.mark.parametrize(("flags", "half"), [("fpu avx2", 1.0), ("fpu avx512f avx512_bf16", 2.0), (None, 1.0)])
def test_bfloat16_is_faster_where_the_cpu_has_it(monkeypatch, tmp_path, flags, half):
    file = tmp_path / "cpuinfo"
    if flags:
        file.write_text(f"processor: 0\nflags: {flags}\n")
    monkeypatch.setattr(speed, "CPU_INFO_FILE", file)
    monkeypatch.setattr(speed, "MEASURING_SECONDS", 0.001)
    found = speed.speed(1)
    assert found.half == half
    assert (found.of("float32"), found.of("bfloat16")) == (found.flops, found.flops * half)


@pytest.mark.parametrize(
    ("told", "able"),
    [
        ("flags: fpu avx512f avx512_bf16", True),
        ("flags: fpu amx_bf16 amx_tile", True),
        ("Features: fp asimd bf16", True),
        ("flags: fpu avx512f avx_ne_convert", False),
        (None, False),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions_for_that(monkeypatch, tmp_path, told, able):
    file = tmp_path / "cpuinfo"
    if told:
        file.write_text(f"processor: 0\n{told}\n")
    monkeypatch.setattr(speed, "CPU_INFO_FILE", file)
    assert speed.computes_bfloat16("cpu") is able


def test_a_gpu_is_asked_without_what_it_emulates(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert speed.computes_bfloat16("cuda")  # that of another machine
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert not speed.computes_bfloat16("cuda:1")
    assert speed.computes_bfloat16("mps")
