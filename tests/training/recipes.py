"""What tests of recipes share: rows, and stages that take a moment."""

import json
from functools import partial

from toxaudit import training
from toxaudit.models import Loader, tuned
from toxaudit.spec.recipes import TrainingStage
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store.shelves import Store

ROWS = [
    {"instruction": f"Say {word}.", "response": f"{word}, of course"}
    for word in ("pear", "fig", "plum", "lime", "kiwi", "date", "sloe", "quince")
]
FAST = {"r": 4, "lora_alpha": 8, "learning_rate": 0.01, "epochs": 3, "batch_size": 4, "warmup_steps": 0}


def write(file, rows=ROWS):
    """A JSONL file of rows."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def stage(data, **settings):
    """A stage in float32, whose numbers are the same wherever it runs."""
    return TrainingStage(**{"data": str(data), "precision": "float32"} | FAST | settings)


def make(recipe, root, loader, store):
    """What a recipe makes, in this process."""
    return training.make(recipe, root, loader.device, store, partial(training.tune, loader))


def arm(base, store, name="mine", **candidates):
    """One of several candidates, each given by its stages or its spec, tuned."""
    specs = {
        key: each if isinstance(each, CandidateSpec) else CandidateSpec(train=list(each))
        for key, each in candidates.items()
    }
    made = make(training.read(specs, name, {}), base, Loader("cpu"), store)
    return tuned(name, specs[name], made.arm, made.sentence, made.stages)


def made(base, folder, *stages):
    """What stages make of the base, in a store of its own."""
    return arm(base, Store(folder), mine=stages)
