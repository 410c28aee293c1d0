"""The vLLM backend owes what every backend owes; and it serves what it serves as it is, or says that it doesn't."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import stored
import test_backend
import test_choose
import tiny
import workspace
from test_backend import (  # noqa: F401  (fixtures, and what every backend owes)
    arm_and_stops,
    common,
    early,
    test_a_chat_is_rendered_once_with_the_beginning_that_its_template_writes,
    test_a_model_without_a_chat_template_is_one_sentence,
    test_a_prompt_longer_than_the_model_reads_is_one_sentence,
    test_a_prompt_of_no_tokens_is_one_sentence,
    test_a_resumed_run_answers_what_is_left_as_the_whole_run_did,
    test_a_system_prompt_stands_in_a_chat_and_nowhere_else,
    test_a_text_that_begins_with_the_first_token_gets_no_second,
    test_a_tokenizer_without_end_or_padding_token_still_answers,
    test_batch_size_and_order_change_nothing,
    test_bfloat16_begins_as_generate_does_but_for_rounding,
    test_greedy_decoding_is_blind_to_the_seed,
    test_one_new_token_may_be_asked_for,
    test_sampled_tokens_come_as_often_as_the_softmax_says,
    test_sampling_differs_by_seed_and_from_greedy,
    test_sampling_is_the_same_every_time_and_for_equal_texts,
    test_some_prompts_end_early_and_some_do_not,
    test_the_repositorys_own_way_to_generate_changes_nothing,
    test_tokens_lengths_and_finish_are_those_of_generate_alone,
)
from test_choose import (  # noqa: F401
    test_a_choice_of_no_tokens_is_one_sentence,
    test_a_resumed_run_chooses_what_is_left_as_the_whole_run_did,
    test_a_text_is_read_whole_and_cut_where_the_prompt_alone_would_end,
    test_a_tokenizers_first_token_stands_once_before_prompts_empty_ones_too,
    test_an_adapter_is_asked_and_not_its_base,
    test_an_empty_prompt_that_nothing_can_stand_for_is_one_sentence,
    test_batch_size_and_order_change_nothing_but_by_rounding,
    test_before_an_empty_prompt_stands_the_token_that_ends_texts_where_none_begins_them,
    test_in_a_chat_the_template_alone_writes_the_first_token,
    test_outputs_that_are_not_finite_are_passed_on_for_what_they_are,
    test_the_likelihoods_are_those_of_each_choice_read_alone,
    test_the_probabilities_of_all_letters_are_those_of_the_next_token,
    test_white_space_at_the_end_of_a_prompt_belongs_to_the_choice,
    test_white_space_at_the_end_of_a_template_belongs_to_the_choice,
)

from toxaudit.backends import vllm_engine
from toxaudit.backends.request import Request
from toxaudit.backends.vllm import Vllm
from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, resolve_candidate
from toxaudit.spec.schema import CandidateSpec, Generation

pytest.importorskip("vllm")
pytestmark = pytest.mark.filterwarnings("ignore")  # vLLM's engines run in this process, and theirs concern its authors
SOME = test_backend.PROMPTS[::6]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """Its attention is of a size that vLLM has on a CPU."""
    return tiny.model(tmp_path_factory.mktemp("vllm") / "base", tiny.llama(head_dim=32))


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base):
    return tiny.adapter(tiny_base, tiny_base.parent / "adapter")


@pytest.fixture(scope="module", autouse=True)
def here():
    """Engines in this process and with little room, which start sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        patch.setattr(vllm_engine, "CACHE_BYTES", 2**26)
        yield


@pytest.fixture(scope="module")
def answer():
    """Opens an engine with one arm and returns its completions by prompt id."""

    def answer(
        resolved, prompts=test_backend.PROMPTS, *, ask="raw", batch_size="auto", done=(), system=None, **settings
    ):
        generation = Generation(**{"max_new_tokens": test_backend.MOST} | settings)
        requests = [Request(resolved.name, prompt, ask, system) for prompt in prompts]
        with Vllm(batch_size=batch_size).open(Loader("cpu"), [resolved]) as session:
            return by_prompt(session.generate(requests, generation, lambda request: request.prompt.id in done))

    return answer


@pytest.fixture(scope="module")
def choose():
    """Opens an engine with one arm and returns its choices by prompt id."""

    def choose(resolved, prompts=test_choose.PROMPTS, ask="raw", *, batch_size="auto", done=(), system=None):
        requests = [Request(resolved.name, prompt, ask, system) for prompt in prompts]
        with Vllm(batch_size=batch_size).open(Loader("cpu"), [resolved]) as session:
            return by_prompt(session.choose(requests, lambda request: request.prompt.id in done))

    return choose


def by_prompt(batches):
    found = [answered for batch in batches for answered in batch]
    assert all((request.arm, request.prompt.id) == (c.model, c.prompt_id) for request, c in found)
    assert len({request.prompt.id for request, _ in found}) == len(found), "no prompt is answered twice"
    return {request.prompt.id: completion for request, completion in found}


def opened(*arms, device="cpu"):
    with Vllm().open(Loader(device), arms):
        pass


def test_base_and_adapters_answer_side_by_side_as_each_does_alone(tiny_base, tmp_path):
    """Ranks, scales and modules of their own; vLLM gives the last adapter's place to rows that have none."""
    settings = [
        {"r": 2},
        {"r": 12, "lora_alpha": 5, "use_rslora": True, "target_modules": ["q_proj", "down_proj"]},
        {"rank_pattern": {"o_proj": 3}, "alpha_pattern": {"v_proj": 1}},
    ]
    base = tiny.resolved(tiny_base)
    arms = [base]
    for number, each in enumerate(settings):
        folder = tiny.adapter(tiny_base, tmp_path / str(number), seed=number, **each)
        arms.append(replace(tiny.resolved(tiny_base, folder), name=f"tuned{number}"))
    asked = [Request(arm.name, prompt) for prompt in SOME for arm in arms]
    chosen = [Request(arm.name, prompt) for prompt in test_choose.PROMPTS[:4] for arm in arms]
    with Vllm().open(Loader("cpu"), arms) as session:
        answers = dict_of(session.generate(asked, Generation(test_backend.MOST), lambda _: False))
        choices = dict_of(session.choose(chosen, lambda _: False))
    for arm in arms:
        found = [answers[arm.name, prompt.id] for prompt in SOME]
        expected = test_backend.alone(arm, test_backend.ids(prompt.text for prompt in SOME))
        assert [(c.text, c.tokens, c.finish) for c in found] == expected
        likelihoods = test_choose.expected(arm, test_choose.PROMPTS[:4])
        test_choose.assert_near({key: choices[arm.name, key] for key in likelihoods}, likelihoods)
    texts = {arm.name: [answers[arm.name, prompt.id].text for prompt in SOME] for arm in arms}
    assert len(set(map(tuple, texts.values()))) == len(arms)


def dict_of(batches):
    return {(request.arm, request.prompt.id): completion for batch in batches for request, completion in batch}


def test_a_control_goes_to_the_engine_in_batches_of_its_own_size(tiny_base, monkeypatch):
    base = tiny.resolved(tiny_base)
    control = resolve_candidate("control", CandidateSpec(control=True, batch_size=5), base, "cpu", None)
    sizes, run = [], vllm_engine.Engine.run
    monkeypatch.setattr(vllm_engine.Engine, "run", lambda engine, work: sizes.append(len(work)) or run(engine, work))
    prompts = test_backend.PROMPTS[:12]
    asked = [Request(arm.name, prompt) for arm in (base, control) for prompt in prompts]
    with Vllm().open(Loader("cpu"), [base, control]) as session:
        found = dict_of(session.generate(asked, Generation(2), lambda request: request.prompt.id == "p0"))
        assert sizes == [11, 5, 5, 2]
        again = dict_of(session.generate(asked, Generation(2), lambda request: request.prompt.id not in ("p11", "p3")))
        assert sizes[4:] == [2, 5, 2], "batches are those of the whole run"
    assert len(found) == 22 and again == {key: c for key, c in found.items() if key[1] in ("p11", "p3")}


def test_several_samples_of_a_prompt_differ_and_come_again(tiny_base):
    asked = [Request("base", prompt, sample=sample) for prompt in SOME for sample in range(3)]
    runs = []
    for order in (asked, asked[::-1]):
        with Vllm().open(Loader("cpu"), [tiny.resolved(tiny_base)]) as session:
            batches = session.generate(order, Generation(8, temperature=1.0), lambda _: False)
            runs.append({(r.prompt.id, r.sample): c.text for batch in batches for r, c in batch})
    assert runs[0] == runs[1]
    assert len(set(runs[0].values())) == len(asked)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_dora": True}, "sets use_dora in adapter_config.json"),
        ({"lora_bias": True}, "sets lora_bias in adapter_config.json"),
        ({"bias": "all"}, "sets bias in adapter_config.json"),
        ({"modules_to_save": ["lm_head"]}, "sets modules_to_save in adapter_config.json"),
        ({"trainable_token_indices": [1, 2]}, "sets trainable_token_indices in adapter_config.json"),
        ({"init_lora_weights": "pissa"}, "sets init_lora_weights in adapter_config.json"),
        ({"whole_embeddings": True}, "holds base_model.model"),
        ({"target_modules": ["embed_tokens"]}, "holds base_model.model.model.embed_tokens.lora_embedding_A"),
        ({"target_modules": ["lm_head", "q_proj"]}, "holds base_model.model.lm_head.lora_A.weight"),
        ({"r": 513, "target_modules": ["q_proj"]}, "is of rank 513"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_an_adapter_that_would_not_be_served_as_it_is_is_one_sentence(tiny_base, tmp_path, settings, named):
    folder = tiny.adapter(tiny_base, tmp_path / "adapter", **settings)
    with pytest.raises(ToxauditError) as caught:
        opened(tiny.resolved(tiny_base), tiny.resolved(tiny_base, folder))
    sentence = rf"tuned: \S+/adapter {re.escape(named)}\S*, which vLLM does not serve: set backend=transformers\."
    assert re.fullmatch(sentence, str(caught.value)), caught.value


def test_an_adapter_that_the_engine_refuses_is_one_sentence(tiny_base, tmp_path):
    folder = tiny.adapter(tiny_base, tmp_path / "adapter")
    tiny.edit(folder / "adapter_model.safetensors", rename)
    with pytest.raises(ToxauditError, match=r"^tuned: vLLM can't serve .*, or backend=transformers\): .*strange"):
        opened(tiny.resolved(tiny_base), tiny.resolved(tiny_base, folder))


def rename(tensors):
    for name in [name for name in tensors if "up_proj" in name]:
        tensors[name.replace("up_proj", "strange")] = tensors.pop(name)


def test_weights_of_which_vllm_would_load_others_are_one_sentence_each(tiny_base, tmp_path):
    beside = shutil.copytree(tiny_base, tmp_path / "beside")
    shutil.copy(beside / "model.safetensors", beside / "other.safetensors")
    with pytest.raises(
        ToxauditError, match=r"holds other\.safetensors beside model\.safetensors.*backend=transformers"
    ):
        opened(tiny.resolved(beside))
    elsewhere = shutil.copytree(tiny_base, tmp_path / "elsewhere")
    tiny.edit_json(elsewhere / "config.json", speculators_config={"verifier": {"name_or_path": "other/model"}})
    with pytest.raises(ToxauditError, match=r"names a model of another repository.*backend=transformers"):
        opened(tiny.resolved(elsewhere))
    with pytest.raises(ToxauditError, match=r"^base: vLLM does not serve load_in_4bit: leave it out"):
        opened(replace(tiny.resolved(tiny_base), bits=4))


def test_a_model_that_vllm_can_not_run_is_one_sentence(tmp_path):
    odd = tiny.model(tmp_path / "odd", tiny.llama(head_dim=12))
    sentence = r"^vLLM's engine failed \(.*, or backend=transformers\): .*head_dim=12"
    with Vllm().open(Loader("cpu"), [tiny.resolved(odd)]) as session, pytest.raises(ToxauditError, match=sentence):
        list(session.generate([Request("base", SOME[0])], Generation(2), lambda _: False))


def test_a_device_of_another_build_is_one_sentence(tiny_base):
    with pytest.raises(ToxauditError, match=r"^This build of vLLM runs on cpu, and this audit on cuda: "):
        opened(tiny.resolved(tiny_base), device="cuda")


def test_the_environment_is_as_before_and_nothing_is_sent_meanwhile(tiny_base, monkeypatch):
    monkeypatch.delenv("VLLM_NO_USAGE_STATS", raising=False)
    monkeypatch.setenv("VLLM_DO_NOT_TRACK", "0")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with Vllm().open(Loader("cpu"), [tiny.resolved(tiny_base)]):
        from vllm.usage.usage_lib import is_usage_stats_enabled

        assert not is_usage_stats_enabled()
        assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert (os.environ["VLLM_DO_NOT_TRACK"], os.environ["HF_HUB_OFFLINE"]) == ("0", "0")
    assert "VLLM_NO_USAGE_STATS" not in os.environ


def test_what_fits_is_told_beforehand(tiny_base):
    with Vllm().open(Loader("cpu"), [tiny.resolved(tiny_base)]) as session:
        assert session.fits("base", ["x" * 500, "x" * 501], "raw", 12) == [True, False]


def test_a_prompt_longer_with_a_choice_than_the_engine_reads_is_one_sentence(choose, tiny_base):
    """VLLM writes one token after all that it reads."""
    long = test_choose.prompt("x" * 510, "a", "abc", id="tome")
    with pytest.raises(ToxauditError, match=r"^base reads at most 511 tokens, but prompt 'tome' has 513 with its long"):
        choose(tiny.resolved(tiny_base), [long])
    fits = test_choose.prompt("x" * 509, "ab", "c", id="fits")
    resolved = tiny.resolved(tiny_base)
    test_choose.assert_near(choose(resolved, [fits]), test_choose.expected(resolved, [fits]))


def test_more_choices_than_vllm_tells_of_at_once_are_asked_in_turn(tiny_base, choose, monkeypatch):
    monkeypatch.setattr("toxaudit.backends.vllm.LAST_TOKENS", 2)
    resolved = tiny.resolved(tiny_base)
    asked = [test_choose.prompt("Which?", *"ABCDE")]
    test_choose.assert_near(choose(resolved, asked), test_choose.expected(resolved, asked))


def test_what_reads_alike_is_read_once(tiny_base, monkeypatch):
    read, run = [], vllm_engine.Engine.run
    monkeypatch.setattr(vllm_engine.Engine, "run", lambda engine, work: read.append(len(work)) or run(engine, work))
    asked = [test_choose.prompt("Q", "yes", "no", "yes"), test_choose.prompt("Which?", *"ABCD", id="letters")]
    with Vllm().open(Loader("cpu"), [tiny.resolved(tiny_base)]) as session:
        list(session.choose([Request("base", prompt) for prompt in asked], lambda _: False))
    assert read == [2 + 1]


@pytest.mark.thorough
def test_a_whole_audit_answers_as_by_the_default_backend_and_keeps_its_own_completions(tmp_path, monkeypatch):
    workspace.make(tmp_path)
    models = tmp_path / "models"
    shutil.rmtree(models)
    tiny.adapter(tiny.model(models / "base", tiny.llama(head_dim=32)), models / "adapter")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    texts, kept = [], []
    for backend in ("transformers", "vllm", "vllm"):
        assert main(["audit=tiny", f"backend={backend}", f"out={backend}"]) == 0
        rows = map(json.loads, (tmp_path / backend / "samples_mine.jsonl").read_text().splitlines())
        texts.append([(row["prompt_id"], row["model"], row["text"]) for row in rows])
        kept.append(len(stored.places(tmp_path / "home" / "store", "completions")))
    assert texts[0] == texts[1] == texts[2]
    assert kept[1] == kept[2] == 2 * kept[0]


SCRIPT = """
import multiprocessing
import sys
import psutil, tiny
from pathlib import Path
from toxaudit.backends.request import Request
from toxaudit.backends.vllm import Vllm
from toxaudit.models import Loader
from toxaudit.records import Prompt
from toxaudit.spec.schema import Generation

if __name__ == "__main__":
    base, adapter = map(Path, sys.argv[1:])
    arms = [tiny.resolved(base), tiny.resolved(base, adapter)]
    asked = [Request(arm.name, Prompt("p", "suite", "It was")) for arm in arms]
    with Vllm().open(Loader("cpu"), arms) as session:
        begun = psutil.Process().children(recursive=True)
        assert sum(process.memory_info().rss for process in begun) > 2**28
        found = {r.arm: c.text for batch in session.generate(asked, Generation(4), lambda _: False) for r, c in batch}
    assert not multiprocessing.active_children()
    _, left = psutil.wait_procs(begun, timeout=5)
    assert sum(process.memory_info().rss for process in left) < 2**26, left
    print("found", found["base"], found["tuned"], flush=True)
"""


@pytest.mark.slow
def test_the_engines_processes_are_gone_when_the_session_is(tiny_base, tiny_adapter, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "PYTHONPATH": os.path.dirname(tiny.__file__)}
    environment["PYTHONUTF8"] = "1"
    command = [sys.executable, str(script), str(tiny_base), str(tiny_adapter)]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    arms = (tiny.resolved(tiny_base), tiny.resolved(tiny_base, tiny_adapter))
    expected = [test_backend.alone(arm, test_backend.ids(["It was"]), most=4)[0][0] for arm in arms]
    assert f"found {' '.join(expected)}" in done.stdout, done.stderr
