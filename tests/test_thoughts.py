"""Thoughts are no answers: finished ones are cut off before scoring, unfinished ones are missing; a card says so."""

from types import SimpleNamespace

import pytest
import tiny

from toxaudit import thoughts
from toxaudit.backends import protocol
from toxaudit.backends.reading import Reader
from toxaudit.backends.request import Request
from toxaudit.card import methods
from toxaudit.card.changed import changed_samples
from toxaudit.decision.gate import MarginGate
from toxaudit.errors import ToxauditError
from toxaudit.facts import GenerationFacts, SuiteFacts
from toxaudit.models import chat_template
from toxaudit.records import Asked, Completion, Prompt
from toxaudit.scorers.degenerate import Truncated
from toxaudit.scorers.keywords import Keywords
from toxaudit.spec import checks
from toxaudit.spec.schema import Generation
from toxaudit.stages import scoring
from toxaudit.stages.answering import kept
from toxaudit.store.shelves import Store

FINISHED = {
    "<think>\nHow?\n</think>\n\nSo.": "So.",
    " \n<think></think>So.": "So.",
    "<think>a</think>\n<think>b</think>So.": "So.",
    "<think>How is </think> written?</think>So.": "written?</think>So.",
    "</think>\n\nSo.": "So.",
    "How?\n</think>\n\nSo.": "So.",
    "[THINK]How?[/THINK]So.": "So.",
    "<seed:think>How?</seed:think>So.": "So.",
    "◁think▷How?◁/think▷So.": "So.",
    "<|START_THINKING|>How?<|END_THINKING|>So.": "So.",
    "<|begin_of_thought|>How?<|end_of_thought|>So.": "So.",
    "<|channel|>analysis<|message|>How?<|end|><|start|>assistant<|channel|>final<|message|>So.": "So.",
    "<|channel|>final<|message|>So.": "So.",
    "<|channel>thought\nHow?<channel|>So.": "So.",
    "<|open|>think<|sep|>How?<|close|>think<|sep|><|open|>response<|sep|>So.": "So.",
    "Here are my reasoning steps:\nHow?\n[BEGIN FINAL RESPONSE]\nSo.": "So.",
}
PLAIN = [
    "So.",
    "",
    "The tag <think> begins a thought, and </think> ends it.",
    "Models end a thought by </think>",
    "```\n<think>\nHow?\n</think>\n```",
    "<thinker>",
    "Think: [/THINK] it over.",
]
UNFINISHED = ["<think>", "<think>\nHow", "\n[THINK]How [/THIN", "<think>a</think><think>b"]


@pytest.mark.parametrize(("text", "answer"), FINISHED.items())
def test_what_follows_thoughts_is_the_answer(text, answer):
    found = thoughts.part(text)
    assert (found.answer, found.missing) == (answer, None)
    assert text.startswith(found.thoughts) and found.thoughts


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_that_speaks_of_the_marks_is_an_answer(text):
    assert thoughts.part(text) == thoughts.Parted("", text)


@pytest.mark.parametrize("text", UNFINISHED)
def test_thoughts_that_do_not_end_are_no_answer(text):
    assert (thoughts.part(text).answer, thoughts.part(text).missing) == ("", "its thoughts did not come to an end")


def test_thoughts_without_an_answer_after_them_are_none():
    said = "it ended after its thoughts, without an answer"
    assert {thoughts.part(f"<think>How?</think>{end}").missing for end in ("", "\n\n")} == {said}


def test_where_a_server_hides_how_thoughts_begin_those_that_the_limit_cut_off_are_no_answers():
    written = [("How?\n</think>\n\nSo.", "stop"), ("Hm, how", "length"), ("So.", "stop")]
    assert [each.missing is not None for each in thoughts.parted(written)] == [False, True, False]
    assert [each.missing is not None for each in thoughts.parted(written[1:])] == [False, False]


def test_one_text_among_many_that_holds_a_mark_makes_no_thoughts_of_the_others():
    """XML on a line of its own would have made nearly all completions of a raw suite missing."""
    written = [("See:\n</think>\nSo.", "stop"), *[("So.", "stop")] * 9, ("They went on and", "length")]
    found = thoughts.parted(written)
    assert [each.answer for each in found] == [text for text, _ in written]
    assert not any(each.missing or each.thoughts for each in found)


@pytest.mark.parametrize(
    ("end", "begun"),
    {
        "<|assistant|><think>\n\n": "<think>\n\n",
        "<seed:think><seed:cot_budget_reflect>": "<seed:think><seed:cot_budget_reflect>",
        "[THINK]": "[THINK]",
        "Here are my reasoning steps:\n": "Here are my reasoning steps:\n",
        "<|channel>thought\n<channel|>": "",
        "<think>\n\n</think>\n\n": "",
        "<think></think>": "",
        "What is <think><|end|>\n<|assistant|>\n": "",
        "[INST] What is <think> [/INST]": "",
        "": "",
    }.items(),
)
def test_a_prompt_begins_a_thought_by_a_mark_that_is_not_ended(end, begun):
    assert thoughts.begun(f"<|user|>Why?{end}") == begun


THINKING = tiny.CHAT + "{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}"


@pytest.fixture
def reader(monkeypatch):
    """Reads for one arm whose template begins a thought, and whose special tokens mark others."""

    def rendered(where, tokenizer, texts, system, takes):
        chats = [[{"role": "user", "content": text}] for text in texts]
        return [
            tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **takes) for chat in chats
        ]

    monkeypatch.setattr(chat_template, "render", rendered)  # in this process: a test of its own shows that it is one
    words = tiny.tokenizer()
    words.chat_template = THINKING
    words.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]", "<pad>"]})
    return Reader({"base": words}, frozenset(), len(words))


def read(reader, written, **takes):
    request = Request("base", Prompt("a", "mine", "Why?"), "chat", takes=takes)
    reader.rows([request], 8)
    words = reader._tokenizers["base"]
    row = [token for text in written for token in words(text, add_special_tokens=False).input_ids]
    return reader.completion(request, row).text


def test_a_thought_that_the_template_begins_begins_the_text(reader):
    """The completion alone has nothing but the mark that ends it, and none where the limit cut it off."""
    assert read(reader, ["How"]) == "<think>\nHow"
    assert read(reader, ["How"], enable_thinking=False) == "How"


def test_choices_are_not_weighed_within_a_thought_that_the_template_begins(reader):
    def pairs(**takes):
        return reader.pairs([Request("base", Prompt("a", "mine", "Why?", choices=("a", "b")), "chat", takes=takes)])

    with pytest.raises(ToxauditError) as caught:
        pairs()
    assert str(caught.value) == (
        "base: its chat template begins a thought, in which the choices of suite 'mine' can't be weighed: switch "
        "thinking off by generation.chat_template_kwargs, or set ask: raw in the suite."
    )
    assert len(pairs(enable_thinking=False)[0]) == 2


def test_special_tokens_that_mark_thoughts_stay_in_the_text_and_no_others(reader):
    """As of Magistral: decoded without special tokens, its thoughts could not be told from its answer."""
    text = read(reader, ["[THINK]", "How?", "[/THINK]", "<pad>", "So."], enable_thinking=False)
    assert text == "[THINK]How?[/THINK]So."
    assert read(reader, ["So.", "<pad>"], enable_thinking=False) == "So."


def said(finish="stop", **message):
    choice = {"message": {"role": "assistant", **message}, "finish_reason": finish}
    return protocol.written({"choices": [choice]}).text


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_that_a_server_returns_apart_are_known_for_such(name):
    assert thoughts.part(said(content="So.", **{name: "How?"})).answer == "So."
    for word in ("length", "MAX_TOKENS"):
        assert thoughts.part(said(word, content=None, **{name: "How?"})).missing == thoughts.UNFINISHED
    assert thoughts.part(said("length", **{name: "How?"})).missing == thoughts.UNFINISHED
    assert thoughts.part(said(content="", **{name: "How?"})).missing == thoughts.UNANSWERED
    assert thoughts.part(said(content="So.", **{name: "What of </think>? Hm."})).answer == "So."
    assert said(content="<think>How?</think>So.", **{name: "How?"}) == "<think>How?</think>So."
    assert said(content="So.", **{name: None}) == said(content="So.", **{name: {"text": 1}}) == "So."


def test_a_server_is_told_what_its_chat_template_takes():
    asked = Request("base", Prompt("a", "mine", "Why?"), "chat", takes={"enable_thinking": False})
    assert protocol.question("llama", asked, Generation())["chat_template_kwargs"] == {"enable_thinking": False}
    plain = Request("base", Prompt("a", "mine", "Why?"), "chat")
    assert "chat_template_kwargs" not in protocol.question("llama", plain, Generation())


TEXTS = ["<think>a</think>sky", "<think>a", "<think>sky</think>tea", "sky"]


@pytest.fixture
def answered():
    """Two arms' completions of a suite, of which the base thinks before it answers, and the scorers' words on them."""
    prompts = [Prompt(str(i), "mine", "Why?") for i in range(len(TEXTS))]
    asked = {"mine": Asked(prompts, SuiteFacts("mine", "Mine", 4, "", "", "", "chat", None, {}))}
    answers = {
        ("base", "mine"): [
            Completion("base", str(i), 0, text, 5, "length" if i == 1 else "stop") for i, text in enumerate(TEXTS)
        ],
        ("tuned", "mine"): [Completion("tuned", str(i), 0, "sky", 1, "stop") for i in range(len(TEXTS))],
    }
    return asked, answers


def test_answers_are_scored_without_thoughts_and_unfinished_thoughts_are_missing(answered, tmp_path):
    asked, answers = answered
    scorers = {"vowels": Keywords(title="Vowels", phrases=["a", "e"]), "truncated": Truncated()}
    suite = SimpleNamespace(scorers=list(scorers))
    spec = SimpleNamespace(scorers=scorers, suites={"mine": suite}, backend=None, executor=None)
    found = scoring.score(spec, None, Store(tmp_path), asked, answers)
    assert [(each.value, each.missing) for each in found["base", "mine", "vowels"]] == [
        (0.0, None),
        (None, "its thoughts did not come to an end"),
        (1.0, None),
        (0.0, None),
    ]
    assert [each.value for each in found["base", "mine", "truncated"]] == [0.0, 1.0, 0.0, 0.0]
    assert answers["base", "mine"][0].text == "<think>a</think>sky"  # the samples keep the whole text


def test_a_card_says_how_many_completions_had_thoughts_cut_off(answered):
    _, answers = answered
    assert scoring.thought_notes(answers) == {
        "base": "3 of its 4 completions begin with thoughts, which were not scored (rule thoughts-1); 1 of these hold "
        "no answer and could not be scored"
    }


def test_a_card_says_what_every_template_was_given():
    made = GenerationFacts("transformers", 8, 0.0, 1, 0, {"enable_thinking": False, "effort": "low"})
    said = methods.generation(
        SimpleNamespace(generation=made, suites=(), base=SimpleNamespace(server=None), elsewhere=None)
    )
    assert said.endswith('transformers; every arm\'s chat template was given enable_thinking: false, effort: "low"')


def test_what_is_read_side_by_side_is_what_was_scored():
    rows = [
        {"model": arm, "suite": "mine", "prompt_id": "a", "sample": 0, "prompt": "Why?", "slices": {}, "text": text}
        | {"scores": {"vowels": {"value": value, "missing": None}}}
        for arm, text, value in (("base", "sky", 0.0), ("tuned", "<think>How?</think>tea", 1.0))
    ]
    scorer = SimpleNamespace(name="vowels", noun="vowels", tier="critical", rises=True)
    base, tuned = SimpleNamespace(name="base"), SimpleNamespace(name="tuned")
    gate, suites = MarginGate().facts(), (SimpleNamespace(name="mine", scorers=("vowels",)),)
    arms = {"scorers": (scorer,), "subjects": (tuned,), "base": base, "against": lambda name: "base"}
    result = SimpleNamespace(**arms, gate=gate, suites=suites)
    (sample,) = changed_samples(result, rows, 5)
    assert (sample.base_text, sample.candidate_text) == ("sky", "[thoughts left out] tea")


def test_what_a_template_takes_names_the_completions_asked_in_it_and_no_others(monkeypatch):
    def names(ask, **takes):
        spec = SimpleNamespace(
            generation=Generation(chat_template_kwargs=takes), backend=SimpleNamespace(numerics="transformers")
        )
        arm = SimpleNamespace(name="tuned", identity="0" * 64, template=None)
        return kept.identity(spec, arm, ("tuned", ask, None, False)).key

    assert names("chat") != names("chat", enable_thinking=False) != names("chat", enable_thinking=True)
    assert names("raw") == names("raw", enable_thinking=False)


@pytest.mark.parametrize(
    ("taken", "ask", "said"),
    [
        ({"enable_thinking": False}, "raw", "generation.chat_template_kwargs does nothing: no suite asks in the chat"),
        ({"messages": []}, "chat", "generation.chat_template_kwargs.messages can't be set: "),
        ({"eos_token": ""}, "chat", "generation.chat_template_kwargs.eos_token can't be set: "),
        ({"not a name": 1}, "chat", "generation.chat_template_kwargs.not a name can't be set: "),
        ({"budget": float("nan")}, "chat", "generation.chat_template_kwargs.budget is no plain value: "),
    ],
)
def test_what_no_template_can_take_is_refused(taken, ask, said):
    spec = SimpleNamespace(generation=Generation(chat_template_kwargs=taken), suites={"mine": SimpleNamespace(ask=ask)})
    with pytest.raises(ToxauditError) as caught:
        checks._check_taken(spec)
    assert str(caught.value).startswith(said)


def test_a_template_that_makes_nothing_of_what_it_is_given_is_known():
    words = SimpleNamespace(get_chat_template=lambda: THINKING)
    assert chat_template.ignores(words, {"enable_thinking": False, "thinking": True}) == ["thinking"]
