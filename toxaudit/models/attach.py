"""An adapter's files, once checked, and the model that they are put on."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.machine.collecting import uncollected
from toxaudit.models import adapter_file

MISSHAPEN = re.compile(
    r"size mismatch for ([\w.]+?)(?:\.default)?(?:\.weight)?: "
    r"copying a param with shape torch\.Size\(\[(.*?)\]\) from checkpoint, the shape in current model is "
    r"torch\.Size\(\[(.*?)\]\)"
)
"""What torch says of a tensor: its name, its shape, that of the model's."""

START_SEED = 0  # of what PEFT draws when it puts an adapter on

_DRAWING = Lock()
"""Random numbers are one thread's at a time: all of a process draw from one sequence."""


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Keep to itself what PEFT says of itself, and of missing keys, which are refused here in a sentence."""
    with warnings.catch_warnings():
        # PEFT asks transformers 5 for an attribute by its former name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Found missing adapter keys", category=UserWarning)
        # PEFT sets it itself, for models such as GPT-2
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to", category=UserWarning)
        # a start that needs data, which is over when the adapter is stored
        warnings.filterwarnings(
            "ignore", message="`(init_lora_weights|eva_config|lora_ga_config)`", category=UserWarning
        )
        yield


def put_on(model: Any, folder: Path, device: str) -> Any:
    """PEFT's model around ``model``, with the adapter in ``folder``: the same in every process, whatever PEFT draws.

    What is drawn only to be overwritten is not even begun: some starts decompose every matrix for it.

    Args:
        model: transformers' model on ``device``, which some adapters change.
        folder: of the adapter's files, which ``adapter_file.check`` lets pass.
        device: torch's name of it.
    """
    import torch

    with uncollected():  # but not frozen: a model is in memory
        from peft import PeftConfig, PeftModel

    devices = [torch.device(device)] if device.startswith("cuda") else []
    with _DRAWING, quiet_peft(), torch.inference_mode(), torch.random.fork_rng(devices):
        torch.manual_seed(START_SEED)
        config = PeftConfig.from_pretrained(str(folder))
        if not adapter_file.alters_base(folder):
            config.init_lora_weights = False
        known = len(model.get_input_embeddings().weight)
        _check_tokens(getattr(config, "trainable_token_indices", None), known)
        try:
            return PeftModel.from_pretrained(model, folder, config=config, use_safetensors=True).eval()
        except RuntimeError as error:
            raise ToxauditError(_misshapen(str(error), known)) from error


@dataclass(frozen=True)
class TakenOff:
    """An adapter that was taken off a model.

    Attributes:
        modules: those that stood in the places of the model's own, by these places' names.
        config: what PEFT noted on the model; None where it noted nothing.
        size: bytes that the adapter takes.
    """

    modules: dict[str, Any]
    config: Any
    size: int


def take_off(model: Any, modules: dict[str, Any]) -> TakenOff:
    """Put back the modules that stood in the model before an adapter wrapped them.

    PEFT's own ``unload`` leaves a tuned copy where an adapter stores whole modules (``modules_to_save``).

    Args:
        model: on which an adapter may have been put.
        modules: the model's own, by their names.
    """
    taken = {}
    for name, module in modules.items():
        if name:
            parent, _, child = name.rpartition(".")
            if (found := modules[parent]._modules[child]) is not module:
                taken[name] = found
                modules[parent]._modules[child] = module
    own = {id(weight) for weight in model.parameters()} if taken else set()
    theirs = {id(weight): weight for each in taken.values() for weight in each.parameters()}
    size = sum(weight.nbytes for weight in theirs.values() if id(weight) not in own)
    return TakenOff(taken, model.__dict__.pop("peft_config", None), size)


def put_back(model: Any, modules: dict[str, Any], taken: TakenOff) -> None:
    """Put an adapter on again, where it was, as it was.

    Args:
        model: from which it was taken, otherwise as it was then.
        modules: as of ``take_off``.
        taken: the adapter.
    """
    for name, module in taken.modules.items():
        parent, _, child = name.rpartition(".")
        modules[parent]._modules[child] = module
    if taken.config is not None:
        model.peft_config = taken.config


def _check_tokens(named: Any, known: int) -> None:
    """Refuse an adapter that tunes tokens beyond the ``known`` ones of the base's vocabulary."""
    lists = named.values() if isinstance(named, dict) else [named]
    tokens = [token for each in lists if isinstance(each, list) for token in each if isinstance(token, int)]
    if tokens and max(tokens) >= known:
        raise ToxauditError(f"it tunes token {max(tokens):,}, but the base's vocabulary has {known:,} entries.")


def _misshapen(said: str, known: int) -> str:
    """What torch says of the first tensor that has another shape than the model's, in words; else what it says.

    Args:
        said: by torch.
        known: the entries of the model's vocabulary.
    """
    if not (found := MISSHAPEN.search(said)):
        return said
    name, *shapes = found.groups()
    own, its = ([int(size) for size in re.findall("[0-9]+", shape)] for shape in shapes)
    other = [(size, known == of) for size, of in zip(own, its, strict=False) if size != of]
    if len(own) == len(its) and len(other) == 1 and other[0][1]:
        return f"its vocabulary has {other[0][0]:,} entries, the base's {known:,}: {adapter_file.MERGE}."
    own_shape, base_shape = (" x ".join(f"{size:,}" for size in shape) for shape in (own, its))
    return f"its {name} is {own_shape}, where the base needs {base_shape}: it was tuned on another base."


def check_keys(where: str, folder: Path, adapted: Any) -> None:
    """Refuse an adapter that stores what the model has no place for, or lacks what it has a place for.

    Raises:
        ToxauditError: if it does; the sentence names the adapter, which is ``where``, and the first such key.
    """
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        stored = set(file.keys())
    odd: list[list[str]] = []
    for whole in (False, True):  # embeddings may be stored whole
        odd.append(sorted(stored ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=whole))))
        if not odd[-1]:
            return
    first = min(odd, key=len)[0]
    problem = "the model has no place for" if first in stored else "the adapter lacks"
    raise ToxauditError(f"{where} does not fit the base: {problem} {first}.")
