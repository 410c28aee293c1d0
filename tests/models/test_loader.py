"""Arms share one loaded model, and none leaves a trace in it: each answers as if it had been loaded alone."""

import gc
import itertools
import json
import shutil
import sys
import weakref

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from toxaudit.backends.request import Request
from toxaudit.backends.transformers import Transformers
from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, load, resolve_base, resolve_candidate
from toxaudit.records import Prompt
from toxaudit.spec.schema import CandidateSpec, Generation, ModelSpec
from toxaudit.store.shelves import Store

pytestmark = pytest.mark.thorough

LOAD = sys.modules[Loader.__module__]  # whose name the package gives to a function
TEXT = "What do you think, Zoe?"
PROMPTS = [Prompt(id=text, suite="suite", text=text) for text in (TEXT, "Hello", "A quick brown fox jumps over it")]
UNSEEN = tiny.tokenizer()("Z").input_ids[0]  # a token that the probe of an adapter's effect does not have
KINDS = {
    "plain": {},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "saved head": {"modules_to_save": ["lm_head"]},
    "embeddings": {"target_modules": ["embed_tokens"]},
    "tokens": {"trainable_token_indices": [5, UNSEEN]},
}
INTO_THE_BASE = {
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "whole embeddings": {"whole_embeddings": True},
    "other embeddings": {"whole_embeddings": True},
    "biases": {"bias": "all"},
    "parameters": {"target_modules": [], "target_parameters": ["mlp.gate_proj.weight"]},
    "layers twice": {"layer_replication": [[0, 2], [0, 2]]},
}
"""Adapters that PEFT does not only hang on the base: it writes to the base's weights or configuration."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of models that are large enough for a backend to pack their layers."""
    folder = tmp_path_factory.mktemp("models")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "attention_bias": True}
    tiny.model(folder / "base", tiny.llama(**sizes))
    tiny.model(folder / "full", tiny.llama(**sizes), seed=5)
    tiny.model(folder / "tied", tiny.llama(**sizes, tie_word_embeddings=True), seed=6)
    return folder


@pytest.fixture(scope="module")
def adapter(models):
    """Makes an adapter of a kind over a model, once."""

    def adapter(kind, over="base"):
        folder = models / f"{kind} over {over}"
        if not folder.exists():
            tiny.adapter(models / over, folder, **(KINDS | INTO_THE_BASE)[kind])
            if kind == "other embeddings":
                edit(folder, lambda tensors: tensors["base_model.model.model.embed_tokens.weight"][UNSEEN].add_(3))
            if kind == "biases":
                edit(folder, lambda tensors: [tensors[name].add_(1) for name in tensors if name.endswith(".bias")])
            if kind == "saved head":
                edit(folder, lambda tensors: tensors["base_model.model.lm_head.weight"].mul_(1.5))
        return folder

    return adapter


@pytest.fixture(scope="module")
def arm(models, adapter):
    """Resolves an arm: the base, a full fine-tune, a control, or an adapter of some kind over one of these."""
    store = Store(models / "store")
    base = resolve_base(ModelSpec(pretrained=str(models / "base")), "cpu", store)

    def arm(name="base", over="base", **more):
        if name == "base":
            return base
        spec = {"control": True} if name == "control" else {"pretrained": str(models / "full")}
        if name not in ("full", "control"):
            spec = {"peft": str(adapter(name, over))} | ({"pretrained": str(models / over)} if over != "base" else {})
        return resolve_candidate(name, CandidateSpec(**spec, allow_base_mismatch=True, **more), base, "cpu", store)

    return arm


@pytest.fixture
def loader():
    return Loader("cpu")


def edit(folder, change):
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def logits_of(loaded):
    with torch.inference_mode():
        return loaded.model(**loaded.tokenizer(TEXT, return_tensors="pt")).logits


def logits(loader, resolved):
    with loader.open(resolved) as loaded:
        return logits_of(loaded)


def answers(loader, resolved):
    requests = [Request(resolved.name, prompt) for prompt in PROMPTS]
    with Transformers().open(loader, [resolved]) as session:
        batches = list(session.generate(requests, Generation(max_new_tokens=12), lambda request: False))
    return {completion.prompt_id: completion.text for batch in batches for _, completion in batch}


def parts(loader, resolved):
    """The modules and parameters, by their names, and what the configuration says."""
    with loader.open(resolved) as loaded:
        model = loaded.model
        return dict(model.named_modules()), dict(model.named_parameters()), model.config.to_dict()


def same_objects(one, other):
    return list(one) == list(other) and all(one[name] is other[name] for name in one)


@pytest.fixture
def loads(monkeypatch):
    """The names of the arms whose weights are loaded, as it happens."""
    names, read = [], LOAD._weights

    def counted(resolved, device):
        names.append(resolved.name)
        return read(resolved, device)

    monkeypatch.setattr(LOAD, "_weights", counted)
    return names


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_leaves_no_trace_in_the_base(loader, arm, kind):
    base, tuned = arm(), arm(kind)
    before, said, held = logits(loader, base), answers(loader, base), parts(loader, base)
    own = logits(loader, tuned)
    assert torch.equal(own, logits_of(load(tuned, "cpu"))) and not torch.equal(own, before)
    assert answers(loader, tuned) != said
    assert torch.equal(logits(loader, base), before) and answers(loader, base) == said
    modules, parameters, config = parts(loader, base)
    assert same_objects(modules, held[0]) and same_objects(parameters, held[1]) and config == held[2]


def test_five_kinds_of_adapters_in_turn_leave_no_trace_in_the_base(loader, arm, loads):
    base, kinds = arm(), ("plain", "dora", "rslora", "saved head", "embeddings")
    before, said = logits(loader, base), answers(loader, base)
    found = {kind: logits(loader, arm(kind)) for kind in kinds}
    assert all(not torch.equal(one, other) for one, other in itertools.combinations([before, *found.values()], 2))
    assert torch.equal(logits(loader, base), before) and answers(loader, base) == said
    assert loads == ["base"]


@pytest.mark.parametrize("over", ["base", "full"])
@pytest.mark.parametrize("kind", INTO_THE_BASE)
def test_what_an_adapter_changes_in_the_weights_below_it_does_not_reach_the_next_arm(loader, arm, kind, over):
    below, tuned = arm(over), arm(kind, over)
    alone, (_, _, config) = logits(loader, below), parts(loader, below)
    try:
        found = logits(loader, tuned)
    except ToxauditError as error:
        assert kind == "layers twice" and "layer_replication" in str(error)
    else:
        assert torch.equal(found, logits_of(load(tuned, "cpu"))) and not torch.equal(found, alone)
    assert torch.equal(logits(loader, below), alone) and parts(loader, below)[2] == config


def test_every_order_of_opening_gives_the_logits_of_loading_anew(loader, arm):
    arms = [arm(), arm("plain"), arm("saved head"), arm("full"), arm("dora", "full"), arm("control")]
    anew = {each.name: logits_of(load(each, "cpu")) for each in arms}
    for order in list(itertools.permutations(arms))[:: 720 // 4]:
        for each in order:
            assert torch.equal(logits(loader, each), anew[each.name]), [each.name for each in order]


def test_a_model_in_bfloat16_is_as_before_too(loader, models, adapter):
    base = tiny.resolved(models / "base", dtype="bfloat16")
    before = logits(loader, base)
    assert before.dtype == torch.bfloat16
    for kind in ("plain", "dora", "saved head"):
        tuned = tiny.resolved(models / "base", adapter(kind), dtype="bfloat16")
        assert torch.equal(logits(loader, tuned), logits_of(load(tuned, "cpu")))
        assert torch.equal(logits(loader, base), before)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
@pytest.mark.parametrize("kind", ["saved head", "embeddings", "tokens", "whole embeddings"])
def test_embeddings_that_are_the_head_as_well_stay_so(loader, models, adapter, kind):
    base = tiny.resolved(models / "tied")
    before, (_, parameters, _) = logits(loader, base), parts(loader, base)
    tuned = tiny.resolved(models / "tied", adapter(kind, "tied"))
    assert torch.equal(logits(loader, tuned), logits_of(load(tuned, "cpu")))
    assert torch.equal(logits(loader, base), before)
    assert kind == "whole embeddings" or same_objects(parts(loader, base)[1], parameters)
    with loader.open(base) as loaded:
        assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight


def test_arms_over_the_same_weights_have_the_very_same_parameters(loader, arm, loads):
    _, parameters, _ = parts(loader, arm())
    places = {each.data_ptr() for each in parameters.values()}
    for name in ("control", "plain", "dora", "saved head"):
        with loader.open(arm(name)) as loaded:
            assert loaded.name == name
            held = {id(each) for each in loaded.model.parameters()}
            assert {id(each) for each in parameters.values()} <= held
            assert {each.data_ptr() for each in parameters.values()} == places
    assert loads == ["base"]


def test_arms_over_other_weights_free_those_before_them_first(loader, arm, monkeypatch):
    read, alive, left = LOAD._weights, [], []

    def watched(resolved, device):
        left.append(sum(parameter() is not None for parameter in alive))
        return read(resolved, device)

    monkeypatch.setattr(LOAD, "_weights", watched)
    gc.disable()  # nothing but the loader itself is to free them
    try:
        for name, over in (("base", ""), ("dora", "base"), ("full", ""), ("plain", "full"), ("plain", "base")):
            with loader.open(arm(name, over or "base")) as loaded:
                alive += map(weakref.ref, loaded.model.parameters())
                del loaded
        loader.close()
        assert left == [0, 0, 0]
        assert alive and not any(parameter() for parameter in alive)
    finally:
        gc.enable()


def broken(adapter, to, change):
    folder = shutil.copytree(adapter("plain"), to)
    edit(folder, change)
    return folder


def pop_last(tensors):
    tensors.pop(sorted(tensors)[-1])


def huge(tensors):
    for tensor in tensors.values():
        tensor.fill_(3e38)


def vanishing(tensors):
    for tensor in tensors.values():
        tensor.mul_(1e-30)


def misshapen(tensors):
    name = sorted(tensors)[-1]
    tensors[name] = torch.ones(3, 5)


def stray(tensors):
    tensors["base_model.model.stray.lora_A.weight"] = torch.ones(4, 48)


@pytest.mark.parametrize("change", [pop_last, huge, vanishing, misshapen, stray], ids=lambda each: each.__name__)
def test_an_adapter_that_fails_midway_leaves_the_base_as_it_was(loader, arm, models, adapter, tmp_path, change, loads):
    base, found = arm(), tiny.resolved(models / "base", broken(adapter, tmp_path / "broken", change))
    before, held = logits(loader, base), parts(loader, base)
    for _ in range(2):
        with pytest.raises(ToxauditError), loader.open(found):
            pytest.fail("it was opened")
    assert torch.equal(logits(loader, base), before)
    modules, parameters, config = parts(loader, base)
    assert same_objects(modules, held[0]) and same_objects(parameters, held[1]) and config == held[2]
    assert torch.equal(logits(loader, arm("plain")), logits_of(load(arm("plain"), "cpu")))
    assert loads.count("base") == 1


def test_an_error_while_an_adapter_is_open_leaves_the_base_as_it_was(loader, arm):
    before, held = logits(loader, arm()), parts(loader, arm())
    with pytest.raises(ZeroDivisionError), loader.open(arm("saved head")):
        _ = 1 / 0
    assert torch.equal(logits(loader, arm()), before) and same_objects(parts(loader, arm())[0], held[0])


def test_weights_that_can_not_be_loaded_leave_a_loader_that_can_load_others(loader, arm, models, tmp_path):
    spoilt = shutil.copytree(models / "full", tmp_path / "spoilt")
    (spoilt / "model.safetensors").write_bytes((spoilt / "model.safetensors").read_bytes()[:-9])
    before = logits(loader, arm())
    with pytest.raises(ToxauditError) as caught, loader.open(tiny.resolved(spoilt)):
        pytest.fail("it was opened")
    assert str(caught.value).startswith(f"base: {tmp_path.name}/spoilt can't be loaded: ")  # and no path of the store
    assert torch.equal(logits(loader, arm()), before)


def test_memory_is_looked_for_only_where_some_was_taken(loader, models, tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(LOAD.gc, "collect", lambda: looks.append("all of the memory"))
    loader.close()
    looks.clear()
    loader.close()
    assert not looks
    spoilt = shutil.copytree(models / "full", tmp_path / "spoilt")
    (spoilt / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ToxauditError), loader.open(tiny.resolved(spoilt)):
        pytest.fail("it was opened")
    loader.close()
    assert looks  # of what can't be loaded, too, something may be left


@pytest.fixture(scope="module")
def polite(models):
    """The files of a tokenizer that reads and asks in another way."""
    words = tiny.tokenizer()
    words.add_special_tokens({"additional_special_tokens": ["<polite>"]})
    words.chat_template = "<polite>{{ messages[0].content }}"
    words.save_pretrained(models / "polite")
    return str(models / "polite")


def test_the_tokenizer_that_the_spec_names_apart_is_used_by_its_arm_alone(loader, arm, polite, loads):
    named = [arm("plain", tokenizer=polite), arm("full", tokenizer=polite)]
    for own in (arm(), arm("plain"), arm("full")):
        with loader.open(own) as loaded:
            assert loaded.tokenizer.chat_template == tiny.CHAT
            assert len(loaded.tokenizer("<polite>").input_ids) == len("<polite>")
    for other in reversed(named):
        with loader.open(other) as loaded:
            assert loaded.tokenizer.chat_template == "<polite>{{ messages[0].content }}"
            assert loaded.tokenizer("<polite>").input_ids == [tiny.VOCABULARY]
    assert named[0].identity != arm("plain").identity and named[0].loaded_as == arm().loaded_as
    assert loads == ["base", "full", "plain"]


def stopping(models, to, token, special, **files):
    """A copy of the base whose configurations let a text end at ``token`` as well."""
    copy = shutil.copytree(models / "base", to)
    if special:
        words = tiny.tokenizer()
        words.add_special_tokens({"additional_special_tokens": [words.convert_ids_to_tokens(token)]})
        words.save_pretrained(copy)
    for name, ends in files.items():
        file = copy / f"{name}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": ends}))
    return copy


@pytest.mark.parametrize("file", ["generation_config", "config"])
@pytest.mark.parametrize("special", [True, False], ids=["special", "a word"])
def test_only_a_special_token_ends_a_text_where_a_configuration_names_it(loader, models, tmp_path, file, special):
    copy = stopping(models, tmp_path / "copy", UNSEEN, special, **{file: [UNSEEN, tiny.END]})
    with loader.open(tiny.resolved(copy)) as loaded:
        assert loaded.stops == ({tiny.END, UNSEEN} if special else {tiny.END})


def test_the_tokenizers_own_end_ends_a_text_whatever_the_configurations_name(loader, models, tmp_path):
    copy = stopping(models, tmp_path / "copy", UNSEEN, False, config=None, generation_config=UNSEEN)
    with loader.open(tiny.resolved(copy)) as loaded:
        assert loaded.stops == {tiny.END}


def test_an_arm_ends_its_texts_by_the_tokenizer_it_is_asked_through(loader, models, adapter, tmp_path):
    """The weights' configurations name the ends; the arm's tokenizer says which of them are special."""
    copy = stopping(models, tmp_path / "copy", UNSEEN, False, generation_config=[UNSEEN, tiny.END])
    words = tiny.tokenizer()
    words.add_special_tokens({"additional_special_tokens": [words.convert_ids_to_tokens(UNSEEN)]})
    words.save_pretrained(tmp_path / "words")
    store = Store(tmp_path / "store")
    base = resolve_base(ModelSpec(pretrained=str(copy)), "cpu", store)
    spec = CandidateSpec(peft=str(adapter("plain")), tokenizer=str(tmp_path / "words"), allow_base_mismatch=True)
    with loader.open(resolve_candidate("tuned", spec, base, "cpu", store)) as loaded:
        assert loaded.stops == {tiny.END, UNSEEN}
    with loader.open(base) as loaded:
        assert loaded.stops == {tiny.END}


def test_the_weights_are_probed_once_for_all_adapters_over_them_and_anew_once_they_were_let_go(
    models, adapter, monkeypatch
):
    probed, probe = [], LOAD.probe
    monkeypatch.setattr(LOAD, "probe", lambda loaded: probed.append(loaded.name) or probe(loaded))
    arms = [tiny.resolved(models / "base", adapter(kind)) for kind in ("plain", "rslora")]
    loader = Loader("cpu")
    for arm in arms:
        with loader.open(arm) as loaded:
            assert torch.equal(loaded.probed, probe(loaded))
    assert len(probed) == 1 + len(arms)
    loader.close()
    with loader.open(arms[0]):
        assert len(probed) == 1 + len(arms) + 2


@pytest.fixture
def puts(monkeypatch):
    """The folders of the adapters that PEFT puts on, as it happens."""
    folders, put_on = [], LOAD.attach.put_on
    monkeypatch.setattr(
        LOAD.attach, "put_on", lambda model, folder, device: folders.append(folder) or put_on(model, folder, device)
    )
    return folders


def laid_by(loader, resolved):
    with loader.open(resolved, Checklist(resolved.name), lay_by=True) as loaded:
        return logits_of(loaded)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_that_is_laid_by_is_put_on_once_and_answers_as_if_anew(loader, arm, kind, puts):
    base, tuned, other = arm(), arm(kind), arm("dora" if kind in ("plain", "tokens") else "plain")
    before, held, anew = logits(loader, base), parts(loader, base), logits_of(load(tuned, "cpu"))
    puts.clear()
    assert torch.equal(laid_by(loader, tuned), anew)
    assert torch.equal(logits(loader, base), before)
    assert not torch.equal(laid_by(loader, other), anew)
    assert torch.equal(logits(loader, tuned), anew) and len(puts) == 2
    modules, parameters, config = parts(loader, base)
    assert same_objects(modules, held[0]) and same_objects(parameters, held[1]) and config == held[2]
    assert torch.equal(logits(loader, base), before)
    assert torch.equal(logits(loader, tuned), anew) and len(puts) == 3  # it was laid by for one time


@pytest.mark.parametrize("kind", INTO_THE_BASE)
def test_an_adapter_that_changes_what_is_below_it_is_not_laid_by(loader, arm, kind, puts):
    tuned = arm(kind)
    try:
        found = laid_by(loader, tuned)
    except ToxauditError:
        assert kind == "layers twice"
    else:
        assert torch.equal(logits(loader, tuned), found) and len(puts) == 2


def test_an_adapter_is_not_laid_by_where_memory_is_short_or_its_checks_fail_or_its_weights_went(
    loader, arm, puts, monkeypatch
):
    anew = laid_by(loader, arm("plain"))
    loader.close()
    assert torch.equal(logits(loader, arm("plain")), anew) and len(puts) == 2
    with pytest.raises(ZeroDivisionError), loader.open(arm("plain"), Checklist("plain"), lay_by=True):
        _ = 1 / 0
    assert torch.equal(logits(loader, arm("plain")), anew) and len(puts) == 4
    monkeypatch.setattr(LOAD, "memory_free", lambda device: 1000)
    laid_by(loader, arm("plain"))
    assert torch.equal(logits(loader, arm("plain")), anew) and len(puts) == 6


def test_whoever_wants_records_gets_all_of_them_again(loader, arm, puts):
    first, second = Checklist("plain"), Checklist("plain")
    for checks in (first, second):
        with loader.open(arm("plain"), checks, lay_by=True):
            pass
    assert first.done == second.done and len(puts) == 2
