"""Arms over the same weights are answered for in one batch, each as if it were alone; what is unusual, by itself."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import test_backend
import tiny
import torch
from test_backend import PROMPTS, TEXTS
from transformers import LlamaForCausalLM, MistralConfig

from toxaudit.backends.decoding import adapters, decoder, ragged
from toxaudit.backends.decoding.adapters import LEAST
from toxaudit.backends.decoding.batches import batches as in_batches
from toxaudit.backends.decoding.slots import Slots
from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Transformers
from toxaudit.errors import ToxauditError
from toxaudit.machine.memory import is_short
from toxaudit.models import Loader
from toxaudit.records import Prompt
from toxaudit.spec.schema import Generation

pytestmark = pytest.mark.thorough

MOST = 16
QUESTION = "Which of them did they find in the old house by the sea?"

ORDINARY = {
    "plain": {},
    "high rank": {"r": 24, "lora_alpha": 4},
    "rslora": {"use_rslora": True},
    "some modules": {"target_modules": ["q_proj", "down_proj"]},
    "some layers": {"layers_to_transform": [1], "target_modules": ["q_proj", "gate_proj"]},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 32}},
}
UNUSUAL = {
    "dora": {"use_dora": True},
    "whole modules": {"modules_to_save": ["lm_head"], "target_modules": ["q_proj"]},
    "embeddings": {"target_modules": ["embed_tokens", "q_proj"]},
    "pissa": {"init_lora_weights": "pissa"},
    "head": {"target_modules": ["lm_head", "q_proj"]},
}


@pytest.fixture(scope="module")
def arms(tiny_base, tmp_path_factory):
    """The base and an arm of each kind of adapter."""
    folder, found = tmp_path_factory.mktemp("adapters"), {"base": tiny.resolved(tiny_base)}
    for seed, (name, settings) in enumerate((ORDINARY | UNUSUAL).items(), start=1):
        made = tiny.adapter(tiny_base, folder / name.replace(" ", "_"), 0.3, seed, **settings)
        found[name] = replace(tiny.resolved(tiny_base, made), name=name)
    return found


def answers(arms, prompts=PROMPTS, batch_size="auto", done=(), sizes=None, **settings):
    """Text, tokens and finish by arm and prompt."""
    generation = Generation(**{"max_new_tokens": MOST} | settings)
    requests = [Request(arm.name, prompt) for prompt in prompts for arm in arms]
    with Transformers(batch_size=batch_size).open(Loader("cpu"), arms) as session:
        batches = list(session.generate(requests, generation, lambda r: (r.arm, r.prompt.id) in done))
    if sizes is not None:
        sizes += [sorted({request.arm for request, _ in batch}) for batch in batches]
    found = [(request.arm, completion) for batch in batches for request, completion in batch]
    assert all(arm == completion.model for arm, completion in found)
    assert len({(arm, each.prompt_id) for arm, each in found}) == len(found)
    return {(arm, each.prompt_id): (each.text, each.tokens, each.finish) for arm, each in found}


@pytest.fixture(scope="module")
def alone(arms):
    """What each arm answers where it is the only one."""
    return {name: answers([arm]) for name, arm in arms.items()}


def test_arms_with_ordinary_adapters_decode_in_one_batch_the_tokens_of_each_alone(arms, alone):
    some = [arms[name] for name in ("base", *ORDINARY)]
    sizes = []
    together = answers(some, sizes=sizes)
    assert max(sizes, key=len) == sorted(arm.name for arm in some)
    assert together == {key: said for arm in some for key, said in alone[arm.name].items()}
    said = {name: tuple(together[name, prompt.id] for prompt in PROMPTS) for name in ("base", *ORDINARY)}
    assert len(set(said.values())) == len(said), "each arm has answers of its own"


@pytest.mark.parametrize("name", [*ORDINARY, *UNUSUAL])
def test_each_adapters_tokens_are_those_of_generate_through_peft(arms, alone, name, monkeypatch):
    monkeypatch.setattr(ragged, "covers", lambda model: False)
    monkeypatch.setattr("toxaudit.backends.decoding.adapters.ordinary", lambda loaded: None)
    assert answers([arms[name]]) == alone[name]


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_adapter_is_generated_by_itself(arms, alone, name):
    sizes = []
    together = answers([arms["base"], arms[name], arms["plain"]], sizes=sizes)
    assert [name] in sizes and all(name not in size or size == [name] for size in sizes)
    assert together == alone["base"] | alone[name] | alone["plain"]


@pytest.mark.parametrize(("batch_size", "temperature", "every"), [(1, 0.8, 4), (7, 0.0, 2), (64, 0.8, 1)])
def test_neither_batch_size_nor_order_nor_company_changes_a_token(arms, batch_size, temperature, every):
    some, prompts = [arms[name] for name in ("base", "plain", "high rank")], PROMPTS[every - 1 :: every]
    whole = answers(some, prompts, temperature=temperature)
    assert answers(some[::-1], prompts[::-1], batch_size, temperature=temperature) == whole
    assert answers(some[1:], prompts, batch_size, temperature=temperature) == {
        key: said for key, said in whole.items() if key[0] != "base"
    }


def test_a_resumed_run_computes_only_what_is_missing(arms, alone, monkeypatch):
    some, rows = [arms[name] for name in ("base", "plain")], []
    monkeypatch.setattr(
        "toxaudit.backends.decoding.ragged.decode",
        lambda model, given, *others, decode=ragged.decode: rows.append(given) or decode(model, given, *others),
    )
    done = {("base", prompt.id) for prompt in PROMPTS} | {("plain", prompt.id) for prompt in PROMPTS[3:]}
    left = answers(some, done=done)
    assert left == {("plain", prompt.id): alone["plain"]["plain", prompt.id] for prompt in PROMPTS[:3]}
    assert {row.arm for row in rows[-1]} == {"plain"}


def test_bfloat16_doesn_t_depend_on_the_batch_either(tiny_base, tmp_path, capfd):
    made = tiny.adapter(tiny_base, tmp_path / "adapter", 0.3)
    some = [tiny.resolved(tiny_base, dtype="bfloat16")]
    some.append(replace(some[0], name="tuned", adapter=tiny.resolved(tiny_base, made).adapter))
    whole = answers(some)
    for batch_size, every in ((1, 4), (7, 2), (200, 1)):
        prompts = PROMPTS[::-every]
        asked = {prompt.id for prompt in prompts}
        assert answers(some, prompts, batch_size) == {key: said for key, said in whole.items() if key[1] in asked}
    assert "rounding" not in capfd.readouterr().err


def test_where_numbers_depend_on_the_batch_it_is_said_and_arms_keep_their_own_batches(arms, alone, monkeypatch, capfd):
    monkeypatch.setattr(decoder.Decoder, "_is_steady", lambda self: False)
    sizes, some = [], [arms["base"], arms["plain"]]
    done = {("base", prompt.id) for prompt in PROMPTS[:5]}
    found = answers(some, batch_size=10, done=done, sizes=sizes)
    assert set(found) == {(arm.name, prompt.id) for arm in some for prompt in PROMPTS} - done
    assert all(len(size) == 1 for size in sizes)
    assert "a candidate with control: true tells how often" in capfd.readouterr().err


def test_an_adapter_without_effect_beside_others_is_generated_by_itself(arms, tiny_base, tmp_path, monkeypatch, capfd):
    """Although it is so weak that the probes' tokens are the base's."""
    made = tiny.adapter(tiny_base, tmp_path / "weak", 0.02, seed=9)
    weak = replace(tiny.resolved(tiny_base, made), name="weak")
    alone = answers([weak])
    assert "by itself" not in capfd.readouterr().err
    monkeypatch.setattr(decoder.Adapters, "_forward", lambda self, module, plain, inputs: plain(inputs))
    sizes = []
    assert answers([arms["base"], weak], sizes=sizes) == answers([arms["base"]]) | alone
    assert ["base", "weak"] not in sizes
    assert "weak: its adapter is generated by itself" in capfd.readouterr().err


def reading(inputs):
    return inputs.shape[1] > 1


FAULTS = {
    "none while prompts are read": lambda right, plain, inputs: plain(inputs) if reading(inputs) else right(),
    "none while tokens are written": lambda right, plain, inputs: right() if reading(inputs) else plain(inputs),
    "a tenth too much": lambda right, plain, inputs: plain(inputs) + 1.1 * (right() - plain(inputs)),
    "another row's": lambda right, plain, inputs: (
        plain(inputs) + (right() - plain(inputs)).roll(1, dims=inputs.ndim - 3)
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_adapters_that_are_laid_over_wrongly_are_seen_before_the_first_prompt(arms, alone, fault, monkeypatch, capfd):
    some, forward = [arms[name] for name in ("base", "plain", "high rank")], adapters.Adapters._forward

    def wrong(self, module, plain, inputs):
        return FAULTS[fault](lambda: forward(self, module, plain, inputs), plain, inputs)

    monkeypatch.setattr(adapters.Adapters, "_forward", wrong)
    assert answers(some) == {key: said for arm in some for key, said in alone[arm.name].items()}
    assert "by itself, since beside others it decodes otherwise" in capfd.readouterr().err


def sees_too_much(slots):
    hidden = torch.arange(slots.visible)[None, :] > slots.positions[:, None] + 1
    return torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))[:, None, None, :]


def skips_a_place(slots, advance=Slots.advance):
    advance(slots)
    slots.positions += max(slots.lengths) % 5 == 0


@pytest.mark.parametrize(("name", "fault"), [("hidden", sees_too_much), ("advance", skips_a_place)])
@pytest.mark.parametrize("names", [("base", "plain", "high rank"), ("plain", "high rank")])
def test_where_no_arm_decodes_rightly_each_is_generated_with_its_own_adapter(
    arms, alone, names, name, fault, monkeypatch, capfd
):
    monkeypatch.setattr(Slots, name, fault)
    some = [arms[each] for each in names]
    asked = {prompt.id for prompt in PROMPTS[:2]}
    expected = {key: said for arm in some for key, said in alone[arm.name].items() if key[1] in asked}
    assert answers(some, PROMPTS[:2]) == expected
    assert "is decoded by generate()" in capfd.readouterr().err


def test_arms_choose_together_what_each_chooses_alone(arms):
    asked = [Prompt(f"p{i}", "suite", QUESTION[i:], choices=("gold", "a map", "nothing")) for i in range(9)]
    some = [arms[name] for name in ("base", "plain", "dora", "high rank")]

    def chosen(arms):
        requests = [Request(arm.name, prompt) for prompt in asked for arm in arms]
        with Transformers().open(Loader("cpu"), arms) as session:
            found = [each for batch in session.choose(requests, lambda _: False) for each in batch]
        return {(request.arm, request.prompt.id): completion.loglikelihoods for request, completion in found}

    together = chosen(some)
    for arm in some:
        for key, likelihoods in chosen([arm]).items():
            assert together[key] == pytest.approx(likelihoods, abs=1e-4)
    assert len({tuple(together[arm.name, "p0"]) for arm in some}) == len(some)


def test_prompts_in_a_template_are_read_without_what_they_share(tiny_base, monkeypatch):
    prompts = [Prompt(f"p{i}", "suite", QUESTION + text) for i, text in enumerate(TEXTS[:12])]
    resolved = tiny.resolved(tiny_base)
    with monkeypatch.context() as patch:
        patch.setattr("toxaudit.backends.transformers.SHARED_TOKENS", 10**6)
        whole = answers([resolved], prompts)
    lengths, forward = [], LlamaForCausalLM.forward

    def counted(self, input_ids=None, **others):
        lengths.append(input_ids.shape[1])
        return forward(self, input_ids=input_ids, **others)

    with Transformers().open(Loader("cpu"), [resolved]) as session:
        list(session.generate([Request("base", PROMPTS[0])], Generation(2), lambda _: False))
        monkeypatch.setattr(LlamaForCausalLM, "forward", counted)
        requests = [Request("base", prompt) for prompt in prompts]
        found = [each for batch in session.generate(requests, Generation(MOST), lambda _: False) for each in batch]
    assert {("base", c.prompt_id): (c.text, c.tokens, c.finish) for _, c in found} == whole
    own = [len(prompt.text) - 32 for prompt in prompts]
    own += [min(own)] * (LEAST - len(own))
    assert lengths[0] == 32 and max(lengths[1:]) == sum(own), "whole blocks of what is shared are read first"


@pytest.mark.parametrize(
    ("numbers", "size", "arms", "expected"),
    [
        (200, 128, 1, [100, 100]),
        (200, 128, 5, [100, 100]),
        (12, 5, 1, [4, 4, 4]),
        (12, 5, 3, [3, 3, 3, 3]),
        (12, 1, 3, [1] * 12),
        (7, 100, 2, [7]),
        (1, 1, 1, [1]),
    ],
)
def test_batches_are_even_and_hold_as_many_of_each_arm(numbers, size, arms, expected):
    assert [len(batch) for batch in in_batches(range(numbers), size, arms)] == expected


def test_where_memory_is_short_batches_are_halved_and_stay_small(arms, monkeypatch, capfd):
    whole, sizes = answers([arms["base"]]), []

    def short(model, rows, *others, decode=ragged.decode):
        sizes.append(len(rows))
        if len(rows) > 16:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"
            )
        return decode(model, rows, *others)

    with Transformers(batch_size=40).open(Loader("cpu"), [arms["base"]]) as session:
        list(session.generate([Request("base", PROMPTS[0])], Generation(2), lambda _: False))
        told = []
        monkeypatch.setattr(ragged, "decode", short)
        requests = [Request("base", prompt) for prompt in PROMPTS]
        found = [b for b in session.generate(requests, Generation(MOST), lambda _: False, told.append) for b in b]
        again = [b for b in session.generate(requests, Generation(MOST), lambda _: False) for b in b]
    assert {("base", c.prompt_id): (c.text, c.tokens, c.finish) for _, c in found} == whole
    assert sizes.count(40) == 1 and len(again) == len(found)
    assert sum(told) == sum(c.tokens + (c.finish == "stop") for _, c in found)
    assert "Memory is short for 40 prompts at once: going on with 20." in capfd.readouterr().err


@pytest.mark.parametrize("batch_size", [1, 4, 40])
def test_only_tokens_that_somebody_wants_are_told(arms, batch_size):
    told, requests = [], [Request("base", prompt) for prompt in PROMPTS[:7]]
    with Transformers(batch_size=batch_size).open(Loader("cpu"), [arms["base"]]) as session:
        found = [b for b in session.generate(requests, Generation(MOST), lambda _: False, told.append) for b in b]
    assert sum(told) == sum(c.tokens + (c.finish == "stop") for _, c in found)


def test_an_adapter_with_biases_is_generated_by_itself_in_bfloat16_too(tmp_path):
    base = tiny.model(tmp_path / "base", tiny.llama(attention_bias=True))
    made = tiny.adapter(base, tmp_path / "biased", 0.3, bias="lora_only")
    plain = tiny.resolved(base, dtype="bfloat16")
    biased = replace(plain, name="biased", adapter=tiny.resolved(base, made).adapter)
    sizes = []
    assert answers([plain, biased], sizes=sizes) == answers([plain]) | answers([biased])
    assert ["biased"] in sizes and ["base", "biased"] not in sizes


def test_a_session_may_be_asked_again_where_arms_don_t_share_its_model(tmp_path):
    """An architecture that is not covered, over which no adapter can be laid."""
    windows = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {"vocab_size": tiny.VOCABULARY, "bos_token_id": None, "eos_token_id": tiny.END, "pad_token_id": tiny.END}
    settings = windows | special | {"num_key_value_heads": 2, "sliding_window": 8, "max_position_embeddings": 512}
    base = tiny.model(tmp_path / "base", MistralConfig(**settings))
    made = tiny.adapter(base, tmp_path / "adapter", 0.3)
    some = [tiny.resolved(base), tiny.resolved(base, made)]
    asked = [Prompt("p", "suite", QUESTION, choices=("gold", "a map"))]
    with Transformers().open(Loader("cpu"), some) as session:
        written = [Request(arm.name, prompt) for arm in some for prompt in PROMPTS[:3]]
        chosen = [Request(arm.name, prompt) for arm in some for prompt in asked]
        first = [c for b in session.generate(written, Generation(4), lambda _: False) for _, c in b]
        choices = [c for b in session.choose(chosen, lambda _: False) for _, c in b]
        again = [c for b in session.generate(written, Generation(4), lambda _: False) for _, c in b]
    assert sorted(again, key=repr) == sorted(first, key=repr) and len(choices) == 2


def test_memory_that_is_short_while_adapters_are_laid_side_by_side_mixes_none_up(arms, alone, monkeypatch):
    some = [arms[name] for name in ("base", "plain", "high rank", "rslora")]
    with Transformers().open(Loader("cpu"), some) as session:
        two = [Request(name, prompt) for name in ("plain", "high rank") for prompt in PROMPTS[:4]]
        list(session.generate(two, Generation(2), lambda _: False))
        pair, failed = adapters.Pair, []

        def once(*given):
            if not failed:
                failed.append(True)
                raise MemoryError
            return pair(*given)

        monkeypatch.setattr(adapters, "Pair", once)
        others = [Request(name, prompt) for name in ("plain", "rslora") for prompt in PROMPTS]
        found = [c for b in session.generate(others, Generation(MOST), lambda _: False) for _, c in b]
    assert failed
    for c in found:
        assert alone[c.model][c.model, c.prompt_id] == (c.text, c.tokens, c.finish)


def test_no_room_for_one_prompt_is_one_sentence(arms, monkeypatch):
    with Transformers().open(Loader("cpu"), [arms["base"]]) as session:
        list(session.generate([Request("base", PROMPTS[0])], Generation(2), lambda _: False))

        def short(*given):
            raise MemoryError

        monkeypatch.setattr(ragged, "decode", short)
        with pytest.raises(ToxauditError, match=r"^The memory is too small to generate for one prompt: lower .*\.$"):
            list(session.generate([Request("base", PROMPTS[0])], Generation(2), lambda _: False))


def test_another_error_is_no_lack_of_memory():
    assert not is_short(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert is_short(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))


LIMITED = """
import resource, sys
sys.path[:0] = {paths!r}
import test_sharing, tiny, torch
from pathlib import Path
torch.set_num_threads(1)

def limit():
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + {room}, taken + {room}))

for line in test_sharing.many(tiny.resolved(Path({base!r})), limit):
    print(line)
"""
MANY = 1500


def many(base, limit=lambda: None):
    """The answers of many prompts that are to be one batch, each as a line; ``limit`` is called before they are asked.

    The model is loaded by then.
    """
    prompts = [Prompt(str(i), "suite", "It was a dark night " * 12 + str(i)) for i in range(MANY)]
    requests = [Request("base", prompt) for prompt in prompts]
    with Transformers(batch_size=MANY).open(Loader("cpu"), [base]) as session:
        list(session.generate(requests[:1], Generation(2), lambda _: False))
        limit()
        batches = session.generate(requests, Generation(4), lambda _: False)
        return [f"{completion.prompt_id} {completion.text!r}" for batch in batches for _, completion in batch]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a limit on memory is Linux's")
def test_a_run_that_hits_a_limit_on_memory_goes_on_in_smaller_batches_with_the_same_tokens(tiny_base):
    paths = [str(Path(__file__).parent), str(Path(test_backend.__file__).parent), str(Path(tiny.__file__).parent)]
    script = LIMITED.format(paths=paths, base=str(tiny_base), room=75 * 2**20)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    free = many(tiny.resolved(tiny_base))
    assert len(free) == MANY and sorted(done.stdout.splitlines()) == sorted(free)
    assert f"Memory is short for {MANY} prompts at once: going on with {MANY // 2}" in done.stderr
