"""Pinned files -> a model in memory that is proved to be the one that was named."""

import json
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
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reference = resolved.weights.reference
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            resolved.folder,
            dtype=getattr(torch, resolved.dtype),
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(resolved.folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ToxauditError(f"{resolved.name}: {reference} can't be loaded: {_first_line(error)}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, info[problem])):
            raise ToxauditError(f"{resolved.name}: {reference} has {problem.replace('_', ' ')}, e.g. {keys[0]}.")
    model.to(device).eval()
    if resolved.adapter:
        model = _attach(resolved, model, tokenizer, device)
    return LoadedModel(resolved.name, model, tokenizer, device)


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
            adapted = PeftModel.from_pretrained(model, folder, use_safetensors=True).eval()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
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
    if config.get("peft_type") != "LORA":
        raise ToxauditError(f"{where} is a {config.get('peft_type')} adapter: only LoRA can be audited.")
    if odd := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise ToxauditError(f"{where} has values that are not finite in {odd[0]}.")
    if not any(tensor.any() for name, tensor in tensors.items() if "lora_B" in name):
        raise ToxauditError(f"{where} changes nothing: every lora_B is zero.")


def _check_adapter_keys(where: str, folder: Path, adapted: Any) -> None:
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        stored = set(file.keys())
    tuned_embeddings = any("embed_tokens" in name or "lm_head" in name for name in stored)
    placed = set(get_peft_model_state_dict(adapted, save_embedding_layers=tuned_embeddings))
    if odd := sorted(stored ^ placed):
        problem = "the model has no place for" if odd[0] in stored else "the adapter lacks"
        raise ToxauditError(f"{where} does not fit the base: {problem} {odd[0]}.")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") + "."
