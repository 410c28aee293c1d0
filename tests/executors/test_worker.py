"""A worker elsewhere answers by the very files that the audit has pinned, under the very code, or not at all."""

import os
import shutil
from dataclasses import replace

import pytest
import tiny
import torch
from transformers.utils import logging

from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Transformers
from toxaudit.errors import ToxauditError
from toxaudit.executors import files, worker
from toxaudit.executors.worker import Told, Worker
from toxaudit.machine import progress
from toxaudit.models import Loader
from toxaudit.records import Prompt
from toxaudit.sources import pinned
from toxaudit.sources.base import WEIGHTS
from toxaudit.spec.schema import Generation


@pytest.fixture
def arm(tiny_base, tiny_adapter, tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(tiny_base, base)
    shutil.copytree(tiny_adapter, adapter)
    return tiny.resolved(base, adapter)


def test_files_that_are_there_are_taken(arm, tmp_path):
    assert files.found(arm, tmp_path / "scratch") == arm
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("which", ["weights", "adapter"])
def test_another_digest_is_refused(arm, tmp_path, which):
    file = next(getattr(arm, which).path.glob("*.safetensors")).resolve()
    tiny.edit(file, lambda tensors: next(iter(tensors.values())).add_(1))
    with pytest.raises(ToxauditError, match=f"is not what the audit has pinned: {file.name} has another digest"):
        files.found(arm, tmp_path / "scratch")


def test_files_that_are_absent_and_of_no_repository_are_refused(arm, tmp_path):
    shutil.rmtree(tmp_path / "adapter")
    with pytest.raises(ToxauditError, match="adapter is not there: let all nodes share the folder of models"):
        files.found(arm, tmp_path / "scratch")


def test_so_is_what_the_store_holds(arm, tmp_path):
    converted = replace(arm, folder=tmp_path / "converted")
    with pytest.raises(ToxauditError, match="what was made of .*base is not there"):
        files.found(converted, tmp_path / "scratch")


@pytest.mark.parametrize("changed", [False, True])
def test_a_commit_of_the_hub_is_fetched_and_compared(arm, tmp_path, monkeypatch, changed):
    there = tmp_path / "there"
    shutil.copytree(tmp_path / "base", there)
    (there / "more.py").write_text("print('never linked')")
    if changed:
        tiny.edit(next(there.glob("*.safetensors")), lambda tensors: next(iter(tensors.values())).add_(1))
    asked = []

    class Hub:
        def fetch(self, patterns):
            asked.append(patterns)
            return pinned("org/base/sub", "c" * 40, there, WEIGHTS)

    def parse(reference, revision=None, repo_type="model", subfolder=None):
        asked.append((reference, revision, subfolder))
        return Hub()

    monkeypatch.setattr(files, "parse", parse)
    gone = replace(arm.weights, reference="org/base/sub", revision="c" * 40, path=tmp_path / "gone")
    elsewhere = replace(arm, weights=gone, folder=gone.path, adapter=None)
    if changed:
        with pytest.raises(ToxauditError, match="org/base/sub is not what the audit has pinned"):
            files.found(elsewhere, tmp_path / "scratch")
        return
    found = files.found(elsewhere, tmp_path / "scratch")
    assert asked == [("org/base", "c" * 40, "sub"), tuple(arm.weights.files)]
    assert found.folder == found.weights.path == tmp_path / "scratch" / "weights"
    assert {file.name for file in found.folder.iterdir()} == set(arm.weights.files)
    assert found.identity == elsewhere.identity
    with Loader("cpu").open(found) as loaded:
        assert loaded.encode("Why?")


@pytest.fixture
def alone(monkeypatch):
    """A process that a worker may change as if it were its own."""
    threads, verbosity = torch.get_num_threads(), logging.get_verbosity()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(progress, "_hearers", [])
    yield
    torch.set_num_threads(threads)
    logging.set_verbosity(verbosity)
    logging.enable_progress_bar()


def test_a_worker_answers_its_share_as_all_would_be(alone, tiny_base, tiny_adapter):
    arms = [tiny.resolved(tiny_base), tiny.resolved(tiny_base, tiny_adapter)]
    asked = [Request(arm.name, Prompt(f"p{n}", "mine", "Why? " * (1 + n % 5))) for n in range(12) for arm in arms]
    generation = Generation(max_new_tokens=6)
    with Transformers().open(Loader("cpu"), arms) as session:
        batches = session.generate(asked, generation, lambda request: False)
        expected = {id(request): completion for batch in batches for request, completion in batch}
    made = Worker(Told("cpu", 2, worker.code(), "here"), "here")
    assert made.ready() == ""
    assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (2, "2")
    progress.say("This architecture is slow.")
    parts = list(made.answer(Transformers(batch_size=4), arms, asked, [3, 4, 9, 20, 23], generation))
    found = dict(answer for part in parts for answer in part.answers)
    assert found == {number: expected[id(asked[number])] for number in (3, 4, 9, 20, 23)}
    assert [line for part in parts for line in part.said] == ["This architecture is slow."]
    session = made._session
    list(made.answer(Transformers(batch_size=4), arms, asked, [0], generation))
    assert made._session is session  # the weights are loaded once


def test_what_a_worker_can_not_read_is_told_and_it_goes_on(alone, tiny_base):
    arms = [tiny.resolved(tiny_base)]
    asked = [Request("base", Prompt("long", "mine", "Why? " * 200)), Request("base", Prompt("short", "mine", "Why?"))]
    made = Worker(Told("cpu", 1, worker.code(), "here"), "here")
    made.ready()
    (part,) = made.answer(Transformers(), arms, asked, [0, 1], Generation(max_new_tokens=6))
    assert "long" in part.refusal and not part.answers
    assert [
        answer for part in made.answer(Transformers(), arms, asked[1:], [0], Generation()) for answer in part.answers
    ]


def test_other_code_is_refused(alone):
    said = Worker(Told("cpu", 1, "other", "here"), "there").ready()
    assert (
        said.startswith("On node ")
        and "it has another version of toxaudit, torch, transformers, peft or accelerate" in said
    )


def test_the_code_is_known_by_every_module(monkeypatch):
    read = []
    monkeypatch.setattr(worker, "sha256", lambda file: read.append(file.name) or "0")
    first = worker.code.__wrapped__()
    assert {"worker.py", "runner.py", "decoder.py"} <= set(read)
    monkeypatch.setattr(worker, "sha256", lambda file: "1" if file.name == "decoder.py" else "0")
    assert worker.code.__wrapped__() != first
