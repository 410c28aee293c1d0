"""A GGUF file is the model it holds, converted once."""

import gguf as gguf_library
import numpy as np
import pytest
import tiny
import torch
from gguf import GGUFWriter, TensorNameMap
from safetensors.torch import load_file

from toxaudit.errors import ToxauditError
from toxaudit.models import load

CONFIG = tiny.llama(vocab_size=tiny.VOCABULARY + 1)  # GGUF's tokenizer has one merge, and so one token more
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
OF_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
HEADS = {"attn_q": CONFIG.num_attention_heads, "attn_k": CONFIG.num_key_value_heads}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.model(tmp_path_factory.mktemp("gguf") / "base", CONFIG)


def named(name):
    """GGUF's name of a tensor, and its kind."""
    stem = name.removesuffix(".weight")
    if stem in WHOLE:
        return f"{WHOLE[stem]}.weight", WHOLE[stem]
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{OF_LAYER[part]}.weight", OF_LAYER[part]


def gguf(base_folder, file, without=()):
    """Write a model as GGUF, with rotary halves interleaved as llama.cpp has them."""
    writer = GGUFWriter(str(file), "llama")
    writer.add_context_length(CONFIG.max_position_embeddings)
    writer.add_embedding_length(CONFIG.hidden_size)
    writer.add_block_count(CONFIG.num_hidden_layers)
    writer.add_feed_forward_length(CONFIG.intermediate_size)
    writer.add_head_count(CONFIG.num_attention_heads)
    writer.add_head_count_kv(CONFIG.num_key_value_heads)
    writer.add_layer_norm_rms_eps(CONFIG.rms_norm_eps)
    writer.add_vocab_size(CONFIG.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*tiny.tokenizer().convert_ids_to_tokens(range(tiny.VOCABULARY)), "qz"])
    writer.add_token_types([1] * tiny.END + [3, 1])
    writer.add_token_merges(["q z"])
    writer.add_eos_token_id(tiny.END)
    for name, tensor in load_file(base_folder / "model.safetensors").items():
        (new, kind), array = named(name), tensor.numpy()
        if kind in HEADS:
            array = array.reshape(HEADS[kind], 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        if new not in without:
            writer.add_tensor(new, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_a_gguf_file_gives_the_logits_and_tokens_of_the_weights_it_holds(base, tmp_path):
    original, converted = (load(tiny.resolved(path), "cpu") for path in (base, gguf(base, tmp_path / "tiny.gguf")))
    text = "Grüße, dear 世界"
    ids = original.tokenizer(text).input_ids
    assert converted.tokenizer(text).input_ids == ids
    with torch.inference_mode():
        assert torch.equal(*(loaded.model(torch.tensor([ids])).logits for loaded in (original, converted)))
    assert converted.tokenizer.eos_token_id == tiny.END


def test_names_of_tensors_are_tabled_once_for_all_modules_of_a_model(base, tmp_path, monkeypatch):
    made, table = [], TensorNameMap.__init__
    monkeypatch.setattr(TensorNameMap, "__init__", lambda self, *given: made.append(given) or table(self, *given))
    before = gguf_library.get_tensor_name_map
    load(tiny.resolved(gguf(base, tmp_path / "tiny.gguf")), "cpu")
    assert len(made) == 1 and gguf_library.get_tensor_name_map is before


def test_a_gguf_file_is_converted_once_and_known_by_its_own_content(base, tmp_path):
    file = gguf(base, tmp_path / "tiny.gguf")
    first = tiny.resolved(file)
    written = (first.folder / "model.safetensors").stat().st_mtime_ns
    again = tiny.resolved(file.rename(tmp_path / "renamed.gguf"))
    assert (again.folder, again.identity) == (first.folder, first.identity)
    assert (again.folder / "model.safetensors").stat().st_mtime_ns == written
    assert again.weights.reference.endswith("/renamed.gguf")
    assert first.identity != tiny.resolved(base).identity


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[: len(data) // 2], "can't be read as GGUF"),
        (lambda data: data[:3], "can't be read as GGUF"),
        (lambda data: b"GGML" + data[4:], "can't be read as GGUF"),
        (lambda data: b"", "can't be read as GGUF"),
        (
            lambda data: data.replace(b".block_count\4\0\0\0\2\0\0\0", b".block_count\4\0\0\0\0\0\0\x3b"),
            "it describes 989,855,744 layers, more than any model has",
        ),
    ],
    ids=["half", "torn", "another format", "empty", "layers without end"],
)
def test_a_damaged_gguf_file_is_one_sentence_and_leaves_nothing_finished(base, tmp_path, spoil, said):
    file = gguf(base, tmp_path / "tiny.gguf")
    file.write_bytes(spoil(file.read_bytes()))
    for _ in range(2):
        with pytest.raises(ToxauditError) as caught:
            tiny.resolved(file)
        assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_gguf_file_that_lacks_a_weight_is_refused_by_its_name(base, tmp_path):
    with pytest.raises(ToxauditError, match=r"leaves weights unset, e.g. model.layers.1.mlp.up_proj.weight"):
        tiny.resolved(gguf(base, tmp_path / "tiny.gguf", without={"blk.1.ffn_up.weight"}))


def test_a_file_among_gguf_files_is_named_by_gguf_file(base, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    file = gguf(base, many / "a.Q8_0.gguf")
    found = tiny.resolved(many, gguf_file="a.Q8_0.gguf")
    assert found.weights.path.resolve() == file and found.identity == tiny.resolved(file).identity
    with pytest.raises(ToxauditError, match=r"many holds no a.Q4_0.gguf. Did you mean 'a.Q8_0.gguf'\?"):
        tiny.resolved(many, gguf_file="a.Q4_0.gguf")
    with pytest.raises(ToxauditError, match="of GGUF files, name one by gguf_file"):
        tiny.resolved(many)
