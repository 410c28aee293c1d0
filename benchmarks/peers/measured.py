"""What the peers share: each reads a job, times what it does in a process of its own, and writes what it answered.

Needs nothing but psutil, since every peer runs in an environment of its own.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

Job = dict[str, Any]
"""``model``: a folder; ``texts``: prompts; ``adapters``: name -> folder; ``dtype``; ``tokens``: new ones at most;
``batch``: prompts at once; ``stops``: tokens that end an answer; ``warm``: whether a few are answered before;
what else a way of answering wants."""

FEW = 4
"""Prompts of each arm that are answered to be warm."""

Answer = dict[str, Any]
"""``text``, and ``tokens``: how many there are, without the one that ended it."""

Answers = dict[str, list[Answer]]
"""Arm (``base``, or an adapter's name) -> its answers in the order of the prompts."""


class Watch:
    """Times stages of a process, its descendants' work included: seconds by the clock and of the processor."""

    def __init__(self) -> None:
        """Nothing was timed yet."""
        self.stages: dict[str, dict[str, float]] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time what happens within."""
        start = {"wall": time.perf_counter(), "cpu": cpu()}
        yield
        end = {"wall": time.perf_counter(), "cpu": cpu()}
        spent = {clock: end[clock] - start[clock] for clock in start}
        before = self.stages.get(stage, dict.fromkeys(spent, 0.0))
        self.stages[stage] = {clock: before[clock] + spent[clock] for clock in spent}


def run(work: Callable[[Job, Watch], Any]) -> None:
    """Do the job named on the command line and write the outcome to the file named next."""
    job, watch = json.loads(Path(sys.argv[1]).read_text()), Watch()
    found = work(job, watch)
    Path(sys.argv[2]).write_text(json.dumps({"found": found, "stages": watch.stages}))


def padded(model: Any, tokenizer: Any, texts: list[str], job: Job, **others: Any) -> list[Answer]:
    """What transformers' ``generate`` answers to texts in one batch, padded on the left."""
    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
    read = tokenizer(texts, return_tensors="pt", padding=True)
    settings = {"max_new_tokens": job["tokens"], "do_sample": False, "eos_token_id": job["stops"]}
    output = model.generate(**read, **settings, pad_token_id=tokenizer.pad_token_id, **others)
    return [answer(tokenizer, row, job["stops"]) for row in output[:, read.input_ids.shape[1] :].tolist()]


def answer(tokenizer: Any, row: list[int], stops: list[int]) -> Answer:
    """The answer that a row of new tokens is, whatever follows the one that ends it."""
    end = next((place for place, token in enumerate(row) if token in stops), len(row))
    return {"text": tokenizer.decode(row[:end], skip_special_tokens=True), "tokens": end}


def cpu() -> float:
    """Seconds of the processor that this process and those begun by it have used, also those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = time.process_time() + ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        try:
            used += sum(process.cpu_times()[:4])  # its own, and of those that it has begun and that have ended
        except psutil.Error:  # it has just ended
            continue
    return used
