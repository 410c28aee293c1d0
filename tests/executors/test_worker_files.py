"""A worker elsewhere answers by the very files that the audit has pinned, under the very code, or not at all."""

import shutil
from dataclasses import replace

import pytest
import tiny

from toxaudit.errors import ToxauditError
from toxaudit.executors import files, worker
from toxaudit.executors.worker import Told, Worker
from toxaudit.models import Loader
from toxaudit.sources import pinned
from toxaudit.sources.base import WEIGHTS


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


def test_other_code_is_refused(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    said = Worker(Told("cpu", 1, "other", "here"), "there").ready()
    assert said.startswith("On node ") and "it has another version of toxaudit, torch, transformers or peft" in said


def test_the_code_is_known_by_every_module(monkeypatch):
    read = []
    monkeypatch.setattr(worker, "sha256", lambda file: read.append(file.name) or "0")
    first = worker.code.__wrapped__()
    assert {"worker.py", "runner.py", "decoder.py"} <= set(read)
    monkeypatch.setattr(worker, "sha256", lambda file: "1" if file.name == "decoder.py" else "0")
    assert worker.code.__wrapped__() != first
