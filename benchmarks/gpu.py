"""What toxaudit's engine makes of a GPU, in less than ten minutes: its speed, and whether its tokens are right.

    python benchmarks/gpu.py [--minutes 9] [--shapes llama gemma qwen] [--toy]

Models of the shapes of Llama 3.1 8B, Gemma 3 4B and Qwen3 4B get random weights; each answers by itself and by four
LoRA adapters: by transformers' ``generate``, by toxaudit's engine and, where it is installed, by vLLM. The first
decides what is right: where an answer parts from it, both tokens must have been about equally likely. A table shows
tokens per second by the clock and what share that is of the most that the device could do, whose products and memory
are measured first. What has no time left is left out. Without a GPU the models are tiny, and show only that the script
still runs.
"""

import argparse
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import gpu_limit
import gpu_models
import gpu_padded
import gpu_variants
import psutil

GENERATE, VLLM = 0.2, 0.45  # shares of a model's time that these get; vLLM takes a minute or two to start
HEADS = "| how | arms | prompts | rows at once | tokens/s | of the limit | GB at most |"
COMPARED = 32  # answers of an arm that are looked at closely where they part
GRACE = 45.0  # seconds after which the process is ended, whatever it does

Answers = dict[tuple[str, int], list[int]]
"""An arm and the number of a prompt -> the tokens of the answer, without the one that ends it."""


class Size(NamedTuple):
    """How much is measured: few prompts and many, batches of the engine, rows of a padded one, new tokens, adapters."""

    few: int
    many: int
    batches: tuple[int, ...]
    padded: int
    tokens: int
    adapters: int


LARGE, TOY = Size(200, 1000, (32, 128), 64, 50, 4), Size(6, 12, (4,), 4, 8, 2)


def main(words: Sequence[str] | None = None) -> None:
    """Measure each shape in its turn, and end in time."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=9.0, help="after so many, nothing new is begun")
    options.add_argument("--shapes", nargs="+", choices=gpu_models.SHAPES, default=list(gpu_models.SHAPES))
    options.add_argument("--toy", action="store_true", help="tiny models, on the CPU")
    chosen = options.parse_args(words)
    end = time.perf_counter() + 60 * chosen.minutes
    with TemporaryDirectory() as scratch:
        ending = threading.Timer(60 * chosen.minutes + GRACE, _stop, [scratch])
        ending.daemon = True
        ending.start()
        try:
            _measure(chosen.shapes, chosen.toy, Path(scratch), end)
        finally:
            ending.cancel()


def _measure(shapes: Sequence[str], toy: bool, scratch: Path, end: float) -> None:
    import torch

    from toxaudit.backends.decoding.batches import release

    toy = toy or not torch.cuda.is_available()
    device, dtype = ("cpu", "float32") if toy else ("cuda", "bfloat16")
    size = TOY if toy else LARGE
    limit = gpu_limit.measured(device, dtype, toy)
    name = "toy size, on a CPU" if toy else torch.cuda.get_device_name()
    print(f"{name}: {limit.flops / 1e12:.3g} TFLOP/s in {dtype}, {limit.bandwidth / 1e9:.3g} GB/s", flush=True)
    for number, shape in enumerate(shapes):
        begin = time.perf_counter()
        until = begin + (end - begin) / (len(shapes) - number)
        with _told(shape):
            folders = gpu_models.make(shape, toy, scratch / shape, device, dtype, size.adapters)
            release()
            print(f"\n{shape}: made in {time.perf_counter() - begin:.0f} s\n\n{HEADS}\n|{'---|' * 7}", flush=True)
            bench = Bench(scratch / shape, folders, device, limit, size)
            bench.run(until, last=number == len(shapes) - 1)
        release()
        shutil.rmtree(scratch / shape, ignore_errors=True)


class Bench:
    """One model with its adapters, and the ways to have them answer."""

    def __init__(self, scratch: Path, folders: Sequence[Path], device: str, limit: gpu_limit.Limit, size: Size) -> None:
        """Name the arms as an audit does, and read prompts."""
        from toxaudit.executors.local import LocalExecutor
        from toxaudit.models import Loader, resolve_base, resolve_candidate
        from toxaudit.spec.schema import CandidateSpec, ModelSpec
        from toxaudit.store.shelves import Store

        self.device = LocalExecutor(device=device).start()
        store, (plain, *adapters) = Store(scratch / "store"), folders
        base = resolve_base(ModelSpec(pretrained=str(plain)), self.device, store)
        specs = {path.name: CandidateSpec(peft=str(path), allow_base_mismatch=True) for path in adapters}
        self.arms = [base, *(resolve_candidate(name, spec, base, device, store) for name, spec in specs.items())]
        self.limit, self.size, self.loader = limit, size, Loader(self.device)
        self.right: Answers = {}
        with self.loader.open(base) as loaded:
            self.work = gpu_limit.work(loaded.inner, gpu_models.RANK)
            self.stops = sorted(loaded.stops)
            self.texts = gpu_models.texts(loaded.known, size.many)
            self.rows = [loaded.encode(text) for text in self.texts]

    def run(self, until: float, last: bool) -> None:
        """Measure all ways, as far as there is time; with ``last``, with little memory, too, which may do harm."""
        begin = time.perf_counter()
        left = until - begin
        with _told("generate"):
            with self.loader.open(self.arms[0]) as loaded:  # the first batch pays for what later ones find prepared
                gpu_padded.generate(loaded, self.rows[:2], self.stops, 2)
            self._shown("generate, padded", lambda: self._generate(begin + GENERATE * left))
        with _told("toxaudit"):
            self._engine(until - VLLM * left * bool(find_spec("vllm")), last)
        self.loader.close()
        with _told("vLLM"):
            self._vllm(until)

    def _generate(self, until: float) -> tuple[Answers, int, float]:
        """What transformers' ``generate`` answers: of every arm as much as there is time for, and a batch at least.

        Its time, as that of ``_asked``, is that of generating alone, without putting adapters on.
        """
        seconds = 0.0
        batches = gpu_padded.batches(self.rows[: self.size.few], self.size.padded)
        each = (until - time.perf_counter()) / len(self.arms)
        for arm in self.arms:
            end = time.perf_counter() + each
            with self.loader.open(arm) as loaded:
                for numbers in batches:
                    rows = [self.rows[number] for number in numbers]
                    begin = gpu_limit.synchronised(self.device)
                    new = gpu_padded.generate(loaded, rows, self.stops, self.size.tokens)
                    seconds += gpu_limit.synchronised(self.device) - begin
                    self.right |= {(arm.name, number): row for number, row in zip(numbers, new, strict=True)}
                    if time.perf_counter() > end:
                        break
        return self.right, self.size.padded, seconds

    def _engine(self, until: float, last: bool) -> None:
        """Measure toxaudit's engine: one arm, all, more prompts, other batches, no CUDA graphs, little memory."""
        from toxaudit.backends.decoding.sharing import Models
        from toxaudit.backends.transformers import Session

        few, begin = self.size.few, time.perf_counter()
        with closing(Models(self.loader, self.arms)) as models:
            session = Session(models, self.arms, None)
            self._asked(session, self.arms, self.size.padded)  # the first run pays for what later ones find prepared
            print(f"toxaudit was ready after {time.perf_counter() - begin:.0f} s", flush=True)
            self._timed("toxaudit", session, self.arms[:1], few, until)
            found = self._timed("toxaudit", session, self.arms, few, until)
            with gpu_variants.recordings() as told:
                self._timed("toxaudit", session, self.arms, self.size.many, until)
            print(told(), flush=True)
            for size in self.size.batches:
                self._timed(f"toxaudit, batch {size}", Session(models, self.arms, size), self.arms, few, until)
            with gpu_variants.no_graphs():
                self._timed("toxaudit, no CUDA graphs", session, self.arms, few, until)
            if last and self.device != "cpu":
                with gpu_variants.little_memory():
                    self._timed("toxaudit, little memory", Session(models, self.arms, None), self.arms, few, until)
        self._compared("toxaudit", found)

    def _vllm(self, until: float) -> None:
        from toxaudit.backends.vllm import Vllm

        backend = Vllm()
        backend.check()
        with backend.open(self.loader, self.arms) as session:
            self._asked(session, self.arms, self.size.padded)
            for arms in (self.arms[:1], self.arms):
                found = self._timed("vLLM", session, arms, self.size.few, until)
            self._timed("vLLM", session, self.arms, self.size.many, until)
        self._compared("vLLM", found)

    def _timed(self, name: str, session: Any, arms: Sequence[Any], prompts: int, until: float) -> Answers:
        """What a session answers, and a row of the table; nothing where there is no time or it fails."""
        found: Answers = {}
        with _told(f"{name}, {len(arms)} arms, {prompts} prompts"):
            if time.perf_counter() > until:
                raise TimeoutError("no time is left")
            found = self._shown(name, lambda: self._asked(session, arms, prompts, until))
        return found

    def _asked(
        self, session: Any, arms: Sequence[Any], prompts: int, until: float = float("inf")
    ) -> tuple[Answers, int, float]:
        """What a session answers until the time is up, the most answers that it gave at once, and seconds."""
        from toxaudit.backends.request import Request
        from toxaudit.records import Prompt
        from toxaudit.spec.schema import Generation

        asked = [
            Request(a.name, Prompt(str(n), "suite", text)) for a in arms for n, text in enumerate(self.texts[:prompts])
        ]
        found: Answers = {}
        most = 0
        settings = Generation(max_new_tokens=self.size.tokens)
        begin = gpu_limit.synchronised(self.device)
        with closing(session.generate(asked, settings, lambda request: False)) as batches:
            for batch in batches:
                most = max(most, len(batch))
                found |= {
                    (request.arm, int(request.prompt.id)): gpu_models.tokens(each.text) for request, each in batch
                }
                if time.perf_counter() > until:
                    break
        return found, most, gpu_limit.synchronised(self.device) - begin

    def _shown(self, name: str, answer: Callable[[], tuple[Answers, int, float]]) -> Answers:
        """Time a way to answer, and print its row."""
        import torch

        gpu = self.device != "cpu"
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        found, most, seconds = answer()
        peak = torch.cuda.max_memory_allocated() if gpu else psutil.Process().memory_info().rss
        base = self.arms[0].name
        lengths = [
            gpu_limit.Length(len(self.rows[number]), min(len(row) + 1, self.size.tokens), arm != base)
            for (arm, number), row in found.items()
        ]
        arms, prompts = (len({key[place] for key in found}) for place in (0, 1))
        share = gpu_limit.least(self.limit, self.work, lengths) / seconds
        written = sum(each.new for each in lengths)
        print(
            f"| {name} | {arms} | {prompts} | {most} | {written / seconds:.0f} | {share:.1%} | {peak / 1e9:.1f} |",
            flush=True,
        )
        return found

    def _compared(self, name: str, found: Answers) -> None:
        """Say how many answers are those of ``generate``, and how the others part from them."""
        alike = ties = apart = 0
        for arm in self.arms:
            own = [key for key in found if key[0] == arm.name and key in self.right]
            parting = [key for key in own if found[key] != self.right[key]]
            alike += len(own) - len(parting)
            with self.loader.open(arm) as loaded:
                for key in parting[:COMPARED]:
                    tied = gpu_padded.tied(loaded, self.rows[key[1]], found[key], self.right[key], self.stops)
                    ties, apart = ties + tied, apart + (not tied)
        rest = sum(key in self.right for key in found) - alike - ties - apart
        told = f"{alike} answers alike, {ties} part at a tie, {apart} elsewhere, {rest} not looked at"
        print(f"{name}'s tokens beside generate's: {told}", flush=True)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say what failed, and go on with what follows."""
    try:
        yield
    except Exception as error:
        print(f"{what}: left out: {(str(error) or type(error).__name__).splitlines()[0]}", flush=True)


def _stop(scratch: str) -> None:
    """End the process and all that it began, and remove what it wrote."""
    print("The time is up: the rest is left out.", flush=True)
    for process in psutil.Process().children(recursive=True):
        process.kill()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
