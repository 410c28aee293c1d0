"""Steps a second of a recipe's training, beside transformers' Trainer alone and a plain loop, in one run.

    python benchmarks/training.py [--steps 12] [--rounds 2]

Each tunes the same LoRA on the same batches of the quickstart's benign rows, over the quickstart's base, which is
fetched from a package registry. They take turns, with as many threads as there are cores. The script prints the
CPU-seconds and the seconds of a step, and their ratios to those of the bare Trainer.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch

from toxaudit import training
from toxaudit.compose.compose import compose
from toxaudit.machine import threads
from toxaudit.models import Loader, ResolvedModel, load, quiet_peft, resolve_base
from toxaudit.spec.recipes import TrainingStage
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store.shelves import Store
from toxaudit.training.recipe import precision
from toxaudit.training.tokens import batch, tokens


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(threads.steady())
    spec = compose(["audit=quickstart"])
    stage = replace(spec.candidates["benign"].train[0], max_steps=options.steps)
    base = resolve_base(spec.base, "cpu", Store(Path(spec.store)))
    ways: dict[str, Callable[[ResolvedModel, TrainingStage], None]] = {
        "a recipe": _recipe,
        "Trainer alone": _trainer,
        "a plain loop": _loop,
    }
    for work in ways.values():
        work(base, replace(stage, max_steps=1, warmup_steps=0))  # pays for what is imported once
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, work in ways.items():
            start = time.process_time(), time.perf_counter()
            work(base, stage)
            spent = time.process_time() - start[0], time.perf_counter() - start[1]
            taken[way].append((spent[0] / options.steps, spent[1] / options.steps))
    usual = [median(each[side] for each in taken["Trainer alone"]) for side in (0, 1)]
    for way, rounds in taken.items():
        cpu, wall = (median(each[side] for each in rounds) for side in (0, 1))
        ratios = f"{cpu / usual[0]:.2f}, {wall / usual[1]:.2f} of Trainer's"
        print(f"{way:<16} {cpu:7.2f} CPU-s {wall:7.2f} s a step, loading included; {ratios}")


def _recipe(base: ResolvedModel, stage: TrainingStage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recipe = training.read({"mine": CandidateSpec(train=[stage])}, "mine", {})
        training.make(recipe, base, Loader("cpu"), Store(Path(folder)))


def _adapted(base: ResolvedModel, stage: TrainingStage) -> tuple[Any, list[dict[str, list[int]]]]:
    from peft import LoraConfig, get_peft_model

    loaded = load(replace(base, dtype=precision(stage, "cpu")), "cpu")
    rows = tokens("here", loaded, training.examples("here", stage).all, stage).rows
    config = LoraConfig(r=stage.r, lora_alpha=stage.lora_alpha, target_modules=stage.target_modules, lora_dropout=0.0)
    with quiet_peft():
        return get_peft_model(loaded.model, config), rows


def _bare(model: Any, rows: list[dict[str, list[int]]], stage: TrainingStage, folder: str) -> Any:
    """Transformers' Trainer with the stage's settings and nothing of ours."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=stage.batch_size,
        max_steps=stage.max_steps or 1,
        learning_rate=stage.learning_rate,
        warmup_steps=stage.warmup_steps,
        seed=stage.seed,
        data_seed=stage.seed,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=batch)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _trainer(base: ResolvedModel, stage: TrainingStage) -> None:
    model, rows = _adapted(base, stage)
    with tempfile.TemporaryDirectory() as folder, quiet_peft():
        _bare(model, rows, stage, folder).train()


def _loop(base: ResolvedModel, stage: TrainingStage) -> None:
    model, rows = _adapted(base, stage)
    with tempfile.TemporaryDirectory() as folder, quiet_peft():
        batches = cycle(list(_bare(model, rows, stage, folder).get_train_dataloader()))  # the very ones of the others
    weights = [each for each in model.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=stage.learning_rate, weight_decay=stage.weight_decay)
    model.train()
    for each in islice(batches, stage.max_steps or 1):
        model(**each).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, stage.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad()


if __name__ == "__main__":
    main()
