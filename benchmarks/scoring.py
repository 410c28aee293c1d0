"""How toxaudit scores completions, against transformers' pipeline: same classifier and texts, in turn in one run.

    python benchmarks/scoring.py [--texts 1000] [--threads 1] [--repeats 3] [--spread continuations ...]

The classifier has the architecture of roberta-base (12 layers, 768 wide) and random weights. A text is a run of tokens
from the manual inside Python's standard library; how many is drawn from a spread:

    answers        log-normal, median 50, sigma 1, at most 128: about as long as what people wrote in Dolly
    continuations  six in ten have 50, the limit; the others stopped before, anywhere
    full           all have 50

Prints texts per CPU-second (the median of the repeats), the ratio, the share of the roofline and the largest difference
of two scores. The roofline is the speed of the encoder's own matrix products alone, at 1,024 rows with packed weights,
measured before each repeat; what they amount to is two operations a weight for each token.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np

LIMIT = 50  # new tokens of a continuation
SHAPES = [(768, 768)] * 4 + [(768, 3072), (3072, 768)]  # inputs and outputs of a layer's products
LAYERS = 12
WEIGHTS = LAYERS * sum(inputs * outputs for inputs, outputs in SHAPES)
SPREADS: dict[str, Callable[[random.Random], int]] = {
    "answers": lambda draw: min(128, max(1, round(50 * draw.lognormvariate(0, 1)))),
    "continuations": lambda draw: LIMIT if draw.random() < 0.6 else draw.randrange(1, LIMIT),
    "full": lambda draw: LIMIT,
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--spread", nargs="+", choices=SPREADS, default=list(SPREADS))
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        _make(Path(folder))
        for spread in options.spread:
            _compare(Path(folder), spread, options.texts, options.repeats)


def _compare(folder: Path, spread: str, number: int, repeats: int) -> None:
    texts = _texts(folder, SPREADS[spread], number)
    ways: dict[str, Callable[[list[str]], list[float]]] = {
        "pipeline, batch 16": _pipeline(folder),
        "toxaudit": _toxaudit(folder, "float32"),
        "bfloat16": _toxaudit(folder, "bfloat16"),
        "bfloat16, mean score": _toxaudit(folder, "bfloat16", None),
    }
    tokens = sum(map(len, _tokenizer(folder)(texts)["input_ids"]))
    for way in ways.values():
        way(texts[:16])  # the first run pays for what later ones find prepared
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    scores: dict[str, list[float]] = {}
    speeds: dict[str, list[float]] = {dtype: [] for dtype in ("float32", "bfloat16")}
    for _ in range(repeats):
        for dtype, found in speeds.items():
            found.append(_products(dtype))
        for name, way in ways.items():
            start = time.process_time()
            scores[name] = way(texts)
            seconds[name].append(time.process_time() - start)
    slowest = np.median(seconds["pipeline, batch 16"])
    for name, taken in seconds.items():
        median = np.median(taken)
        each = ", ".join(f"{number / one:.1f}" for one in taken)
        peak = np.median(speeds["bfloat16" if "bfloat16" in name else "float32"])
        share = 2 * WEIGHTS * tokens / median / peak
        print(
            f"{spread:<14} {name:<20} {number / median:6.1f} texts/CPU-s ({each})  x{slowest / median:4.2f}  "
            f"{share:4.0%} of {peak / 1e9:,.0f} GFLOP/s"
        )
    usual, *ours = scores.values()
    for name, found in zip(list(scores)[1:], ours, strict=True):
        apart = max(abs(one - other) for one, other in zip(usual, found, strict=True))
        print(
            f"{spread:<14} {name}: scores {min(found):.3f} to {max(found):.3f}, apart by at most {apart:.1e}",
            flush=True,
        )


def _products(dtype: str) -> float:
    """Operations a CPU-second in the encoder's products."""
    import torch

    from toxaudit.machine import packed

    layers = torch.nn.ModuleList(torch.nn.Linear(*shape) for shape in SHAPES).to(getattr(torch, dtype))
    packed.pack(layers)
    rows = [torch.randn(1024, inputs).to(getattr(torch, dtype)) for inputs, _ in SHAPES]
    took = []
    with torch.inference_mode():
        for _ in range(6):
            start = time.process_time()
            for layer, each in zip(layers, rows, strict=True):
                layer(each)
            took.append(time.process_time() - start)
    return float(2 * 1024 * WEIGHTS / LAYERS / np.median(took))


def _make(folder: Path) -> None:
    """Save a classifier with random weights, and a tokenizer of 8,000 tokens learnt from the manual."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(topics.values(), vocab_size=8000, special_tokens=special, show_progress=False)
    learnt.post_processor = _around("<s>", "</s>", learnt)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=learnt._tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=512
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50265,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        id2label={0: "nothate", 1: "hate"},
        initializer_range=0.05,  # smaller ones give every text the same score
    )
    model = RobertaForSequenceClassification(config)
    model.save_pretrained(folder)


def _around(first: str, last: str, learnt: Any) -> Any:
    from tokenizers.processors import TemplateProcessing

    ids = [(token, learnt.token_to_id(token)) for token in (first, last)]
    return TemplateProcessing(single=f"{first} $A {last}", special_tokens=ids)


@cache
def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _texts(folder: Path, length: Callable[[random.Random], int], number: int) -> list[str]:
    """Distinct texts, in random order."""
    tokenizer, draw = _tokenizer(folder), random.Random(0)
    words = " ".join(" ".join(topics.values()).split())
    manual = tokenizer.backend_tokenizer.encode(words, add_special_tokens=False).ids
    found: dict[str, None] = {}
    while len(found) < number:
        start, tokens = draw.randrange(len(manual) - 128), length(draw)
        found[tokenizer.decode(manual[start : start + tokens])] = None
    return list(found)


@cache
def _pipeline(folder: Path) -> Callable[[list[str]], list[float]]:
    from transformers import pipeline

    made = pipeline("text-classification", str(folder), device="cpu", top_k=None)

    def score(texts: list[str]) -> list[float]:
        found = made(texts, batch_size=16, truncation=True)
        return [next(each["score"] for each in labels if each["label"] == "hate") for labels in found]

    return score


@cache
def _toxaudit(folder: Path, dtype: str, threshold: float | None = 0.5) -> Callable[[list[str]], list[float]]:
    from toxaudit.scorers.classifier import Classifier

    scorer = Classifier(title="Hate", pretrained=str(folder), label="hate", dtype=dtype, threshold=threshold)

    def score(texts: list[str]) -> list[float]:
        lots = (texts[start : start + scorer.together] for start in range(0, len(texts), scorer.together))
        return [each for lot in lots for each in scorer.score(lot) if isinstance(each, float)]

    return score


if __name__ == "__main__":
    main()
