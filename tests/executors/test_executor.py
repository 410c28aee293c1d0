"""The device is there or is refused in one sentence, before any model loads."""

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from toxaudit.errors import ToxauditError
from toxaudit.executors.local import LocalExecutor
from toxaudit.executors.ray import RayExecutor
from toxaudit.models import Loader


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


def test_a_session_here_is_the_backends_own():
    session = object()
    backend = SimpleNamespace(open=lambda loader, arms: nullcontext((session, loader, arms)))
    executor = LocalExecutor()
    with executor.open(backend, "loader", ["arm"]) as opened:
        assert opened == (session, "loader", ["arm"])
    executor.close()
    assert not executor.at_once


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("workers", 0, "executor.workers is 0: it must be at least 1."),
        ("cpus_per_worker", 0, "executor.cpus_per_worker is 0: it must be at least 1."),
        ("threads", -2, "executor.threads is -2: it must be at least 1."),
        ("gpus_per_worker", -0.5, "executor.gpus_per_worker is -0.5: it must be at least 0."),
        ("gpus_per_worker", float("nan"), "executor.gpus_per_worker is nan: it must be at least 0."),
        (
            "device",
            "cuda:1",
            "executor.device 'cuda:1' names one device, but Ray gives each worker its own: write cuda.",
        ),
        (
            "address",
            " ",
            "executor.address ' ' is no head of a cluster: write HOST:PORT, or auto, on one of its nodes.",
        ),
        ("address", "ray://head:10001", "executor.address 'ray://head:10001' is no head of a cluster: write HOST:PORT"),
    ],
)
def test_what_ray_can_not_be_asked_for_is_refused(field, value, said):
    with pytest.raises(ToxauditError, match=re.escape(said)):
        RayExecutor(**{field: value}).check()


def test_ray_is_installed_by_an_extra(monkeypatch):
    monkeypatch.setattr("toxaudit.executors.ray.find_spec", lambda name: None)
    with pytest.raises(ToxauditError, match=re.escape("executor=ray needs Ray: pip install 'toxaudit[ray]'.")):
        RayExecutor().check()


def test_a_plan_says_where_an_audit_runs(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    said = RayExecutor().sentence()
    assert said.startswith(
        "by workers of Ray on this machine: as many as there is room for, each with 1 CPU(s) and a GPU"
    )
    told = RayExecutor(address="n1:6379", workers=3, cpus_per_worker=8, gpus_per_worker=0.5).sentence()
    assert told == (
        "by workers of Ray on the cluster at n1:6379: 3, each with 8 CPU(s) and 0.5 GPU(s), computing by 8 thread(s)"
    )
    assert LocalExecutor().sentence() == "in this process, one model after another"


def test_workers_compute_by_what_is_named_else_as_this_process_else_as_many_as_their_cpus(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert RayExecutor(threads=2, cpus_per_worker=4)._threads() == 2
    assert RayExecutor(cpus_per_worker=4)._threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert RayExecutor(cpus_per_worker=4)._threads() == 4


def test_a_server_is_asked_from_here():
    backend = SimpleNamespace(server="host/v1", open=lambda loader, arms: nullcontext((loader, arms)))
    executor = RayExecutor()
    with executor.open(backend, "loader", ["arm"]) as opened:
        assert opened == ("loader", ["arm"])
    executor.close()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9", "nowhere.invalid:6379", "127.0.0.1:port", "[::1]:9", "127.0.0.1:99999"]
)
def test_an_address_of_no_cluster_is_one_sentence(address):
    executor = RayExecutor(address=address)
    with (
        pytest.raises(ToxauditError, match=re.escape(f"The Ray cluster at {address} can't be joined: ")),
        executor.open(SimpleNamespace(server=None), Loader("cpu"), []),
    ):
        pass


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="this system has no large pages")
@pytest.mark.parametrize(("said", "large"), [(None, True), ("0", False)])
def test_torch_asks_for_large_pages_unless_the_user_says_otherwise(said, large):
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    environment |= {"THP_MEM_ALLOC_ENABLE": said} if said else {}
    told = subprocess.run([sys.executable, "-c", LARGE], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    assert told.stdout == f"{large}\n"


LARGE = """
import re
from pathlib import Path
from toxaudit.executors.local import LocalExecutor
LocalExecutor(device="cpu").start()
import torch
tensor = torch.ones(2**24)
place = tensor.data_ptr() + 2**23
for mapped in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())[1:]:
    first, last = (int(each, 16) for each in mapped.split()[0].split("-"))
    if first <= place < last:
        print(" hg" in mapped)
"""
"""Tells whether the kernel was asked to have a tensor in large pages."""
