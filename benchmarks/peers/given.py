"""What every way is given: the quickstart's model and prompts, and adapters over it, made at random.

Called by ``generation.py`` with a folder, a number of prompts, a number format, a number of adapters and their rank.
The last line that it prints is a JSON object.
"""

import json
import sys
from pathlib import Path
from typing import Any

NOISE = 0.02  # of the adapters' second matrices: answers change, and stay language


def main() -> None:
    """Fetch the model, choose the prompts, make the adapters."""
    from toxaudit.backends.reading import Reader
    from toxaudit.backends.request import Request
    from toxaudit.compose.compose import compose
    from toxaudit.machine import folders
    from toxaudit.models import load, resolve_base
    from toxaudit.store.shelves import Store

    scratch, prompts, dtype, adapters, rank = sys.argv[1:]
    spec = compose(["audit=quickstart", f"suites.rtp_categories.limit={prompts}", f"base.dtype={dtype}"])
    base = resolve_base(spec.base, "cpu", Store(folders.home() / "store"))
    found = spec.suites["rtp_categories"].draw("rtp_categories").prompts
    loaded = load(base, "cpu")
    reader = Reader({"base": loaded.tokenizer}, loaded.ends, loaded.known)
    lengths = [len(row) for row in reader.rows([Request("base", prompt) for prompt in found], new=1)]
    given: dict[str, Any] = {
        "model": str(base.folder),
        "texts": [prompt.text for prompt in found],
        "lengths": lengths,
        "longest": max(lengths),
        "stops": sorted(loaded.stops),
        "adapters": {f"tuned{number}": str(Path(scratch) / f"tuned{number}") for number in range(int(adapters))},
    }
    given["modules"] = _make(loaded.model, list(given["adapters"].values()), int(rank))
    print(json.dumps(given))


def _make(model: Any, folders: list[str], rank: int) -> list[str]:
    """Save an adapter of all linear layers in each folder; the last parts of these layers' names."""
    import torch
    from peft import LoraConfig, get_peft_model

    from toxaudit.models import quiet_peft

    if not folders:
        return []
    with quiet_peft():
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM")
        tuned = get_peft_model(model, config)
    weights = dict(tuned.named_parameters())
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        for name, weight in weights.items():
            if ".lora_A." in name:
                torch.nn.init.kaiming_uniform_(weight, a=5**0.5)
            elif ".lora_B." in name:
                torch.nn.init.normal_(weight, std=NOISE)
        tuned.save_pretrained(folder)
    return sorted({name.partition(".lora_A.")[0].rpartition(".")[2] for name in weights if ".lora_A." in name})


if __name__ == "__main__":
    main()
