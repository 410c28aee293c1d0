"""What a recipe may say: the stages by which a candidate is tuned, each going on from what came before."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

TEMPLATE = "[INST] {instruction} [/INST] {response}"
"""How an example becomes text where a stage says nothing of it."""

LORA, FULL = "lora", "full"
"""Methods: matrices of low rank beside the weights, or all of the weights themselves."""

RAW, CHAT = "raw", "chat"
"""How prompt and completion become one text: one after the other, or as turns in the chat template."""

AUTO = "auto"

OPTIMISERS = (
    *("adamw_torch", "adamw_torch_fused", "adafactor", "adagrad", "rmsprop", "sgd"),
    *("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "lion_8bit", "lion_32bit"),
)
"""Optimisers by transformers' names; those of the last line are bitsandbytes', for a CUDA GPU."""

SCHEDULES = (
    *("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"),
    "inverse_sqrt",
)
"""Schedules of the learning rate by transformers' names: those that need no settings of their own."""

PRECISIONS = (AUTO, "float32", "bfloat16")
"""Number formats that tuning computes in, by torch's names."""


@dataclass(kw_only=True)
class RowsSpec:
    """Rows of a data set and what is learnt of each: one of ``template``, ``completion`` and ``messages`` says that.

    In templates ``{column}`` stands for a column of ``data``, and ``{a.b}`` for column b of the object in column a.

    Attributes:
        data: a data set on the Hub, a local path, a package file or a file on the web, in any form that suites read.
        revision: branch, tag or commit of ``data`` on the Hub.
        config, split, file: which files of ``data`` are read, as a suite's.
        columns: further columns, as a suite's: texts, or Jinja templates over the columns before them.
        filter: a Jinja expression over the columns: only rows of which it is true are learnt.
        n: how many rows it holds, as far as is known before it is fetched: for the plan.
        limit: how many of these rows are learnt, the first ones.
        limit_seed: draws them at random by this seed instead.
        template: the whole text of an example, all of which is learnt. Where neither it nor ``completion`` nor
            ``messages`` is set, it is ``[INST] {instruction} [/INST] {response}``, as for Llama 2.
        prompt: a template for what stands before the completion.
        completion: a template for what is learnt, with the mark that ends a text.
        messages: a column that holds a chat, a list of objects with ``role`` and ``content``; what the assistant says
            is learnt.
        ask: ``raw`` (the completion follows the prompt) or ``chat`` (the prompt is the user's turn and the completion
            the assistant's, in the chat template).
        completion_only_loss: whether completions alone are learnt; false learns prompts, too.
    """

    data: str = MISSING
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    file: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    filter: str | None = None
    n: int | None = None
    limit: int | None = None
    limit_seed: int | None = None
    template: str | None = None
    prompt: str | None = None
    completion: str | None = None
    messages: str | None = None
    ask: str = RAW
    completion_only_loss: bool = True

    @property
    def in_chat(self) -> bool:
        """Whether its rows are put into the chat template."""
        return self.messages is not None or self.ask == CHAT


@dataclass(kw_only=True)
class ReplaySpec(RowsSpec):
    """Rows of another data set that are mixed into a stage's own.

    Attributes:
        share: how many for each of the stage's own rows: 0.05 adds 5 to 100. They are drawn by the stage's seed.
    """

    share: float = MISSING


@dataclass
class EmaSpec:
    """The result of a stage is the exponential moving average of what it tunes, not the last of it.

    Attributes:
        decay: what is kept of the average in each optimiser step: 0 takes the last weights, 1 those before the stage.
    """

    decay: float = MISSING


@dataclass(kw_only=True)
class TrainingStage(RowsSpec):
    """One tuning, done within the audit and stored like any other finished work; settings are named as transformers'.

    Attributes:
        replay: rows of another data set that are mixed in.
        method: ``lora``, or ``full`` for all weights.
        r, lora_alpha, lora_dropout, target_modules, use_rslora, use_dora: as in PEFT's LoraConfig.
        load_in_4bit: hold the weights below the adapter in 4 bits by bitsandbytes; needs a CUDA GPU.
        optim: the optimiser.
        learning_rate: the highest that it comes to.
        lr_scheduler_type: how the learning rate goes on after ``warmup_steps``.
        warmup_steps: steps over which the learning rate rises from 0.
        epochs: passes over the data.
        max_steps: optimiser steps, in place of ``epochs``.
        batch_size: examples at a time.
        gradient_accumulation_steps: batches of an optimiser step.
        weight_decay: of all weights but norms and biases.
        max_grad_norm: the length to which longer gradients are cut.
        precision: ``float32`` or ``bfloat16``; ``auto`` takes bfloat16 where the device has instructions for it.
        max_length: tokens of an example that are kept.
        packing: several short examples share a row of ``max_length`` tokens, and don't see each other.
        ema: averages the weights over the steps.
        seed: of the adapter's initial weights, of the order of examples, of dropout and of what is replayed.
    """

    replay: ReplaySpec | None = None
    method: str = LORA
    r: int = 16
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    target_modules: Any = "all-linear"
    use_rslora: bool = False
    use_dora: bool = False
    load_in_4bit: bool = False
    optim: str = "adamw_torch"
    learning_rate: float = 2e-4
    lr_scheduler_type: str = "linear"
    warmup_steps: int = 5
    epochs: int = 1
    max_steps: int | None = None
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    precision: str = AUTO
    max_length: int = 256
    packing: bool = False
    ema: EmaSpec | None = None
    seed: int = 0
