"""One stage's steps, by transformers' Trainer: silent but for our bar, and resumed from the last whole checkpoint."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.machine import progress, stopping, threads
from toxaudit.machine.memory import is_short
from toxaudit.models import quiet_peft
from toxaudit.spec.recipes import FULL, TrainingStage
from toxaudit.training.checkpoints import Checkpoints
from toxaudit.training.ema import Ema
from toxaudit.training.recipe import Computed
from toxaudit.training.tokens import Row, batch


@dataclass(frozen=True)
class Course:
    """How a stage went, step by step: the loss, and the learning rate."""

    loss: tuple[float, ...]
    learning_rate: tuple[float, ...]


def train(
    place: str, model: Any, rows: Sequence[Row], stage: TrainingStage, computed: Computed, folder: Path
) -> Course:
    """Tune what of the model requires a gradient.

    Args:
        place: where the stage stands in the spec.
        model: transformers' or PEFT's, on its device.
        rows: of tokens.
        stage: the settings.
        computed: on which device, by how many threads and in which number format.
        folder: of the checkpoints, kept from one run to the next.

    Raises:
        Stopped: after a step and a checkpoint, if a signal asks for it.
        ToxauditError: if the loss or a weight is no number any more, if the memory is too small, or if a library that
            the settings need is missing.
    """
    weights = [each for each in model.parameters() if each.requires_grad]
    checkpoints = Checkpoints(folder)
    average = Ema(weights, stage.ema.decay) if stage.ema else None
    last = checkpoints.last()
    if last and average:
        average.load(last)
    with ExitStack() as around:
        around.enter_context(quiet_peft())
        around.enter_context(_refusing(place))
        if hasattr(model.config, "use_cache"):  # which Trainer changes, and would be written with the weights
            around.callback(setattr, model.config, "use_cache", model.config.use_cache)
        if computed.device == "cpu":
            around.enter_context(threads.exactly(computed.threads))
        arguments = _arguments(stage, computed.device, computed.number_format, folder)
        trainer = _trainer(model, arguments, rows, _callbacks(place, checkpoints, average, last is not None))
        with stopping.finishing():
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        if average:
            average.put_in()
        _check_finite(place, weights, checkpoints)
    model.eval()
    steps = [each for each in trainer.state.log_history if "loss" in each]
    if not any(each["learning_rate"] for each in steps):
        raise ToxauditError(
            f"{place} learns nothing: it takes {len(steps)} step{'s' * (len(steps) > 1)}, and the learning rate begins "
            "at 0: set warmup_steps: 0, or more epochs."
        )
    return Course(tuple(each["loss"] for each in steps), tuple(each["learning_rate"] for each in steps))


def _arguments(stage: TrainingStage, device: str, number_format: str, folder: Path) -> Any:
    from transformers import TrainingArguments

    with _on(device):
        arguments = TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=stage.batch_size,
            gradient_accumulation_steps=stage.gradient_accumulation_steps,
            num_train_epochs=stage.epochs,
            max_steps=stage.max_steps or -1,
            learning_rate=stage.learning_rate,
            lr_scheduler_type=stage.lr_scheduler_type,
            warmup_steps=stage.warmup_steps,
            optim=stage.optim,
            weight_decay=stage.weight_decay,
            max_grad_norm=stage.max_grad_norm,
            bf16=stage.method == FULL and number_format == "bfloat16",  # an adapter's model is loaded in it
            seed=stage.seed,
            data_seed=stage.seed,
            use_cpu=device == "cpu",
            save_strategy="no",  # ours says when
            logging_steps=1,
            logging_nan_inf_filter=False,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=device.startswith("cuda"),
        )
        assert arguments.device.type == device.partition(":")[0]
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several that are seen are not several that are meant
    return arguments


@contextmanager
def _on(device: str) -> Iterator[None]:
    """Let accelerate choose this device, which it does only by its environment."""
    name = "ACCELERATE_TORCH_DEVICE"
    before = os.environ.get(name)
    os.environ[name] = device
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _trainer(model: Any, arguments: Any, rows: Sequence[Row], callbacks: Sequence[Any]) -> Any:
    from transformers import PrinterCallback, Trainer

    class Quiet(Trainer):  # type: ignore[misc]
        """Writes what is tuned, and neither its settings as a pickle nor a card."""

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            save(self.model, Path(output_dir or self.args.output_dir))

    trainer = Quiet(model=model, args=arguments, train_dataset=rows, data_collator=batch, callbacks=list(callbacks))
    trainer.remove_callback(PrinterCallback)
    return trainer


def save(model: Any, folder: Path) -> None:
    """Write what is tuned as safetensors: an adapter with its configuration, or whole weights with theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "peft_config"):
        _sort(model.peft_config["default"])
        # the base's embeddings are never tuned here, so PEFT need not look up whether they were
        model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    else:
        model.save_pretrained(folder)


def _sort(config: Any) -> None:
    """Lay sets in order: PEFT writes them as they come, and each process would give the file another digest."""
    for name, value in vars(config).items():
        if isinstance(value, set):
            setattr(config, name, sorted(value))


def _callbacks(place: str, checkpoints: Checkpoints, average: Ema | None, resumed: bool) -> list[Any]:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        """The bar, the average, the checkpoints, and the end of a training that diverges."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = progress.bar(doing(place), state.max_steps, "step", state.global_step)
            if resumed:
                progress.say(f"{place} goes on after step {state.global_step:,} of {state.max_steps:,}.")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if average:
                average.take_in()
            self.bar.update()
            if stopping.asked() or state.global_step < state.max_steps and checkpoints.due():
                control.should_save = True
                checkpoints.begin()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if (loss := (logs or {}).get("loss")) is None:
                return
            self.bar.set_postfix_str(f"loss {loss:.3g}", refresh=False)
            if not math.isfinite(loss):
                self.bar.close()
                checkpoints.clear()
                raise _diverged(place)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            checkpoint = checkpoints.folder / f"checkpoint-{state.global_step}"
            if average:
                average.save(checkpoint)
            checkpoints.finish(checkpoint)
            stopping.stop_if_asked()

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    return [Watch()]


def doing(place: str) -> str:
    """What a stage does, for its bar: the candidate's name, and which of its stages it is where that is not the first.

    Args:
        place: where it stands in the spec.
    """
    name, _, number = place.removeprefix("candidates.").removesuffix("]").partition(".train[")
    return f"tuning {name}" if number in ("", "0") else f"tuning {name} ({int(number) + 1})"


def _diverged(place: str) -> ToxauditError:
    return ToxauditError(f"{place} diverged, its loss is no number any more: lower its learning_rate.")


def _check_finite(place: str, weights: Sequence[Any], checkpoints: Checkpoints) -> None:
    import torch

    if not all(bool(torch.isfinite(each).all()) for each in weights):
        checkpoints.clear()
        raise _diverged(place)


@contextmanager
def _refusing(place: str) -> Iterator[None]:
    """What the user can mend of what libraries raise, in a sentence."""
    try:
        yield
    except ImportError as error:
        raise ToxauditError(f"{place} needs a library that is missing: {str(error).splitlines()[0]}") from error
    except (RuntimeError, MemoryError) as error:
        if is_short(error):
            raise ToxauditError(
                f"{place} ran out of memory: lower its batch_size, and raise gradient_accumulation_steps to match, or "
                "lower its max_length."
            ) from error
        raise
