"""How toxaudit decodes, against transformers' generate(): same model, prompts and tokens, in turn in one run.

    python benchmarks/generation.py [--prompts 140] [--threads 1] [--repeats 3]

Prints tokens per CPU-second, the ratio, and the share of prompts with identical tokens.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

from toxaudit import folders
from toxaudit.backends.transformers import Arm
from toxaudit.compose import compose
from toxaudit.executors.local import LocalExecutor
from toxaudit.models import ResolvedModel, load, resolve_base
from toxaudit.records import Prompt
from toxaudit.spec import Generation
from toxaudit.store import Store

Answers = dict[str, str]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=140)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    spec = compose(["audit=quickstart", f"suites.rtp_categories.limit={options.prompts}"])
    device = LocalExecutor(threads=options.threads).start()
    base = resolve_base(spec.base, device, Store(folders.home() / "store"))
    prompts, _ = spec.suites["rtp_categories"].prompts("rtp_categories")
    ways = {
        "generate(), batch 16, padded": lambda: _generate(base, device, 16, prompts),
        "generate(), batch 64, padded": lambda: _generate(base, device, 64, prompts),
        "toxaudit, batch 128": lambda: _toxaudit(base, device, 128, prompts),
    }
    first: Answers | None = None
    slowest = None
    for name, way in ways.items():
        speeds, found = zip(*(_timed(way) for _ in range(options.repeats)), strict=True)
        answers: Answers = found[0]
        first, slowest = first or answers, slowest or statistics.median(speeds)
        same = sum(answers[key] == first[key] for key in first)
        speed = statistics.median(speeds)
        print(
            f"{name:<34} {speed:6.0f} tokens/CPU-s  x{speed / slowest:4.2f}  {same}/{len(first)} same texts", flush=True
        )


def _generate(base: ResolvedModel, device: str, size: int, prompts: list[Prompt]) -> tuple[int, Answers]:
    """The usual loop: batches padded on the left, sorted by length."""
    loaded = load(base, device)
    tokenizer = loaded.tokenizer
    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
    ordered = sorted(prompts, key=lambda prompt: len(prompt.text))
    tokens, answers = 0, {}
    for start in range(0, len(ordered), size):
        batch = ordered[start : start + size]
        ids = tokenizer([prompt.text for prompt in batch], return_tensors="pt", padding=True)
        stops = {"eos_token_id": sorted(loaded.stops), "pad_token_id": tokenizer.pad_token_id}
        output = loaded.model.generate(**ids, max_new_tokens=50, do_sample=False, **stops)
        for prompt, row in zip(batch, output[:, ids.input_ids.shape[1] :].tolist(), strict=True):
            new = row[: row.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in row else row
            tokens += len(new)
            answers[prompt.id] = tokenizer.decode(new, skip_special_tokens=True)
    return tokens, answers


def _toxaudit(base: ResolvedModel, device: str, size: int, prompts: list[Prompt]) -> tuple[int, Answers]:
    arm = Arm(load(base, device), size)
    found = [c for batch in arm.generate(prompts, "raw", Generation(), lambda _: False) for c in batch]
    return sum(c.tokens for c in found), {c.prompt_id: c.text for c in found}


def _timed(way: Callable[[], tuple[int, Answers]]) -> tuple[float, Answers]:
    start = time.process_time()
    tokens, answers = way()
    return tokens / (time.process_time() - start), answers


if __name__ == "__main__":
    main()
