"""Recipes that workers carry out: the bytes of those of one process, whoever dies meanwhile; here without Ray.

The workers are this process's own, one in the place of each that Ray would start; ``test_ray.py`` has real ones.
"""

import errno
import os
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import tiny
import torch
from filelock import FileLock
from recipes import ROWS, make, stage, write

from toxaudit import training
from toxaudit.errors import ToxauditError
from toxaudit.executors import worker
from toxaudit.executors.local import LocalExecutor
from toxaudit.executors.tuning import Stage, Tuning
from toxaudit.executors.worker import Part, Told, Worker
from toxaudit.machine import progress
from toxaudit.models import Loader, merging
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store.shelves import Store
from toxaudit.training import checkpoints

pytestmark = pytest.mark.thorough


class Died(BaseException):
    """What ends a worker in the middle of its work."""


class Pool:
    """Two workers in this process, of which each tells one part when it is heard."""

    def __init__(self):
        self.workers = [SimpleNamespace(own=Worker(Told("cpu", 1, "", "here"), "here"), task=None) for _ in range(2)]
        for each in self.workers:
            each.own._loader = Loader("cpu")
        self.most, self.rested, self.cpus = 0, 0, 2

    @property
    def busy(self):
        return any(each.task for each in self.workers)

    def hired(self):
        return self.workers

    def free(self):
        return [each for each in self.workers if not each.task]

    def hand(self, hired, task, method, *asked):
        hired.task, hired.tells = task, getattr(hired.own, method)(*asked)
        self.most = max(self.most, sum(bool(each.task) for each in self.workers))

    def events(self):
        yield from (partial(self.heard, each) for each in self.workers if each.task)

    def heard(self, hired):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress, "_hearers", [(hired.own._said.append, hired.own._bars.append)])
            try:
                with merging._ALONE:  # real workers share no random numbers with the threads of chains
                    part = next(hired.tells, None)
            except Died:
                task, hired.task = hired.task, None
                task.lost("it was killed")
                return
        if part is None:
            task, hired.task = hired.task, None
            task.ended()
            return
        for line in part.said:
            progress.say(line)
        hired.task.told(part)

    def forsake(self):
        for each in self.workers:
            each.task = None

    def rest(self):
        self.rested += 1
        for each in self.workers:
            each.own.rest()


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "rows.jsonl", ROWS)


@pytest.fixture
def base(tiny_base):
    return tiny.resolved(tiny_base)


@pytest.fixture(autouse=True)
def _own_threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pool():
    return Pool()


def tuned(pool, base, store, specs):
    """What workers make of each candidate, or why they can't."""
    tuning, found = Tuning(lambda: pool), {}
    try:
        for name in specs:
            chain = partial(training.make, training.read(specs, name, {}), base, "cpu", store)
            tuning.begin(name, chain, specs[name].starts_from)
        for name in specs:
            tuning.finish(name)
            try:
                found[name] = tuning.made(name)
            except ToxauditError as error:
                found[name] = str(error)
        tuning.rest()
    finally:
        tuning.close()
    return found


def files(store):
    """All that was tuned, but for PEFT's own cards, which name the store's folder and belong to nothing."""
    made = (file for file in store.root.glob("trained/*/**/*") if file.is_file() and file.name != "README.md")
    return {file.relative_to(store.root): file.read_bytes() for file in made}


def here(base, store, specs):
    for name in specs:
        make(training.read(specs, name, {}), base, Loader("cpu"), store)
    return files(store)


def each_step(monkeypatch, does):
    """Call ``does`` with the number of each step that any worker takes, before it is taken."""
    steps, step = [], torch.optim.AdamW.step

    def stepped(*args, **kwargs):
        steps.append(1)
        does(len(steps))
        return step(*args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", stepped)


def test_chains_that_workers_tune_have_the_bytes_and_names_of_those_tuned_here(base, data, tmp_path, pool, capsys):
    specs = {
        "first": CandidateSpec(train=[stage(data, lora_dropout=0.1)]),
        "second": CandidateSpec(train=[stage(data, r=2)], starts_from="first"),
        "whole": CandidateSpec(train=[stage(data, method="full", learning_rate=1e-3), stage(data)]),
    }
    store, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    expected = here(base, store, specs)
    capsys.readouterr()
    found = tuned(pool, base, there, specs)
    assert files(there) == expected and set(there.used) == set(store.used)
    assert len(found["second"].stages) == 2 and "that adapter merged into the weights" in found["second"].sentence
    said = capsys.readouterr().err
    assert pool.most == 2 and pool.rested == 1
    for what in ("tuning first ", "tuning second ", "tuning whole ", "tuning whole (2)"):
        assert what in said and "6/6" in said and "loss " in said
    assert not [each for each in there.root.glob("trained/*") if each.suffix in (".begun", ".unfinished")]
    again = Tuning(pytest.fail)  # all of it is in the store: no worker is hired
    again.begin("whole", partial(training.make, training.read(specs, "whole", {}), base, "cpu", there), None)
    again.finish("whole")
    assert again.made("whole").stages == found["whole"].stages
    again.close()


def test_a_worker_that_dies_costs_the_steps_since_its_checkpoint_and_no_byte(
    base, data, tmp_path, pool, monkeypatch, capsys
):
    specs = {"mine": CandidateSpec(train=[stage(data, batch_size=2, lora_dropout=0.1)])}
    expected = here(base, Store(tmp_path / "here"), specs)
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "WORK_FOR_SAVING", 0.0)

    def die(step):
        if step in (5, 9):
            raise Died

    each_step(monkeypatch, die)
    capsys.readouterr()
    store = Store(tmp_path / "there")
    tuned(pool, base, store, specs)
    said = capsys.readouterr().err
    assert "candidates.mine.train[0] goes on after step 4 of 12." in said  # it died in its 5th step, and in its 8th
    assert "candidates.mine.train[0] goes on after step 7 of 12." in said
    assert files(store) == expected


def test_it_begins_anew_where_another_may_still_write_its_checkpoints(base, data, tmp_path, pool, monkeypatch, capsys):
    specs = {"mine": CandidateSpec(train=[stage(data)])}
    expected = here(base, Store(tmp_path / "here"), specs)
    store, tune = Store(tmp_path / "there"), Worker.tune

    def tune_while_another_writes(self, arm, one, computed, scratch):
        with FileLock(scratch / checkpoints.WRITER):
            yield from tune(self, arm, one, computed, scratch)
            assert [each.name for each in scratch.iterdir()] == [checkpoints.WRITER]

    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "WORK_FOR_SAVING", 0.0)
    monkeypatch.setattr(Worker, "tune", tune_while_another_writes)
    tuned(pool, base, store, specs)
    assert files(store) == expected


def test_checkpoints_are_kept_elsewhere_where_the_folder_is_not(tmp_path):
    for folder in (tmp_path / "shared", tmp_path / "absent"):
        (tmp_path / "shared").mkdir(exist_ok=True)
        with checkpoints.written_alone(folder, tmp_path / "other") as kept:
            assert kept == (folder if folder.name == "shared" else tmp_path / "other")
    assert not (tmp_path / "absent").exists()


def test_what_can_not_be_tuned_is_said_as_it_is_here_and_costs_no_other(base, data, tmp_path, pool):
    diverging = CandidateSpec(train=[stage(data, learning_rate=1e30)])
    specs = {
        "wild": diverging,
        "tame": CandidateSpec(train=[stage(data)]),
        "after": CandidateSpec(train=[stage(data, seed=1)], starts_from="wild"),
    }
    with pytest.raises(ToxauditError) as caught:
        make(training.read(specs, "wild", {}), base, Loader("cpu"), Store(tmp_path / "here"))
    found = tuned(pool, base, Store(tmp_path / "there"), specs)
    assert found["wild"] == found["after"] == str(caught.value)
    assert "candidates.wild.train[0] diverged" in found["wild"]
    assert found["tame"].arm.adapter


def test_a_stage_over_which_worker_after_worker_dies_is_refused_alone(base, data, tmp_path, pool, monkeypatch):
    def die(step):
        raise Died

    each_step(monkeypatch, die)
    specs = {"mine": CandidateSpec(train=[stage(data)])}
    found = tuned(pool, base, Store(tmp_path / "there"), specs)
    assert found["mine"] == (
        "3 workers died while they tuned candidates.mine.train[0], the last one as it was killed: give them more "
        "memory, by fewer executor.workers or a smaller batch_size."
    )


def test_a_disk_that_fills_while_weights_come_is_one_sentence(base, data, tmp_path, pool, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Stage, "_write", full)
    specs = {"mine": CandidateSpec(train=[stage(data)])}
    found = tuned(pool, base, Store(tmp_path / "there"), specs)
    assert "can't be written: No space left on device. Make room there" in found["mine"]


def test_what_is_given_up_ends_and_keeps_its_checkpoints(base, data, tmp_path, pool):
    store, specs = Store(tmp_path / "there"), {"mine": CandidateSpec(train=[stage(data)])}
    tuning = Tuning(lambda: pool)
    tuning.begin("mine", partial(training.make, training.read(specs, "mine", {}), base, "cpu", store), None)
    while not tuning._waiting:
        time.sleep(0.01)
    (begun,) = store.root.glob("trained/*.begun")
    (begun / "checkpoint-3").mkdir()
    tuning.close()
    assert not tuning._threads[0].is_alive()
    assert (begun / "checkpoint-3").is_dir() and not list(store.root.glob("trained/*.unfinished"))
    with store.claims.free([f"trained/{begun.stem}"]) as mine:
        assert mine


def pieces(folder):
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/empty").touch()
    (folder / "much").write_bytes(bytes(range(200)))
    return list(worker._pieces(folder))


@pytest.fixture
def one(tmp_path):
    folder = tmp_path / "came"
    folder.mkdir()
    of = SimpleNamespace(place="candidates.mine.train[0]")
    return Stage([], None, of, training.Computed("cpu", 1, "float32"), folder, None), folder


def test_files_come_in_pieces(one, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PIECE_BYTES", 64)
    told, folder = one
    parts = pieces(tmp_path / "made")
    assert len(parts) == 1 + 4 + 1
    for part in parts:
        told.told(part)
    told.ended()
    assert told.done.result() is None and (folder / "much").read_bytes() == bytes(range(200))
    assert (folder / "deep/empty").read_bytes() == b""


@pytest.mark.parametrize("times, place", [*((0, place) for place in range(6)), *((2, place) for place in range(1, 5))])
def test_a_piece_that_is_missing_or_doubled_is_an_error(one, tmp_path, monkeypatch, times, place):
    monkeypatch.setattr(worker, "PIECE_BYTES", 64)
    told, _ = one
    parts = pieces(tmp_path / "made")
    for number, part in enumerate(parts):
        for _ in range(times if number == place else 1):
            told.told(part)
    with pytest.raises(ToxauditError, match="but not all of it came, or twice: nothing is decided"):
        told.ended()


def test_a_bar_of_the_stage_before_is_not_shown(one, capsys):
    told, _ = one
    told.told(Part(bar=progress.Unseen("tuning other", 9, "step", 3)))
    assert told._bar is None
    told.told(Part(bar=progress.Unseen("tuning mine", 9, "step", 3, "loss 2")))
    told.told(Part(bar=progress.Unseen("tuning mine", 9, "step", 5, "loss 1")))
    told.close()
    assert "5/9" in capsys.readouterr().err


def test_one_process_tunes_when_it_is_asked(monkeypatch):
    asked = []
    with LocalExecutor().tuning(Loader("cpu")) as tuning:
        tuning.begin("mine", lambda tune: asked.append("mine") or "made", None)
        tuning.begin("other", pytest.fail, "mine")
        tuning.finish("mine")
        assert not asked
        assert tuning.made("mine") == "made" and asked == ["mine"]


def test_a_worker_computes_by_as_many_threads_as_this_process_would_and_no_more_do_so_than_there_are_cpus(
    base, data, tmp_path, pool, monkeypatch
):
    seen = []
    each_step(monkeypatch, lambda step: seen.append(torch.get_num_threads()))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # the workers were told 1, and have 2 together
    specs = {name: CandidateSpec(train=[stage(data, max_steps=1, seed=n)]) for n, name in enumerate("ab")}
    tuned(pool, base, Store(tmp_path / "there"), specs)
    assert seen == [2, 2] and pool.most == 1


def test_a_worker_on_another_node_compares_the_files_and_says_of_a_training_what_would_be_said_here(
    base, data, tmp_path
):
    away = Worker(Told("cpu", 1, "", "here"), "there")
    away._loader = Loader("cpu")
    specs = {"mine": CandidateSpec(train=[stage(data, learning_rate=1e30)])}
    (read,) = training.read(specs, "mine", {}).stages
    asked = read, training.Computed.of(read.spec, "cpu"), tmp_path / "not shared"
    (part,) = away.tune(base, *asked)
    assert part.refusal.startswith("candidates.mine.train[0] diverged")
    gone = replace(base, weights=replace(base.weights, path=tmp_path / "gone"), folder=tmp_path / "gone")
    (part,) = away.tune(gone, *asked)
    assert part.refusal.startswith("On node ") and " is not there: let all nodes share" in part.refusal
