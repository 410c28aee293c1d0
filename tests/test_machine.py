"""The speed of this machine is measured, with as many threads as a run would use."""

import os

import pytest

from toxaudit import machine


@pytest.mark.parametrize(("threads", "used"), [(1, {1}), (None, {1, 2})])
def test_matrices_are_multiplied(monkeypatch, threads, used):
    monkeypatch.setattr(machine, "SECONDS", 0.01)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    found = machine.speed(threads)
    assert found.flops > 1e8 and found.threads in used


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
    monkeypatch.setattr(machine, "together", together.get)
    found = machine.speed()
    assert (found.flops, found.threads) == best


@pytest.mark.parametrize(("flags", "half"), [("fpu avx2", 1.0), ("fpu avx512f avx512_bf16", 2.0), (None, 1.0)])
def test_bfloat16_is_faster_where_the_cpu_has_it(monkeypatch, tmp_path, flags, half):
    file = tmp_path / "cpuinfo"
    if flags:
        file.write_text(f"processor: 0\nflags: {flags}\n")
    monkeypatch.setattr(machine, "CPUS", file)
    monkeypatch.setattr(machine, "SECONDS", 0.001)
    found = machine.speed(1)
    assert found.half == half
    assert (found.of("float32"), found.of("bfloat16")) == (found.flops, found.flops * half)
