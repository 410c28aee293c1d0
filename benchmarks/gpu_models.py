"""Models of well-known shapes with random weights, adapters over them, and prompts: what ``gpu.py`` measures with.

A token is a word, ``w17``, so that a text tells its tokens. One token in a hundred ends an answer: rows end one after
another, as real ones do.
"""

import random
from pathlib import Path
from typing import Any

RANK = 16
SPREAD = 0.02  # of the adapters' second matrices
ENDING = 100  # one token in so many ends an answer
SHORTEST, LONGEST = 8, 48  # tokens of a prompt
READ = 8192  # tokens that a model can read

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": (
        "LlamaConfig",
        {
            "vocab_size": 128256,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
        },
    ),
    "gemma": (
        "Gemma3TextConfig",
        {
            "vocab_size": 262208,
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 34,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "sliding_window": 1024,
        },
    ),
    "qwen": (
        "Qwen3Config",
        {
            "vocab_size": 151936,
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
}
"""The classes of transformers, and the sizes of Llama 3.1 8B, Gemma 3 4B (its text part) and Qwen3 4B."""

TOY = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


def texts(words: int, prompts: int) -> list[str]:
    """Prompts of random words and lengths, the same each time."""
    drawn = random.Random(0)
    lengths = [drawn.randint(SHORTEST, LONGEST) for _ in range(prompts)]
    return [" ".join(f"w{drawn.randrange(words)}" for _ in range(length)) for length in lengths]


def tokens(text: str) -> list[int]:
    """The tokens that an answer's text tells."""
    return [int(word[1:]) for word in text.split()]


def make(shape: str, toy: bool, folder: Path, device: str, dtype: str, adapters: int) -> list[Path]:
    """Write a model with random weights, and adapters of all its linear layers.

    Args:
        shape: one of ``SHAPES``.
        toy: whether it is tiny.
        folder: of the new folders ``base``, ``tuned0`` and so on.
        device: torch's name of where it is made.
        dtype: torch's name of its number format.
        adapters: how many.

    Returns:
        The folders, the model's first.
    """
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    kind, sizes = SHAPES[shape]
    sizes = sizes | TOY if toy else sizes
    ends = list(range(sizes["vocab_size"] // ENDING))
    own = {"bos_token_id": None, "eos_token_id": ends, "pad_token_id": 0, "max_position_embeddings": READ}
    config = getattr(transformers, kind)(**sizes, **own)
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, weight.shape[1] ** -0.5)  # no layer drowns the others
    model.save_pretrained(folder / "base")
    _words(sizes["vocab_size"]).save_pretrained(folder / "base")
    return [folder / "base", *_adapters(model, folder, adapters)]


def _words(count: int) -> Any:
    """A tokenizer of the words ``w0``, ``w1`` and so on; any other word is the last of them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({f"w{n}": n for n in range(count)}, unk_token=f"w{count - 1}"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="w0", pad_token="w0")


def _adapters(model: Any, folder: Path, count: int) -> list[Path]:
    import torch
    from peft import LoraConfig, get_peft_model

    from toxaudit.models import quiet_peft

    with quiet_peft():
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        tuned = get_peft_model(model, config)
    folders = [folder / f"tuned{number}" for number in range(count)]
    for path in folders:
        with torch.no_grad():
            for name, weight in tuned.named_parameters():
                if ".lora_" in name:
                    weight.normal_(0, SPREAD if ".lora_B." in name else weight.shape[1] ** -0.5)
        tuned.save_pretrained(path, save_embedding_layers=False)
    return folders
