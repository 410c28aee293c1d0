"""What tuning by a recipe costs: optimiser steps, tokens and memory, as far as the rows are known."""

from collections.abc import Sequence
from math import sqrt

from toxaudit import training
from toxaudit.sources import parse
from toxaudit.spec.recipes import FULL, TrainingStage
from toxaudit.training.rows import Example

LETTERS_A_TOKEN = 4
"""Of a token of English text, about."""

UNREAD_EXAMPLE_TOKENS = 150
"""Tokens of an example that is still to be fetched."""

HELD_BYTES = {"float32": 4.0, "bfloat16": 2.0, "4 bits": 0.7}
"""Bytes of a parameter below an adapter; those of 4 bits count what is kept unquantised, too."""

WHOLE_BYTES, AVERAGE_BYTES = 16.0, 4.0
"""Bytes of a parameter that is tuned itself: weight, gradient and the optimiser's two; and its average's."""

BACKWARD_BYTES = 300
"""Bytes that tuning keeps of a token for the way back, divided by the root of the parameters, as which they grow."""


def lengths(place: str, stage: TrainingStage) -> list[float]:
    """Tokens of each example, as far as they are known; none where not even their number is.

    Raises:
        ToxauditError: if the rows are here and can't be read, or what is said of them fits no rows.
    """
    training.check(place, stage)
    if stage.replay:
        training.check(f"{place}.replay", stage.replay)
    if parse(stage.data, stage.revision, "dataset").cached(training.patterns(stage)) and _replay_is_here(stage):
        found = training.examples(place, stage).all
        return [min(_letters(each) / LETTERS_A_TOKEN + 1, stage.max_length) for each in found]
    known = stage.n if stage.limit is None else min(stage.n or stage.limit, stage.limit)
    if known is None:
        return []
    number = known + round((stage.replay.share if stage.replay else 0) * known)
    return [float(min(UNREAD_EXAMPLE_TOKENS, stage.max_length))] * number


def _replay_is_here(stage: TrainingStage) -> bool:
    replay = stage.replay
    return replay is None or parse(replay.data, replay.revision, "dataset").cached(training.patterns(replay))


def _letters(example: Example) -> int:
    return sum(len(part) for part, _ in example.text) + sum(len(said) for _, said in example.chat)


def steps(stage: TrainingStage, examples: int) -> int:
    """Optimiser steps over so many examples."""
    if stage.max_steps:
        return stage.max_steps
    batches = -(-examples // stage.batch_size)
    return -(-batches // stage.gradient_accumulation_steps) * stage.epochs


def tokens(stage: TrainingStage, found: Sequence[float]) -> float:
    """Tokens that are read in all steps, those that only fill rows up included."""
    size = stage.batch_size
    batches = [found[start : start + size] for start in range(0, len(found), size)]
    once = sum(len(each) * max(each) for each in batches)
    if not stage.max_steps:
        return once * stage.epochs
    a_batch = once / max(1, len(batches))
    return a_batch * stage.max_steps * stage.gradient_accumulation_steps


def memory(stage: TrainingStage, parameters: int, number_format: str, found: Sequence[float]) -> float:
    """Bytes of the weights, of what the optimiser keeps, and of what a step keeps for its way back."""
    n = float(parameters)
    if stage.method == FULL:
        held = (WHOLE_BYTES + AVERAGE_BYTES * (stage.ema is not None)) * n
    else:
        held = HELD_BYTES["4 bits" if stage.load_in_4bit else number_format] * n
    row = max(found, default=0.0)
    return held + BACKWARD_BYTES * sqrt(n) * row * min(stage.batch_size, max(1, len(found)))


def sentence(stage: TrainingStage, found: Sequence[float]) -> str:
    """One stage in words, given the tokens of each of its examples as far as they are known."""
    shown = parse(stage.data, stage.revision, "dataset").shown
    what = "all weights" if stage.method == FULL else f"LoRA r={stage.r}"
    number = steps(stage, len(found)) if found or stage.max_steps else 0
    examples = f"{len(found):,} examples of " if found else ""
    return f"{what}, {examples}{shown}" + (
        f" in {number:,} step{'s' * (number != 1)}" if number else " (to be fetched)"
    )
