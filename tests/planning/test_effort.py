"""What a run takes is told from what it computes: by hand, on a machine of known speed."""

import json
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import sleep

import openai_server
import pytest
import workspace

from toxaudit.backends import served_again
from toxaudit.backends.served_preflight import PROBE
from toxaudit.compose.compose import compose
from toxaudit.machine.speed import Speed
from toxaudit.planning import effort, forecast, served_speed
from toxaudit.sources import HubSource

SPEED = Speed(flops=100e9, threads=1, half=2.0)
BILLION = 10**9
TOKEN_SECONDS = 0.01
AUDIT = """\
suite: [asked]
scorer: [classified, degenerate]
base: {pretrained: org/Model-8B}
candidates:
  lora: {peft: org/lora}
  full: {pretrained: org/other-1.5b-chat}
  noop: {control: true, batch_size: 4}
generation: {max_new_tokens: 30}
"""
SERVED = """\
suite: [mine]
scorer: [vowels]
base: {pretrained: llama}
candidates: {tuned: {pretrained: llama-tuned}}
"""
SUITE = "kind: dataset\ntitle: Asked\ndata: org/asked\nfile: asked.jsonl\nn: 100\n"
SCORER = "kind: classifier\ntitle: Class\npretrained: org/classifier-125M\nlabel: hate\n"
LAYERS = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32}


@pytest.fixture
def look(tmp_path, monkeypatch):
    """The forecast of an audit of models that are known by name only, with these overrides."""
    for name, content in {"hub": AUDIT, "served": SERVED, "suite/asked": SUITE, "scorer/classified": SCORER}.items():
        file = tmp_path / "audits" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    workspace.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("toxaudit.machine.speed.speed", lambda _: SPEED)
    monkeypatch.setattr("toxaudit.machine.speed.computes_bfloat16", lambda device: device != "cpu")

    def look(*overrides, audit="hub"):
        return forecast.forecast(compose([f"audit={audit}", "executor.device=cpu", *overrides]), asks=True)

    return look


def seconds(seen):
    return seen.effort.seconds(seen.asked)


def opened(weights, arms):
    return weights * effort.OPENING_SECONDS + arms * effort.PROBING_SECONDS


def rows(arms, billions, prompts=100, read=effort.UNREAD_TOKENS, written=30, speed=100e9):
    """Of answering in large batches."""
    return arms * prompts * (read + written) * 2 * billions * BILLION / (speed * effort.DECODING_SPEED_SHARE)


def test_each_token_read_or_written_takes_two_operations_a_parameter(look):
    alone = seconds(look("~candidates.noop"))["generating"]
    assert alone == pytest.approx(opened(2, 3) + rows(2, 8) + rows(1, 1.5))
    sampled = look("~candidates.noop", "generation.samples=3", "generation.temperature=1")
    assert seconds(sampled)["generating"] == pytest.approx(opened(2, 3) + 3 * (rows(2, 8) + rows(1, 1.5)))
    assert "100 prompts x 3 models, at most 27,000 tokens" in forecast.amount(sampled.prospect.spec, sampled)


def test_bfloat16_is_as_much_faster_as_this_cpu_makes_it(look):
    half = look("~candidates.noop", "~candidates.full", "base.dtype=bfloat16")
    assert seconds(half)["generating"] == pytest.approx(opened(1, 2) + rows(2, 8, speed=200e9))


def test_a_batch_of_few_rows_takes_as_long_as_one_of_some(look):
    with_control, without = (seconds(look(*words))["generating"] for words in ((), ("~candidates.noop",)))
    assert with_control - without == pytest.approx(effort.PROBING_SECONDS + rows(1, 8) * effort.LEAST / 4)


def test_a_classifier_reads_every_token_that_was_written(look):
    read = 4 * 100 * 30 * 2 * 125e6 / (100e9 * effort.CLASSIFYING_SPEED_SHARE)
    assert seconds(look())["scoring"] == pytest.approx(read)


def test_a_judge_here_reads_and_writes_and_a_server_is_left_out(look):
    judge = Path("audits/scorer/judge.yaml")
    judge.write_text("kind: judge\ntitle: Judge\npretrained: org/judge-1B\n")
    words = (
        "scorer=[judge]",
        "~candidates.noop",
        "~candidates.full",
        "~candidates.lora",
        "+candidates.x={control: true}",
    )
    seen = look(*words)
    question = effort.JUDGE_QUESTION_TOKENS + effort.UNREAD_TOKENS + 30 + 16
    assert seconds(seen)["scoring"] == pytest.approx(rows(2, 1, read=question, written=0))
    judge.write_text("kind: judge\ntitle: Judge\nendpoint: http://127.0.0.1:9/v1\nmodel: m\n")
    seen = look(*words)
    assert seconds(seen)["scoring"] == 0
    assert "; without judge, which a server answers; " in forecast.time(seen.prospect.spec, seen)


def test_tuning_takes_six_operations_a_parameter_and_token_of_rows_filled_up(look):
    Path("audits/texts.jsonl").write_text("".join(json.dumps({"text": "x" * n}) + "\n" for n in (36, 76, 36)))
    tuned = "{train: [{data: ./texts.jsonl, template: '{text}', batch_size: 2, epochs: 2}]}"
    audit = Path("audits/hub.yaml")
    audit.write_text(audit.read_text().replace("{peft: org/lora}", tuned))
    step = 6 * 8 * BILLION * (2 * 20 + 10) / 2 / (200e9 * effort.TUNING_SPEED_SHARE)
    assert seconds(look())["tuning"] == pytest.approx(4 * step)


def test_merging_holds_all_weights_as_they_are_computed(look):
    """An adapter that another goes over is put into the weights first; one that is tuned further is not."""
    Path("audits/texts.jsonl").write_text(json.dumps({"text": "x" * 36}) + "\n")
    stage = "data: ./texts.jsonl, template: '{text}'"
    audit = Path("audits/hub.yaml")
    written = audit.read_text()
    for stages, held in ((f"{{{stage}}}, {{{stage}}}", 0), (f"{{{stage}}}, {{{stage}, r: 4}}", 4 * 8 * BILLION)):
        audit.write_text(written.replace("{peft: org/lora}", f"{{train: [{stages}]}}"))
        assert look().effort._merged_in() == held
    audit.write_text(written.replace("{control: true, batch_size: 4}", "{merge: {into: base, of: {lora: 0.5}}}"))
    assert look().effort._merged_in() == 4 * 8 * BILLION


def test_examples_are_read_once_however_much_is_told_of_them(look, monkeypatch):
    from toxaudit import training

    Path("audits/texts.jsonl").write_text(json.dumps({"text": "x" * 36}) + "\n")
    audit = Path("audits/hub.yaml")
    tuned = "{train: [{data: ./texts.jsonl, template: '{text}'}]}"
    audit.write_text(audit.read_text().replace("{peft: org/lora}", tuned))
    read, examples = [], training.examples
    monkeypatch.setattr(training, "examples", lambda *asked: read.append(asked) or examples(*asked))
    seen = look()
    assert seconds(seen)["tuning"] and seen.effort.memory(seen.asked)
    assert len(read) == 1


def test_choices_are_read_with_one_context(look):
    row = {"prompt": "p" * 40, "choices": ["a" * 8, "b" * 12], "target": 0}
    Path("audits/suite/chosen.jsonl").write_text(json.dumps(row) + "\n")
    suite = "kind: dataset\ntitle: Chosen\ndata: ./chosen.jsonl\nchoices: [choices]\ntarget: target\nscorers: [right]\n"
    Path("audits/suite/chosen.yaml").write_text(suite)
    Path("audits/scorer/right.yaml").write_text("kind: choice\ntitle: Right\ntier: critical\n")
    seen = look("suite=[chosen]", "scorer=[right]", "~candidates.noop", "~candidates.full")
    assert [(each.read, each.written) for each in seen.asked] == [(15, 0)]


@pytest.mark.parametrize(
    ("config", "numbers"),
    [
        (LAYERS, 2 * 3 * 4 * 8),
        (
            {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "num_key_value_heads": 2},
            2 * 3 * 2 * 8,
        ),
        (
            {"text_config": {"num_hidden_layers": 1, "num_attention_heads": 4, "hidden_size": 8, "head_dim": 5}},
            2 * 4 * 5,
        ),
        (LAYERS | {"num_hidden_layers": "3", "hidden_size": 1e300}, None),
        (LAYERS | {"hidden_size": 10**30, "text_config": 1}, None),
    ],
)
def test_memory_holds_weights_their_copy_and_the_keys_and_values_of_a_batch(look, config, numbers):
    folder = Path("models/base")
    (folder / "config.json").write_text(json.dumps(config))
    seen = look(audit="tiny")
    sizes = seen.prospect.sizes["base"]
    kept = numbers or sizes.parameters**0.5
    (asked,) = seen.asked
    cache = kept * asked.longest * min(3 * 36, effort.MOST_ROWS["cpu"]) * 4
    held = effort.LIBRARY_BYTES["cpu"] + 2 * 4 * sizes.parameters + cache
    assert seen.effort.memory(seen.asked) == pytest.approx(held, abs=1)


def test_a_scorer_is_loaded_beside_the_model_that_answered(look):
    Path("audits/scorer/classified.yaml").write_text(SCORER.replace("125M", "2B"))
    seen = look("suite=[mine]", "scorer=[vowels,classified]", audit="tiny")
    weights = 4 * seen.prospect.sizes["base"].parameters
    assert seen.effort.memory(seen.asked) == pytest.approx(effort.LIBRARY_BYTES["cpu"] + weights + 16 * BILLION, abs=1)


def test_the_time_of_a_server_that_does_not_answer_is_left_out_and_why_is_said(look, capsys):
    seen = look("backend=openai", "backend.base_url=http://127.0.0.1:9/v1", audit="served")
    assert seconds(seen)["generating"] == 0
    said = capsys.readouterr().err
    assert "The server is not timed: " in said and "127.0.0.1:9" in said


def test_a_server_s_time_is_its_own(look):
    served = "backend=openai", "backend.base_url=http://127.0.0.1:9/v1"
    seen = look(*served, "~candidates.noop")
    spec = seen.prospect.spec
    time = forecast.time(spec, seen)
    assert "; without generating, which 127.0.0.1:9/v1 does; less where" in time
    assert seconds(seen)["generating"] == 0 < seconds(seen)["scoring"]


@pytest.mark.thorough
def test_a_server_on_this_machine_is_asked_how_fast_it_is(look, monkeypatch):
    turn, clock = Lock(), [0.0]
    monkeypatch.setattr(served_speed, "perf_counter", lambda: clock[0])  # how busy this machine is shall not show

    def slow(asked):
        with turn:  # one request at a time, which takes a while for each token
            sleep(0.01 * asked.body["max_tokens"])
            clock[0] += TOKEN_SECONDS * asked.body["max_tokens"]
        return openai_server.completion(openai_server.Said("yes", counted=False), asked, likelihoods)

    for likelihoods in (True, False):
        with openai_server.serve(str) as server:
            server.answer = slow
            served = "backend=openai", f"backend.base_url={server.url}", "backend.concurrency=3"
            seen = look(*served, "generation.max_new_tokens=50", audit="served")
        assert server.most_at_once == 3 and {each.body["model"] for each in server.asked} == {"llama"}
        again = 2 * (served_again.FIRST + served_again.FEWEST_TURNS)
        answers = 2 * seen.asked[0].answers + (0 if likelihoods else again)
        taken = TOKEN_SECONDS * (50 * answers + 2 * PROBE.max_new_tokens)
        assert seconds(seen)["generating"] == pytest.approx(taken)
        time = forecast.time(seen.prospect.spec, seen)
        assert "without generating" not in time and ": the server takes 0." in time


def test_where_a_server_answers_only_scorers_are_held(look):
    served = "backend=openai", "backend.base_url=http://127.0.0.1:9/v1", "~candidates.noop"
    seen = look(*served)
    held = effort.LIBRARY_BYTES["cpu"] + 2 * 4 * 125e6
    assert seen.effort.memory(seen.asked) == pytest.approx(held, abs=1)
    assert forecast.memory(seen.prospect.spec, seen).startswith("about 2.0 GB at most, for scoring by classified; ")
    Path("audits/scorer/classified.yaml").write_text(SCORER.replace("-125M", ""))
    seen = look(*served)
    assert forecast.memory(seen.prospect.spec, seen).startswith("unknown for classified; ")
    seen = look(*served, "scorer=[compliance_keywords]")
    assert forecast.memory(seen.prospect.spec, seen).startswith("no model is loaded here; ")


def test_a_scorer_of_known_size_does_not_tell_that_of_the_models(look):
    seen = look("base.pretrained=org/model", "~candidates.full")
    assert forecast.memory(seen.prospect.spec, seen).startswith("unknown; ")


@pytest.mark.parametrize(
    ("device", "taken"),
    [("cpu", "the weights and up to 2 GiB for keys and values"), ("cuda", "nine tenths of the GPU")],
)
def test_what_vllm_takes_is_said_and_not_reckoned(look, monkeypatch, device, taken):
    monkeypatch.setattr("toxaudit.backends.vllm_engine.version", lambda: "1")
    monkeypatch.setattr("toxaudit.planning.expected.gpu_free", lambda _: None)
    seen = look("backend=vllm", f"executor.device={device}", "~candidates.full")
    spec = seen.prospect.spec
    weights = f"{'32' if device == 'cpu' else '16'}.0 GB for the weights of base in "
    assert forecast.memory(spec, seen).startswith(f"not reckoned, as vLLM takes {taken}, with {weights}")
    assert "; without generating, as vLLM's speed is not reckoned; less where" in forecast.time(spec, seen)
    assert seconds(seen)["generating"] == 0 < seconds(seen)["scoring"]


def test_on_a_gpu_nothing_is_copied(look, monkeypatch):
    monkeypatch.setattr("toxaudit.planning.expected.gpu_free", lambda _: None)
    seen = look("executor.device=cuda", "~candidates.noop", "~candidates.full")
    assert seen.cpu is None
    cache = (8 * BILLION) ** 0.5 * (effort.UNREAD_TOKENS + 30) * 200 * 2
    assert seen.effort.memory(seen.asked) == pytest.approx(effort.LIBRARY_BYTES["cuda"] + 16 * BILLION + cache, abs=1)
    assert seconds(seen)["generating"] == pytest.approx(
        opened(1, 2) + 200 * (effort.UNREAD_TOKENS + 30) * 16 * BILLION / effort.GPU_FLOPS
    )


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135e6),
        ("Qwen/Qwen2.5-0.5B", 5e8),
        ("org/llama-3.1-8b_q4", 8e9),
        ("7b/phi-3-mini-4k-instruct", None),
        ("org/model-bnb-4bit", None),
        ("org/Mixtral-8x7B", None),
        ("meta-llama/Llama-3.1-8B-Instruct", 8e9),
    ],
)
def test_a_models_name_may_tell_its_size_where_nothing_else_does(name, parameters):
    from toxaudit.planning.expected import Known

    known = Known(HubSource(name))
    sizes = known.sizes(None)
    assert (sizes and sizes.parameters) == parameters
    assert replace(known, problem="It is gone.").sizes(None) is None
