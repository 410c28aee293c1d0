"""Small real models made by the tests: random Llamas with a byte-level tokenizer, and LoRA adapters over them."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}<|assistant|>"


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and an end token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate([*alphabet, "<end>"])}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<end>")
    fast.chat_template = CHAT
    return fast


def base(folder: Path, seed: int = 0) -> Path:
    """A Llama of two layers with grouped-query attention and random weights, large enough to give varied output."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=256,
        pad_token_id=256,
        initializer_range=0.25,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def adapter(base_folder: Path, folder: Path, scale: float = 0.5, seed: int = 1) -> Path:
    """A LoRA adapter over ``base_folder`` with random weights of size ``scale``; 0 makes one that changes nothing."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base_folder)
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, scale) if scale else parameter.data.zero_()
    tuned.save_pretrained(folder, save_embedding_layers=False)
    return folder
