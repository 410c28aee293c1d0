"""Small real models made by the tests: random weights with a byte-level tokenizer, and LoRA adapters over them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from toxaudit.models import ResolvedModel, quiet_peft, resolve_base, resolve_candidate
from toxaudit.spec.schema import CandidateSpec, ModelSpec
from toxaudit.store.shelves import Store

CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}<|assistant|>"
VOCABULARY = 257
END = 256


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and an end token. A token is decoded to a letter of its own: texts are equal if tokens are."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate([*alphabet, "<end>"])}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<end>")
    fast.chat_template = CHAT
    return fast


def llama(**settings: Any) -> LlamaConfig:
    """The configuration of ``base``: two layers with grouped-query attention."""
    common = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": END, "pad_token_id": END}
    size = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    return LlamaConfig(**common | size | heads | settings)


def model(folder: Path, config: Any, seed: int = 0) -> Path:
    """A model of any architecture with random weights, large enough to give varied output."""
    torch.manual_seed(seed)
    made = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.25)
    made.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def base(folder: Path, seed: int = 0) -> Path:
    """A Llama with random weights."""
    return model(folder, llama(), seed)


def overflowing(base_folder: Path, folder: Path, letter: str) -> Path:
    """A copy of ``base_folder`` whose weights are all numbers, and whose outputs are none after this letter."""
    shutil.copytree(base_folder, folder)
    (token,) = tokenizer()(letter).input_ids

    def change(tensors: dict[str, torch.Tensor]) -> None:
        first = "model.layers.0."
        words, attended = tensors["model.embed_tokens.weight"], tensors[f"{first}self_attn.o_proj.weight"]
        words[:, 0] = words[token] = attended[0] = 0  # what is first in a hidden state is this letter's alone
        words[token, 0] = 1
        for name in ("gate_proj", "up_proj"):
            tensors[f"{first}mlp.{name}.weight"][0] = 0
            tensors[f"{first}mlp.{name}.weight"][0, 0] = 1e30  # their product is too large for any number

    edit(folder / "model.safetensors", change)
    return folder


def parrot(folder: Path, answer: str) -> Path:
    """A chat model that says ``answer`` whatever it is asked; no letter may come in it twice.

    Each token is followed by one other: only embeddings and head count, since no layer adds anything to them. The
    layers are there for the time that they take, a tenth of a second for a question of a page.
    """
    assert len(set(answer)) == len(answer)
    words = tokenizer()
    words.backend_tokenizer.decoder = decoders.ByteLevel()
    size = {"hidden_size": 264, "intermediate_size": 512, "num_hidden_layers": 8, "max_position_embeddings": 8192}
    made = AutoModelForCausalLM.from_config(llama(**size, num_key_value_heads=4))
    said = [words(CHAT).input_ids[-1], *words(answer).input_ids, END]
    with torch.no_grad():
        for layer in made.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        made.model.embed_tokens.weight.copy_(torch.eye(VOCABULARY, 264))
        made.lm_head.weight.zero_()
        made.lm_head.weight[said[1:], said[:-1]] = 1
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def adapter(
    base_folder: Path,
    folder: Path,
    scale: float = 0.5,
    seed: int = 1,
    whole_embeddings: bool = False,
    **settings: Any,
) -> Path:
    """A LoRA adapter over ``base_folder`` with random weights of size ``scale``; 0 makes one that changes nothing.

    ``settings`` are LoraConfig's; ``whole_embeddings`` stores the base's embeddings with it.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    common = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    with quiet_peft():
        tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base_folder), LoraConfig(**common | settings))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name or "lora_embedding_A" in name:
            parameter.data.normal_(0, scale) if scale else parameter.data.zero_()
    tuned.save_pretrained(folder, save_embedding_layers=whole_embeddings)
    return folder


def edit(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Let ``change`` alter the tensors of a safetensors file in their dict."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def edit_json(file: Path, **changes: Any) -> None:
    """Set keys of the object in a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def resolved(base_folder: Path, peft: Path | None = None, dtype: str = "float32", **spec: Any) -> ResolvedModel:
    """``base_folder`` as the base of an audit, or the candidate that an adapter makes of it.

    ``spec`` is what else a spec says of the base.
    """
    store = Store(base_folder.parent / "store")
    found = resolve_base(ModelSpec(pretrained=str(base_folder), dtype=dtype, **spec), "cpu", store)
    return (
        resolve_candidate("tuned", CandidateSpec(peft=str(peft), allow_base_mismatch=True), found, "cpu", store)
        if peft
        else found
    )
