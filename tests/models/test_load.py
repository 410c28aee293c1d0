"""Whatever would make an audit score another model than the one it names is refused in one sentence."""

import shutil

import pytest
import tiny
import torch
from safetensors.torch import load_file
from tiny import edit, edit_json

from toxaudit.checks import Checklist, notes
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, load

DOWN = "base_model.model.model.layers.0.mlp.down_proj"
MODEL_OF_ITS_OWN = {"AutoModelForCausalLM": "code.Model"}
UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def base(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "a-base")


@pytest.fixture
def adapter(tiny_adapter, tmp_path):
    return shutil.copytree(tiny_adapter, tmp_path / "an-adapter")


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def refusal(base_folder, peft=None, **spec):
    with pytest.raises(ToxauditError) as caught:
        load(tiny.resolved(base_folder, peft, **spec), "cpu")
    said = str(caught.value)
    assert "\n" not in said and said.endswith("."), said
    return said


def logits(loaded, text="What do you think?"):
    with torch.inference_mode():
        return loaded.model(**loaded.tokenizer(text, return_tensors="pt")).logits


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_changes_its_own_arm_and_leaves_the_base_bit_identical(tiny_base, tiny_adapter, dtype):
    base = load(tiny.resolved(tiny_base, dtype=dtype), "cpu")
    before = logits(base)
    tuned = load(tiny.resolved(tiny_base, tiny_adapter, dtype), "cpu")
    assert before.dtype == getattr(torch, dtype)
    assert not torch.equal(logits(tuned), before)
    assert torch.equal(logits(base), before)
    assert torch.equal(logits(load(tiny.resolved(tiny_base, dtype=dtype), "cpu")), before)
    assert (base.name, tuned.name) == ("base", "tuned")
    assert not base.model.training and not tuned.model.training


def test_an_adapter_gives_the_logits_of_the_weights_it_stands_for(tiny_base, tiny_adapter, base):
    low_rank = load_file(tiny_adapter / "adapter_model.safetensors")

    def merge(tensors):
        for name in tensors:
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{stem}.lora_A.weight" in low_rank:  # lora_alpha / r is 2
                tensors[name] += 2 * low_rank[f"{stem}.lora_B.weight"] @ low_rank[f"{stem}.lora_A.weight"]

    edit(base / "model.safetensors", merge)
    merged, tuned = load(tiny.resolved(base), "cpu"), load(tiny.resolved(tiny_base, tiny_adapter), "cpu")
    torch.testing.assert_close(logits(tuned), logits(merged), rtol=1e-4, atol=1e-3)


def renamed(tensors):
    for name in list(tensors):
        tensors[name.replace("model.layers", "model.blocks")] = tensors.pop(name)


def unprefixed(tensors):
    for name in list(tensors):
        tensors[name.removeprefix("base_model.model.")] = tensors.pop(name)


def zero(tensors):
    for name, tensor in tensors.items():
        tensor.mul_("lora_A" in name)


def stray(tensors):
    tensors["base_model.model.stray.lora_A.weight"] = torch.ones(4, 48)


def misshapen(tensors):
    tensors[f"{DOWN}.lora_A.weight"] = torch.ones(4, 7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed, "base_model.model.model.blocks.0"),
        (unprefixed, "lacks base_model.model.model.layers.0"),
        (zero, "changes nothing: every lora_B is zero"),
        (lambda tensors: tensors[f"{DOWN}.lora_A.weight"].fill_(float("nan")), f"not finite in {DOWN}.lora_A.weight"),
        (lambda tensors: tensors[f"{DOWN}.lora_B.weight"].fill_(float("inf")), f"not finite in {DOWN}.lora_B.weight"),
        (lambda tensors: tensors.pop(f"{DOWN}.lora_B.weight"), f"lacks {DOWN}.lora_B.weight"),
        (stray, "no place for base_model.model.stray.lora_A.weight"),
        (misshapen, f"{DOWN}.lora_A"),
    ],
    ids=["renamed", "unprefixed", "zero", "nan", "infinite", "missing", "extra", "misshapen"],
)
def test_an_adapter_with_wrong_tensors_is_refused_by_their_name(tiny_base, adapter, change, said):
    edit(adapter / "adapter_model.safetensors", change)
    found = refusal(tiny_base, adapter)
    assert said in found and "an-adapter" in found


def test_the_adapter_of_a_larger_base_is_refused(tiny_base, tmp_path):
    other = tiny.model(tmp_path / "other", tiny.llama(hidden_size=64))
    assert "q_proj.lora_A" in refusal(tiny_base, tiny.adapter(other, tmp_path / "an-adapter"))


def test_the_adapter_of_a_deeper_base_is_refused(tiny_base, tmp_path):
    other = tiny.model(tmp_path / "other", tiny.llama(num_hidden_layers=3))
    said = refusal(tiny_base, tiny.adapter(other, tmp_path / "an-adapter"))
    assert "no place for base_model.model.model.layers.2" in said


def test_a_dora_whose_lora_b_are_zero_is_refused(tiny_base, tmp_path):
    peft = tiny.adapter(tiny_base, tmp_path / "an-adapter", scale=0, use_dora=True)
    assert "changes nothing: every lora_B is zero" in refusal(tiny_base, peft)


def test_an_adapter_that_makes_the_model_infinite_is_refused(tiny_base, adapter):
    def huge(tensors):
        for tensor in tensors.values():
            tensor.fill_(3e38)

    edit(adapter / "adapter_model.safetensors", huge)
    assert "infinite or not a number" in refusal(tiny_base, adapter)


def test_an_adapter_without_any_effect_on_the_logits_is_refused(tiny_base, adapter):
    def vanishing(tensors):
        for tensor in tensors.values():
            tensor.mul_(1e-30)

    edit(adapter / "adapter_model.safetensors", vanishing)
    assert "the base answers alike" in refusal(tiny_base, adapter)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("adapter_config.json", "[]", "only LORA"),
        ("adapter_config.json", '{"peft_type": "LORA"', "damaged"),
        ("adapter_config.json", '{"peft_type": "LORA", "r": "many"}', "does not fit"),
        ("adapter_config.json", '{"peft_type": "PREFIX_TUNING"}', "type PREFIX_TUNING: only LORA"),
        ("adapter_config.json", "{}", "only LORA"),
        ("adapter_model.safetensors", "no tensors", "damaged"),
    ],
)
def test_an_adapter_whose_files_are_damaged_or_of_another_kind_is_refused(tiny_base, adapter, file, content, said):
    (adapter / file).write_text(content)
    assert said in refusal(tiny_base, adapter)


def test_a_truncated_adapter_is_refused(tiny_base, adapter):
    cut(adapter / "adapter_model.safetensors")
    assert "damaged" in refusal(tiny_base, adapter)


@pytest.mark.parametrize(
    "settings",
    [
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["lm_head", "q_proj"]},
    ],
    ids=["whole modules", "LoRA over the embeddings", "LoRA over the head"],
)
def test_an_adapter_whose_vocabulary_was_resized_is_told_of_in_words(tiny_base, tmp_path, settings):
    larger = tiny.model(tmp_path / "larger", tiny.llama(vocab_size=264))
    peft = tiny.adapter(larger, tmp_path / "resized", **settings)
    assert refusal(tiny_base, peft).endswith(
        "resized does not fit the base: its vocabulary has 264 entries, the base's 257: merge it into a copy of the "
        "base, and audit that by 'pretrained'."
    )


def test_an_adapter_of_other_shapes_is_told_of_in_words(tiny_base, tmp_path):
    wider = tiny.model(tmp_path / "wider", tiny.llama(intermediate_size=80))
    said = refusal(tiny_base, tiny.adapter(wider, tmp_path / "an-adapter", target_modules=["up_proj"]))
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_B"
    assert f"its {name} is 80 x 4, where the base needs 96 x 4: it was tuned on another base." in said


def test_an_adapter_may_tune_embeddings_alone(tiny_base, tmp_path):
    peft = tiny.adapter(tiny_base, tmp_path / "an-adapter", target_modules=["embed_tokens"])
    base, tuned = load(tiny.resolved(tiny_base), "cpu"), load(tiny.resolved(tiny_base, peft), "cpu")
    assert not torch.equal(logits(base), logits(tuned))


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"target_modules": ["q_proj"]},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"whole_embeddings": True},
        {"whole_embeddings": True, "target_modules": ["embed_tokens", "v_proj"]},
    ],
    ids=lambda settings: "-".join(f"{key}-{value}" for key, value in settings.items()),
)
def test_the_usual_kinds_of_lora_load(tiny_base, tmp_path, settings):
    peft = tiny.adapter(tiny_base, tmp_path / "an-adapter", **settings)
    assert load(tiny.resolved(tiny_base, peft), "cpu").name == "tuned"


def started(folder, start, **more):
    """The adapter's folder, as one that says so of what it was tuned from."""
    edit_json(folder / "adapter_config.json", init_lora_weights=start, **more)
    return folder


OWN_STARTS = (False, None, "gaussian", "eva", "orthogonal", "mica", "lora_ga")


def test_what_an_adapter_draws_and_then_overwrites_is_no_matter(tiny_base, adapter):
    plain = logits(load(tiny.resolved(tiny_base, adapter), "cpu"))
    for start in OWN_STARTS:
        assert torch.equal(logits(load(tiny.resolved(tiny_base, started(adapter, start)), "cpu")), plain), start


def test_what_an_adapter_draws_of_the_base_is_alike_in_every_process_and_company(tiny_base, tiny_adapter, adapter):
    drawn = tiny.resolved(tiny_base, started(adapter, "pissa_niter_4"))
    torch.manual_seed(11)
    alone = logits(load(drawn, "cpu"))
    torch.manual_seed(12)
    loader = Loader("cpu")
    for arm in (drawn, tiny.resolved(tiny_base, tiny_adapter), drawn):
        state = torch.random.get_rng_state()
        with loader.open(arm, checks := Checklist("tuned")) as loaded:
            assert torch.equal(torch.random.get_rng_state(), state)  # nobody else's numbers change
            assert torch.equal(logits(loaded), alone) == (arm is drawn)
        told = [note for note in notes(checks.done) if "drawn at random" in note]
        assert len(told) == (arm is drawn)


@pytest.mark.parametrize(
    ("start", "more", "said"),
    [
        ("pissa_niter_100000000", {}, "more than 100 steps of that are not taken: convert it to plain LoRA"),
        ("pissa_niter_" + "9" * 5000, {}, "more than 100 steps"),
        ("pissa_niter_101", {}, "more than 100 steps"),
        ("pissa_niter_x", {}, "which PEFT doesn't know: convert it"),
        ("pissa_niter_-1", {}, "which PEFT doesn't know"),
        ("pissa_niter_\uff11", {}, "which PEFT doesn't know"),
        ("PiSSA", {}, "which PEFT doesn't know"),
        ("true", {}, 'sets init_lora_weights: "true" in adapter_config.json, which PEFT doesn\'t know'),
        (1, {}, "sets init_lora_weights: 1 in adapter_config.json, which PEFT doesn't know"),
        ({"pissa": 1}, {}, "which PEFT doesn't know"),
        ("corda", {}, "it fits a base changed by data that it doesn't bring: convert it to plain LoRA"),
        ("loftq", {"loftq_config": {"loftq_bits": 4}}, "which needs bitsandbytes and a CUDA GPU: use a machine with"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_a_start_that_can_not_be_had_again_is_refused_for_that_reason(tiny_base, adapter, start, more, said):
    found = refusal(tiny_base, started(adapter, start, **more))
    assert said in found and len(found) < 500


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(UP), f"missing keys, e.g. {UP}"),
        (lambda tensors: tensors.update({"model.stray": torch.ones(2)}), "unexpected keys, e.g. model.stray"),
        (lambda tensors: tensors.update({UP: torch.ones(3, 4)}), UP),
    ],
    ids=["missing", "extra", "misshapen"],
)
def test_a_base_with_wrong_tensors_is_refused_by_their_name(base, change, said):
    edit(base / "model.safetensors", change)
    found = refusal(base)
    assert said in found and "a-base" in found


def test_a_truncated_base_is_refused(base):
    cut(base / "model.safetensors")
    assert "can't be loaded" in refusal(base)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model_type": "unheard_of"}', '{"model_type": "vit"}'])
def test_a_configuration_that_names_no_language_model_is_refused(base, content):
    (base / "config.json").write_text(content)
    assert "can't be loaded" in refusal(base)


def with_code(folder, kind, ran):
    """Let a model bring code that says, by a file, that it ran."""
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')\n")
    both = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model", "AutoTokenizer": ["code.T", None]}
    edit_json(folder / "config.json", model_type=kind, auto_map=both)
    edit_json(folder / "tokenizer_config.json", auto_map=both)


@pytest.mark.parametrize("kind", ["llama", "homemade"])
def test_code_that_comes_with_weights_is_refused_unless_the_spec_says_what_to_do(base, kind, tmp_path):
    with_code(base, kind, tmp_path / "ran")
    assert "a-base: config.json names code of its own (code.Config), which is not run: set trust" in refusal(base)
    assert not (tmp_path / "ran").exists()


def test_code_that_the_spec_says_not_to_run_is_not_run(base, tmp_path):
    with_code(base, "llama", tmp_path / "ran")
    found = tiny.resolved(base, trust_remote_code=False)
    load(found, "cpu")
    assert not (tmp_path / "ran").exists()
    assert "config.json names code of its own (code.Config), which was not run" in found.notes[0]
    with_code(base, "homemade", tmp_path / "ran")
    with pytest.raises(ToxauditError, match="a-base can't be loaded"):
        load(tiny.resolved(base, trust_remote_code=False), "cpu")
    assert not (tmp_path / "ran").exists()


def test_code_that_the_spec_lets_run_is_run_and_disclosed(base, tmp_path):
    (base / "code.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class Config(LlamaConfig):\n    model_type = 'homemade'\n"
        "class Model(LlamaForCausalLM):\n    config_class = Config\n"
    )
    edit_json(base / "config.json", model_type="homemade", auto_map={"AutoConfig": "code.Config"} | MODEL_OF_ITS_OWN)
    found = tiny.resolved(base, trust_remote_code=True)
    assert type(load(found, "cpu").model).__module__.endswith(".code")
    assert found.notes == ("code that came with the weights was run (code.Config)",)
    edit_json(base / "config.json", auto_map={"AutoConfig": "org/other--code.Config"})
    assert "names code of another repository" in refusal(base, trust_remote_code=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 10**6}, "config.json describes 1,000,000 layers, more than any model has."),
        ({"n_layer": 10**6}, "config.json describes 1,000,000 layers, more than any model has."),
        ({"text_config": {"num_layers": 1e9}}, "config.json describes 1,000,000,000.0 layers, more"),
        ({"num_labels": 10**8}, "config.json describes 100,000,000 labels, more than any model has."),
        ({"num_local_experts": 10**8}, "config.json describes 100,000,000 experts, more than any model has."),
        ({"moe": [{"num_experts": 10**400}]}, "config.json describes 1"),
        ({"note": "x" * 2**24}, "config.json has 16,"),
        ({"hidden_size": 2**20}, "config.json describes "),
        ({"vocab_size": 2**40}, "config.json describes "),
    ],
    ids=["layers", "other layers", "deep", "labels", "experts", "a number without end", "bytes", "width", "vocabulary"],
)
def test_a_configuration_that_would_fill_the_memory_is_refused_before_it_does(base, changes, said):
    edit_json(base / "config.json", **changes)
    assert f"a-base can't be loaded: {said}" in refusal(base)


def test_a_rank_that_would_fill_the_memory_is_refused_before_it_does(tiny_base, adapter):
    edit_json(adapter / "adapter_config.json", rank_pattern={"q_proj": 10**9})
    assert "says rank 1000000000, but base_model" in refusal(tiny_base, adapter)


def test_a_folder_without_a_tokenizer_is_refused(base):
    for file in base.glob("*token*"):
        file.unlink()
    assert "can't be loaded" in refusal(base)


def test_an_architecture_whose_attention_is_more_than_sdpa_does_loads(tmp_path):
    from transformers import Gemma2Config

    settings = tiny.llama().to_dict()
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "eos_token_id", "pad_token_id")
    folder = tiny.model(tmp_path / "gemma", Gemma2Config(**{key: settings[key] for key in keys}, head_dim=16))
    assert logits(load(tiny.resolved(folder), "cpu")).isfinite().all()
