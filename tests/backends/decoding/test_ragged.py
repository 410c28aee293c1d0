"""Decoding without padding gives the tokens of ``generate``, or gives way to it; never other tokens, never a crash."""

import json
import shutil

import pytest
import tiny
import torch
import transformers
from transformers import GenerationConfig

from toxaudit.backends.decoding import attention, prompts, ragged, slots
from toxaudit.backends.decoding.adapters import LEAST, Adapters
from toxaudit.backends.decoding.ragged import Row
from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Transformers
from toxaudit.models import Loader, load
from toxaudit.records import Prompt
from toxaudit.spec.schema import Generation

pytestmark = pytest.mark.thorough

MOST = 12
SENTENCE = "The quick brown fox jumps over the lazy dog, and runs away from the hunters across the wide field."
TEXTS = [SENTENCE[:length] for length in (1, 2, 9, 31, 32, 33, 64, 98)] + [SENTENCE[3:20]]
PROMPTS = [Prompt(id=str(i), suite="suite", text=text) for i, text in enumerate(TEXTS)]

SPECIAL = {"vocab_size": tiny.VOCABULARY, "bos_token_id": None, "eos_token_id": tiny.END, "pad_token_id": tiny.END}
SIZE = SPECIAL | {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "max_position_embeddings": 512}
HEADS = SIZE | {"num_attention_heads": 4, "num_key_value_heads": 2}
GPT = SPECIAL | {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 512}
EXPERTS = {"moe_intermediate_size": 32, "num_experts_per_tok": 2}
LATENT = {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 12}
GROUPS = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "n_shared_experts": 1}
OPT = {"ffn_dim": 96, "word_embed_proj_dim": 48, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
LONG_ROPE = {"rope_type": "longrope", "short_factor": [1.0] * 6, "long_factor": [4.0] * 6}

COVERED = {
    "Llama": HEADS,
    "Mistral": HEADS | {"sliding_window": None},
    "Qwen2": HEADS,
    "Qwen3": HEADS | {"head_dim": 16},
    "Gemma": HEADS | {"head_dim": 16},
    "Phi": HEADS,
    "Phi3": HEADS,
    "OPT": SPECIAL | OPT | {"max_position_embeddings": 512},
    "GPTNeoX": SIZE | {"num_attention_heads": 4},
    "GPT2": GPT,
    "Granite": HEADS,
    "Olmo2": HEADS,
    "Mixtral": HEADS | {"num_local_experts": 4, "sliding_window": None},
    "Qwen3Moe": HEADS | EXPERTS | {"head_dim": 16, "num_experts": 4},
}
"""Architectures that attend to everything."""

GIVES_WAY = {
    "Mistral": HEADS | {"sliding_window": 8},
    "Qwen2": HEADS | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "Gemma2": HEADS | {"head_dim": 16, "sliding_window": 8},
    "Gemma3Text": HEADS | {"head_dim": 16, "sliding_window": 8},
    "GptOss": HEADS | {"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8},
    "DeepseekV3": HEADS | EXPERTS | LATENT | GROUPS | {"num_key_value_heads": 4},
    "Phi3": HEADS | {"original_max_position_embeddings": 32, "rope_scaling": LONG_ROPE},
    "Bloom": SPECIAL | {"hidden_size": 48, "n_layer": 2, "n_head": 4},
    "GPTNeo": SPECIAL
    | {"hidden_size": 48, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
    | {"window_size": 8, "max_position_embeddings": 512},
    "Falcon": SIZE | {"num_attention_heads": 4},
    "Mamba": SPECIAL | {"hidden_size": 48, "num_hidden_layers": 2},
}
"""Windows, recurrence, attention biases, keys and values of unlike size, positions that depend on the longest row."""


def answers(resolved, prompts=PROMPTS, batch_size="auto", **settings):
    """Completions' texts (one letter a token), in the order of the prompts."""
    with Transformers(batch_size=batch_size).open(Loader("cpu"), [resolved]) as session:
        requests = [Request(resolved.name, prompt) for prompt in prompts]
        batches = session.generate(requests, Generation(**{"max_new_tokens": MOST} | settings), lambda _: False)
        found = {completion.prompt_id: completion.text for batch in batches for _, completion in batch}
    return [found[prompt.id] for prompt in prompts]


def alone(resolved):
    """The same by transformers' ``generate``, one prompt at a time."""
    loaded, texts = load(resolved, "cpu"), []
    settings = GenerationConfig(max_new_tokens=MOST, do_sample=False, eos_token_id=tiny.END, pad_token_id=tiny.END)
    for text in TEXTS:
        read = loaded.tokenizer(text, return_tensors="pt")
        ids, mask = read.input_ids, read.attention_mask
        new = loaded.model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)[0, ids.shape[1] :]
        texts.append(loaded.tokenizer.decode(new, skip_special_tokens=True))
    return texts


def architecture(name, settings, folder):
    return tiny.resolved(tiny.model(folder, getattr(transformers, f"{name}Config")(**settings)))


@pytest.mark.parametrize("name", COVERED)
def test_a_covered_architecture_decodes_without_padding_the_tokens_of_generate(name, tmp_path, capfd):
    resolved = architecture(name, COVERED[name], tmp_path / "model")
    expected = alone(resolved)
    assert len(set(expected)) > 6, "prompts get answers of their own"
    assert answers(resolved, batch_size=5) == expected
    assert "generate()" not in capfd.readouterr().err


@pytest.mark.parametrize("name", GIVES_WAY)
def test_another_architecture_gives_way_to_generate_and_says_so(name, tmp_path, capfd):
    resolved = architecture(name, GIVES_WAY[name], tmp_path / "model")
    assert answers(resolved, batch_size=5) == alone(resolved)
    said = [line for line in capfd.readouterr().err.splitlines() if "generate()" in line]
    assert len(said) == 1 and said[0].startswith("base: ") and said[0].endswith("slower.")


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_both_paths_give_the_same_tokens(tiny_base, tiny_adapter, monkeypatch, temperature):
    for resolved in (tiny.resolved(tiny_base), tiny.resolved(tiny_base, tiny_adapter)):
        without_padding = answers(resolved, batch_size=5, temperature=temperature)
        with monkeypatch.context() as patch:
            patch.setattr(ragged, "covers", lambda model: False)
            assert answers(resolved, batch_size=5, temperature=temperature) == without_padding
            assert answers(resolved, batch_size=1, temperature=temperature) == without_padding


def test_sampling_with_rows_of_one_length_only_depends_on_neither_batch_nor_order(tmp_path):
    resolved = architecture("Phi3", GIVES_WAY["Phi3"], tmp_path / "model")
    expected = answers(resolved, temperature=0.7)
    for batch_size in (1, 4):
        assert answers(resolved, PROMPTS[::-1], batch_size, temperature=0.7) == expected[::-1]


def test_the_repositorys_way_to_generate_changes_nothing_on_the_padded_path_either(tiny_base, monkeypatch, tmp_path):
    monkeypatch.setattr(ragged, "covers", lambda model: False)
    copy = shutil.copytree(tiny_base, tmp_path / "wild")
    file, expected = copy / "generation_config.json", answers(tiny.resolved(tiny_base))
    wild = {"suppress_tokens": list(range(0, 256, 2)), "repetition_penalty": 9.0, "num_beams": 3, "max_length": 5}
    wild |= {"do_sample": True, "temperature": 5.0, "min_new_tokens": MOST, "no_repeat_ngram_size": 1}
    file.write_text(json.dumps(json.loads(file.read_text()) | wild))
    assert answers(tiny.resolved(copy)) == expected


@pytest.fixture
def model(tiny_base):
    return load(tiny.resolved(tiny_base), "cpu").model


def greedy(logits, rows):
    return logits.argmax(-1)


def rows(*lengths, stops=()):
    return [Row([(7 * length + i) % 256 for i in range(length)], stops=frozenset(stops)) for length in lengths]


def decode(model, rows, most=MOST, pick=greedy):
    return ragged.decode(model, rows, most, pick, Adapters({}))


def test_a_row_keeps_its_stop_token_and_all_rows_end_by_the_limit(model):
    free = decode(model, rows(3, 50, 20))
    assert [len(row) for row in free] == [MOST] * 3
    stops = {free[0][4], free[2][7]}
    for row, whole in zip(decode(model, rows(3, 50, 20, stops=stops)), free, strict=True):
        ends = next((i + 1 for i, token in enumerate(whole) if token in stops), MOST)
        assert row == whole[:ends]


def test_each_row_has_stop_tokens_of_its_own(model):
    free = decode(model, rows(9, 9))
    first, second = rows(9, stops=[free[0][3]])[0], rows(9)[0]
    assert decode(model, [first, second]) == [free[0][: free[0].index(free[0][3]) + 1], free[1]]


def test_rows_that_have_ended_leave_the_batch_while_it_is_large(model):
    free, sizes = decode(model, rows(*range(4, 84))), []
    stops = {row[2] for row in free[::2]}
    model.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    found = decode(model, rows(*range(4, 84), stops=stops))
    decoded = [rows for rows, new in sizes if new == 1]
    assert decoded == sorted(decoded, reverse=True) and decoded[0] <= 80 and decoded[-1] < 40
    running = [sum(len(row) > step for row in found) for step in range(1, MOST)]
    wasted = [size * slots.KEEP_SHARE > now for size, now in zip(decoded, running, strict=False)]
    assert not any(wasted[step] and decoded[step] > LEAST for step in range(len(wasted)))
    assert min(decoded) >= LEAST


def test_in_bfloat16_batches_are_filled_up_to_what_is_multiplied_fastest_and_others_are_not(tmp_path, monkeypatch):
    folder = tiny.model(tmp_path / "model", transformers.LlamaConfig(**HEADS | {"hidden_size": 64}))
    several = [Prompt(id=str(i), suite="suite", text=SENTENCE[: 3 * i + 1]) for i in range(21)]
    sizes, step = [], ragged._Eager.__call__

    def counted(self, tokens):
        sizes.append(len(tokens))
        return step(self, tokens)

    monkeypatch.setattr(ragged._Eager, "__call__", counted)
    for dtype, filled, not_filled in (("float32", 21, 32), ("bfloat16", 32, 21)):
        resolved = tiny.resolved(folder, dtype=dtype)
        sizes.clear()
        together, told = answers(resolved, several), []
        assert filled in sizes and not_filled not in sizes
        assert answers(resolved, several[::-1], 17) == together[::-1]
        with Transformers().open(Loader("cpu"), [resolved]) as session:
            asked = [Request(resolved.name, prompt) for prompt in several]
            found = list(session.generate(asked, Generation(max_new_tokens=MOST), lambda _: False, told.append))
        made = [completion for batch in found for _, completion in batch]
        assert sum(told) == sum(each.tokens + (each.finish == "stop") for each in made)


def test_rows_that_have_ended_leave_in_whole_steps_and_what_fills_up_keeps_none_running(model):
    free, sizes = decode(model, rows(*range(4, 65))), []
    stops = {row[2] for row in free[::2]}
    model.register_forward_pre_hook(lambda _, args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True)
    given = [*rows(*range(4, 65), stops=stops), *[Row([5], counts=False)] * 3]
    found, told = ragged.decode(model, given, MOST, greedy, Adapters({}), step=16), []
    decoded = [size for size in sizes if size > 1]
    assert found[:61] == decode(model, given[:61])
    assert decoded == sorted(decoded, reverse=True) and 64 >= decoded[0] > decoded[-1]
    assert not any(size % 16 for size in decoded)
    ending = [*rows(9, stops=range(tiny.VOCABULARY)), Row([5], counts=False)]
    made = ragged.decode(model, ending, MOST, greedy, Adapters({}), told.append)
    assert [len(row) for row in made] == [1, 1] and told == [1]


def test_nothing_is_computed_once_all_rows_have_ended(model):
    steps = []
    model.register_forward_hook(lambda *_: steps.append(1))
    ending = rows(5, 5, stops=range(tiny.VOCABULARY))
    assert decode(model, ending) == [row[:1] for row in decode(model, rows(5, 5), 1)]
    assert len(steps) == 2


def test_long_and_short_prompts_are_read_in_parts_of_a_bounded_size(model):
    sizes = []
    model.register_forward_pre_hook(lambda _, args, kwargs: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True)
    together = decode(model, rows(*[300] * 9, 2), 2)
    assert max(sizes) <= prompts.READ_TOKENS
    assert together == [decode(model, [row], 2)[0] for row in rows(*[300] * 9, 2)]


def test_picks_are_asked_with_the_number_of_each_row(model):
    seen = []

    def pick(logits, numbers):
        assert len(logits) == len(numbers)
        seen.append(list(numbers))
        return torch.tensor(numbers)

    assert decode(model, rows(9, 3, 9), 2, pick) == [[0, 0], [1, 1], [2, 2]]
    assert sorted(seen[0]) == seen[1] == [0, 1, 2]


def test_the_model_keeps_its_own_attention_even_where_a_pick_fails(model):
    before = model.config._attn_implementation
    decode(model, rows(4), 2)
    assert model.config._attn_implementation == before != attention.NAME
    with pytest.raises(ZeroDivisionError):
        decode(model, rows(4), 2, lambda logits, numbers: 1 / 0)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("words", [512, 49_152, 50_257, 3 * 64, 1])
def test_the_greatest_is_the_first_of_the_greatest(words):
    logits = torch.randint(0, 40, (30, words)).float()
    assert torch.equal(ragged.greatest(logits), logits.argmax(-1))
    logits[3, words // 2] = float("nan")
    assert ragged.greatest(logits)[3] == words // 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rows_logits_are_bitwise_the_same_among_others(model, dtype):
    model.to(dtype)

    def seen(prompts, of):
        found = []

        def pick(logits, numbers):
            found.extend(logits[place].clone() for place, number in enumerate(numbers) if number == of)
            return ragged.greatest(logits)

        decode(model, prompts, 8, pick)
        return found

    alone = seen(rows(*[11] * LEAST), 0)
    for others in ([3] * 20, [99, 64, 33, 32, 31, 2, 1] * 9, [200] * 16):
        among = seen(rows(*others, 11, *others), len(others))
        assert all(map(torch.equal, alone, among)) and len(alone) == 8


def test_what_begins_alike_may_be_read_once(model):
    whole = rows(40, 40, 33, 61)
    begin = whole[0].tokens[:20]
    whole = [Row([*begin, *row.tokens]) for row in whole]
    (prefix,) = ragged.read_prefixes(model, [Row(begin)], Adapters({}))
    after = [Row(row.tokens, prefix=prefix) for row in whole]
    sizes = []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    assert decode(model, after) == decode(model, whole)
    assert set(sizes[: len(sizes) // 2]) == {1, 40 + 40 + 33 + 61}, "the beginning isn't read again"


def test_an_encoder_decoder_is_not_covered():
    config = transformers.T5Config(d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8, vocab_size=20)
    assert not ragged.covers(transformers.T5ForConditionalGeneration(config))


def test_an_attention_that_sdpa_does_not_do_is_not_covered(model):
    assert ragged.covers(model)
    model.set_attn_implementation("eager")  # as models.load does where an architecture lacks SDPA
    assert not ragged.covers(model)


def test_logits_that_are_written_over_at_the_next_step_as_by_a_cuda_graph_are_compared_as_they_were(
    tiny_base, monkeypatch, capfd
):
    plain = ragged._Eager.__call__

    def in_place(step, tokens):
        logits = plain(step, tokens)
        if getattr(step, "buffer", logits[:0]).shape != logits.shape:
            step.buffer = torch.empty_like(logits)
        return step.buffer.copy_(logits)

    resolved = tiny.resolved(tiny_base)
    expected = answers(resolved)
    monkeypatch.setattr(ragged._Eager, "__call__", in_place)
    assert answers(resolved) == expected
    assert "generate()" not in capfd.readouterr().err
