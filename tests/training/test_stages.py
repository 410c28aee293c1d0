"""Stages: their methods, what they learn, their averages, how they go on from each other."""

import json
import sys
from pathlib import Path

import pytest
import tiny
import torch
from recipes import ROWS, arm, made, make, stage, write
from safetensors.torch import load_file

from toxaudit import training
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, load, quiet_peft
from toxaudit.models.load import probe
from toxaudit.spec.recipes import EmaSpec, ReplaySpec
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store.shelves import Store
from toxaudit.training.tokens import UNLEARNT, batch, tokens

models_load = sys.modules["toxaudit.models.load"]


@pytest.fixture(scope="module")
def loaded(base):
    return load(base, "cpu")


def weights(resolved):
    """All that was tuned, by name."""
    if resolved.adapter:
        return load_file(resolved.adapter.path / "adapter_model.safetensors")
    return {name: value for file in resolved.folder.glob("*.safetensors") for name, value in load_file(file).items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_an_average_with_decay_0_is_the_tune_and_with_decay_1_its_start(base, data, tmp_path, method):
    plain = stage(data, method=method, lora_dropout=0.0)
    averaged = [stage(data, method=method, ema=EmaSpec(decay=decay)) for decay in (0.0, 0.5, 1.0)]
    tune, none, half, all_of_it = (
        weights(made(base, tmp_path / str(number), each)) for number, each in enumerate([plain, *averaged])
    )
    assert same(tune, none)
    if method == "full":
        assert same(all_of_it, weights(base))
    else:
        assert not any(tensor.any() for name, tensor in all_of_it.items() if "lora_B" in name)
    assert not same(half, tune) and not same(half, all_of_it)


def test_a_full_tune_is_whole_weights_in_the_bases_number_format(base, data, tmp_path):
    found = made(base, tmp_path / "store", stage(data, method="full", learning_rate=1e-3))
    assert found.adapter is None and found.loaded_as != base.loaded_as
    tuned, before = weights(found), weights(base)
    assert tuned.keys() == before.keys() and {each.dtype for each in tuned.values()} == {torch.float32}
    assert {file.name for file in base.folder.iterdir()} == {file.name for file in found.folder.iterdir()}
    assert not torch.equal(probe(load(found, "cpu")), probe(load(base, "cpu")))


def test_an_adapter_after_a_full_tune_lies_over_its_weights(base, data, tmp_path):
    whole, small = stage(data, method="full", learning_rate=1e-3), stage(data)
    store = Store(tmp_path / "store")
    found = arm(base, store, "both", first=[whole], both=CandidateSpec(train=[small], starts_from="first"))
    alone = arm(base, store, "first", first=[whole])
    assert found.adapter and found.loaded_as == alone.loaded_as != base.loaded_as
    assert found.training.startswith("all weights, ") and "; then LoRA r=4" in found.training


def test_another_shape_of_adapter_merges_the_one_before(base, data, tmp_path):
    found = made(base, tmp_path / "store", stage(data), stage(data, r=2))
    assert found.loaded_as != base.loaded_as and "that adapter merged into the weights, LoRA r=2" in found.training
    one = made(base, tmp_path / "other", stage(data), stage(data, seed=1))
    assert one.loaded_as == base.loaded_as and "the same adapter, LoRA r=4" in one.training


def test_chains_with_one_beginning_train_it_once(base, data, tmp_path, monkeypatch):
    store, trained, train = Store(tmp_path / "store"), [], training.chain.trainer.train
    monkeypatch.setattr(training.chain.trainer, "train", lambda place, *a: trained.append(place) or train(place, *a))
    candidates = {
        "first": CandidateSpec(train=[stage(data)]),
        "left": CandidateSpec(train=[stage(data, seed=1)], starts_from="first"),
        "right": CandidateSpec(train=[stage(data, seed=2)], starts_from="first"),
    }
    for name in ("left", "right", "first"):
        arm(base, store, name, **candidates)
    assert trained == ["candidates.first.train[0]", "candidates.left.train[0]", "candidates.right.train[0]"]


def test_a_chain_may_start_from_a_candidate_that_is_not_tuned_here(base, data, tmp_path, tiny_adapter):
    store = Store(tmp_path / "store")
    theirs = tiny.resolved(base.folder, tiny_adapter)
    candidates = {
        "theirs": CandidateSpec(peft=str(tiny_adapter)),
        "mine": CandidateSpec(train=[stage(data)], starts_from="theirs"),
    }
    recipe = training.read(candidates, "mine", {})
    assert recipe.root == "theirs"
    found = make(recipe, theirs, Loader("cpu"), store)
    assert found.sentence.startswith("from theirs: ") and found.arm.adapter and found.arm.loaded_as != base.loaded_as


def examples(data, **settings):
    return training.examples("candidates.mine.train[0]", stage(data, **settings))


def test_replayed_rows_are_as_many_as_the_share_says_and_drawn_by_the_seed(data, tmp_path):
    others = write(tmp_path / "others.jsonl", [{"text": f"kind {number}"} for number in range(50)])

    def mixed(seed=0, share=0.25):
        replay = ReplaySpec(data=str(others), template="{text}", share=share)
        return examples(data, seed=seed, replay=replay)

    first = mixed()
    assert first.replayed == 2 and len(first.all) == 10 and first.of == "others.jsonl"
    assert mixed().all == first.all != mixed(seed=1).all
    assert len(mixed(share=1.0).all) == 16
    with pytest.raises(ToxauditError, match=r"replay.share is 0.01, which is 0 of 8 rows"):
        mixed(share=0.01)


def learnt(loaded, data, **settings):
    """What of each example is learnt, as text, and all of it."""
    spec = stage(data, **settings)
    rows = tokens("here", loaded, training.examples("here", spec).all, spec).rows
    letters = loaded.tokenizer.decode
    return [
        (
            letters([t for t, label in zip(row["input_ids"], row["labels"], strict=True) if label != UNLEARNT]),
            letters(row["input_ids"]),
        )
        for row in rows
    ]


def test_of_prompt_and_completion_the_completion_and_the_end_are_learnt(loaded, data):
    form = {"prompt": "Q: {instruction}\n", "completion": "A: {response}"}
    part, whole = learnt(loaded, data, **form)[0]
    assert part == loaded.tokenizer.decode(loaded.tokenizer("A: pear, of course").input_ids + [tiny.END])
    part, all_of_it = learnt(loaded, data, **form, completion_only_loss=False)[0]
    assert part == all_of_it == whole


@pytest.mark.parametrize("form", [{"prompt": "{instruction}", "completion": "{response}", "ask": "chat"}, {}])
def test_in_the_chat_template_what_the_assistant_says_is_learnt(loaded, tmp_path, form):
    chats = [
        row
        | {"chat": [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["response"]}]}
        for row in ROWS
    ]
    data = write(tmp_path / "chats.jsonl", chats)
    part, whole = learnt(loaded, data, **form or {"messages": "chat"})[0]
    read = loaded.tokenizer.decode(loaded.tokenizer("<|user|>Say pear.\n<|assistant|>").input_ids)
    assert whole.startswith(read) and "pear" not in part[:0]
    assert len(part) < len(whole) and whole.endswith(part)


def test_of_a_chat_all_turns_are_learnt_where_that_is_said(loaded, tmp_path):
    turns = [{"role": "user", "content": "Say pear."}, {"role": "assistant", "content": "pear"}]
    data = write(tmp_path / "chats.jsonl", [{"chat": turns}])
    (part, whole), (all_of_it, same) = (
        learnt(loaded, data, messages="chat", completion_only_loss=only)[0] for only in (True, False)
    )
    assert whole == same == all_of_it and len(part) < len(whole)


def test_packed_examples_share_rows_and_keep_positions_of_their_own(loaded, data, base, tmp_path):
    spec = stage(data, packing=True, max_length=120)
    rows = tokens("here", loaded, training.examples("here", spec).all, spec).rows
    alone = tokens("here", loaded, training.examples("here", stage(data)).all, stage(data)).rows
    assert len(rows) < len(alone) and sum(len(row["input_ids"]) for row in rows) == sum(
        len(row["input_ids"]) for row in alone
    )
    assert all(row["position_ids"].count(0) > 1 for row in rows[:-1])
    assert made(base, tmp_path / "store", spec).stages[0].examples == 8
    with torch.inference_mode():
        packed = loaded.model(**batch(rows[:2])).logits
        apart = [loaded.model(torch.tensor([row["input_ids"]])).logits[0] for row in alone]
    first = len(rows[0]["input_ids"])
    together = torch.cat([packed[0, :first], packed[1, : len(rows[1]["input_ids"])]])
    assert torch.allclose(together, torch.cat(apart)[: len(together)], atol=1e-4)  # none sees another


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_length": 3, "prompt": "{instruction} and more", "completion": "{response}"}, "max_length is 3, which"),
        ({"prompt": "{instruction}", "completion": "{nothing}"}, "the completion is empty"),
        ({"prompt": "{instruction}", "completion": "{answer}"}, "has no column 'answer'"),
        ({"filter": "instruction == 'never'"}, "holds no row that meets its filter"),
        ({"completion": "{response}"}, "has a completion but no prompt"),
        ({"template": "{response}", "messages": "chat"}, "has both template and messages"),
        ({"learning_rate": 1e30}, "diverged, its loss is no number any more: lower its learning_rate"),
        ({"max_steps": 1, "warmup_steps": 3}, "learns nothing: it takes 1 step"),
    ],
)
def test_what_cannot_be_learnt_is_one_sentence(base, tmp_path, settings, said):
    data = write(tmp_path / "rows.jsonl", [row | {"nothing": ""} for row in ROWS])
    with pytest.raises(ToxauditError) as caught:
        made(base, tmp_path / "store", stage(data, **settings))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "store").glob("trained/*[!n]"))


def test_examples_that_are_cut_off_whole_are_counted(base, tmp_path):
    long = {"instruction": "Say " + "x" * 90, "response": "no"}
    data = write(tmp_path / "rows.jsonl", [*ROWS, long])
    found = made(base, tmp_path / "store", stage(data, max_length=60, prompt="{instruction}", completion="{response}"))
    assert (found.stages[0].examples, found.stages[0].cut) == (8, 1)
    assert "(1 more cut off whole)" in found.training


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_rows_may_be_of_any_form_that_suites_read(tmp_path, suffix):
    import pandas

    file = tmp_path / f"rows.{suffix}"
    if suffix == "json":
        file.write_text(json.dumps(ROWS))
    elif suffix == "csv":
        pandas.DataFrame(ROWS).to_csv(file, index=False)
    else:
        pandas.DataFrame(ROWS).to_parquet(file)
    assert [each.content for each in examples(file).all] == [
        each.content for each in examples(write(tmp_path / "rows.jsonl")).all
    ]


def test_limit_takes_the_first_rows_or_draws_them(data):
    first = examples(data, limit=3).all
    assert [each.text for each in first] == [each.text for each in examples(data).all[:3]]
    drawn = [examples(data, limit=3, limit_seed=seed).all for seed in range(5)]
    assert len({tuple(each.text for each in rows) for rows in drawn}) > 1


def test_columns_are_made_of_others_before_rows_are_kept_and_learnt(tmp_path):
    rows = [{"said": ["no", "yes"], "label": number % 2, "keys": ["A", "B"], "key": "B"} for number in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = {"answer": "{{ said[label] }}", "by_key": "{{ said[keys.index(key)] }}", "word": "so"}
    spec = {"columns": made, "filter": "answer == 'yes'", "prompt": "{word}: ", "completion": "{answer} {by_key}"}
    found = examples(tmp_path / "rows.jsonl", **spec).all
    assert [each.text for each in found] == [(("so: ", False), ("yes yes", True))] * 2
    with pytest.raises(ToxauditError, match=r"columns\.answer is no Jinja"):
        examples(tmp_path / "rows.jsonl", **spec | {"columns": {"answer": "{{ said["}})


def test_the_folder_of_an_adapter_is_one_that_plain_peft_loads(base, data, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    found = made(base, tmp_path / "store", stage(data))
    with quiet_peft():
        plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.folder), Path(found.adapter.path))
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        assert torch.equal(plain(ids).logits, load(found, "cpu").model(ids).logits)


def test_ranks_are_tuned_and_read_over_weights_that_are_loaded_once(base, data, tmp_path, monkeypatch):
    """A sweep of four ranks, each tuned and then opened as an audit does."""
    reads, read = [], models_load._read
    monkeypatch.setattr(models_load, "_read", lambda *a: reads.append(1) or read(*a))
    loader, store = Loader("cpu"), Store(tmp_path / "store")
    for rank in (1, 2, 4, 8):
        specs = {"mine": CandidateSpec(train=[stage(data, r=rank, epochs=1)])}
        found = make(training.read(specs, "mine", {}), base, loader, store)
        with loader.open(found.arm) as loaded:
            assert loaded.model.peft_config["default"].r == rank
    with loader.open(base) as plain:
        assert torch.equal(probe(plain), probe(load(base, "cpu")))
    assert len(reads) == 2  # the loader's, and the one of this line


def test_what_the_device_cannot_train_is_refused_before_weights_are_fetched(data):
    recipe = training.read({"mine": CandidateSpec(train=[stage(data, load_in_4bit=True)])}, "mine", {})
    with pytest.raises(
        ToxauditError, match=r"train\[0\].load_in_4bit needs a CUDA GPU, and this audit runs on the cpu"
    ):
        training.check_device(recipe, "cpu")
    training.check_device(recipe, "cuda:0")


SHAPES = {
    "gemma": ("GemmaConfig", {"head_dim": 12}),
    "llama": ("LlamaConfig", {}),
    "qwen": ("Qwen2Config", {}),
    "phi": ("Phi3Config", {"pad_token_id": tiny.END}),
    "gpt2": ("GPT2Config", {}),
}


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("shape", SHAPES)
def test_models_of_other_shapes_are_tuned_and_can_be_asked(shape, method, data, tmp_path):
    import transformers

    name, more = SHAPES[shape]
    common = {"vocab_size": tiny.VOCABULARY, "eos_token_id": tiny.END, "bos_token_id": tiny.END}
    size = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    size |= {"num_key_value_heads": 2, "max_position_embeddings": 512}
    if shape == "gpt2":
        size = {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 512}
    root = tiny.resolved(tiny.model(tmp_path / shape, getattr(transformers, name)(**common | size | more)))
    found = made(root, tmp_path / "store", stage(data, method=method, learning_rate=0.005, epochs=4))
    assert found.stages[0].loss[-1] < found.stages[0].loss[0]
    with torch.inference_mode():
        assert not torch.equal(probe(load(found, "cpu")), probe(load(root, "cpu")))
