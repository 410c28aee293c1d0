"""What can be told of a LoRA adapter from its two files, before it is put on a model."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.models import effect, limited
from toxaudit.models.declared import json_object

ORDINARY_FIELDS = {
    *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "r", "target_modules", "exclude_modules", "target_parameters", "lora_alpha", "lora_dropout"),
    *("fan_in_fan_out", "bias", "use_rslora", "use_dora", "lora_bias", "modules_to_save", "init_lora_weights"),
    *("layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "trainable_token_indices"),
    *("loftq_config", "eva_config", "corda_config", "lora_ga_config", "megatron_core", "qalora_group_size"),
    *("runtime_config", "ensure_weight_tying"),
}
"""Fields of PEFT's LoraConfig that decide no more than which weights are added where. Others, such as those of
activated LoRA or of layers that are repeated, change what a model does in ways that are not covered."""

OWN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Values of ``init_lora_weights`` that leave the base as it is: all that they draw is overwritten by what is stored."""

DRAWN = "pissa_niter_"
BASE_STARTS = re.compile(f"pissa|{DRAWN}[0-9]+|olora|loftq")
"""Values by which the base loses, on loading, what is told from its weights; in steps, that is drawn at random."""

MOST_STEPS = 100  # of a start that comes nearer step by step; 16 are usual

START_NOTES = {
    "draws": "what it takes from the base's weights is drawn at random by PEFT, here always alike",
    "shifted": "it was tuned on a base shifted by gradients, which PEFT does not shift when it loads it",
}

MERGE = "merge it into a copy of the base, and audit that by 'pretrained'"
CONVERT = f"convert it to plain LoRA (path_initial_model_for_weight_conversion of PEFT's save_pretrained), or {MERGE}"

MATCH_SECONDS = 10.0  # for matching patterns with names, which takes milliseconds


def check(where: str, folder: Path, names: Iterable[str], checks: Checklist) -> None:
    """Refuse an adapter that can't be put on a model, or that would do harm or nothing there.

    Args:
        where: the adapter, for the sentence.
        folder: of its files.
        names: of the model's modules.
        checks: gets the records.

    Raises:
        ToxauditError: if its files are damaged, it is no LoRA or an unusual one, its patterns don't come to an end,
            its values are not finite or all zero, or its rank is not that of its tensors.
    """
    with checks.check("the adapter's files are whole"):
        config, tensors = _read(where, folder)
    with checks.check("the adapter is a LoRA and nothing beside"):
        _check_kind(where, config)
        _check_start(where, config)
        if note := "draws" * _draws(config) or "shifted" * (config.get("init_lora_weights") == "lora_ga"):
            checks.passed("what the adapter starts from", START_NOTES[note])
    with checks.check("the adapter's patterns come to an end"):
        _check_patterns(where, list(_patterns(config)), list(names))
    with checks.check("the adapter's values are finite"):
        _check_finite(where, tensors)
    zero = (not tensor.any() for name, tensor in tensors.items() if not re.search("lora_A|magnitude", name))
    nothing = ToxauditError(f"{where} changes nothing: every lora_B is zero.")
    effect.require(checks, "stored values", [*zero, True], nothing)  # without any, it changes nothing either
    with checks.check("the adapter's rank is that of its tensors"):
        _check_rank(where, config, tensors)


def _read(where: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    """What stands in an adapter's configuration, and its tensors by their names."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        return config, load_file(folder / "adapter_model.safetensors")
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ToxauditError(f"{where}: the adapter's files are damaged: {error}.") from error


def _check_kind(where: str, config: Any) -> None:
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise ToxauditError(f"{where} is an adapter of type {kind}: only LORA can be audited.")
    if unusual := sorted(key for key, value in config.items() if value and key not in ORDINARY_FIELDS):
        raise ToxauditError(f"{where} sets {unusual[0]} in adapter_config.json, which is not covered: {MERGE}.")


def _check_finite(where: str, tensors: dict[str, Any]) -> None:
    import torch

    if odd := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise ToxauditError(f"{where} has values that are not finite in {odd[0]}.")


def check_configuration(where: str, folder: Path) -> None:
    """Refuse an adapter for what its configuration alone says; one that can't be read is left to ``check``.

    Raises:
        ToxauditError: if it is no LoRA, an unusual one, or over a start that can't be had again.
    """
    if config := json_object(folder / "adapter_config.json"):
        _check_kind(where, config)
        _check_start(where, config)


def _check_start(where: str, config: dict[str, Any]) -> None:
    """Refuse an adapter over a start that can't be had again, or not in finite time."""
    start = config.get("init_lora_weights", True)
    named = f"{where} sets init_lora_weights: {json.dumps(start)[:60]} in adapter_config.json"
    if start == "corda":
        raise ToxauditError(f"{named}, so that it fits a base changed by data that it doesn't bring: {CONVERT}.")
    if not _own_start(config) and not BASE_STARTS.fullmatch(_start(config)):
        raise ToxauditError(f"{named}, which PEFT doesn't know: {CONVERT}.")
    if start == "loftq" and not (find_spec("bitsandbytes") and _gpu()):
        raise ToxauditError(f"{named}, which needs bitsandbytes and a CUDA GPU: use a machine with both, or {MERGE}.")
    if _steps(config) > MOST_STEPS:
        raise ToxauditError(f"{named}; more than {MOST_STEPS} steps of that are not taken: {CONVERT}.")


def _gpu() -> bool:
    from torch import cuda

    return bool(cuda.is_available())


def _start(config: Mapping[str, Any]) -> str:
    """The start in the spelling of which PEFT takes it for the same; empty where it is none that has a name."""
    start = config.get("init_lora_weights", True)
    return (start.lower() if start.lower() in ("gaussian", "olora") else start) if isinstance(start, str) else ""


def _own_start(config: Mapping[str, Any]) -> bool:
    start = config.get("init_lora_weights", True)
    return start is None or isinstance(start, bool) or _start(config) in OWN_STARTS


def _steps(config: Mapping[str, Any]) -> int:
    """The steps by which the start comes nearer; of a number beyond all sense, one that is too many."""
    if _start(config) == "loftq":
        quantised = config.get("loftq_config")
        steps = quantised.get("loftq_iter", 1) if isinstance(quantised, dict) else 1
        return steps if isinstance(steps, int) else 1
    digits = _start(config).removeprefix(DRAWN).lstrip("0") if _draws(config) else ""
    return MOST_STEPS + 1 if len(digits) > 9 else int(digits or 0)


def _draws(config: Mapping[str, Any]) -> bool:
    return _start(config).startswith(DRAWN)


def alters_base(folder: Path) -> bool:
    """Whether putting the adapter on changes the base's own weights, as PiSSA and its like do."""
    return not _own_start(json_object(folder / "adapter_config.json"))


def draws(folder: Path) -> bool:
    """Whether what putting the adapter on takes from the base's weights is drawn at random."""
    return _draws(json_object(folder / "adapter_config.json"))


def _patterns(config: dict[str, Any]) -> Iterator[str]:
    """What PEFT reads as regular expressions, in the forms in which it does."""
    for key in ("target_modules", "exclude_modules"):
        if isinstance(config.get(key), str):
            yield config[key]
    for key in ("rank_pattern", "alpha_pattern"):
        if isinstance(config.get(key), dict):
            yield from (rf"(.*\.)?({pattern})$" for pattern in config[key])
    layers = config.get("layers_pattern")
    for pattern in layers if isinstance(layers, list) else [layers]:
        if isinstance(pattern, str):
            yield rf".*\.{pattern}\.(\d+)\..*"


def _check_patterns(where: str, patterns: list[str], names: list[str]) -> None:
    if all(re.fullmatch(r"[\w.-]*", pattern) for pattern in patterns):
        return
    try:
        limited.run("match", MATCH_SECONDS, patterns=patterns, names=names)
    except TimeoutError as error:
        raise ToxauditError(f"{where}: a pattern in adapter_config.json was {error}.") from error
    except limited.Failed as error:
        raise ToxauditError(f"{where}: a pattern in adapter_config.json can't be read: {error}.") from error


def _check_rank(where: str, config: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Refuse a rank beyond that of the tensors: room for it would be made, and fill the memory."""
    ranks = {
        tensor.shape[0]: name for name, tensor in tensors.items() if "lora_A" in name or "lora_embedding_A" in name
    }
    by_name = config.get("rank_pattern")
    said = [config.get("r"), *(by_name.values() if isinstance(by_name, dict) else ())]
    if ranks and (huge := [rank for rank in said if isinstance(rank, int) and rank > max(ranks)]):
        raise ToxauditError(f"{where} says rank {huge[0]}, but {ranks[max(ranks)]} has rank {max(ranks)}.")
