"""The device is there or is refused in one sentence, before any model loads."""

import pytest
import torch

from toxaudit.errors import ToxauditError
from toxaudit.executors.local import LocalExecutor


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    from transformers.utils import logging

    before, verbosity = torch.get_num_threads(), logging.get_verbosity()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    yield
    torch.set_num_threads(before)
    logging.set_verbosity(verbosity)
    logging.enable_progress_bar()


def test_auto_is_the_gpu_where_there_is_one_and_else_the_cpu():
    assert LocalExecutor().start() == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_the_cpu_goes_by_one_name(device):
    assert LocalExecutor(device=device).start() == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cudaa", "cuda:99", "", "meta", "xla", "hpu", "cpu:-1"])
def test_a_device_that_is_not_there_is_one_sentence(device):
    with pytest.raises(ToxauditError) as caught:
        LocalExecutor(device=device).start()
    said = str(caught.value)
    assert said.startswith(f"executor.device '{device}' can't be used here: ") and said.endswith(".")
    assert "\n" not in said and len(said) < 400


def test_threads_may_be_fixed():
    LocalExecutor(device="cpu", threads=2).start()
    assert torch.get_num_threads() == 2


def test_threads_are_left_alone_where_none_are_named():
    before = torch.get_num_threads()
    LocalExecutor(device="cpu").start()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_refused(threads):
    with pytest.raises(ToxauditError, match=f"executor.threads is {threads}: it must be at least 1, or null"):
        LocalExecutor(threads=threads).check()
    LocalExecutor(threads=1).check()
    LocalExecutor().check()


def test_jobs_are_done_in_order():
    assert list(LocalExecutor().map(lambda job: job * 2, [3, 1, 2])) == [6, 2, 4]
