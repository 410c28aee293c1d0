"""What every backend owes: the model's own tokens, whatever the batch, the order and what was done before."""

import gc
import itertools
import json
import random
import shutil
from dataclasses import replace

import pytest
import tiny
import torch
from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig, LlamaForCausalLM

from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Transformers
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, load, resolve_candidate
from toxaudit.records import Prompt
from toxaudit.spec.schema import CandidateSpec, Generation

MOST = 16
WORDS = "It was the strangest night that anyone in the village by the cold sea could remember, and nobody slept. "
TEXTS = [
    *(WORDS[:length] for length in range(1, 40, 2)),
    *(WORDS[start : start + 45] for start in range(1, 40, 5)),
    *((WORDS * 2)[: 60 + 13 * i] for i in range(9)),
    "Grüße aus Zürich",
    "日本語のテキスト",
    "\U0001f642 and \u202e reversed",
]
PROMPTS = [Prompt(id=f"p{i}", suite="suite", text=text) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module", params=[Transformers], ids=lambda backend: backend.kind)
def answer(request):
    """Opens an arm and returns its completions by prompt id."""

    def answer(resolved, prompts=PROMPTS, *, ask="raw", batch_size="auto", done=(), system=None, **settings):
        generation = Generation(**{"max_new_tokens": MOST} | settings)
        with request.param(batch_size=batch_size).open(Loader("cpu"), [resolved]) as session:
            requests = [Request(resolved.name, prompt, ask, system) for prompt in prompts]
            batches = list(session.generate(requests, generation, lambda request: request.prompt.id in done))
        found = [completion for batch in batches for _, completion in batch]
        assert len({completion.prompt_id for completion in found}) == len(found), "no prompt is answered twice"
        return {completion.prompt_id: completion for completion in found}

    return answer


def alone(resolved, rows, stops=(tiny.END,), most=MOST):
    """What transformers' ``generate`` gives each row by itself: text (one letter a token), its length, finish."""
    loaded, found = load(resolved, "cpu"), []
    settings = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=[*stops], pad_token_id=tiny.END)
    for row in rows:
        ids = torch.tensor([row])
        whole = loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)[
            0
        ].tolist()
        new = whole[len(row) :]
        tokens = [token for token in new if token not in stops]
        found.append((loaded.tokenizer.decode(tokens), len(tokens), "length" if tokens == new else "stop"))
    return found


def ids(texts):
    return tiny.tokenizer()(list(texts)).input_ids


def said(completions, prompts=PROMPTS):
    return [(completions[p.id].text, completions[p.id].tokens, completions[p.id].finish) for p in prompts]


@pytest.mark.parametrize(
    "settings",
    [{}, *(pytest.param(each, marks=pytest.mark.thorough) for each in ({"temperature": 0.7}, {"batch_size": 3}))],
)
@pytest.mark.parametrize("way", ["ragged", "padded"])
def test_outputs_that_are_no_numbers_cost_their_own_prompts_and_are_missing(
    answer, tiny_base, tmp_path, monkeypatch, settings, way
):
    model = tiny.resolved(tiny.overflowing(tiny_base, tmp_path / "model", "Z"))
    if way == "padded":
        monkeypatch.setattr("toxaudit.backends.decoding.ragged.covers", lambda model: False)
    prompts = [Prompt(f"p{i}", "suite", WORDS[: 3 * i] + "Z" * (i % 3 == 1) + WORDS[i:40]) for i in range(24)]
    found = answer(model, prompts, **settings)
    lost = {name for name, each in found.items() if each.missing}
    assert {f"p{i}" for i in range(1, 24, 3)} <= lost < found.keys()
    assert {found[name].missing for name in lost} == {"the model's output was no number"}
    assert {(found[name].text, found[name].tokens, found[name].finish) for name in lost} == {("", None, "other")}
    sane = [prompt for prompt in prompts if prompt.id not in lost]
    assert said(found, sane) == said(answer(model, sane, **settings), sane)


def variant(folder, into, **generation_config):
    """A copy of a model whose repository asks for other ways to generate."""
    copy = shutil.copytree(folder, into)
    file = copy / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | generation_config))
    return copy


@pytest.fixture(scope="module")
def common(tiny_base):
    """The token that ends most prompts' completions within their length, once it is made a stop token."""
    texts = [text for text, _, _ in alone(tiny.resolved(tiny_base), ids(TEXTS))]
    letter = max(sorted(set("".join(texts))), key=lambda letter: sum(letter in text for text in texts))
    return tiny.tokenizer().convert_tokens_to_ids(letter)


@pytest.fixture(scope="module")
def early(tiny_base, common):
    """The tiny base with that second stop token, a special one, as chat models have."""
    copy = variant(tiny_base, tiny_base.parent / "early", eos_token_id=[tiny.END, common])
    words = tiny.tokenizer()
    words.add_special_tokens({"additional_special_tokens": [words.convert_ids_to_tokens(common)]})
    words.save_pretrained(copy)
    return copy


@pytest.fixture(params=["base", "early", "adapter"])
def arm_and_stops(request, tiny_base, early, tiny_adapter, common):
    arms = {
        "base": (tiny.resolved(tiny_base), (tiny.END,)),
        "early": (tiny.resolved(early), (tiny.END, common)),
        "adapter": (tiny.resolved(early, tiny_adapter), (tiny.END, common)),
    }
    return arms[request.param]


@pytest.mark.thorough
def test_tokens_lengths_and_finish_are_those_of_generate_alone(answer, arm_and_stops):
    resolved, stops = arm_and_stops
    expected = alone(resolved, ids(TEXTS), stops)
    assert len({text for text, _, _ in expected}) > 30, "prompts get answers of their own"
    found = answer(resolved)
    assert said(found) == expected
    assert {completion.model for completion in found.values()} == {resolved.name}


@pytest.mark.thorough
def test_some_prompts_end_early_and_some_do_not(answer, early):
    found = answer(tiny.resolved(early)).values()
    stopped = [completion.tokens for completion in found if completion.finish == "stop"]
    assert 5 < len(stopped) < len(PROMPTS) - 5 and len(set(stopped)) > 5
    assert all(completion.tokens == MOST for completion in found if completion.finish == "length")


@pytest.mark.thorough
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_batch_size_and_order_change_nothing(answer, early, temperature):
    resolved = tiny.resolved(early)
    expected = answer(resolved, temperature=temperature)
    for batch_size in (1, 3, 7, 64):
        shuffled = random.Random(batch_size).sample(PROMPTS, min(len(PROMPTS), 12 * batch_size))
        found = answer(resolved, shuffled, batch_size=batch_size, temperature=temperature)
        assert found == {prompt.id: expected[prompt.id] for prompt in shuffled}


def test_a_control_is_generated_at_its_own_batch_size(early):
    control = resolve_candidate("control", CandidateSpec(control=True, batch_size=5), tiny.resolved(early), "cpu", None)
    with Transformers(batch_size=64).open(Loader("cpu"), [control]) as session:
        requests = [Request("control", prompt) for prompt in PROMPTS]
        sizes = [len(batch) for batch in session.generate(requests, Generation(2), lambda _: False)]
    assert sizes == [5] * 8


@pytest.mark.thorough
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_resumed_run_answers_what_is_left_as_the_whole_run_did(answer, early, temperature):
    resolved = tiny.resolved(early)
    whole = answer(resolved, batch_size=7, temperature=temperature)
    done = {prompt.id for prompt in PROMPTS[::3]} | {prompt.id for prompt in PROMPTS[20:]}
    rest = answer(resolved, batch_size=7, temperature=temperature, done=done)
    assert rest == {prompt: completion for prompt, completion in whole.items() if prompt not in done}
    assert answer(resolved, done=set(whole)) == {}


def test_the_repositorys_own_way_to_generate_changes_nothing(answer, tiny_base, common, tmp_path):
    wild = variant(
        tiny_base,
        tmp_path / "wild",
        do_sample=True,
        temperature=5.0,
        top_k=3,
        suppress_tokens=[common],
        begin_suppress_tokens=[common],
        bad_words_ids=[[common]],
        repetition_penalty=9.0,
        no_repeat_ngram_size=1,
        min_new_tokens=MOST,
        max_length=5,
        num_beams=3,
        num_return_sequences=2,
        stop_strings=["e"],
    )
    assert answer(tiny.resolved(wild)) == answer(tiny.resolved(tiny_base))


def test_sampling_differs_by_seed_and_from_greedy(answer, early):
    resolved = tiny.resolved(early)
    runs = [answer(resolved, temperature=0.7, seed=seed) for seed in (0, 1)] + [answer(resolved)]
    for one, two in itertools.combinations(runs, 2):
        assert sum(one[prompt.id].text != two[prompt.id].text for prompt in PROMPTS) > 0.9 * len(PROMPTS)


def test_sampling_is_the_same_every_time_and_for_equal_texts(answer, early):
    twice = [*PROMPTS, Prompt(id="again", suite="suite", text=TEXTS[7])]
    one, two = (answer(tiny.resolved(early), twice, temperature=0.7, seed=3) for _ in range(2))
    assert one == two
    assert one["again"].text == one["p7"].text


def test_greedy_decoding_is_blind_to_the_seed(answer, early):
    assert answer(tiny.resolved(early), seed=8) == answer(tiny.resolved(early))


def test_sampled_tokens_come_as_often_as_the_softmax_says(answer, tiny_base):
    """Chi-square over how often a prompt's likeliest, second, ... eighth or any later token was drawn."""
    temperature, steps = 0.7, 2
    prompts = [Prompt(id=str(i), suite="suite", text=f"Prompt {i:04}") for i in range(1500)]
    found = answer(tiny.resolved(tiny_base), prompts, temperature=temperature, max_new_tokens=steps)
    letters, rows = tiny.tokenizer().convert_tokens_to_ids, []
    for prompt, row in zip(prompts, ids(prompt.text for prompt in prompts), strict=True):
        drawn = [letters(letter) for letter in found[prompt.id].text]
        rows.append([*row, *drawn, *[tiny.END] * (steps - len(drawn))])  # END is what stopped a shorter one
    rows = torch.tensor(rows)
    with torch.inference_mode():
        logits = load(tiny.resolved(tiny_base), "cpu").model(rows, logits_to_keep=steps + 1).logits.double()

    def chi_square(step, temperature):
        after_stop = (rows[:, -steps:][:, :step] == tiny.END).any(-1)
        shares, order = torch.softmax(logits[~after_stop, step] / temperature, -1).sort(descending=True)
        ranks = (order == rows[~after_stop, step - steps, None]).int().argmax(-1)
        expected = torch.cat([shares[:, :8], shares[:, 8:].sum(-1, keepdim=True)], -1).sum(0)
        return float(((torch.bincount(ranks.clamp(max=8), minlength=9) - expected) ** 2 / expected).sum())

    for step in range(steps):
        assert chi_square(step, temperature) < 26.1, "beyond the 99.9th percentile of chi-square with 8 degrees"
        assert chi_square(step, temperature * 1.2) > 40, "another temperature would be noticed"


@pytest.mark.thorough
@pytest.mark.parametrize("adds", [True, False], ids=["adds", "bare"])
@pytest.mark.parametrize("writes", [True, False], ids=["writes", "silent"])
def test_a_chat_is_rendered_once_with_the_beginning_that_its_template_writes(answer, tiny_base, tmp_path, adds, writes):
    copy = shutil.copytree(tiny_base, tmp_path / "chat")
    tokenizer = tiny.tokenizer()
    tokenizer.bos_token = "<end>"
    tokenizer.chat_template = "{{ bos_token }}" * writes + tiny.CHAT
    if adds:
        begins = TemplateProcessing(single="<end> $A", special_tokens=[("<end>", tiny.END)])
        tokenizer.backend_tokenizer.post_processor = begins
    tokenizer.save_pretrained(copy)
    resolved, some = tiny.resolved(copy), PROMPTS[::4]
    rendered = [f"<|user|>{prompt.text}\n<|assistant|>" for prompt in some]
    for ask, texts, begun in (("chat", rendered, writes), ("raw", [prompt.text for prompt in some], adds)):
        expected = alone(resolved, [[*[tiny.END] * begun, *row] for row in ids(texts)])
        assert said(answer(resolved, some, ask=ask), some) == expected


def test_a_text_that_begins_with_the_first_token_gets_no_second(answer, tiny_base, tmp_path):
    copy = shutil.copytree(tiny_base, tmp_path / "begun")
    tokenizer = tiny.tokenizer()
    tokenizer.bos_token = "<end>"
    begins = TemplateProcessing(single="<end> $A", special_tokens=[("<end>", tiny.END)])
    tokenizer.backend_tokenizer.post_processor = begins
    tokenizer.save_pretrained(copy)
    begun = [replace(prompt, text="<end>" + prompt.text) for prompt in PROMPTS]
    assert said(answer(tiny.resolved(copy), begun)) == said(answer(tiny.resolved(copy)))


@pytest.mark.thorough
def test_a_system_prompt_stands_in_a_chat_and_nowhere_else(answer, tiny_base):
    resolved = tiny.resolved(tiny_base)
    some = PROMPTS[3::4]
    for system, begun in (("Be kind.", "<|system|>Be kind.\n"), (None, "")):
        rendered = [f"{begun}<|user|>{prompt.text}\n<|assistant|>" for prompt in some]
        assert said(answer(resolved, some, ask="chat", system=system), some) == alone(resolved, ids(rendered))
    assert said(answer(resolved, system="Be kind.")) == said(answer(resolved))


def test_a_model_without_a_chat_template_is_one_sentence(answer, tiny_base, tmp_path):
    copy = shutil.copytree(tiny_base, tmp_path / "plain")
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ToxauditError, match=r"^base has no chat template: set ask: raw in the suite\.$"):
        answer(tiny.resolved(copy), ask="chat")


def test_a_prompt_longer_than_the_model_reads_is_one_sentence(answer, tiny_base):
    long = Prompt(id="tome", suite="suite", text="x" * (512 - MOST + 1))
    with pytest.raises(ToxauditError, match=r"^base reads at most 512 tokens, but prompt 'tome' has 497 .* 16 more"):
        answer(tiny.resolved(tiny_base), [*PROMPTS, long])
    fits = Prompt(id="chapter", suite="suite", text="x" * (512 - MOST))
    assert said(answer(tiny.resolved(tiny_base), [fits]), [fits]) == alone(tiny.resolved(tiny_base), ids([fits.text]))


def test_a_prompt_of_no_tokens_is_one_sentence(answer, tiny_base):
    with pytest.raises(ToxauditError, match="makes no token of prompt 'void'"):
        answer(tiny.resolved(tiny_base), [Prompt(id="void", suite="suite", text="")])


def test_one_new_token_may_be_asked_for(answer, early):
    found = said(answer(tiny.resolved(early), max_new_tokens=1))
    expected = said(answer(tiny.resolved(early)))
    assert [text for text, _, _ in found] == [text[:1] for text, _, _ in expected]


@pytest.mark.thorough
def test_a_tokenizer_without_end_or_padding_token_still_answers(answer, tiny_base, tmp_path):
    copy = shutil.copytree(tiny_base, tmp_path / "endless")
    tokenizer = tiny.tokenizer()
    tokenizer.eos_token = tokenizer.pad_token = None
    tokenizer.save_pretrained(copy)
    some = PROMPTS[::3]
    expected = alone(tiny.resolved(tiny_base), ids(prompt.text for prompt in some))
    assert said(answer(tiny.resolved(copy), some), some) == expected


def test_bfloat16_begins_as_generate_does_but_for_rounding(answer, tiny_base):
    resolved = tiny.resolved(tiny_base, dtype="bfloat16")
    expected, found = alone(resolved, ids(TEXTS), most=2), said(answer(resolved, max_new_tokens=2))
    assert sum(one == other for one, other in zip(expected, found, strict=True)) >= len(TEXTS) - 4


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_size_below_one_is_refused(batch_size):
    with pytest.raises(ToxauditError, match=f"backend.batch_size is {batch_size}"):
        Transformers(batch_size=batch_size).check()


def test_the_model_is_let_go_when_the_arm_is_closed(tiny_base):
    def models():
        gc.collect()
        return sum(type(made) is LlamaForCausalLM for made in gc.get_objects())

    before = models()
    with Transformers().open(Loader("cpu"), [tiny.resolved(tiny_base)]) as session:
        list(session.generate([Request("base", prompt) for prompt in PROMPTS[:2]], Generation(2), lambda _: False))
        assert models() == before + 1
    del session  # which knows the loader
    assert models() == before
