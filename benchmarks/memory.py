"""Memory of one base with many adapters: the most that a process takes with them, over what it takes without.

    python benchmarks/memory.py [--adapters 5] [--rank 64]

The base is a Llama of 135 million random weights in float32, made on the spot. Each measurement is a process of its
own: it opens the base (and all adapters over it) as an audit does, and answers eight prompts with each.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

SHAPE = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
HEADS = {"num_attention_heads": 9, "num_key_value_heads": 3}


def main() -> None:
    """Make the models, measure both, print the ratio."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--adapters", type=int, default=5)
    options.add_argument("--rank", type=int, default=64)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _apart(_make, folder, chosen.adapters, chosen.rank)
        base = (folder / "base" / "model.safetensors").stat().st_size
        adapters = sum(file.stat().st_size for file in folder.glob("adapter*/adapter_model.safetensors"))
        alone, all_of_them = _apart(_audit, folder, 0), _apart(_audit, folder, chosen.adapters)
    print(f"base {base / 1e6:.0f} MB, {chosen.adapters} adapters of rank {chosen.rank}: {adapters / 1e6:.0f} MB")
    print(f"peak with the base alone {alone / 1e6:.0f} MB, with all adapters {all_of_them / 1e6:.0f} MB")
    print(f"adapters cost {(all_of_them - alone) / adapters:.2f} x their size (bar: 1.3)")


def _apart(work, *arguments) -> int:  # type: ignore[no-untyped-def]
    """The answer of ``work`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found: int = pool.submit(work, *arguments).result()
    return found


def _make(folder: Path, adapters: int, rank: int) -> int:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import tiny

    base = tiny.model(folder / "base", tiny.llama(**SHAPE | HEADS | {"vocab_size": 49152, "tie_word_embeddings": True}))
    for number in range(adapters):
        tiny.adapter(base, folder / f"adapter{number}", seed=number, r=rank)
    return 0


def _audit(folder: Path, adapters: int) -> int:
    """Peak resident memory, in bytes, of answering by the base and so many adapters."""
    import peft  # noqa: F401  (its own memory is no adapter's)

    from toxaudit.backends.request import Request
    from toxaudit.backends.transformers import Transformers
    from toxaudit.models import Loader, resolve_base, resolve_candidate
    from toxaudit.records import Prompt
    from toxaudit.spec.schema import CandidateSpec, Generation, ModelSpec
    from toxaudit.store.shelves import Store

    store, loader = Store(folder / "store"), Loader("cpu")
    base = resolve_base(ModelSpec(pretrained=str(folder / "base")), "cpu", store)
    names = [f"adapter{number}" for number in range(adapters)]
    arms = [resolve_candidate(n, CandidateSpec(peft=str(folder / n)), base, "cpu", store) for n in names]
    prompts = [Prompt(str(i), "suite", f"Prompt number {i} says") for i in range(8)]
    with Transformers().open(loader, [base, *arms]) as session:
        requests = [Request(arm.name, prompt) for prompt in prompts for arm in [base, *arms]]
        for _ in session.generate(requests, Generation(max_new_tokens=8), lambda _: False):
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
