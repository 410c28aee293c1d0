"""A training that is killed goes on from its last whole checkpoint, to the same bytes."""

import os
import re
import resource
import signal

import pytest
import torch
from forked import forked
from recipes import made, stage
from safetensors.torch import load_file

from toxaudit.errors import ToxauditError
from toxaudit.machine import stopping
from toxaudit.spec.recipes import EmaSpec
from toxaudit.store import seals
from toxaudit.training import checkpoints, ema

pytestmark = pytest.mark.thorough

WAYS = {
    "lora": {"lora_dropout": 0.1},
    "full": {"method": "full", "learning_rate": 1e-3},
    "average": {"lora_dropout": 0.1, "ema": EmaSpec(decay=0.7)},
}
STEPS = 12


def bytes_of(arm):
    folder = arm.adapter.path if arm.adapter else arm.folder
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.safetensors"))}


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def killed(base, folder, spec, monkeypatch, at_step=None, at_save=None):
    """Train in a copy of this process, which is killed after a step, or in the middle of a save."""

    def run():
        monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
        monkeypatch.setattr(checkpoints, "WORK_FOR_SAVING", 0.0)
        steps, saves = [], []
        step, seal = torch.optim.AdamW.step, seals.seal

        def stepped(*args, **kwargs):
            found = step(*args, **kwargs)
            steps.append(1)
            if len(steps) == at_step:
                die()
            return found

        def sealed(*args, **kwargs):
            saves.append(1)
            return die() if len(saves) == at_save else seal(*args, **kwargs)

        monkeypatch.setattr(torch.optim.AdamW, "step", stepped)
        monkeypatch.setattr(seals, "seal", sealed)
        made(base, folder, spec)
        return 0

    return forked(run)


@pytest.mark.parametrize("way", WAYS)
def test_a_tune_that_is_killed_three_times_has_the_bytes_of_an_undisturbed_one(
    base, data, tmp_path, monkeypatch, way, capsys
):
    """In the middle of an epoch (of 4 steps), at its end, and while a checkpoint is written."""
    spec = stage(data, batch_size=2, epochs=3, **WAYS[way])
    undisturbed = bytes_of(made(base, tmp_path / "whole", spec))
    folder = tmp_path / "store"
    for where in ({"at_step": 2}, {"at_step": 3}, {"at_save": 2}):
        with monkeypatch.context() as patch:
            ended = killed(base, folder, spec, patch, **where)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert not [each for each in folder.glob("trained/*") if each.is_dir() and each.suffix == ""]
    capsys.readouterr()
    found = made(base, folder, spec)
    assert "goes on after step 4 of 12" in capsys.readouterr().err
    assert bytes_of(found) == undisturbed
    assert found.stages[0].steps == STEPS and len(found.stages[0].loss) == STEPS
    assert not list(folder.glob("trained/*.begun"))


def test_a_damaged_checkpoint_is_left_out(base, data, tmp_path, monkeypatch):
    spec, folder = stage(data, batch_size=2), tmp_path / "store"
    undisturbed = bytes_of(made(base, tmp_path / "whole", spec))
    with monkeypatch.context() as patch:
        assert killed(base, folder, spec, patch, at_step=5).returncode == -signal.SIGKILL
    (checkpoint,) = folder.glob("trained/*.begun/checkpoint-*/adapter_model.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-3])
    assert bytes_of(made(base, folder, spec)) == undisturbed


@pytest.mark.parametrize("at_step", [5, STEPS])
def test_a_tune_that_is_stopped_keeps_a_checkpoint_and_goes_on_from_it(
    base, data, tmp_path, monkeypatch, at_step, capsys
):
    """By a first signal, in the middle and in the last step; no checkpoint was due."""
    spec, folder = stage(data, batch_size=2, epochs=3, **WAYS["average"]), tmp_path / "store"
    undisturbed = bytes_of(made(base, tmp_path / "whole", spec))

    def run():
        steps, step = [], torch.optim.AdamW.step

        def stepped(*args, **kwargs):
            steps.append(1)
            if len(steps) == at_step:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(*args, **kwargs)

        monkeypatch.setattr(torch.optim.AdamW, "step", stepped)
        with stopping.stoppable():
            try:
                made(base, folder, spec)
            except stopping.Stopped as stopped:
                return stopped.exit_code
        return 0

    ended = forked(run)
    assert ended.returncode == 143, ended.stderr
    assert [file.name for file in folder.glob("trained/*.begun/*") if file.is_dir()] == [f"checkpoint-{at_step}"]
    capsys.readouterr()
    found = made(base, folder, spec)
    assert f"goes on after step {at_step} of {STEPS}" in capsys.readouterr().err
    assert bytes_of(found) == undisturbed and found.stages[0].steps == STEPS
    assert not list(folder.glob("trained/*.begun"))


@pytest.mark.parametrize("room", [3_000, 20_000, 40_000])
def test_a_disk_that_fills_while_a_checkpoint_is_written_is_one_sentence(base, data, tmp_path, monkeypatch, room):
    """Wherever it is in what safetensors and torch write, each in its own way; with room made, it goes on."""
    spec, folder = stage(data, batch_size=2), tmp_path / "store"

    def run():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
        monkeypatch.setattr(checkpoints, "WORK_FOR_SAVING", 0.0)
        try:
            made(base, folder, spec)
        except ToxauditError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(error)
            return 3
        return 0

    ended = forked(run)
    assert ended.returncode == 3, ended.stderr
    assert re.search(r"can't be written: .*Make room there, or name another place", ended.stderr), ended.stderr
    assert made(base, folder, spec).stages[0].steps == STEPS


def test_when_checkpoints_are_written_changes_nothing(base, data, tmp_path, monkeypatch):
    spec = stage(data, batch_size=2, lora_dropout=0.2, ema=EmaSpec(decay=0.3))
    undisturbed = bytes_of(made(base, tmp_path / "none", spec))
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "WORK_FOR_SAVING", 0.0)
    assert bytes_of(made(base, tmp_path / "each", spec)) == undisturbed


def test_the_average_of_a_checkpoint_is_written_and_read(tmp_path):
    weights = [torch.nn.Parameter(torch.randn(3, 2))]
    first = ema.Ema(weights, 0.5)
    weights[0].data.add_(1.0)
    first.take_in()
    first.save(tmp_path)
    second = ema.Ema([torch.nn.Parameter(torch.zeros(3, 2))], 0.5)
    second.load(tmp_path)
    assert torch.equal(load_file(tmp_path / ema.FILE)["0"], weights[0].detach() - 0.5)
    second.put_in()
