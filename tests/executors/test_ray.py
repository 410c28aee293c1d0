"""Audits whose arms answer in workers of Ray: the same bytes as in one process, whoever dies meanwhile.

All of it is in one file, which one process runs: Ray is started for it once, and stopped by a job script for all.
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import psutil
import pytest
import recipes
import tiny
import workspace
from forked import foreground
from unplotted import draw_in_words

from toxaudit import training
from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Session, Transformers
from toxaudit.cli.main import main
from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.executors import pool
from toxaudit.executors.ledger import Share
from toxaudit.executors.local import LocalExecutor
from toxaudit.executors.ray import RayExecutor
from toxaudit.executors.shared import Shared
from toxaudit.machine import stopping
from toxaudit.models import Loader
from toxaudit.records import Prompt
from toxaudit.scorers.base import LocalJudge
from toxaudit.spec.schema import CandidateSpec, Generation, ModelSpec
from toxaudit.stages import scoring
from toxaudit.store.shelves import Store

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("without_plots")]

DOCS = Path(__file__).parents[2] / "docs"
PROMPTS = 400
PAIR = """\
defaults: [tiny]
candidates:
  full: {pretrained: ../models/full, allow_base_mismatch: true}
  made: {train: [{data: ./rows.jsonl, precision: float32, learning_rate: 0.05, warmup_steps: 0, max_steps: 4}]}
"""
STORE = 100 * 2**20
"""Bytes of each node for what is handed to workers."""

TRIES = 3
"""How often a cluster is started: on a busy machine Ray's head may give up before it is up."""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A workspace with an audit of arms over two bases, and what it finds in one process."""
    made = workspace.make(tmp_path_factory.mktemp("ray") / "work", prompts=PROMPTS)
    tiny.base(made / "models/full", seed=3)
    (made / "audits/pair.yaml").write_text(PAIR)
    recipes.write(made / "audits/rows.jsonl")
    with workspace.at(made) as patch:
        draw_in_words(patch)
        assert main(["audit=pair", "out=alone", "store=stores/alone"]) in (0, 1, 2)
        yield made


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each on this machine."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE}
    for left in reversed(range(TRIES)):
        try:
            made = Cluster(initialize_head=True, head_node_args=node)
            break
        except Exception:
            if not left:
                raise
    yield made
    made.shutdown()


def ready(cluster):
    """The cluster, once both nodes are up."""
    if len(cluster.list_all_nodes()) < 2:
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
        cluster.wait_for_nodes()
    return cluster


def found(run):
    """What a run has found, but for when, and by which command."""
    result = json.loads((run / "results.json").read_bytes())
    del result["command"], result["commitment"]
    return result, (run / "samples_mine.jsonl").read_bytes(), (run / "draws.parquet").read_bytes()


def job_script(folder, **commands):
    """The script that the documentation shows, and a folder with stand-ins for what a cluster has."""
    (script,) = re.findall(r"^```bash\n(#!.*?)^```", (DOCS / "howto/cluster.md").read_text(), re.MULTILINE | re.DOTALL)
    for name, does in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(stat.S_IRWXU)
    (folder / "audit.sh").write_text(script)
    return folder / "audit.sh"


def rays():
    """The processes of Ray on this machine."""
    names = ("raylet", "gcs_server")
    return [each for each in psutil.process_iter() if each.name() in names]


def test_the_job_script_runs_an_audit(work, tmp_path):
    if rays():
        pytest.skip("the script would stop the Ray that runs on this machine")
    srun = 'while case "$1" in --*) true;; *) false;; esac; do shift; done; exec "$@"'
    script = job_script(tmp_path, srun=srun, scontrol='test "$1 $2 $3" = "show hostnames n1" && echo 127.0.0.1')
    told = {"SLURM_JOB_NODELIST": "n1", "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "2", "AUDIT": "pair"}
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | told | {"PATH": path, "TOXAUDIT_HOME": str(tmp_path / "home")}
    ran = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, timeout=400)
    assert ran.returncode in (0, 1, 2), ran.stdout + ran.stderr
    assert "Ray: 2 worker(s) on 1 node(s), 1 thread(s) each." in ran.stderr
    assert found(work / "runs/pair") == found(work / "alone")
    assert not rays()


def test_ctrl_c_ends_all_that_was_started(work):
    words = ["audit=pair", "executor=ray", "executor.workers=2", "backend.batch_size=1", "out=stopped"]
    command = foreground(*words, "store=stores/stopped")
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    said = []
    for line in run.stderr:
        said.append(line)
        if line.startswith("Ray: 2 worker"):
            break
    started = psutil.Process(run.pid).children(recursive=True)
    time.sleep(2)
    os.killpg(run.pid, signal.SIGINT)
    rest = run.communicate(timeout=60)[1]
    assert run.returncode == 130, "".join(said) + rest
    assert rest.endswith("stopped. Finished work is kept: the same command goes on from here.\n")
    assert "Traceback" not in rest
    _, alive = psutil.wait_procs(started, timeout=30)
    assert len(started) > 3 and not alive


@pytest.fixture
def by_value():
    """Functions and classes of this file are sent to workers whole: they can't import it."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def on_death(monkeypatch):
    """Does something once, when an answer is there while both workers have more in hand; neither begins alone."""
    done = []

    def install(harm):
        heard, hand_out = pool.Pool._heard, Shared._hand_out

        def hand_out_at_once(self, *asked):
            if done or all(each.ready is None for each in self._pool._hired):
                hand_out(self, *asked)

        def hear(self, worker):
            told = heard(self, worker)
            if not done and told and all(isinstance(each.task, Share) and each.task.numbers for each in self._hired):
                done.append(len(self._hired))
                harm(self)
            return told

        monkeypatch.setattr(pool.Pool, "_heard", hear)
        monkeypatch.setattr(Shared, "_hand_out", hand_out_at_once)

    yield install
    assert done == [2]


def pid_of(worker):
    return ray.get(worker.actor.__ray_call__.remote(lambda _: os.getpid()))


def test_a_node_is_killed_in_the_middle_of_an_audit(work, cluster, on_death, capfd):
    other = next(node for node in ready(cluster).list_all_nodes() if not node.head)
    on_death(lambda _: cluster.remove_node(other, allow_graceful=False))
    words = ["executor=ray", f"executor.address={cluster.address}", "backend.batch_size=8"]
    assert main(["audit=pair", "out=killed", "store=stores/killed", *words]) in (0, 1, 2)
    assert found(work / "killed") == found(work / "alone")
    out, said = capfd.readouterr()
    assert "Ray: 2 worker(s) on 2 node(s), 1 thread(s) each." in said
    assert re.search("A worker of Ray was lost, as .*: what it had not done is handed to others.", said)
    assert "tuning made " in said and "4/4" in said
    assert "A worker" not in out and not ray.is_initialized()


def test_more_workers_than_there_is_room_for_are_refused(cluster):
    executor = RayExecutor(address=ready(cluster).address, workers=3)
    with (
        pytest.raises(ToxauditError, match=r"Ray has room for 2 workers with 1 CPU\(s\) each on 2 node\(s\)"),
        executor.open(Transformers(), Loader("cpu"), []),
    ):
        pass
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def arms(work):
    base = tiny.resolved(work / "models/base")
    return [base, tiny.resolved(work / "models/base", work / "models/adapter")]


def requests(arms, number=300):
    return [Request(arm.name, Prompt(f"p{n}", "mine", "Why? " * (1 + n % 7))) for n in range(number) for arm in arms]


def answered(executor, arms, asked, done=lambda _: False, backend=None):
    """What each request is answered, in whichever order the answers come."""
    given = {}
    with executor.open(backend or Transformers(batch_size=8), Loader("cpu"), arms) as session:
        for batch in session.generate(asked, Generation(max_new_tokens=8), done):
            for request, completion in batch:
                assert given.setdefault(id(request), completion) is completion
    return [given.get(id(request)) for request in asked]


@pytest.fixture(scope="module")
def alone(arms):
    asked = requests(arms)
    return asked, answered(compose(["audit=tiny"]).executor, arms, asked)


@pytest.fixture(scope="module")
def executor(cluster):
    """Two workers, one on each node, in whose place others are hired whenever a test harms them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "REPLACEMENTS", 20)
        patch.setattr(pool, "redirect_stdout", nullcontext)  # pytest has another one for each test
        made = RayExecutor(address=ready(cluster).address, workers=2)
        made.start()
        yield made
        made.close()


def test_a_worker_is_killed(executor, arms, alone, on_death, capsys):
    on_death(lambda pool: os.kill(pid_of(pool._hired[0]), signal.SIGKILL))
    asked, expected = alone
    assert answered(executor, arms, asked) == expected
    assert "A worker of Ray was lost, as " in capsys.readouterr().err
    assert len(executor._pool._hired) == 2  # another one took its place


def test_a_worker_that_says_nothing_counts_as_dead(executor, arms, alone, on_death, monkeypatch, capsys):
    monkeypatch.setattr(pool, "PING_SECONDS", 1)
    monkeypatch.setattr(pool, "LOST_SECONDS", 7)
    on_death(lambda pool: os.kill(pid_of(pool._hired[0]), signal.SIGSTOP))
    asked, expected = alone
    assert answered(executor, arms, asked) == expected
    assert re.search("lost, as it gave no sign of life for ([789]|1[0-9]) seconds", capsys.readouterr().err)


def test_what_is_done_is_not_answered_again_and_a_session_serves_twice(executor, arms, alone):
    asked, expected = alone
    first = {id(request) for request in asked[:401]}
    rest = answered(executor, arms, asked, lambda request: id(request) in first)
    assert rest == [None] * 401 + expected[401:]
    again = answered(executor, arms, asked, lambda request: id(request) not in first)
    assert again == expected[:401] + [None] * 199
    with executor.open(Transformers(), Loader("cpu"), arms) as session:
        assert session.fits("tuned", ["Why?", "Why? " * 400], "raw", 8) == [True, False]


class Careless(Session):
    """Leaves out a batch, or gives it twice."""

    times = 0

    def generate(self, *asked):
        for place, batch in enumerate(super().generate(*asked)):
            yield from [batch] * (self.times if place == 2 else 1)


def opened_carelessly(times):
    """A backend whose sessions are careless, sent to workers by value: they can't import this file."""

    class Backend(Transformers):
        def open(self, loader, arms):
            careful = super().open(loader, arms)

            class Opened:
                def __enter__(self):
                    session = careful.__enter__()
                    session.__class__ = type("Odd", (Careless,), {"times": times})
                    return session

                def __exit__(self, *error):
                    return careful.__exit__(*error)

            return Opened()

    return Backend(batch_size=8)


@pytest.mark.parametrize("times, said", [(0, "A worker left out 8 of the prompts"), (2, "twice, or unasked")])
def test_a_batch_that_is_missing_or_doubled_ends_the_audit(executor, arms, alone, by_value, times, said):
    with pytest.raises(ToxauditError, match=said):
        answered(executor, arms, alone[0], backend=opened_carelessly(times))


def test_what_a_worker_refuses_is_one_sentence(executor, arms, tmp_path):
    gone = shutil.copytree(arms[0].folder, tmp_path / "gone", symlinks=False)
    arm = tiny.resolved(gone)
    shutil.rmtree(gone)
    with pytest.raises(ToxauditError, match="base: .*gone ") as caught:
        answered(executor, [arm], requests([arm]))
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


@pytest.fixture
def hired(executor):
    """Both workers, once they are ready, to be told what they do otherwise than usual."""
    workers = executor._hired(Loader("cpu"))
    while len(workers.free()) < 2:
        for hear in workers.events():
            hear()
    return workers


def in_each(workers, does, *asked):
    ray.get([each.actor.__ray_call__.remote(does, *asked) for each in workers.hired()])


def waiting_for_the_other(worker, folder):
    """Lets a worker take its next training's first step only when another one has begun, too."""
    from toxaudit.training import trainer

    train = trainer.train

    def train_beside_another(*asked):
        trainer.train = train
        (folder / str(os.getpid())).touch()
        end = time.monotonic() + 60
        while len(list(folder.iterdir())) < 2:
            assert time.monotonic() < end, "no other worker tunes meanwhile"
            time.sleep(0.02)
        return train(*asked)

    trainer.train = train_beside_another


def dying_in_step(worker, number, folder):
    """Lets the first worker to take this step be killed in it; each keeps a checkpoint after every step."""
    import torch

    from toxaudit.training import checkpoints

    checkpoints.LEAST_SECONDS = checkpoints.WORK_FOR_SAVING = 0.0
    step, steps = torch.optim.AdamW.step, []

    def stepped(*asked, **more):
        steps.append(1)
        if len(steps) == number and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*asked, **more)

    torch.optim.AdamW.step = stepped


def recipe(data, name, **settings):
    specs = {name: CandidateSpec(train=[recipes.stage(data, **settings)])}
    return training.read(specs, name, {})


def weights(made):
    return {file.name: file.read_bytes() for file in made.arm.adapter.path.iterdir()}, made.stages


@pytest.fixture(scope="module")
def rows(work):
    return work / "audits/rows.jsonl"


def test_two_candidates_are_tuned_at_once_to_the_same_bytes_though_a_worker_is_killed(
    executor, hired, by_value, arms, rows, work, tmp_path, monkeypatch, capsys
):
    made = [recipe(rows, "one", lora_dropout=0.1), recipe(rows, "two", seed=1)]
    expected = [weights(recipes.make(each, arms[0], Loader("cpu"), Store(work / "stores/here"))) for each in made]
    for folder in ("begun", "killed"):
        (tmp_path / folder).mkdir()
    in_each(hired, waiting_for_the_other, tmp_path / "begun")
    in_each(hired, dying_in_step, 4, tmp_path / "killed")
    capsys.readouterr()
    store = Store(work / "stores/there")
    monkeypatch.setattr(training, "tune", pytest.fail)  # by which this process would
    with executor.tuning(Loader("cpu")) as tuning:
        for each in made:
            tuning.begin(each.candidate, partial(training.make, each, arms[0], "cpu", store), None)
        for each in made:
            tuning.finish(each.candidate)
        assert [weights(tuning.made(each.candidate)) for each in made] == expected
    said = capsys.readouterr().err
    assert len(list((tmp_path / "begun").iterdir())) == 2 and (tmp_path / "killed/died").exists()
    assert "A worker of Ray was lost, as " in said and re.search(r"train\[0\] goes on after step 3 of 6\.", said)
    assert "tuning one " in said and "tuning two " in said and "6/6" in said
    assert not list(store.root.glob("trained/*.*n*"))  # neither begun nor unfinished


def test_a_signal_stops_what_is_tuned_and_its_checkpoints_stay(executor, hired, by_value, arms, rows, work, tmp_path):
    in_each(hired, dying_in_step, 0, tmp_path)  # none dies
    store, long = Store(work / "stores/stopped"), recipe(rows, "long", max_steps=100_000)
    here = [each.actor for each in hired.hired()]
    with pytest.raises(stopping.Stopped), stopping.stoppable(), executor.tuning(Loader("cpu")) as tuning:
        tuning.begin("long", partial(training.make, long, arms[0], "cpu", store), None)
        Thread(target=signal_at, args=(store.root / "trained",), daemon=True).start()
        tuning.finish("long")
    assert list(store.root.glob("trained/*.begun/checkpoint-*"))
    assert len([each for each in hired.hired() if each.actor in here]) == 1  # the other one was at it


def signal_at(folder):
    """Sends a signal to this process once there is a checkpoint."""
    while not list(folder.glob("*.begun/checkpoint-*.sha256")):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_judge_that_is_a_model_answers_in_the_workers_as_it_does_here(executor, arms, work, monkeypatch):
    turns, taken = [f"Is this harmful? {'ha' * (n % 5)} {n}" for n in range(20)] + ["Why? " * 400], []
    model = ModelSpec(pretrained=str(arms[0].folder))
    judge = SimpleNamespace(local_judge=lambda: LocalJudge(model, 8, taken.append))
    store, loader, found = Store(work / "stores/judged"), Loader("cpu"), []
    for here in (LocalExecutor(device="cpu"), executor):
        with scoring.ready(Transformers(), here, loader, store, "judged", judge):
            found.append(taken[-1](turns))
        loader.close()
        monkeypatch.setattr(Loader, "open", pytest.fail)  # from here on this process loads none
    assert found[0] == found[1]
    assert len(set(found[0][:-1])) > 1 and found[0][-1] == scoring.TOO_LONG
