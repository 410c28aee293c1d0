"""Chat templates give what transformers would give, and a hostile one is stopped and named in one sentence."""

import os
import subprocess
import sysconfig
import time
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
from hypothesis import example, given, settings
from hypothesis import strategies as st

import toxaudit
from toxaudit.errors import ToxauditError
from toxaudit.models import chat_template, limited, limited_work

LLAMA = """\
{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: 26 Jul 2024\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
CHATML = """\
{% for message in messages %}
{% if loop.first and messages[0]['role'] != 'system' %}
{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{% endif %}
{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}
{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
GEMMA = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% set role = 'model' if (message['role'] == 'assistant') else message['role'] %}\
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""
MISTRAL = """\
{{ bos_token }}{% for message in messages %}{% generation %}{% endgeneration %}{% if message.role == 'user' %}\
{{ '[INST] ' ~ message.content ~ ' [/INST]' }}{% else %}{{ message.content ~ eos_token }}{% endif %}{% endfor %}\
{{ messages | tojson }} {{ tools }} {{ documents }}{% continue_or_break %}"""
REAL = {"llama": LLAMA, "chatml": CHATML, "gemma": GEMMA, "mistral": MISTRAL.removesuffix("{% continue_or_break %}")}
PLAIN = "{{ messages[0].content }}"
TEXTS = [
    "How do I?",
    "",
    "  spaces \n",
    "{{ 7 * 7 }} {% raise %} {#",
    "<|eot_id|>",
    "Grüße 世界 \U0001f642",
    "\0\x1b[2J",
    "x" * 9999,
]


@pytest.fixture(scope="module")
def words():
    """A tokenizer with all the special tokens that templates speak of."""
    found = tiny.tokenizer()
    found.add_special_tokens({"bos_token": "<begin>", "additional_special_tokens": ["<|eot_id|>", "<end_of_turn>"]})
    return found


def render(template, *texts):
    having = SimpleNamespace(get_chat_template=lambda: template, special_tokens_map={"eos_token": "<end>"})
    return chat_template.render("org/model", having, texts or ["Hello"])


def refusal(template, *texts):
    """The sentence by which a template is refused."""
    with pytest.raises(ToxauditError) as caught:
        render(template, *texts)
    said = str(caught.value)
    assert said.startswith("org/model: its chat template ") and said.endswith(".") and not said.endswith("..")
    assert said.isprintable() and len(said) < 1000
    return said


def expected(words, texts, system=None):
    begun = [{"role": "system", "content": system}] if system else []
    return [
        words.apply_chat_template(
            [*begun, {"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        for text in texts
    ]


@pytest.mark.parametrize("name", REAL)
def test_a_real_template_gives_what_transformers_gives(words, name):
    words.chat_template = REAL[name]
    made = chat_template.render("org/model", words, TEXTS)
    assert made == expected(words, TEXTS)
    assert all(text.strip() in each for text, each in zip(TEXTS, made, strict=True)) and len(set(made)) == len(TEXTS)


@settings(max_examples=3)
@given(name=st.sampled_from(sorted(REAL)), texts=st.lists(st.text(), max_size=30))
@example(name="chatml", texts=["\ud800", "\u2028\u2029\x85\r\n", "\ufeff"])
def test_whatever_the_user_says_the_template_gives_what_transformers_gives(words, name, texts):
    words.chat_template = REAL[name]
    assert chat_template.render("org/model", words, texts) == expected(words, texts)


@pytest.mark.parametrize("name", ["llama", "chatml"])
def test_a_system_prompt_stands_before_the_users_turn(words, name):
    words.chat_template = REAL[name]
    made = chat_template.render("org/model", words, TEXTS, " Be kind.\n")
    assert made == expected(words, TEXTS, " Be kind.\n")
    assert all("Be kind." in each for each in made)
    assert chat_template.render("org/model", words, TEXTS, "") == expected(words, TEXTS)


def test_a_template_that_refuses_a_system_prompt_is_told_from_one_that_is_broken(words):
    words.chat_template = GEMMA
    with pytest.raises(ToxauditError) as caught:
        chat_template.render("org/model", words, TEXTS, "Be kind.")
    assert str(caught.value) == (
        "org/model: its chat template takes no system prompt (jinja2.exceptions.TemplateError: System role not "
        "supported): leave system_instruction out."
    )
    words.chat_template = "{{ raise_exception('Only tools.') }}"
    with pytest.raises(ToxauditError, match=r"^org/model: its chat template can't be rendered: .* Only tools\.$"):
        chat_template.render("org/model", words, TEXTS, "Be kind.")


@pytest.mark.parametrize("default", ["Be kind.", "You are Qwen. Be kind."], ids=["the same", "holds it"])
def test_a_system_prompt_that_the_template_has_by_itself_may_be_asked_for(here, default):
    """Qwen2.5's default ends in words that many ask for, and was said to drop them."""
    template = (
        "{% if messages[0].role != 'system' %}<|system|>" + default + "{% endif %}"
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    )
    having = SimpleNamespace(get_chat_template=lambda: template, special_tokens_map={})
    made = chat_template.render("org/model", having, ["Hi"], "Be kind.")
    assert made == ["<|system|>Be kind.<|user|>Hi"]


def test_a_template_that_drops_the_system_prompt_is_refused(words):
    """An audit with a safety prompt would be one without, and nobody would know."""
    words.chat_template = "{% for m in messages if m.role == 'user' %}[{{ m.content }}]{% endfor %}"
    with pytest.raises(ToxauditError) as caught:
        chat_template.render("org/model", words, TEXTS, "Be kind.")
    assert str(caught.value) == "org/model: its chat template drops the system prompt: leave system_instruction out."


def test_of_several_templates_the_default_one_is_used(words):
    words.chat_template = {"tool_use": "no", "default": "yes " + PLAIN}
    assert chat_template.render("org/model", words, ["Hello"]) == ["yes Hello"]
    words.chat_template = {"tool_use": "no", "rag": "no"}
    with pytest.raises(ToxauditError, match=r"^org/model: none of its chat templates is the default one\.$"):
        chat_template.render("org/model", words, ["Hello"])


def test_what_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(chat_template, "RENDER_SECONDS", 4.0)
    start = time.monotonic()
    said = refusal("{{ 9 ** (9 ** 9) }}")  # one instruction, which no Python code could interrupt
    assert said == "org/model: its chat template was stopped after 4 seconds: it does not come to an end."
    assert time.monotonic() - start < 8


def test_what_takes_too_much_memory_is_refused():
    assert (
        refusal("{{ '{:>10000000000}'.format(1) }}") == "org/model: its chat template can't be rendered: MemoryError."
    )


def test_what_says_too_much_is_refused():
    assert refusal("{{ 'a' * (2 * 10**6) }}").endswith("ValueError: it makes 2,000,000 characters of 7.")
    long = "x" * 3 * 10**6
    assert render(PLAIN, long) == [long]  # which the user said, and not the template


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(messages[0]) }}",
    ],
    ids=["classes", "change"],
)
def test_what_reaches_out_of_its_sandbox_is_refused(template):
    assert "root:" not in refusal(template)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% foo %}", "Encountered unknown tag 'foo'."),
        ("{{ raise_exception('Only tools.') }}", "Only tools."),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "maximum recursion depth exceeded."),
    ],
    ids=["unknown", "raised", "recursive"],
)
def test_what_is_broken_is_refused_by_what_is_wrong(template, said):
    assert refusal(template).endswith(said)


@pytest.mark.parametrize("said", ["'x' * 10**6", r"'a\nb\x1b[2J\x1b[31mGO: all is well'"], ids=["long", "terminal"])
def test_what_a_template_complains_of_can_not_break_the_sentence(said):
    assert refusal("{{ raise_exception(" + said + ") }}")


@pytest.mark.parametrize(
    "template",
    [PLAIN + "{{ strftime_now('%H:%M:%S.%f') }}", PLAIN + "{{ range(10**5) | random }}"],
    ids=["clock", "chance"],
)
def test_a_template_asks_the_same_whenever_it_is_rendered(template):
    """Completions are stored by the prompt's text, and a lock promises the same ones on another day."""
    assert render(template, "Good day", "Hello")[1:] == render(template, "Hello")  # whatever else is asked


TURN = "{% for m in messages %}<|{{ m.role }}|>"
END = "{% endfor %}<|assistant|>"
IN_PARTS = TURN + "{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}" + END
FIRST_PART = TURN + "{{ m.content[0].text | trim }}" + END
ONLY_PARTS = (
    TURN + "{% if m.content is string %}{{ raise_exception('Parts.') }}{% endif %}{{ m.content[0].text }}" + END
)
SYSTEM_AS_TEXT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content + '' }}{% else %}{{ m.content[0].text }}"
    "{% endif %}{% endfor %}"
)
FALCON = "{% for m in messages %}{{ m['content'].strip().replace('\r\n', '\n').replace('\n\n', '\n') }}{% endfor %}"
NEMOTRON = TURN + "{{ m.content | replace('/think', '') | replace('/no_think', '') | trim }}" + END
DROPS = "drops what the user says: set ask: raw in the suite, or name another by chat_template"
ALTERS = DROPS.replace("drops", "alters")


@pytest.fixture
def here(monkeypatch):
    """Templates are rendered in this process, without limits."""
    from transformers.utils import chat_template_utils

    monkeypatch.setattr(chat_template_utils, "datetime", None)  # which the work sets, and is put back
    monkeypatch.setattr(limited_work, "begin", lambda: None)
    monkeypatch.setattr(limited, "run", lambda name, seconds, **work: limited_work.WORK[name](**work))


@pytest.mark.parametrize("template", [IN_PARTS, FIRST_PART, ONLY_PARTS], ids=["each", "first", "only"])
def test_a_template_that_takes_content_in_parts_gets_it_so(here, template):
    """Every prompt was alike otherwise, and nothing said so."""
    assert render(template, "Hello", "'So\nwhat?'") == [
        "<|user|>Hello<|assistant|>",
        "<|user|>'So\nwhat?'<|assistant|>",
    ]


@pytest.mark.parametrize("template", [IN_PARTS, FIRST_PART, ONLY_PARTS, SYSTEM_AS_TEXT])
def test_the_system_prompt_is_handed_over_in_the_form_that_the_template_takes(here, words, template):
    words.chat_template = template
    turns = "Be kind.Hello" if template == SYSTEM_AS_TEXT else "<|system|>Be kind.<|user|>Hello<|assistant|>"
    assert chat_template.render("org/model", words, ["Hello"], "Be kind.") == [turns]


@pytest.mark.parametrize(
    ("content", "said"),
    {
        "''": DROPS,
        "messages | length": DROPS,
        "m.content is string": DROPS,
        "m.content[:8]": ALTERS,
        "m.content | truncate(40)": ALTERS,
        "m.content[:2000]": ALTERS,
        "m.content | lower": ALTERS,
        "m.content | e": ALTERS,
        "m.content | tojson": ALTERS,
        "m.content | striptags": ALTERS,
        "m.content.split('\n')[0]": ALTERS,
        "m.content | replace('\n', '')": ALTERS,
        "m.content | replace(' ', '')": ALTERS,
        "m.content | reverse": ALTERS,
        "m.content | urlencode": ALTERS,
        "m.content | length": ALTERS,
        "m.content.encode('ascii', 'ignore')": ALTERS,
    }.items(),
)
def test_a_template_that_loses_or_alters_what_the_user_says_is_refused(here, content, said):
    """Its prompts would be alike, or others than the suite's, and the answers to them safe."""
    assert refusal(TURN + "{{ " + content + " }}" + END) == f"org/model: its chat template {said}."


def test_a_template_that_loses_what_the_user_says_beside_a_system_prompt_is_refused(here, words):
    words.chat_template = "{{ messages[0].content }}"
    assert chat_template.render("org/model", words, ["Hello"]) == ["Hello"]
    with pytest.raises(ToxauditError) as caught:
        chat_template.render("org/model", words, ["Hello"], "Be kind.")
    assert str(caught.value) == f"org/model: its chat template {DROPS}."


@pytest.mark.parametrize(
    ("instead", "lost"),
    {"''": "'Hello'", "'hello'": "'Hello'", "'Hello you'": "two of the prompts, which it makes one"}.items(),
)
def test_a_template_that_loses_one_of_the_texts_is_refused(here, instead, lost):
    template = (
        "Say Hello: {{ messages[0].content if messages[0].content[:2] not in ['He', 'yo'] else " + instead + " }}"
    )
    assert refusal(template, "Good day", "Hello", "you").endswith(
        f" drops or alters what the user says in {lost}: set ask: raw in the suite, or name another by chat_template."
    )


@pytest.mark.parametrize("template", [FALCON, NEMOTRON, *REAL.values(), "Hello: {{ messages[0].content }}"])
def test_a_real_template_that_trims_is_no_loss(here, template):
    texts = ["Hello", " Hello\n\nyou \n", "", "\n", "Yes? /no_think", "Hello", "n" * 10**4]
    special = {"bos_token": "<begin>", "eos_token": "<end>"}
    having = SimpleNamespace(get_chat_template=lambda: template, special_tokens_map=special)
    assert len(chat_template.render("org/model", having, texts)) == len(texts)


def test_a_template_is_given_what_it_takes_besides(here, words):
    words.chat_template = PLAIN + "{{ '' if enable_thinking | default(true) else '<think></think>' }}"
    assert chat_template.render("org/model", words, ["Hello"]) == ["Hello"]
    taken = {"enable_thinking": False}
    assert chat_template.render("org/model", words, ["Hello"], takes=taken) == ["Hello<think></think>"]


def test_where_nobody_asks_in_it_a_template_has_only_to_come_to_an_end(here):
    for template in ("", IN_PARTS, ONLY_PARTS):
        chat_template.attempt(
            "org/model", SimpleNamespace(get_chat_template=lambda t=template: t, special_tokens_map={})
        )
    broken = SimpleNamespace(get_chat_template=lambda: "{{ raise_exception('No.') }}", special_tokens_map={})
    with pytest.raises(ToxauditError, match=r"^org/model: its chat template can't be rendered: .*TemplateError: No\.$"):
        chat_template.attempt("org/model", broken)


def test_a_template_is_rendered_where_the_packages_are_found_by_pythonpath(tmp_path):
    """As on clusters, where modules set it; an interpreter's own packages may lie in the user's home as well."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    program = (
        "from types import SimpleNamespace as S; from toxaudit.models import chat_template as c; "
        "words = S(get_chat_template=lambda: 'Hi {{ messages[0].content }}', special_tokens_map={}); "
        "print(c.render('org/model', words, ['x']))"
    )
    packages = [str(Path(toxaudit.__file__).parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    done = subprocess.run(
        [tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python", "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(packages)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "['Hi x']\n", done.stderr.splitlines()[-1]
