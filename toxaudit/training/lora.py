"""LoRA tuning of the base on a small set of examples, as people fine-tune: AdamW, linear decay, loss on all tokens."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from string import Formatter
from typing import Any

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine import speed, threads
from toxaudit.models import ResolvedModel, load, quiet_peft
from toxaudit.sources import parse
from toxaudit.spec.schema import TrainingStage
from toxaudit.store import identities


def examples(stage: TrainingStage) -> list[str]:
    """The texts to tune on.

    Raises:
        ToxauditError: if the data can't be had, if a line is no JSON object or lacks a column that the template names,
            or if the template has a brace that stands for no column.
    """
    fetched = parse(stage.data).fetch()
    if not fetched.path.is_file():
        raise ToxauditError(f"{fetched.reference} is no file: training data is one JSONL file.")
    try:
        columns = [name for _, name, _, _ in Formatter().parse(stage.template) if name is not None]
    except ValueError as error:
        raise ToxauditError(f"template '{stage.template}' can't be read ({error}): write {{{{ for a brace.") from error
    texts = []
    for number, line in enumerate(fetched.path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            texts.append(stage.template.format_map({column: row[column] for column in columns}))
        except KeyError as error:
            raise ToxauditError(
                f"{fetched.path.name}, line {number} has no column {error}.{did_you_mean(str(error.args[0]), row)}"
            ) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise ToxauditError(f"{fetched.path.name}, line {number} is no JSON object of columns: {error}.") from error
    if not texts:
        raise ToxauditError(f"{fetched.reference} holds no examples.")
    return texts


def identity(base: ResolvedModel, stages: list[TrainingStage], device: str) -> identities.Adapter:
    """All that decides the tuned adapter: base, texts, settings and the number format of the computation."""
    described = [asdict(stage) | {"data": examples(stage)} for stage in stages]
    return identities.Adapter(base.weights.identity, described, _dtype(device))


def sentence(stages: list[TrainingStage]) -> str:
    """How the candidate was tuned, for the card."""
    parts = [
        f"LoRA r={stage.r}, alpha={stage.lora_alpha} on {stage.target_modules}, {len(examples(stage))} examples of "
        f"{Path(stage.data).name}, {stage.epochs} epoch{'s' * (stage.epochs > 1)}, batch {stage.batch_size}, "
        f"learning rate {stage.learning_rate:g}, seed {stage.seed}"
        for stage in stages
    ]
    return "; then ".join(parts)


def steps(stage: TrainingStage) -> int:
    """Optimiser steps of a stage."""
    return -(-len(examples(stage)) // stage.batch_size) * stage.epochs


def tune(base: ResolvedModel, stages: list[TrainingStage], device: str, folder: Path, tick: Callable[[], None]) -> None:
    """Tune an adapter through all stages and save it as safetensors in ``folder``; ``tick`` is called each step.

    Raises:
        ToxauditError: if the loss is no longer a number.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    first = stages[0]
    loaded = load(replace(base, dtype=_dtype(device)), device)
    torch.manual_seed(first.seed)
    config = LoraConfig(
        r=first.r,
        lora_alpha=first.lora_alpha,
        target_modules=first.target_modules,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    try:
        with quiet_peft():
            model = get_peft_model(loaded.model, config)
    except ValueError as error:
        raise ToxauditError(f"target_modules '{first.target_modules}' can't be tuned: {error}") from error
    model.peft_config["default"].base_model_name_or_path = base.weights.reference
    for stage in stages:
        _stage(model, loaded.tokenizer, stage, device, tick)
    _sort(model.peft_config["default"])
    # the base's embeddings are never tuned here, so PEFT need not look up whether they were
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)


def _sort(config: Any) -> None:
    """Lay sets in order: PEFT writes them as they come, and each process would give the file another digest."""
    for name, value in vars(config).items():
        if isinstance(value, set):
            setattr(config, name, sorted(value))


def _stage(model: Any, tokenizer: Any, stage: TrainingStage, device: str, tick: Callable[[], None]) -> None:
    import torch

    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    rows = [(tokenizer(text).input_ids + end)[: stage.max_length] for text in examples(stage)]
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=stage.learning_rate, weight_decay=0.01)
    total = steps(stage)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, stage.warmup_steps, total))
    order = random.Random(stage.seed)
    model.train()
    if device == "cpu":
        threads.use_fastest(lambda: _loss(model, rows[: stage.batch_size], device).backward())
        optimiser.zero_grad()
    for _ in range(stage.epochs):
        shuffled = order.sample(rows, len(rows))
        for start in range(0, len(shuffled), stage.batch_size):
            loss = _loss(model, shuffled[start : start + stage.batch_size], device)
            if not torch.isfinite(loss):
                raise ToxauditError(f"Tuning on {Path(stage.data).name} diverged: lower its learning_rate.")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            tick()
    model.eval()


def _loss(model: Any, rows: list[list[int]], device: str) -> Any:
    """Mean next-token loss over one batch, padded on the right."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss


def _rate(step: int, warmup: int, total: int) -> float:
    """Share of the learning rate: up over ``warmup`` steps, then linearly down to 0."""
    return (step + 1) / warmup if step < warmup else max(0.0, (total - step) / max(1, total - warmup))


def _dtype(device: str) -> str:
    """The number format tuning computes in, whatever that of the audit: bfloat16 where the machine has it.

    The adapter's own weights are float32 all the same, as PEFT makes them: steps would be lost in bfloat16.
    """
    return "bfloat16" if speed.computes_bfloat16(device) else "float32"
