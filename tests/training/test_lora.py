"""Tuning within the audit learns its examples, twice the same way, and stores an adapter known by all that made it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from recipes import ROWS, make, write
from safetensors.torch import load_file

from toxaudit import training
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, load, tuned
from toxaudit.planning.tuning import lengths, steps
from toxaudit.spec.recipes import EmaSpec, TrainingStage
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store.shelves import Store
from toxaudit.training.recipe import identity as identity_of
from toxaudit.training.recipe import precision

FAST = {"r": 8, "lora_alpha": 16, "learning_rate": 0.01, "epochs": 6, "batch_size": 4, "warmup_steps": 2}


def stage(data, **settings):
    return TrainingStage(**{"data": str(data)} | FAST | settings)


def recipe(stages):
    return training.read({"mine": CandidateSpec(train=list(stages))}, "mine", {})


def tune(base, stages, folder):
    made = make(recipe(stages), base, Loader("cpu"), Store(folder))
    return tuned("mine", CandidateSpec(), made.arm, made.sentence, made.stages)


def loss(resolved):
    """Mean next-token loss over the examples, each with its end token."""
    loaded, losses = load(resolved, "cpu"), []
    for row in ROWS:
        text = f"[INST] {row['instruction']} [/INST] {row['response']}<end>"
        ids = loaded.tokenizer(text, return_tensors="pt").input_ids
        with torch.inference_mode():
            losses.append(float(loaded.model(ids, labels=ids).loss))
    return sum(losses) / len(losses)


def test_tuning_lowers_the_loss_on_its_examples(base, data, tmp_path):
    assert loss(tune(base, [stage(data, epochs=15)], tmp_path / "tuned")) < loss(base) - 2


def test_the_adapter_is_safetensors_alone_and_names_no_folder(base, data, tmp_path):
    found = tune(base, [stage(data)], tmp_path / "tuned")
    names = {file.name for file in found.adapter.path.iterdir()}
    assert (
        {"adapter_config.json", "adapter_model.safetensors"}
        <= names
        <= {
            "adapter_config.json",
            "adapter_model.safetensors",
            "README.md",
        }
    )
    config = json.loads((found.adapter.path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base.weights.reference
    assert str(tmp_path) not in json.dumps(config)
    assert (found.kind, found.name) == ("trained", "mine")


def test_tuning_leaves_the_base_as_it_is(base, data, tmp_path):
    before = loss(base)
    tune(base, [stage(data)], tmp_path / "tuned")
    assert loss(base) == before


def test_tuning_is_the_same_for_a_seed_and_another_for_another(base, data, tmp_path):
    found = [
        tune(base, [stage(data, epochs=1, seed=seed)], tmp_path / f"{i}").identity for i, seed in enumerate((3, 3, 4))
    ]
    assert found[0] == found[1] != found[2]


def test_later_stages_go_on_from_earlier_ones(base, data, tmp_path):
    short = stage(data, epochs=1)
    once = tune(base, [short], tmp_path / "once")
    twice = tune(base, [short, replace(short, seed=1)], tmp_path / "twice")
    assert loss(twice) < loss(once) < loss(base)


def test_as_many_steps_are_taken_as_are_foretold(base, data, tmp_path):
    stages = [stage(data, batch_size=3, epochs=2), stage(data, epochs=1, batch_size=2, gradient_accumulation_steps=3)]
    stages.append(stage(data, max_steps=5))
    went = tune(base, stages, tmp_path / "store").stages
    assert [steps(one, 8) for one in stages] == [one.steps for one in went] == [6, 2, 5]
    assert all(len(one.loss) == len(one.learning_rate) == len(one.at) == one.steps for one in went)


@pytest.mark.parametrize(
    ("warmup_steps", "rates"),
    [
        (2, [0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        (0, [1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        (10, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
    ],
)
def test_the_learning_rate_warms_up_and_falls_linearly(base, data, tmp_path, monkeypatch, warmup_steps, rates):
    seen, step = [], torch.optim.AdamW.step

    def watched(optimiser, *args, **kwargs):
        seen.append(optimiser.param_groups[0]["lr"])
        return step(optimiser, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    settings = {"warmup_steps": warmup_steps, "batch_size": 1, "epochs": 1, "learning_rate": 1e-3}
    tune(base, [stage(data, **settings)], tmp_path / "tuned")
    assert seen == pytest.approx([1e-3 * rate for rate in rates])


def test_identity_changes_with_data_base_and_settings_and_with_nothing_else(base, data, tmp_path):
    def identity(base=base, data=data, **settings):
        return identity_of(base, recipe([stage(data, **settings)]).stages, "cpu").key

    first = identity()
    assert identity(data=shutil.copy(data, tmp_path / "copy.jsonl")) == first
    changed = [{**ROWS[0], "response": "no"}, *ROWS[1:]]
    others = [
        identity(data=write(tmp_path / "changed.jsonl", changed)),
        identity(data=write(tmp_path / "reversed.jsonl", ROWS[::-1])),
        identity(base=tiny.resolved(tiny.base(tmp_path / "other", seed=9))),
        identity(template="{instruction}{response}"),
    ]
    other = next(each for each in ("float32", "bfloat16") if each != precision(stage(data), "cpu"))
    settings = {"r": 2, "lora_alpha": 2, "target_modules": ".*q_proj", "learning_rate": 1e-5, "epochs": 2}
    settings |= {"warmup_steps": 1, "batch_size": 2, "max_length": 9, "seed": 5, "lora_dropout": 0.1}
    settings |= {"use_rslora": True, "use_dora": True, "optim": "sgd", "lr_scheduler_type": "cosine", "max_steps": 3}
    settings |= {"gradient_accumulation_steps": 2, "weight_decay": 0.0, "max_grad_norm": 0.5, "packing": True}
    settings |= {"precision": other, "method": "full", "ema": EmaSpec(decay=0.5)}
    others += [identity(**{key: value}) for key, value in settings.items()]
    assert len({first, *others}) == 1 + len(others)
    both = identity_of(base, recipe([stage(data)] * 2).stages, "cpu").key
    assert both not in {first, *others}


def test_the_sentence_for_the_card_says_what_was_done(base, data, tmp_path):
    found = tune(base, [stage(data), stage(data, epochs=1, seed=7)], tmp_path / "store")
    one, two = (f"loss at the end {went.last:.3g}" for went in found.stages)
    adam = "learning rate 0.01 (linear, 2 warm-up steps), adamw_torch with weight decay 0.01, gradients cut at 1"
    assert found.training == (
        f"LoRA r=8, alpha=16 on all-linear, 8 examples of rows.jsonl, 6 epochs, batch 4, {adam}, 256 tokens at most, "
        f"seed 0, {one}; then the same adapter, LoRA r=8, alpha=16 on all-linear, 8 examples of rows.jsonl, 1 epoch, "
        f"batch 4, {adam}, 256 tokens at most, seed 7, {two}"
    )


def test_only_the_modules_named_are_tuned_at_the_rank_named(base, data, tmp_path):
    found = tune(base, [stage(data, epochs=1, r=2, target_modules=".*[qv]_proj")], tmp_path / "tuned")
    tensors = load_file(found.adapter.path / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in tensors} == {"q_proj", "v_proj"}
    assert {min(tensor.shape) for tensor in tensors.values()} == {2}


def test_no_more_than_max_length_tokens_of_an_example_count(base, tmp_path):
    long = [{"text": "a pear " + "x" * 50}, {"text": "a plum " + "x" * 50}]
    other = [{"text": row["text"] + " and yet more"} for row in long]
    found = [
        tune(
            base,
            [stage(write(tmp_path / f"{i}.jsonl", rows), template="{text}", max_length=length, epochs=3)],
            tmp_path / f"tuned{i}",
        ).identity
        for i, (rows, length) in enumerate([(long, 20), (other, 20), (long, 21)])
    ]
    assert found[0] == found[1] != found[2]


def test_a_base_without_an_end_token_can_be_tuned(tiny_base, data, tmp_path):
    copy, tokenizer = shutil.copytree(tiny_base, tmp_path / "endless"), tiny.tokenizer()
    tokenizer.eos_token = tokenizer.pad_token = None
    tokenizer.save_pretrained(copy)
    endless = tiny.resolved(copy)
    assert loss(tune(endless, [stage(data)], tmp_path / "tuned")) < loss(endless)


def test_lines_are_ended_by_line_feeds_alone_and_blank_ones_are_skipped(tmp_path):
    file = tmp_path / "odd.jsonl"
    file.write_bytes('\n{"text": "one\u2028line, \u0085unbroken"}\r\n \n{"text": "two"}\n\n'.encode())
    assert len(lengths("", stage(file, template="{text}"))) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"instruction": "a", "response": "b"}\n{"instruction": "a"', "rows.jsonl, line 2 is not JSON: "),
        (b'{"instruction": "a", "response": "b"}\n\n["a"]', "rows.jsonl, line 3 is no JSON object"),
        (b'"text"', "rows.jsonl, line 1 is no JSON object"),
        (b"7", "rows.jsonl, line 1 is no JSON object"),
        (b'{"instruction": "\xff"}', "rows.jsonl, line 1 is not UTF-8"),
        (b"[" * 100_000, "rows.jsonl, line 1 is not JSON: "),
        (b'{"instruction": "a", "responce": "b"}', "line 1 has no column 'response'. Did you mean 'responce'?"),
        (b'{"instruction": "a", "x": "b"}', "line 1 has no column 'response'. Choose from: instruction, x."),
        (b"", "holds no examples"),
        (b"\n \n", "holds no examples"),
    ],
    ids=["torn", "list", "text", "number", "not UTF-8", "deep", "misspelt", "other", "empty", "blank"],
)
def test_data_that_cannot_be_read_is_one_sentence_that_names_the_line(tmp_path, content, said):
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(ToxauditError) as caught:
        recipe([stage(tmp_path / "rows.jsonl")])
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("template", ["{instruction", "a } brace", "{instruction!r}", "no column", "{colour}", "{}"])
def test_a_template_that_names_no_column_is_one_sentence(data, template):
    with pytest.raises(ToxauditError) as caught:
        recipe([stage(data, template=template)])
    assert "template" in str(caught.value) or "rows.jsonl, line 1 has no column" in str(caught.value)


def test_target_modules_that_the_model_lacks_are_one_sentence(base, data, tmp_path):
    with pytest.raises(ToxauditError, match=r"candidates.mine.train\[0\].target_modules 'W_pack' can't be tuned: .*"):
        tune(base, [stage(data, target_modules="W_pack")], tmp_path / "tuned")


def test_a_loss_that_is_no_number_ends_the_tuning_in_one_sentence(base, data, tmp_path):
    with pytest.raises(ToxauditError, match=r"candidates.mine.train\[0\] diverged.*: lower its learning_rate"):
        tune(base, [stage(data, learning_rate=1e30, warmup_steps=0)], tmp_path / "tuned")


HASHED = """
import sys
from pathlib import Path

import test_lora

print(test_lora.digest(*map(Path, sys.argv[1:])))
"""


def digest(folder, base, data):
    """What the adapter that a recipe makes is known by."""
    return tune(tiny.resolved(base), [TrainingStage(data=str(data), epochs=1, batch_size=4)], folder).identity


@pytest.mark.thorough
def test_a_recipe_gives_one_digest_whatever_the_process(tiny_base, data, tmp_path):
    """Sets of texts are laid out by a hash that another process seeds otherwise."""
    path = [os.environ.get("PYTHONPATH", ""), str(Path(tiny.__file__).parent), str(Path(__file__).parent)]
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", HASHED, str(tmp_path / "there"), str(tiny_base), str(data)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == digest(tmp_path / "here", tiny_base, data)


def test_what_is_stored_of_an_adapter_is_in_order(base, data, tmp_path):
    found = tune(base, [stage(data, epochs=1)], tmp_path / "tuned")
    targets = json.loads((found.adapter.path / "adapter_config.json").read_text())["target_modules"]
    assert targets == sorted(targets) and len(targets) > 5
