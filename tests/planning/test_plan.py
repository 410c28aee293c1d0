"""A plan says what a run would do and need, from this machine and from the Hub, and what could not be told."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import workspace
from hub_server import Repository, serve
from safetensors.numpy import save_file
from safetensors.torch import load_file

from toxaudit.cli.main import main
from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.machine import speed
from toxaudit.models.number_format import NumberFormat
from toxaudit.planning import inquiry
from toxaudit.planning.expected import Prospect
from toxaudit.planning.inquiry import Inquiry
from toxaudit.sources import HubSource, LocalSource, RepositoryFacts
from toxaudit.spec.schema import ModelSpec

UNREACHABLE = "http://127.0.0.1:9"
SPEED = speed.Speed(flops=50e9, threads=1, half=1.0)
SLOW = "from toxaudit.machine import speed; speed.speed = lambda _: speed.Speed(flops=50e9, threads=1, half=1.0)"
"""The same in a process of its own."""
AUDIT = """\
title: Models of the Hub
suite: [prompts]
scorer: [classified, degenerate]
base:
  pretrained: org/base@v1
  tokenizer: org/tok
  dtype: {dtype}
candidates:
  merged:
    pretrained: org/merged
  lora:
    peft: org/lora
  over:
    pretrained: org/merged
    peft: org/lora
    trust_remote_code: true
  packed:
    pretrained: org/packed
    load_in_4bit: true
  ready:
    pretrained: org/ready
  gguf:
    pretrained: org/gguf
    gguf_file: q4.gguf
  pickled:
    pretrained: org/pickled
  gone:
    pretrained: org/gone
"""
SUITE = "kind: dataset\ntitle: Prompts\ndata: org/prompts\nfile: prompts.jsonl\n"
SCORER = "kind: classifier\ntitle: Class\npretrained: org/classifier\nlabel: hate\n"
CONFIG = {"config.json": b"{}"}
FACTS = RepositoryFacts("org/m", "c" * 40, {}, (), None, False, None)
SLOW_ON_CPUS = "which CPUs compute slowly or not at all"
AS_FILES_SAY = "unless its files, which are not here yet, name another one"


def weights(size, **about):
    """A model whose safetensors take so many bytes."""
    return Repository(
        {"main": CONFIG | {"model.safetensors": bytes(size), "pytorch_model.bin": bytes(9999)}}, about=about
    )


def counted(parameters):
    return {"parameters": {"BF16": parameters}, "total": parameters}


REPOSITORIES = {
    "base": Repository(
        {"v1": CONFIG | {"model.safetensors": bytes(39_998)}},
        about={"gated": "manual", "cardData": {"license": "llama3.1"}, "safetensors": counted(8_000_000_000)},
    ),
    "tok": Repository({"main": {"tokenizer.json": bytes(1000)}}, about={"cardData": {"license": "mit"}}),
    "merged": weights(29_998, cardData={"license": "other", "license_name": "own"}, safetensors=counted(7_000_000_000)),
    "lora": Repository({"main": {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(1998)}}),
    "packed": weights(9998, safetensors=counted(20_000_000_000)),
    "ready": weights(5998, safetensors=counted(80_000_000_000), tags=["4-bit"]),
    "gguf": Repository({"main": {"q4.gguf": bytes(4000), "q8.gguf": bytes(8000)}}),
    "pickled": Repository({"main": CONFIG | {"pytorch_model.bin": bytes(1000)}}),
    "prompts": Repository({"main": {"prompts.jsonl": b'{"prompt": "one"}\n{"prompt": "two"}\n'}}, kind="datasets"),
    "classifier": weights(998, gated="auto"),
}


def write(folder, dtype="bfloat16", audit=AUDIT):
    for name, content in {
        "hub": audit.format(dtype=dtype),
        "suite/prompts": SUITE,
        "scorer/classified": SCORER,
    }.items():
        (folder / "audits" / f"{name}.yaml").parent.mkdir(parents=True, exist_ok=True)
        (folder / "audits" / f"{name}.yaml").write_text(content)


def plan(folder, url, *words, before="", **environment):
    """What `toxaudit plan` prints, in a process of its own: the Hub client reads its address when it is imported."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    settings = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(folder / "hf"),
        "TOXAUDIT_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
    }
    code = f"import sys\nfrom toxaudit.cli.main import main\n{SLOW}\n{before}\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "plan", *(words or ["audit=hub"]), "executor.device=cpu"]
    done = subprocess.run(
        command, cwd=folder, env=clean | settings | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def row(text, name):
    """What a plan says of a model, suite or scorer; or after a word that begins a line."""
    found = [line.split(maxsplit=1)[1] for line in text.splitlines() if line.split(maxsplit=1)[:1] == [name]]
    assert len(found) == 1, text
    return found[0]


def said(text, beginning):
    """The rest of a plan's line."""
    found = [line.removeprefix(f"  {beginning}") for line in text.splitlines() if line.startswith(f"  {beginning}")]
    assert len(found) == 1, text
    return found[0].strip()


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("toxaudit.planning.expected.version", lambda _: "2.13.0+cpu")  # of torch: no GPU is looked for
    monkeypatch.setattr("toxaudit.machine.speed.speed", lambda _: SPEED)
    return tmp_path


def planned(capsys, *words):
    """What `toxaudit plan` prints, in this process, where the Hub is out of bounds."""
    assert main(["plan", *words]) == 0
    return capsys.readouterr().out


def test_what_is_on_this_machine_is_told_without_the_hub(fresh, capsys):
    workspace.make(fresh)
    out = planned(capsys, "audit=tiny")
    assert row(out, "base") == "models/base (on this machine)"
    assert row(out, "tuned") == "models/adapter (on this machine), adapter"
    asked = "36 prompts, raw: Three kinds of prompts, from suite/prompts.jsonl (on this machine)"
    assert row(out, "mine") == f"{asked}; by vowels, degenerate, truncated"
    n = sum(tensor.numel() for tensor in load_file(fresh / "models" / "base" / "model.safetensors").values())
    memory = said(out, "Memory:")
    assert memory.startswith("about ") and memory.endswith("free here.")
    assert f" at most, with {round(n * 4 / 1000)} kB for the weights of base in float32 (the largest; " in memory
    assert said(out, "To fetch:") == "nothing."
    assert said(out, "Answered:") == "in this process, one model after another."
    time = said(out, "Time:")
    assert time.startswith("less than a minute (preparing ")
    assert time.endswith(
        "; less where answers end before their limit, or are stored already. Measured just now: 50 GFLOP/s in float32 "
        "by 1 thread."
    )
    assert "Problem" not in out and "Not resolved" not in out and "Not checked" not in out


def test_a_design_that_a_run_would_refuse_is_refused(fresh, capsys, monkeypatch):
    workspace.make(fresh)
    overrides = ["estimator=[paired_exact]", "scorers.vowels.threshold=null"]
    sentence = (
        "toxaudit: scorers.vowels takes the mean score, which paired_exact does not take: add paired_bb to "
        "'estimator: [...]'.\n"
    )
    capsys.readouterr()  # what making the models wrote
    assert main(["plan", "audit=tiny", *overrides]) == 3
    assert capsys.readouterr() == ("", sentence)
    monkeypatch.setattr("toxaudit.planning.plan.describe", lambda spec: "")  # what a run says of its own
    assert main(["audit=tiny", *overrides]) == 3
    assert capsys.readouterr().err == sentence


def test_a_scorer_is_told_by_what_the_rules_make_of_it(fresh, capsys):
    workspace.make(fresh)
    assert row(planned(capsys, "audit=tiny"), "vowels").startswith("critical: ")
    rules = "{less: {measure: degenerate, tier: critical}, rest: {measure: vowels, tier: supporting}}"
    (fresh / "audits/gate").mkdir()
    (fresh / "audits/gate/ours.yaml").write_text(f"kind: margin\nrules: {rules}\n")
    out = planned(capsys, "audit=tiny", "gate=ours")
    assert row(out, "degenerate").startswith("critical: ") and row(out, "vowels").startswith("supporting: ")


def test_a_broken_file_on_this_machine_is_named(fresh, capsys):
    workspace.make(fresh)
    (fresh / "models" / "base" / "model.safetensors").write_bytes(b"torn")
    assert main(["plan", "audit=tiny"]) == 3
    assert "base/model.safetensors can't be read as safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    "written, told",
    [
        ({"base_model_name_or_path": "org/other"}, "candidates.tuned: models/adapter declares the base org/other, not"),
        ({"peft_type": "IA3"}, "tuned: models/adapter is an adapter of type IA3: only LORA can be audited."),
        ({"init_lora_weights": "corda"}, "so that it fits a base changed by data"),
        (None, "candidates.tuned: models/adapter holds no adapter_config.json: it is no PEFT adapter"),
    ],
)
def test_what_a_run_refuses_of_an_adapter_a_plan_refuses_too(tmp_path, monkeypatch, capsys, written, told):
    """Another base, another kind, a start that can't be had, an empty folder: seen without any weights."""
    workspace.written(tmp_path)
    for folder in ("base", "adapter"):
        (tmp_path / "models" / folder).mkdir(parents=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": "base"}
    save_file({"weight": np.zeros(2, np.float32)}, tmp_path / "models" / "base" / "model.safetensors")
    (tmp_path / "models" / "base" / "config.json").write_text("{}")
    adapter = tmp_path / "models" / "adapter"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed, "speed", lambda _: SPEED)
    if written is not None:
        (adapter / "adapter_config.json").write_text(json.dumps(config | written))
        (adapter / "adapter_model.safetensors").touch()
    assert main(["plan", "audit=tiny"]) == 3
    assert re.search(told, capsys.readouterr().err)
    out = planned(capsys, "audit=tiny", "on_candidate_error=skip")
    assert re.search(told, said(out, "Problem:"))
    if written and "base_model_name_or_path" in written:
        assert "Problem" not in planned(capsys, "audit=tiny", "candidates.tuned.allow_base_mismatch=true")


@pytest.mark.parametrize(
    "files, told",
    [
        ({"adapter_config.json": "{}", "config.json": "{}"}, "models/whole holds an adapter_config.json beside"),
        ({}, "models/whole holds no config.json: it is no transformers model."),
        ({"config.json": '{"auto_map": {"AutoModel": "own.Model"}}'}, "names code of its own"),
        ({"config.json": '{"num_hidden_layers": 100000}'}, "describes 100,000 layers, more than any model has"),
        ({"config.json": "{}", "README.md": "---\nbase_model: org/other\n---\n"}, "declares the base org/other, not"),
    ],
)
def test_what_a_run_refuses_of_a_whole_model_a_plan_refuses_too(tmp_path, monkeypatch, capsys, files, told):
    workspace.written(tmp_path)
    for folder in ("base", "whole"):
        (tmp_path / "models" / folder).mkdir(parents=True)
        save_file({"weight": np.zeros(2, np.float32)}, tmp_path / "models" / folder / "model.safetensors")
    (tmp_path / "models" / "base" / "config.json").write_text("{}")
    for name, text in files.items():
        (tmp_path / "models" / "whole" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed, "speed", lambda _: SPEED)
    audit = Path("audits/tiny.yaml")
    audit.write_text(audit.read_text().replace("peft: ../models/adapter", "pretrained: ../models/whole"))
    assert main(["plan", "audit=tiny"]) == 3
    assert told in capsys.readouterr().err


def test_a_candidate_that_may_be_left_out_ends_no_plan(fresh, capsys):
    workspace.make(fresh)
    audit = Path("audits/tiny.yaml")
    audit.write_text(audit.read_text().replace("peft: ../models/adapter", "pretrained: ../models/other"))
    assert main(["plan", "audit=tiny"]) == 3
    missing = f"{fresh}/models/other doesn't exist."
    assert missing in capsys.readouterr().err
    out = planned(capsys, "audit=tiny", "on_candidate_error=skip")
    assert row(out, "tuned") == "can't be had: see below"
    assert said(out, "Problem:").startswith(missing)
    assert "for the weights of base in float32" in said(out, "Memory:") and "unknown for tuned" in said(out, "Memory:")
    (fresh / "models" / "other").mkdir()
    out = planned(capsys, "audit=tiny", "on_candidate_error=skip")
    assert said(out, "Problem:").startswith("models/other holds no *.safetensors: ")


def test_what_is_too_large_is_said_with_the_mend(fresh, capsys, monkeypatch):
    workspace.make(fresh)
    monkeypatch.setattr("toxaudit.planning.expected.memory_free", lambda _: 100_000)
    out = said(planned(capsys, "audit=tiny"), "Memory:")
    assert out.endswith("100 kB free here. That is too little: set base.dtype=bfloat16, or use a larger machine.")


def test_a_gpu_is_known_by_its_driver_s_tool(fresh, capsys, monkeypatch):
    workspace.make(fresh)
    tool = fresh / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\n[ "$4" = 3 ] && echo 2000\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr("toxaudit.planning.expected.version", lambda _: "2.13.0")
    monkeypatch.setattr("toxaudit.machine.speed.computes_bfloat16", lambda device: device != "cpu")
    tiny.edit_json(fresh / "models" / "base" / "config.json", dtype="bfloat16")
    out = planned(capsys, "audit=tiny")
    assert said(out, "Computed in:") == "bfloat16, the base's own."
    assert "in bfloat16" in said(out, "Memory:") and said(out, "Memory:").endswith("2.1 GB free here.")
    assert " of the GPU at most, with " in said(out, "Memory:")
    assert said(out, "Time:").endswith(
        "Within a factor of three: a GPU at 5 TFLOP/s, which it exceeds in large batches."
    )
    assert said(planned(capsys, "audit=tiny", "executor.device=cuda:1"), "Memory:").endswith("the loaded base).")
    monkeypatch.setattr("toxaudit.planning.expected.version", lambda _: "2.13.0+cpu")
    out = planned(capsys, "audit=tiny")
    assert "in float32" in said(out, "Memory:")
    assert said(out, "Computed in:") == (
        "float32 instead of the base's own bfloat16, as the CPU has no instructions for bfloat16."
    )


def test_prompts_that_are_not_here_yet_are_reckoned_by_the_hundred(fresh, capsys):
    workspace.make(fresh)
    write(fresh)
    suite = Path("audits/suite/prompts.yaml")
    out = planned(capsys, "audit=tiny", "suite=[prompts]")
    assert (
        row(out, "prompts")
        == "all prompts, raw: Prompts, from org/prompts (to be fetched); by vowels, degenerate, truncated"
    )
    assert said(out, "To generate:") == "1 suite(s) still to be fetched, at most 12 tokens x 3 models a prompt."
    assert said(out, "Time:").startswith("less than a minute for each 100 prompts of suites still to be fetched; less")
    assert said(out, "To fetch:") == "1 of unknown size."
    assert said(out, "Not checked yet:") == "whether the design fits the prompts of prompts, still to be fetched."
    suite.write_text(suite.read_text() + "limit: 30\n")
    out = planned(capsys, "audit=tiny", "suite=[prompts]")
    assert row(out, "prompts").startswith("30 prompts, raw")
    assert said(out, "To generate:") == "30 prompts x 3 models, at most 1,080 tokens."
    assert said(out, "Time:").startswith("less than a minute (preparing ")


@pytest.fixture(scope="module")
def resolved(tmp_path_factory):
    """The plan of the Hub's models, and the server's address."""
    folder = tmp_path_factory.mktemp("resolved")
    write(folder)
    with serve(**REPOSITORIES) as hub:
        out = plan(folder, hub.url)
    assert not hub.downloaded and not (folder / "home").exists()
    return out, hub.url


@pytest.mark.thorough
def test_the_hub_s_models_are_told_with_commit_size_licence_and_gate(resolved):
    out, url = resolved
    commit = {
        name: repository.commit(next(iter(repository.revisions)))[:12] for name, repository in REPOSITORIES.items()
    }
    assert row(out, "base") == (
        f"org/base@{commit['base']} (40 kB to fetch, licence llama3.1, gated: accept its terms at {url}/org/base), "
        f"tokenizer of org/tok@{commit['tok']} (1 kB to fetch, licence mit)"
    )
    merged = f"org/merged@{commit['merged']} (30 kB to fetch, licence own)"
    lora = f"org/lora@{commit['lora']} (2 kB to fetch, no licence stated), adapter"
    assert row(out, "merged") == merged
    assert row(out, "lora") == lora
    assert row(out, "over") == f"{lora} over {merged}, runs code of its own"
    assert row(out, "packed").endswith("(10 kB to fetch, no licence stated), read in 4 bits")
    assert "  Problem: candidates.packed.load_in_4bit: this needs a CUDA GPU, and here the run would" in out
    assert row(out, "gguf").endswith("(4 kB to fetch, no licence stated), GGUF")
    assert row(out, "pickled").endswith(", holds no *.safetensors")
    assert row(out, "prompts").endswith(
        f"from org/prompts@{commit['prompts']} (1 kB to fetch, no licence stated); by classified, degenerate, truncated"
    )
    assert row(out, "classified").endswith(f"gated: accept its terms at {url}/org/classifier)")


def test_a_repository_that_is_not_there_is_named_and_the_plan_goes_on(resolved):
    out, _ = resolved
    assert row(out, "gone") == "org/gone (can't be had: see below)"
    assert said(out.replace("Problem: candidates.packed", "Also"), "Problem:") == (
        "The Hub has no repository org/gone, or it is private: check the name, or run `hf auth login`."
    )
    assert "Not resolved" not in out


@pytest.mark.parametrize(
    ("gguf_file", "kinds", "computed"),
    [
        (None, {"F32": 9, "BF16": 8, "I8": 99}, NumberFormat("float32")),
        (
            None,
            {"F16": 9},
            NumberFormat("float32", f"instead of its own float16, {SLOW_ON_CPUS}"),
        ),
        ("q4.gguf", {"F32": 9}, NumberFormat("bfloat16", AS_FILES_SAY)),  # the Hub counts other files
        (None, {}, NumberFormat("bfloat16", AS_FILES_SAY)),
    ],
)
def test_the_number_format_is_foretold_by_the_hub_s_count(fresh, monkeypatch, gguf_file, kinds, computed):
    workspace.make(fresh)
    monkeypatch.setattr("toxaudit.machine.speed.computes_bfloat16", lambda device: True)
    facts = replace(FACTS, parameters=sum(kinds.values()) or None, kinds=kinds)
    monkeypatch.setattr(Inquiry, "wait", lambda _: None)
    monkeypatch.setattr(Inquiry, "facts", lambda _, source: facts)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    spec = compose(["audit=tiny", "executor.device=cpu"])
    spec = replace(spec, base=ModelSpec(pretrained="org/m", gguf_file=gguf_file), candidates={})
    prospect = Prospect(spec)
    prospect.wait()
    assert prospect.computed == computed


def test_memory_follows_from_the_hub_s_count_of_parameters(resolved):
    memory = said(resolved[0], "Memory:")
    assert " at most, with 16.0 GB for the weights of base in bfloat16 (the largest; models are " in memory
    assert "unknown for gguf, pickled, gone; " in memory
    assert said(resolved[0], "Time:").startswith(
        "about 14 hours for each 100 prompts of suites still to be fetched; without gguf, pickled, gone, of unknown "
        "size; less"
    )
    assert said(resolved[0], "To fetch:") == "95 kB."


@pytest.mark.thorough
def test_what_was_fetched_is_told_from_this_machine(tmp_path):
    workspace.make(tmp_path)
    base = {file.name: file.read_bytes() for file in (tmp_path / "models" / "base").iterdir()}
    write(
        tmp_path,
        audit="suite: [prompts]\nscorer: [compliance_keywords]\nbase: {{pretrained: org/base, dtype: {dtype}}}\n"
        "candidates: {{noop: {{control: true}}}}\n",
    )
    fetch = """
from toxaudit.sources import parse
from toxaudit.sources.base import WEIGHTS
parse("org/base").fetch(WEIGHTS)
parse("org/prompts", None, "dataset").fetch(("prompts.jsonl",))
"""
    model = Repository({"main": base}, about={"gated": "auto", "cardData": {"license": "mit"}})
    commit = model.commit("main")[:12]
    with serve(base=model, prompts=REPOSITORIES["prompts"]) as hub:
        online = plan(tmp_path, hub.url, before=fetch, HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_XET="1")
        asked = len(hub.asked)
        offline = plan(tmp_path, hub.url, HF_HUB_OFFLINE="1")
        assert len(hub.asked) == asked
    assert row(online, "base") == f"org/base@{commit} (on this machine, licence mit, gated)"
    assert row(offline, "base") == f"org/base@{commit} (on this machine)"
    assert said(offline, "Not resolved") == (
        "(HF_HUB_OFFLINE is set): licences and gates of org/base, org/prompts (2 repositories)."
    )
    for out in (online, offline):
        assert row(out, "prompts").startswith("2 prompts, raw")
        assert said(out, "To fetch:") == "nothing."
        assert "for the weights of base in bfloat16" in said(out, "Memory:")
        assert said(out, "Time:").startswith("less than a minute")


ALL = ", ".join(f"org/{name}" for name in [*list(REPOSITORIES)[:8], "gone", "prompts", "classifier"])
"""In the order of the spec."""


@pytest.mark.thorough
def test_offline_nothing_is_asked(tmp_path):
    write(tmp_path)
    with serve(**REPOSITORIES) as hub:
        out = plan(tmp_path, hub.url, HF_HUB_OFFLINE="1")
    assert not hub.asked
    assert said(out, "Not resolved") == (
        f"(HF_HUB_OFFLINE is set): sizes, licences and gates of {ALL} (11 repositories)."
    )
    assert row(out, "base") == "org/base@v1 (to be fetched), tokenizer of org/tok (to be fetched)"
    assert said(out, "Memory:").startswith("unknown; ")


@pytest.mark.thorough
def test_a_hub_out_of_reach_is_said(tmp_path):
    write(tmp_path)
    out = plan(tmp_path, UNREACHABLE)
    assert said(out, "Not resolved").startswith(f"(the Hub is out of reach): sizes, licences and gates of {ALL} (11")
    assert out.count("Problem") == 1  # what needs a GPU


@pytest.mark.thorough
def test_a_hub_that_never_answers_is_waited_for_only_so_long(tmp_path):
    write(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        out = plan(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert said(out, "Not resolved").startswith(
        f"(no answer from the Hub within 1.5 s): sizes, licences and gates of {ALL}"
    )


@pytest.fixture
def ask(monkeypatch):
    """Ask for these repositories, each of which answers, raises, or waits for an event."""

    def ask(seconds, **behaviour):
        def facts(source, timeout):
            answer = behaviour[source.reference.removeprefix("org/")]
            if isinstance(answer, Exception):
                raise answer
            return answer.wait() if isinstance(answer, threading.Event) else answer

        monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
        monkeypatch.setattr(HubSource, "facts", facts)
        asked = Inquiry([HubSource(f"org/{name}") for name in behaviour], seconds)
        asked.wait()
        return asked

    return ask


def test_one_that_hangs_keeps_no_other_answer_back(ask):
    never = threading.Event()
    try:
        asked = ask(0.5, slow=never, **{f"m{i}": FACTS for i in range(3 * inquiry.REPOSITORIES_AT_ONCE)})
        assert asked.unresolved == ["org/slow"]
        assert asked.why == "no answer from the Hub within 0.5 s"
        assert asked.facts(HubSource("org/m47")) == FACTS and asked.facts(HubSource("org/slow")) is None
    finally:
        never.set()


def test_what_answers_in_place_of_the_hub_is_told(ask):
    asked = ask(10, odd=ValueError("<html>"), far=ToxauditError("out of reach"), near=FACTS)
    assert asked.problems == ["org/odd could not be looked up: what answers is no Hub (ValueError)."]
    assert asked.unresolved == ["org/far"] and asked.why == "no answer from the Hub"


def test_only_the_hub_s_are_asked_for(ask, tmp_path):
    assert Inquiry([LocalSource(str(tmp_path))]).unresolved == []


def test_a_plan_names_the_folder_that_holds_an_adapter(tmp_path, monkeypatch, capsys):
    workspace.written(tmp_path)
    for file in ("base/model.safetensors", "runs/checkpoint-500/adapter_config.json"):
        (tmp_path / "models" / file).parent.mkdir(parents=True)
        (tmp_path / "models" / file).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed, "speed", lambda _: SPEED)
    told = (
        "candidates.tuned: models/runs holds no adapter_config.json, but its folder checkpoint-500 does: set subfolder"
    )
    words = ["plan", "audit=tiny", "candidates.tuned.peft=./models/runs"]
    assert main(words) == 3 and told in capsys.readouterr().err
