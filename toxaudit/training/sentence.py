"""How a candidate was tuned, for the card: data, method, settings, seed and the loss at the end."""

from collections.abc import Sequence

from toxaudit.spec.recipes import FULL, LORA, TrainingStage
from toxaudit.training.recipe import BASE, ReadStage, Recipe, goes_on
from toxaudit.training_facts import ALL_WEIGHTS, TrainedStage


def of(recipe: Recipe, went: Sequence[TrainedStage]) -> str:
    """One sentence, or phrase, of all stages."""
    parts = []
    for number, (stage, how) in enumerate(zip(recipe.stages, went, strict=True)):
        before = recipe.stages[number - 1].spec if number else None
        parts.append(_joined(before, stage.spec) + _stage(stage, how))
    begun = "" if recipe.root == BASE else f"from {recipe.root}: "
    return begun + "; then ".join(parts)


def _joined(before: TrainingStage | None, stage: TrainingStage) -> str:
    """How a stage goes on from the one before it."""
    if before is None or before.method == FULL:
        return ""
    return "the same adapter, " if goes_on(before, stage) else "that adapter merged into the weights, "


def _stage(stage: ReadStage, how: TrainedStage) -> str:
    spec, rows = stage.spec, stage.examples
    replayed = f", {rows.replayed:,} of them replayed from {rows.of}" * bool(rows.replayed)
    cut = f" ({how.cut:,} more cut off whole)" * bool(how.cut)
    return ", ".join(
        [
            _method(spec),
            f"{how.examples:,} examples of {rows.own}{replayed}{cut}",
            _length(spec),
            f"batch {spec.batch_size}"
            + f" x {spec.gradient_accumulation_steps}" * (spec.gradient_accumulation_steps > 1),
            f"learning rate {spec.learning_rate:g} ({spec.lr_scheduler_type}, {spec.warmup_steps} warm-up steps)",
            f"{spec.optim} with weight decay {spec.weight_decay:g}",
            f"gradients cut at {spec.max_grad_norm:g}",
            f"{spec.max_length:,} tokens at most" + ", packed" * spec.packing,
            *([f"average of weights with decay {spec.ema.decay:g}"] if spec.ema else []),
            f"seed {spec.seed}",
            f"loss at the end {how.last:.3g}",
        ]
    )


def _method(spec: TrainingStage) -> str:
    if spec.method != LORA:
        return ALL_WEIGHTS
    kind = "DoRA" if spec.use_dora else "LoRA"
    targets = spec.target_modules if isinstance(spec.target_modules, str) else " and ".join(spec.target_modules)
    scaled = " (rank-stabilised)" * spec.use_rslora
    dropout = f", dropout {spec.lora_dropout:g}" if spec.lora_dropout else ""
    over = " over weights in 4 bits" * spec.load_in_4bit
    return f"{kind} r={spec.r}, alpha={spec.lora_alpha}{scaled} on {targets}{over}{dropout}"


def _length(spec: TrainingStage) -> str:
    count, what = (spec.max_steps, "step") if spec.max_steps else (spec.epochs, "epoch")
    return f"{count:,} {what}{'s' * (count > 1)}"
