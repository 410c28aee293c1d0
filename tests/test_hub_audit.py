"""Whole audits of models on the Hub: what was read is named by its commit, and can be audited again from the lock."""

import importlib
import io
import json
import os
import shutil
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
import workspace
import yaml
from forked import forked
from hub_server import Hub, Repository, serve
from safetensors.torch import load_file, save_file
from unplotted import draw_in_words

from toxaudit.cli.main import main

pytestmark = pytest.mark.slow  # whole audits over a local Hub

UNREACHABLE = "http://127.0.0.1:9"
HEAD = """\
title: Models of the Hub
suite: [mine]
scorer: [vowels, degenerate]
estimator: [paired_exact]
base:
  pretrained: org/base
generation:
  max_new_tokens: 12
candidates:
"""
GOOD = """\
  lora:
    peft: org/lora
    peft_revision: v1
  full: org/full
"""
BAD = {
    "gated": "org/gated is gated: accept its terms at {url}/org/gated, then run `hf auth login`.",
    "gone": "The Hub has no repository org/gone, or it is private: check the name, or run `hf auth login`.",
    "down": "org/down could not be had from the Hugging Face Hub",
    "pickled": "org/pickled holds no *.safetensors: weights in pickles (*.bin, *.pt) are never loaded",
    "idle": "org/idle changes nothing: every lora_B is zero.",
}
AUDITS = {
    "hub": GOOD + "".join(f"  {name}: org/{name}\n" for name in BAD),
    "good": GOOD,
    "renamed": "  heir: org/heir\n",
} | {name: f"  {name}: org/{name}\n" for name in BAD}
NEVER = {
    "pytorch_model.bin": b"pickle",
    "training_args.bin": b"pickle",
    "optimizer.pt": b"pickle",
    "logo.png": b"picture",
    "README.fr.md": b"another card",
    "eval.yaml": b"results: good",
    "runs/log.json": b"{}",
}
CARD = "---\nbase_model: {}\nlicense: mit\n---\nIt is very good.\n"


@dataclass
class Answer:
    """What one command gave: its exit code, what it printed, and what it complained of in sentences."""

    code: int
    said: str
    refused: list[str]


@dataclass
class Machine:
    """A folder to work in, a Hub cache and a store of its own."""

    work: Path
    cache: Path
    home: Path

    def run(self, url, *commands, **environment):
        """Run commands one after another in a copy of this process, in which the Hub client reads its address anew."""

        def audits():
            from huggingface_hub import constants

            os.environ.clear()
            os.environ.update(self._environment(url, environment))
            importlib.reload(constants)
            os.chdir(self.work)
            print(json.dumps([*map(answered, commands)]))
            return 0

        done = forked(audits)
        assert done.returncode == 0, done.stderr
        return [
            Answer(code, said, [line for line in refused.splitlines() if line.startswith("toxaudit: ")])
            for code, said, refused in json.loads(done.stderr.splitlines()[-1])
        ]

    def _environment(self, url, more):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
        settings = {"HF_ENDPOINT": url, "HF_HOME": str(self.cache), "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
        return clean | settings | {"TOXAUDIT_HOME": str(self.home)} | more

    def read(self, out, name):
        return (self.work / "runs" / out / name).read_text()

    def results(self, out):
        return json.loads(self.read(out, "results.json"))

    def lock(self, out):
        return json.loads(self.read(out, "lock.json"))

    def copy(self, to, cache):
        """Another machine with the same specs and results, nothing stored, and perhaps the same Hub cache."""
        shutil.copytree(self.work, to / "work")
        if cache:
            shutil.copytree(self.cache, to / "cache", symlinks=True)
        return Machine(to / "work", to / "cache", to / "home")


def answered(words):
    """The exit code of a command and what it wrote, as a terminal or a file takes it."""
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    refused = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(refused):
        draw_in_words(patch)
        slept = time.sleep
        patch.setattr(time, "sleep", lambda seconds: slept(min(seconds, 0.01)))  # between the Hub client's attempts
        code = main(words)
    written = []
    for stream in (said, refused):
        stream.seek(0)
        written.append(stream.read())
    return code, *written


@dataclass
class World:
    """The Hub, the machine that audited its models, and what came of it: audit -> answer."""

    hub: Hub
    machine: Machine
    answers: dict[str, Answer]
    downloaded: list[str]


def repository(folder, declared="org/base", more=None):
    """What lies in ``folder``, with the card and the rubbish that repositories come with."""
    files = {file.name: file.read_bytes() for file in folder.iterdir()} | NEVER | (more or {})
    return Repository({"main": files | {"README.md": CARD.format(declared).encode()}})


def declares(folder, base):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": base}))
    return folder


def idle(folder):
    file = folder / "adapter_model.safetensors"
    found = {name: tensor * ("lora_B" not in name) for name, tensor in load_file(file).items()}
    save_file(found, file, metadata={"format": "pt"})
    return folder


def repositories(models):
    base = models / "base"
    lora = repository(declares(tiny.adapter(base, models / "lora"), "org/base"))
    later = {file.name: file.read_bytes() for file in tiny.adapter(base, models / "later", seed=7).iterdir()}
    lora.revisions = {"main": lora.revisions["main"] | later, "v1": lora.revisions["main"]}
    full = tiny.base(models / "full", seed=3)
    return {
        "base": repository(base, "org/elder"),
        "old": Repository({"main": {"config.json": b"{}"}}, about={"id": "org/base"}),
        "lora": lora,
        "full": repository(full),
        "heir": repository(declares(tiny.adapter(base, models / "heir", seed=4), "org/old"), "org/old"),
        "gated": Repository(lora.revisions, refused={"info": (403, "GatedRepo")}),
        "down": Repository(repository(full).revisions, refused={"file": (503, "Down")}),
        "pickled": Repository({"main": {"config.json": (full / "config.json").read_bytes()} | NEVER}),
        "idle": repository(idle(declares(tiny.adapter(base, models / "idle", seed=5), "org/base"))),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    machine = Machine(workspace.make(folder / "work", prompts=12), folder / "cache", folder / "home")
    for name, candidates in AUDITS.items():
        (machine.work / "audits" / f"{name}.yaml").write_text(HEAD + candidates)
    with serve(**repositories(machine.work / "models")) as hub:
        shutil.rmtree(machine.work / "models")
        commands = [[f"audit={name}", *["on_candidate_error=skip"] * (name == "hub")] for name in AUDITS]
        answers = machine.run(hub.url, *commands)
        yield World(hub, machine, dict(zip(AUDITS, answers, strict=True)), hub.downloaded)


def test_models_of_the_hub_are_audited_and_named_by_their_commits(world):
    assert world.answers["hub"].code in (1, 2)  # never GO: nothing is known of what was skipped
    repositories, results = world.hub.repositories, world.machine.results("hub")
    commits = {
        "base": repositories["org/base"].commit("main"),
        "lora": repositories["org/lora"].commit("v1"),
        "full": repositories["org/full"].commit("main"),
    }
    arms = [results["base"], *results["candidates"]]
    assert {arm["name"]: arm["revision"] for arm in arms} == commits
    assert {arm["name"]: arm["kind"] for arm in arms} == {"base": "base", "lora": "adapter", "full": "fine-tune"}
    references = world.machine.lock("hub")["references"]
    keys = {"base": "base.pretrained", "lora": "candidates.lora.peft", "full": "candidates.full.pretrained"}
    assert {name: references[key]["revision"] for name, key in keys.items()} == commits
    assert {references[key]["source"] for key in keys.values()} == {"hub"}
    card = world.machine.read("hub", "toxaudit/audit.md")
    assert all(f"`{commit}`" in card and f"`org/{name}`" in card for name, commit in commits.items())


def test_the_arms_differ_in_what_they_answer(world):
    rows = [json.loads(line) for line in world.machine.read("hub", "samples_mine.jsonl").splitlines()]
    texts = {arm: [row["text"] for row in rows if row["model"] == arm] for arm in ("base", "lora", "full")}
    assert all(len(found) == 12 for found in texts.values()) and len(rows) == 36
    assert texts["base"] != texts["lora"] != texts["full"] != texts["base"]


def test_what_can_not_be_had_is_named_with_the_reason_in_card_and_results(world):
    skipped = {each["name"]: each for each in world.machine.results("hub")["skipped"]}
    assert list(skipped) and set(skipped) == set(BAD)
    card = world.machine.read("hub", "toxaudit/audit.md")
    for name, said in BAD.items():
        assert skipped[name]["reason"].startswith(said.format(url=world.hub.url))
        assert skipped[name]["reference"] == f"org/{name}"
        assert f"{name} (org/{name})" in card and f"| {name} | **not audited** | {said.split()[0]}" in card
        assert f"NOT AUDITED: {name}. {skipped[name]['reason']}" in world.answers["hub"].said
    assert world.machine.lock("hub")["skipped"] == {name: each["reason"] for name, each in skipped.items()}
    assert not any(name in key for name in BAD for key in world.machine.lock("hub")["references"])


@pytest.mark.parametrize("name", BAD)
def test_one_candidate_that_can_not_be_had_stops_the_audit_where_none_may_be_skipped(world, name):
    answer = world.answers[name]
    assert answer.code == 3 and len(answer.refused) == 1 and answer.refused[0].endswith(".")
    assert BAD[name].format(url=world.hub.url) in answer.refused[0]
    assert not (world.machine.work / "runs" / name).exists()


def test_neither_pickles_nor_pictures_nor_what_lies_deeper_comes_down(world):
    assert world.downloaded.count("model.safetensors") == 2 and "README.md" in world.downloaded
    assert not set(world.downloaded) & set(NEVER)
    kept = {file.name for file in world.machine.cache.rglob("*")}
    assert "adapter_model.safetensors" in kept and not kept & {Path(name).name for name in NEVER}


def test_nothing_in_the_results_tells_of_this_machine(world):
    for name in ("card.md", "results.json", "lock.json", "bom.cdx.json", "samples_mine.jsonl"):
        assert str(world.machine.work.parent) not in world.machine.read("hub", name)


def test_the_former_name_of_the_base_is_the_base(world):
    assert world.answers["renamed"].code in (0, 1, 2), world.answers["renamed"].refused
    (heir,) = world.machine.results("renamed")["candidates"]
    assert heir["revision"] == world.hub.repositories["org/heir"].commit("main") and not heir["notes"]


def moved(repositories):
    """Let every branch and tag stand for something else than before; commits stay what they are."""
    for repository in repositories.values():
        for name, files in list(repository.revisions.items()):
            repository.revisions[f"before-{name}"] = files
            repository.revisions[name] = {key: data + b" " for key, data in files.items()}


def replay(name):
    return [f"audit={name}", f"lock=runs/{name}/lock.json", f"out=runs/again-{name}"]


def check_same(world, other, name, answer):
    """The same answers of the same models, and the same decision."""
    assert answer.code == world.answers[name].code, answer.refused
    first, again = world.machine.results(name), other.results(f"again-{name}")
    for found in (first, again):
        found["notes"] = {each["name"]: each.pop("notes") for each in found["candidates"]}
    for key in ("base", "candidates", "estimates", "verdicts", "suites", "decision"):
        assert again[key] == first[key]
    assert other.read(f"again-{name}", "samples_mine.jsonl") == world.machine.read(name, "samples_mine.jsonl")
    assert other.read(f"again-{name}", "lock.json") == world.machine.read(name, "lock.json")
    written, replayed = (
        {key: candidate["allow_base_mismatch"] for key, candidate in yaml.safe_load(spec)["candidates"].items()}
        for spec in (world.machine.read(name, "spec.yaml"), other.read(f"again-{name}", "spec.yaml"))
    )
    assert replayed == written  # what the user wrote


@pytest.fixture(scope="module")
def elsewhere(world, tmp_path_factory):
    """Another machine that has the lock and nothing else, after all branches moved; its answer; what it downloaded."""
    other = world.machine.copy(tmp_path_factory.mktemp("elsewhere"), cache=False)
    revisions = {name: dict(repository.revisions) for name, repository in world.hub.repositories.items()}
    del world.hub.asked[:]
    moved(world.hub.repositories)
    try:
        (answer,) = other.run(world.hub.url, replay("hub"))
    finally:
        for name, repository in world.hub.repositories.items():
            repository.revisions = revisions[name]
    return other, answer, [call for call in world.hub.asked if call.startswith("GET") and "/resolve/" in call]


def test_a_lock_gives_the_same_completions_on_another_machine_after_the_branches_moved(world, elsewhere):
    other, answer, _ = elsewhere
    check_same(world, other, "hub", answer)


def test_with_a_lock_only_its_commits_come_down_and_nothing_of_what_it_skipped(world, elsewhere):
    locked = world.machine.lock("hub")["references"].values()
    wanted = {f"/{entry['reference']}/resolve/{entry['revision']}/" for entry in locked if entry["source"] == "hub"}
    assert len(wanted) == 3
    assert {call.removeprefix("GET ").rpartition("/")[0] + "/" for call in elsewhere[2]} == wanted


def test_what_was_skipped_is_told_in_the_same_order_again(world, elsewhere):
    other, answer, _ = elsewhere
    assert answer.code == 2
    assert other.results("again-hub")["skipped"] == world.machine.results("hub")["skipped"]


@pytest.fixture(scope="module")
def offline(world, tmp_path_factory):
    """Another machine with the lock and the Hub cache, but without the Hub; its answers."""
    other = world.machine.copy(tmp_path_factory.mktemp("offline"), cache=True)
    names = ("good", "renamed", "hub")
    answers = other.run(UNREACHABLE, *map(replay, names), HF_HUB_OFFLINE="1")
    return other, dict(zip(names, answers, strict=True))


def test_a_lock_and_the_cache_are_enough_without_the_hub(world, offline):
    other, answers = offline
    check_same(world, other, "good", answers["good"])


def test_a_lock_is_enough_without_the_hub_where_a_candidate_declares_the_bases_former_name(world, offline):
    other, answers = offline
    check_same(world, other, "renamed", answers["renamed"])
    (heir,) = other.results("again-renamed")["candidates"]
    assert heir["notes"] == ["it declares the base org/old, and was audited against org/base all the same"]


def test_a_lock_is_enough_without_the_hub_where_what_it_skipped_lies_in_the_cache(world, offline):
    other, answers = offline
    check_same(world, other, "hub", answers["hub"])


def test_one_byte_changed_in_the_cache_is_refused_by_the_name_of_the_file(world, tmp_path):
    other = world.machine.copy(tmp_path, cache=True)
    commit = world.hub.repositories["org/lora"].commit("v1")
    file = next(other.cache.rglob(f"{commit}/adapter_model.safetensors")).resolve()
    assert file.is_relative_to(tmp_path)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    (answer,) = other.run(UNREACHABLE, replay("good"), HF_HUB_OFFLINE="1")
    assert answer.code == 3 and len(answer.refused) == 1
    assert "candidates.lora.peft: adapter_model.safetensors is not the file of the lock" in answer.refused[0]
    assert not (other.work / "runs" / "again-good").exists()
