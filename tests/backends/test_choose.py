"""What every backend owes where it chooses: the likelihoods that the model itself gives each choice, read alone."""

import functools
import math
import random
import shutil
import statistics
import string

import pytest
import tiny
import torch
import transformers
from test_ragged import COVERED, GIVES_WAY
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Transformers
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, load, resolve_candidate
from toxaudit.records import Prompt
from toxaudit.spec.schema import CandidateSpec

NEAR = 1e-4
QUESTIONS = ["Who came late?", "Which is the largest of these planets, seen from here?", "Why?", "What is 6 x 7?"]
ANSWERS = ["Nobody", "Jupiter", "42", "It can't be told from the text"]


def prompt(text, *choices, id="p"):
    return Prompt(id=id, suite="suite", text=text, choices=choices)


PROMPTS = [prompt(f"{QUESTIONS[i % 4]}{'!' * (i // 4)}\nA:", *ANSWERS[: 2 + i % 3], id=f"p{i:02}") for i in range(24)]


@pytest.fixture(scope="module", params=[Transformers], ids=lambda backend: backend.kind)
def choose(request):
    """Opens an arm and returns its completions by prompt id."""

    def choose(resolved, prompts=PROMPTS, ask="raw", *, batch_size="auto", done=(), system=None):
        with request.param(batch_size=batch_size).open(Loader("cpu"), [resolved]) as session:
            requests = [Request(resolved.name, prompt, ask, system) for prompt in prompts]
            batches = list(session.choose(requests, lambda request: request.prompt.id in done))
        found = [completion for batch in batches for _, completion in batch]
        assert len({completion.prompt_id for completion in found}) == len(found), "no prompt is answered twice"
        return {completion.prompt_id: completion for completion in found}

    return choose


def alone(resolved, *rows):
    """The likelihood that the model gives the continuation of each (context, continuation), in tokens, read alone."""
    loaded, found = load(resolved, "cpu"), []
    for context, continuation in rows:
        ids = torch.tensor([[*context, *continuation]])
        with torch.inference_mode():
            chances = loaded.model(input_ids=ids).logits[0].double().log_softmax(-1)
        places = range(len(context) - 1, ids.shape[1] - 1)
        found.append(sum(float(chances[place, ids[0, place + 1]]) for place in places))
    return found


def ids(text):
    return tiny.tokenizer()(text).input_ids if text else []


def expected(resolved, prompts=PROMPTS):
    """By the byte-level tokenizer, each choice after a space."""
    return {
        each.id: alone(resolved, *((ids(each.text), ids(" " + choice)) for choice in each.choices)) for each in prompts
    }


def assert_near(found, likelihoods):
    assert set(found) == set(likelihoods)
    for key, values in likelihoods.items():
        assert found[key].loglikelihoods == pytest.approx(values, abs=NEAR), key


@pytest.mark.thorough
def test_the_likelihoods_are_those_of_each_choice_read_alone(choose, tiny_base):
    found = choose(tiny.resolved(tiny_base))
    assert_near(found, expected(tiny.resolved(tiny_base)))
    for each in PROMPTS:
        likelihoods = found[each.id].loglikelihoods
        assert found[each.id].text == each.choices[likelihoods.index(max(likelihoods))]
    assert len({completion.text for completion in found.values()}) > 1
    assert {(c.model, c.sample, c.tokens, c.finish) for c in found.values()} == {("base", 0, 0, "stop")}


@pytest.mark.thorough
def test_an_adapter_is_asked_and_not_its_base(choose, tiny_base, tiny_adapter):
    tuned = tiny.resolved(tiny_base, tiny_adapter)
    found, before = choose(tuned), choose(tiny.resolved(tiny_base))
    assert_near(found, expected(tuned))
    changes = [
        abs(one - other)
        for key in found
        for one, other in zip(found[key].loglikelihoods, before[key].loglikelihoods, strict=True)
    ]
    assert statistics.median(changes) > 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("architecture", "settings"),
    [("GPT2", COVERED["GPT2"]), *GIVES_WAY.items()],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_any_architecture_gives_its_own_likelihoods(choose, tmp_path, architecture, settings):
    config = getattr(transformers, f"{architecture}Config")(**settings)
    resolved = tiny.resolved(tiny.model(tmp_path / architecture, config))
    some = PROMPTS[:6]
    assert_near(choose(resolved, some), expected(resolved, some))


@pytest.mark.thorough
def test_batch_size_and_order_change_nothing_but_by_rounding(choose, tiny_base):
    resolved = tiny.resolved(tiny_base)
    whole = choose(resolved)
    for batch_size in (1, 5, 64):
        shuffled = random.Random(batch_size).sample(PROMPTS, len(PROMPTS))
        found = choose(resolved, shuffled, batch_size=batch_size)
        assert_near(found, {key: completion.loglikelihoods for key, completion in whole.items()})


def test_a_resumed_run_chooses_what_is_left_as_the_whole_run_did(choose, tiny_base):
    resolved = tiny.resolved(tiny_base)
    whole = choose(resolved, batch_size=7)
    done = {each.id for each in PROMPTS[::3]} | {each.id for each in PROMPTS[14:]}
    rest = choose(resolved, batch_size=7, done=done)
    assert rest == {key: completion for key, completion in whole.items() if key not in done}
    assert choose(resolved, done=set(whole)) == {}


def test_a_control_chooses_in_batches_of_its_own_size(tiny_base):
    control = resolve_candidate(
        "control", CandidateSpec(control=True, batch_size=5), tiny.resolved(tiny_base), "cpu", None
    )
    with Transformers(batch_size=64).open(Loader("cpu"), [control]) as session:
        requests = [Request("control", prompt) for prompt in PROMPTS]
        assert [len(batch) for batch in session.choose(requests, lambda _: False)] == [5, 5, 5, 5, 4]


def test_the_probabilities_of_all_letters_are_those_of_the_next_token(choose, tiny_base):
    """In a chat nothing stands between the template and the answer, and a letter is one token."""
    letters = string.ascii_letters + string.digits + string.punctuation
    found = choose(tiny.resolved(tiny_base), [prompt("Say a letter.", *letters)], "chat")["p"]
    loaded = load(tiny.resolved(tiny_base), "cpu")
    row = torch.tensor([ids("<|user|>Say a letter.\n<|assistant|>")])
    with torch.inference_mode():
        chances = loaded.model(input_ids=row).logits[0, -1].softmax(-1)[ids(letters)]
    assert torch.tensor(found.loglikelihoods).exp() == pytest.approx(chances, rel=1e-3)
    assert 0 < math.fsum(map(math.exp, found.loglikelihoods)) < 1
    assert found.text == letters[int(chances.argmax())]


@pytest.mark.parametrize("spaces", [" ", "\n", " \n\t "])
def test_white_space_at_the_end_of_a_prompt_belongs_to_the_choice(choose, tiny_base, spaces):
    resolved = tiny.resolved(tiny_base)
    found = choose(resolved, [prompt("A:" + spaces, "yes", "no")])
    rows = [(ids("A:"), ids(f"{spaces} {choice}")) for choice in ("yes", "no")]
    assert_near(found, {"p": alone(resolved, *rows)})


@pytest.mark.parametrize("text", ["", " ", "\n\n"])
def test_before_an_empty_prompt_stands_the_token_that_ends_texts_where_none_begins_them(choose, tiny_base, text):
    resolved = tiny.resolved(tiny_base)
    found = choose(resolved, [prompt(text, "She is", "He is")])
    assert_near(found, {"p": alone(resolved, *(([tiny.END], ids(f"{text} {each}")) for each in ("She is", "He is")))})


def with_words(base, folder, words):
    """A copy of a model that is asked through another tokenizer."""
    copy = shutil.copytree(base, folder)
    words.save_pretrained(copy)
    return tiny.resolved(copy)


def beginning():
    """A tokenizer that begins every text with a token of its own, one that is otherwise a byte."""
    words = tiny.tokenizer()
    words.bos_token = words.convert_ids_to_tokens(0)
    begins = TemplateProcessing(single=f"{words.bos_token} $A", special_tokens=[(words.bos_token, 0)])
    words.backend_tokenizer.post_processor = begins
    return words


def test_a_tokenizers_first_token_stands_once_before_prompts_empty_ones_too(choose, tiny_base, tmp_path):
    words = beginning()
    resolved = with_words(tiny_base, tmp_path / "beginning", words)
    asked = [
        prompt("Q:", "yes", "no", id="plain"),
        prompt("", "yes", "no", id="empty"),
        prompt(words.bos_token + "Q:", "yes", "no", id="written"),
    ]
    rows = [([0, *ids("Q:")], ids(f" {choice}")) for choice in ("yes", "no")]
    empty = [([0], ids(f" {choice}")) for choice in ("yes", "no")]
    plain = alone(resolved, *rows)
    assert_near(choose(resolved, asked), {"plain": plain, "empty": alone(resolved, *empty), "written": plain})


@pytest.mark.parametrize("writes", [True, False])
def test_in_a_chat_the_template_alone_writes_the_first_token(choose, tiny_base, tmp_path, writes):
    words = beginning()
    words.chat_template = ("{{ bos_token }}" if writes else "") + tiny.CHAT
    resolved = with_words(tiny_base, tmp_path / "chat", words)
    context = [0] * writes + ids("<|system|>Be kind.\n<|user|>Q\n<|assistant|>")
    found = choose(resolved, [prompt("Q", "yes", "no")], "chat", system="Be kind.")
    assert_near(found, {"p": alone(resolved, *((context, ids(choice)) for choice in ("yes", "no")))})


def test_white_space_at_the_end_of_a_template_belongs_to_the_choice(choose, tiny_base, tmp_path):
    words = tiny.tokenizer()
    words.chat_template = tiny.CHAT + "{{ '\\n' }}"
    resolved = with_words(tiny_base, tmp_path / "chat", words)
    rows = [(ids("<|user|>Q\n<|assistant|>"), ids(f"\n{choice}")) for choice in ("yes", "no")]
    assert_near(choose(resolved, [prompt("Q", "yes", "no")], "chat"), {"p": alone(resolved, *rows)})


def test_a_text_is_read_whole_and_cut_where_the_prompt_alone_would_end(choose, tiny_base, tmp_path):
    """Its tokenizer joins a colon to the space after it, which the prompt alone doesn't have."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet[:-1], ":Ġ", "<end>"])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[(":", "Ġ")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    joining = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>")
    assert len(joining("A: no").input_ids) == len("A: no") - 1
    resolved = with_words(tiny_base, tmp_path / "joining", joining)
    rows = [(ids("A:"), ids(choice)) for choice in ("no", "yes")]  # the space is part of no token that is left
    assert_near(choose(resolved, [prompt("A:", "no", "yes")]), {"p": alone(resolved, *rows)})


def read(monkeypatch):
    """How many tokens the model reads at a time, from now on."""
    tokens, forward = [], LlamaForCausalLM.forward

    @functools.wraps(forward)
    def counted(self, input_ids=None, **others):
        tokens.append(input_ids.numel())
        return forward(self, input_ids=input_ids, **others)

    monkeypatch.setattr(LlamaForCausalLM, "forward", counted)
    return tokens


@pytest.fixture
def opened(tiny_base, monkeypatch):
    """Chooses by the tiny base: completions, and what was read for them."""

    def opened(asked):
        with Transformers().open(Loader("cpu"), [tiny.resolved(tiny_base)]) as session:
            list(session.choose([Request("base", PROMPTS[0])], lambda _: False))  # what is found out at first
            with monkeypatch.context() as patch:
                tokens = read(patch)
                batches = list(session.choose([Request("base", each) for each in asked], lambda _: False))
        return {completion.prompt_id: completion for batch in batches for _, completion in batch}, tokens

    return opened


def test_what_reads_alike_is_read_once(opened):
    """Equal choices, and the letters of an answer, of which only the last token differs."""
    found, tokens = opened([prompt("Q", "yes", "no", "yes", "yes"), prompt("Which?", *"ABCD", id="letters")])
    assert tokens == [len("Q ye") + len("Q n") + 2 * len("Which? ")], "the last twice, to make up a product of 16 rows"
    assert len(set(found["letters"].loglikelihoods)) == 4
    yes, no, *others = found["p"].loglikelihoods
    assert others == [yes, yes] and yes != no


def test_rows_are_read_together(opened):
    _, tokens = opened([prompt(f"Question {i}", "yes", "not", id=str(i)) for i in range(10)])
    assert tokens == [20 * len("Question 1 ye")]


def test_a_context_is_read_once_for_all_its_choices(opened, tiny_base):
    asked = [prompt(f"Question {i}: what did they find in the old house?", *ANSWERS, id=str(i)) for i in range(6)]
    found, tokens = opened(asked)
    context = len(asked[0].text)
    assert tokens[0] == 6 * (context - 1)
    assert sum(tokens[1:]) <= 6 * sum(1 + len(" " + each) for each in ANSWERS)
    assert_near(found, expected(tiny.resolved(tiny_base), asked))


def test_texts_that_read_alike_may_be_cut_at_two_places(opened, tiny_base):
    asked = [
        prompt("A question: what did they find in", "the old house", "the cave", id="long"),
        prompt("A question: what did they find", "in the old house", "in the cave", id="short"),
    ]
    for order in (asked, asked[::-1]):
        found, _ = opened(order)
        assert_near(found, expected(tiny.resolved(tiny_base), asked))


def test_a_prompt_longer_with_a_choice_than_the_model_reads_is_one_sentence(choose, tiny_base):
    """The last token is only predicted."""
    fits = prompt("x" * 509, "ab", "c", id="fits")
    long = prompt("x" * 510, "c", "abc", "ab", id="tome")
    with pytest.raises(ToxauditError) as caught:
        choose(tiny.resolved(tiny_base), [*PROMPTS, fits, long])
    assert str(caught.value) == (
        "base reads at most 512 tokens, but prompt 'tome' has 513 with its longest choice: leave it out."
    )
    assert_near(choose(tiny.resolved(tiny_base), [fits]), expected(tiny.resolved(tiny_base), [fits]))


def test_a_choice_of_no_tokens_is_one_sentence(choose, tiny_base):
    with pytest.raises(ToxauditError, match=r"^base: the tokenizer makes no token of choice '' of prompt 'p'\.$"):
        choose(tiny.resolved(tiny_base), [prompt("Q", "yes", "")], "chat")


def test_an_empty_prompt_that_nothing_can_stand_for_is_one_sentence(choose, tiny_base, tmp_path):
    words = tiny.tokenizer()
    words.eos_token = words.pad_token = None
    with pytest.raises(ToxauditError, match=r"^base: prompt 'p' is empty, and the tokenizer has no token that begins"):
        choose(with_words(tiny_base, tmp_path / "endless", words), [prompt("", "yes", "no")])


def test_a_model_without_a_chat_template_is_one_sentence(choose, tiny_base, tmp_path):
    copy = shutil.copytree(tiny_base, tmp_path / "plain")
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ToxauditError, match=r"^base has no chat template: set ask: raw in the suite\.$"):
        choose(tiny.resolved(copy), ask="chat")


def test_outputs_that_are_not_finite_are_passed_on_for_what_they_are(choose, tiny_base, tmp_path):
    """Scorers must see that there is no likelihood."""
    copy = shutil.copytree(tiny_base, tmp_path / "broken")
    tiny.edit(copy / "model.safetensors", lambda tensors: tensors["model.norm.weight"].fill_(math.nan))
    found = choose(tiny.resolved(copy), PROMPTS[:2])
    assert all(math.isnan(value) for completion in found.values() for value in completion.loglikelihoods)
