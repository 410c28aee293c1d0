"""Pinned files -> a model in memory that is proved to be the one that was named."""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models.resolve import ResolvedModel

PROBE = "The weather today is"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to generate: transformers' (or PEFT's around it) in evaluation mode, and its tokenizer."""

    name: str
    model: Any
    tokenizer: Any
    device: str


def load(resolved: ResolvedModel, device: str) -> LoadedModel:
    """Load weights and adapter, and refuse whatever would make the audit score something else.

    Raises:
        ToxauditError: weights are missing, unexpected or misshapen; the adapter has keys that the model lacks, has
            values that are not finite, or changes nothing.
    """
    from transformers import AutoTokenizer

    reference = resolved.weights.reference
    try:
        model, info = _read(resolved)
        tokenizer = AutoTokenizer.from_pretrained(resolved.folder, trust_remote_code=False)
    except Exception as error:  # there is no telling what a stranger's files make the libraries raise
        raise ToxauditError(f"{resolved.name}: {reference} can't be loaded: {_first_line(error)}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, info[problem])):
            raise ToxauditError(f"{resolved.name}: {reference} has {problem.replace('_', ' ')}, e.g. {keys[0]}.")
    model.to(device).eval()
    if resolved.adapter:
        model = _attach(resolved, model, tokenizer, device)
    return LoadedModel(resolved.name, model, tokenizer, device)


def _read(resolved: ResolvedModel) -> tuple[Any, dict[str, Any]]:
    """The model, and what transformers says of its keys. The attention is named, lest config.json name a download."""
    import torch
    from transformers import AutoModelForCausalLM

    def read(attention: str) -> tuple[Any, dict[str, Any]]:
        found: tuple[Any, dict[str, Any]] = AutoModelForCausalLM.from_pretrained(
            resolved.folder,
            dtype=getattr(torch, resolved.dtype),
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=attention,
            ignore_mismatched_sizes=True,  # they are told of by name, and refused above
            output_loading_info=True,
        )
        return found

    try:
        return read("sdpa")
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return read("eager")  # e.g. Gemma 2, whose attention is more than SDPA does


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Keep to itself what PEFT says of itself, and of missing keys, which are refused here in a sentence."""
    with warnings.catch_warnings():
        # PEFT asks transformers 5 for an attribute by its former name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Found missing adapter keys", category=UserWarning)
        yield


def _attach(resolved: ResolvedModel, model: Any, tokenizer: Any, device: str) -> Any:
    """Put the adapter on the model, checking its file before and its effect after."""
    import torch
    from peft import PeftModel

    assert resolved.adapter is not None
    folder, where = resolved.adapter.path, f"{resolved.name}: {resolved.adapter.reference}"
    _check_adapter_file(where, folder)
    probe = tokenizer(PROBE, return_tensors="pt").to(device)
    with torch.inference_mode():
        before = model(**probe).logits
        try:
            with quiet_peft():
                adapted = PeftModel.from_pretrained(model, folder, use_safetensors=True).eval()
        except Exception as error:  # as above
            raise ToxauditError(f"{where} does not fit the base: {_first_line(error)}") from error
        _check_adapter_keys(where, folder, adapted)
        after = adapted(**probe).logits
    if torch.equal(before, after):
        raise ToxauditError(f"{where} changes nothing: the base answers alike with and without it.")
    if not torch.isfinite(after).all():
        raise ToxauditError(f"{where} makes the model's outputs infinite or not a number.")
    return adapted


def _check_adapter_file(where: str, folder: Path) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
    except (SafetensorError, ValueError) as error:
        raise ToxauditError(f"{where}: the adapter's files are damaged: {_first_line(error)}") from error
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise ToxauditError(f"{where} is an adapter of type {kind}: only LORA can be audited.")
    if odd := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise ToxauditError(f"{where} has values that are not finite in {odd[0]}.")
    if not any(tensor.any() for name, tensor in tensors.items() if not re.search("lora_A|magnitude", name)):
        raise ToxauditError(f"{where} changes nothing: every lora_B is zero.")


def _check_adapter_keys(where: str, folder: Path, adapted: Any) -> None:
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        stored = set(file.keys())
    ways = [set(get_peft_model_state_dict(adapted, save_embedding_layers=whole)) for whole in (False, True)]
    if odd := min((sorted(stored ^ placed) for placed in ways), key=len):  # embeddings may be stored whole
        problem = "the model has no place for" if odd[0] in stored else "the adapter lacks"
        raise ToxauditError(f"{where} does not fit the base: {problem} {odd[0]}.")


def _first_line(error: Exception) -> str:
    """What the error says in one line; one that ends with a colon only announces the next."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if not line.endswith(":")), lines[0]).rstrip(". ") + "."
