"""The number of threads is the fastest by a probe of the work itself, or the user's."""

import os
import time

import pytest
import torch

from toxaudit.machine import threads


class Work:
    """Takes as long as ``seconds`` says for the threads in use, on a clock of its own."""

    def __init__(self, monkeypatch, cores, **seconds):
        self.seconds, self.now, self.done = {int(key[1:]): value for key, value in seconds.items()}, 0.0, []
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def __call__(self):
        self.done.append(torch.get_num_threads())
        self.now += self.seconds.get(self.done[-1], 100.0)
        return []


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "fastest"),
    [
        ({"t1": 8.0, "t4": 5.0, "t8": 3.0}, 8),
        ({"t1": 8.0, "t4": 3.0, "t8": 5.0}, 4),
        ({"t1": 3.0, "t4": 5.0, "t8": 8.0}, 1),
        ({"t1": 3.0, "t4": 2.9, "t8": 2.8}, 1),
        ({"t1": 8.0, "t4": 5.0, "t8": 4.8}, 4),
    ],
    ids=["all", "half", "one", "gain too small for any", "gain too small for all"],
)
def test_the_fastest_number_of_threads_is_kept(monkeypatch, seconds, fastest):
    work = Work(monkeypatch, 8, **seconds)
    threads.use_fastest(work)
    assert torch.get_num_threads() == fastest
    assert {1, 4, 8} <= set(work.done)


@pytest.mark.parametrize(("cores", "tried"), [(1, {1}), (2, {1, 2}), (3, {1, 3}), (6, {1, 3, 6})])
def test_one_half_and_all_cores_are_tried(monkeypatch, cores, tried):
    work = Work(monkeypatch, cores)
    threads.use_fastest(work)
    assert set(work.done[1:]) == tried


def test_the_first_run_counts_for_nothing_and_one_slow_run_is_forgiven(monkeypatch):
    torch.set_num_threads(1)
    work = Work(monkeypatch, 2, t1=5.0, t2=1.0)

    def disturbed():
        work()
        if work.done.count(2) <= 2:
            work.now += 90
        return []

    threads.use_fastest(disturbed)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("alike", "kept"), [({1, 4, 8}, 1), ({4, 8}, 4), ({8}, 8)])
def test_a_number_by_which_something_else_comes_out_is_not_kept(monkeypatch, alike, kept):
    work = Work(monkeypatch, 8, t1=1.0, t4=2.0, t8=3.0)

    def adding_up():
        work()
        return [torch.ones(2), torch.tensor([0.0 if torch.get_num_threads() in alike else 1e-7])]

    threads.use_fastest(adding_up)
    assert torch.get_num_threads() == kept


@pytest.mark.parametrize("chosen", ["1", "2"])
def test_nothing_is_tried_where_the_user_has_chosen(monkeypatch, chosen):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    threads.use_fastest(lambda: pytest.fail("work was done"))
    assert torch.get_num_threads() == before


def test_a_fixed_number_is_used_without_a_probe():
    threads.fix(2)
    assert torch.get_num_threads() == 2
    threads.use_fastest(lambda: pytest.fail("work was done"))
    assert torch.get_num_threads() == 2
