"""Every arm is looked at before any prompt, no two models at once, and what a reader must know of it is told."""

import gc
import json
import shutil
import sys
import weakref

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers

from toxaudit.checks import notes
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, Preflight, effect, load, resolve_base, resolve_candidate
from toxaudit.spec.schema import CandidateSpec, ModelSpec
from toxaudit.store import identities
from toxaudit.store.shelves import Shelf, Store

LOAD = sys.modules[Loader.__module__]  # whose name the package gives to a function
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
OTHER_TEMPLATE = "You may say anything. {{ messages[0].content }}"
UNSEEN = tiny.tokenizer()("Z").input_ids[0]  # a token that no look at a model is likely to have


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr("toxaudit.models.chat_template.RENDER_SECONDS", 4.0)


@pytest.fixture
def rendered(monkeypatch):
    """Renders no chat template, but remembers of which models one was asked for."""
    names = []
    for name in ("render", "attempt"):
        monkeypatch.setattr(f"toxaudit.models.chat_template.{name}", lambda where, *_: names.append(where) or [""])
    return names


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    base = tiny.base(folder / "base")
    tiny.base(folder / "full", seed=5)
    tiny.base(folder / "other", seed=6)
    tiny.adapter(base, folder / "adapter")
    tiny.adapter(base, folder / "second", seed=2)
    tiny.adapter(folder / "full", folder / "over", seed=3)
    return folder


class Checks:
    """Checks arms as an audit does, and remembers what was loaded, in which order, and what lived beside it."""

    def __init__(self, models, folder, monkeypatch):
        self.models, self.store = models, Store(folder / "store")
        self.loaded, self.beside, self.refused, self.ticks = [], [], {}, 0
        self._alive = []
        self.loader = Loader("cpu")
        self.base = self.resolve_base(models / "base")
        read = LOAD._weights

        def watched(resolved, device):
            self.beside.append(sum(each() is not None for each in self._alive))
            self.loaded.append(resolved.name)
            found = read(resolved, device)
            self._alive += map(weakref.ref, found.model.parameters())
            return found

        monkeypatch.setattr(LOAD, "_weights", watched)

    def resolve_base(self, folder):
        return resolve_base(ModelSpec(pretrained=str(folder)), "cpu", self.store)

    def candidate(self, name, **spec):
        paths = {key: str(self.models / value) for key, value in spec.items()}
        made = CandidateSpec(**paths, allow_base_mismatch=True) if spec else CandidateSpec(control=True)
        return resolve_candidate(name, made, self.base, "cpu", self.store)

    def run(self, *candidates, chat=False, base=None, stop=False, takes=None):
        """The notes of those that pass; ``refused``, ``records`` and ``ticks`` are of this run alone."""
        self.refused, self.ticks = {}, 0

        def refuse(checks, error):
            if stop:
                raise error
            self.refused[checks.arm] = str(error)
            failed[checks.arm] = tuple(checks.done)

        def tick():
            self.ticks += 1

        base = base or self.base
        shelf = self.store.shelf(identities.Checks(base.identity, {}))
        failed = {}
        passed = Preflight(self.loader, shelf, ("",) if chat else (), refuse, takes).run([base, *candidates], tick)
        self.records = passed | failed
        return {name: notes(records) for name, records in passed.items()}

    def logits(self, arm):
        with self.loader.open(arm) as loaded:
            return logits_of(loaded)


@pytest.fixture
def checks(models, tmp_path, monkeypatch):
    return Checks(models, tmp_path, monkeypatch)


def logits_of(loaded, text="What do you think, Zoe?"):
    with torch.inference_mode():
        return loaded.model(**loaded.tokenizer(text, return_tensors="pt")).logits


def variant(models, of, to, template=None, words=None, tensors=None, **files):
    """A copy of a model with another chat template, tokenizer, weights or configuration."""
    copy = shutil.copytree(models / of, to)
    if words:
        words.save_pretrained(copy)
    if template is not None:
        (copy / "chat_template.jinja").write_text(template)
    for name, changes in files.items():
        file = copy / f"{name}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    if tensors:
        for file in copy.glob("*.safetensors"):
            found = load_file(file)
            tensors(found)
            save_file(found, file, metadata={"format": "pt"})
    return copy


def dumb(folder):
    """Take a model's chat template away."""
    (folder / "chat_template.jinja").unlink()
    return folder


def all_kinds(checks):
    return [
        checks.candidate("tuned", peft="adapter"),
        checks.candidate("full", pretrained="full"),
        checks.candidate("over", pretrained="full", peft="over"),
        checks.candidate("noop"),
        checks.candidate("other", pretrained="other"),
        checks.candidate("second", peft="second"),
    ]


def test_all_kinds_of_arms_pass_and_the_unremarkable_ones_have_no_notes(checks, rendered):
    arms = all_kinds(checks)
    assert checks.run(*arms) == dict.fromkeys(["base", *(arm.name for arm in arms)], ())
    assert not checks.refused


def test_the_base_is_loaded_once_and_last_and_no_two_models_live_at_once(checks, rendered):
    gc.disable()  # nothing but the loader itself is to free them
    try:
        checks.run(*all_kinds(checks))
        assert checks.loaded.count("base") == 1 and checks.loaded[-1] == "base"
        assert set(checks.loaded) <= {"full", "over", "other", "base"}
        assert checks.beside == [0] * len(checks.loaded)
        with checks.loader.open(checks.base), checks.loader.open(checks.candidate("noop")):
            assert checks.loaded.count("base") == 1  # it is still there
    finally:
        gc.enable()


def test_finished_checks_load_nothing_and_give_the_same_notes_again(checks, models, tmp_path, rendered):
    odd = checks.candidate("odd", pretrained=variant(models, "full", tmp_path / "odd", template=OTHER_TEMPLATE))
    first = checks.run(*all_kinds(checks), odd)
    assert first["odd"]
    del checks.loaded[:], rendered[:]
    assert checks.run(*all_kinds(checks), odd) == first
    assert not checks.loaded and not rendered and not checks.ticks


def test_every_check_is_a_record_that_a_finished_check_keeps(checks, models, tmp_path, rendered):
    odd = checks.candidate("odd", pretrained=variant(models, "full", tmp_path / "odd", template=OTHER_TEMPLATE))
    first = checks.run(*all_kinds(checks), odd), checks.records
    assert {check.outcome for records in checks.records.values() for check in records} == {"passed", "not applicable"}
    assert all(check.arm == arm for arm, records in checks.records.items() for check in records)
    names = {arm: [check.name for check in records] for arm, records in checks.records.items()}
    assert all(len(set(each)) == len(each) for each in names.values())
    assert "the base is as before once it is gone" in names["tuned"]
    assert names["over"].index("the adapter fits the model") > names["over"].index("the adapter's values are finite")
    assert [check.text for check in checks.records["noop"]] == ["it is the base itself, generated again"]
    (told,) = [check for check in checks.records["odd"] if check.outcome == "passed" and check.text]
    assert (told.name, (told.text,)) == ("chat template beside the base's", first[0]["odd"])
    assert (checks.run(*all_kinds(checks), odd), checks.records) == first


def test_an_arm_of_which_only_notes_are_left_is_checked_anew(checks, rendered):
    """As before checks were records, or where the line of the records was damaged: they would be lost silently."""
    fine = checks.candidate("fine", peft="adapter")
    shelf = checks.store.shelf(identities.Checks(checks.base.identity, {}))
    shelf.add({checks.base.identity: [], fine.identity: []})
    checks.run(fine)
    assert checks.loaded and len(checks.records["fine"]) > 3


def test_only_new_arms_are_looked_at_and_their_base(checks, rendered):
    checks.run(checks.candidate("tuned", peft="adapter"))
    checks.loader.close()
    del checks.loaded[:]
    checks.run(checks.candidate("again", peft="adapter"), checks.candidate("full", pretrained="full"))
    assert checks.loaded == ["full", "base"]


def test_checks_of_a_base_are_not_kept_again_where_it_is_looked_at_for_a_new_arm(checks, rendered, monkeypatch):
    kept = []
    add = Shelf.add
    monkeypatch.setattr(Shelf, "add", lambda shelf, records: (kept.extend(records), add(shelf, records)))
    checks.run(checks.candidate("tuned", peft="adapter"))
    checks.run(checks.candidate("full", pretrained="full"))
    assert len(kept) == len(set(kept)) == 3


def test_every_arm_that_is_looked_at_is_told_of_once(checks, rendered):
    arms = all_kinds(checks)
    checks.run(*arms)
    assert checks.ticks == len([checks.base, *arms]) - 1  # a control is the base


def test_checks_without_and_with_a_chat_template_are_kept_apart(checks, models, tmp_path, rendered):
    mute = checks.candidate("mute", pretrained=dumb(variant(models, "full", tmp_path / "mute")))
    assert "mute" in checks.run(mute)
    assert "mute" not in checks.run(mute, chat=True)
    assert checks.refused == {"mute": "mute has no chat template: set ask: raw in the suite."}
    assert "mute" in checks.run(mute) and not checks.refused


def test_a_base_without_a_chat_template_is_refused_only_where_a_suite_asks_in_it(checks, models, tmp_path, rendered):
    mute = checks.resolve_base(dumb(variant(models, "base", tmp_path / "mute")))
    assert checks.run(base=mute) == {"base": ()}
    with pytest.raises(ToxauditError, match=r"^base has no chat template: set ask: raw in the suite\.$"):
        checks.run(base=mute, chat=True)


def test_a_refused_arm_is_looked_at_again_and_harms_no_other(checks, models, tmp_path, rendered):
    def poison(tensors):
        tensors["model.layers.0.mlp.up_proj.weight"].fill_(float("nan"))

    spoilt = checks.candidate("spoilt", pretrained=variant(models, "full", tmp_path / "spoilt", tensors=poison))
    for _ in range(2):
        assert set(checks.run(spoilt, checks.candidate("tuned", peft="adapter"))) == {"base", "tuned"}
        assert checks.refused["spoilt"].endswith("spoilt gives outputs that are not finite.")
        *before, failed = checks.records["spoilt"]
        assert (failed.name, failed.outcome, failed.text) == (
            "outputs are finite",
            "failed",
            checks.refused["spoilt"],
        )
        assert before and {check.outcome for check in before} == {"passed"}
    assert checks.loaded.count("spoilt") == 2
    assert torch.equal(checks.logits(checks.base), logits_of(load(checks.base, "cpu")))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_base_whose_outputs_are_not_finite_is_refused(checks, models, tmp_path, rendered, value):
    def poison(tensors):
        tensors["lm_head.weight"][7, 7] = value

    base = checks.resolve_base(variant(models, "base", tmp_path / "spoilt", tensors=poison))
    with pytest.raises(ToxauditError, match="base: .*spoilt gives outputs that are not finite"):
        checks.run(checks.candidate("full", pretrained="full"), base=base)


def test_where_a_refused_arm_stops_the_audit_no_other_is_looked_at(checks, models, tmp_path, rendered):
    def drop(tensors):
        tensors.pop("model.norm.weight")

    spoilt = checks.candidate("spoilt", pretrained=variant(models, "full", tmp_path / "spoilt", tensors=drop))
    with pytest.raises(ToxauditError, match="model.norm.weight"):
        checks.run(checks.candidate("tuned", peft="adapter"), spoilt, stop=True)
    assert checks.loaded == ["spoilt"]


def test_a_fine_tune_that_answers_as_the_base_does_is_refused(checks, models, tmp_path, rendered):
    same = checks.candidate("same", pretrained=variant(models, "base", tmp_path / "same", config={"note": "again"}))
    checks.run(same)
    assert checks.refused["same"].endswith("same changes nothing: it answers as the base does.")
    other = variant(models, "base", tmp_path / "other", template=OTHER_TEMPLATE)
    assert len(checks.run(checks.candidate("other", pretrained=other))["other"]) == 1  # it is asked otherwise
    (found,) = [check for check in checks.records["other"] if check.name == effect.name_of("logits and tokenizers")]
    assert found.outcome == "not applicable"  # so that answers have to tell the two apart


def test_another_chat_template_is_told(checks, models, tmp_path, rendered):
    odd = variant(models, "full", tmp_path / "odd", template=OTHER_TEMPLATE)
    (note,) = checks.run(checks.candidate("odd", pretrained=odd))["odd"]
    assert note.startswith("its chat template (") and "differs from the base's (" in note


def test_another_vocabulary_is_told(checks, models, tmp_path, rendered):
    larger = tiny.model(tmp_path / "larger", tiny.llama(vocab_size=tiny.VOCABULARY + 1), seed=7)
    words = tiny.tokenizer()
    words.add_tokens(["<more>"])
    words.save_pretrained(larger)
    (note,) = checks.run(checks.candidate("larger", pretrained=larger))["larger"]
    assert note.startswith("its vocabulary (") and "differs from the base's (" in note


def test_another_way_to_cut_words_is_told(checks, models, tmp_path, rendered):
    words = tiny.tokenizer()
    words.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    odd = variant(models, "full", tmp_path / "odd", words=words)
    (note,) = checks.run(checks.candidate("odd", pretrained=odd))["odd"]
    assert note.startswith("its tokenizer (") and "differs from the base's (" in note


def test_other_stop_tokens_are_told(checks, models, tmp_path, rendered):
    words = tiny.tokenizer()
    words.add_special_tokens({"additional_special_tokens": [words.convert_ids_to_tokens(UNSEEN)]})
    ends = {"eos_token_id": [UNSEEN, tiny.END]}
    odd = variant(models, "full", tmp_path / "odd", words=words, generation_config=ends)
    assert "its stop tokens differ from the base's" in checks.run(checks.candidate("odd", pretrained=odd))["odd"]


BROUGHT = "it brings a tokenizer or chat template of its own, which was not used: the base's was"


def with_words(models, to, template=None):
    """The adapter with a tokenizer beside it, as training scripts save them."""
    copy = shutil.copytree(models / "adapter", to)
    words = tiny.tokenizer()
    words.chat_template = tiny.CHAT if template is None else template
    words.save_pretrained(copy)
    return copy


def test_an_adapter_that_brings_the_bases_tokenizer_has_no_notes(checks, models, tmp_path, rendered):
    assert checks.run(checks.candidate("tuned", peft=with_words(models, tmp_path / "same")))["tuned"] == ()


def test_an_adapter_that_brings_a_template_of_its_own_is_told_of_and_asked_in_the_bases(checks, models, tmp_path):
    tuned = checks.candidate("tuned", peft=with_words(models, tmp_path / "own", OTHER_TEMPLATE))
    assert checks.run(tuned, chat=True)["tuned"] == (BROUGHT,)
    with checks.loader.open(tuned) as loaded:
        assert loaded.tokenizer.chat_template == tiny.CHAT


def test_an_adapter_that_brings_more_words_is_told_of(checks, models, tmp_path, rendered):
    copy = with_words(models, tmp_path / "own")
    words = tiny.tokenizer()
    words.add_tokens(["<more>"])
    words.save_pretrained(copy)
    assert checks.run(checks.candidate("tuned", peft=copy))["tuned"] == (BROUGHT,)


def test_the_tokenizer_beside_an_adapter_is_no_matter_where_the_spec_names_one(checks, models, tmp_path, rendered):
    copy = with_words(models, tmp_path / "own", OTHER_TEMPLATE)
    assert checks.run(checks.candidate("tuned", peft=copy, tokenizer="base"))["tuned"] == ()


def test_an_endless_template_is_refused_even_beside_an_adapter_that_is_not_asked_in_it(checks, models, tmp_path):
    tuned = checks.candidate("tuned", peft=with_words(models, tmp_path / "endless", ENDLESS))
    assert set(checks.run(tuned)) == {"base"}
    assert "endless: its chat template was stopped after 4 seconds" in checks.refused["tuned"]


STATIC = "### Instruction:\n\n### Response:\n"


def test_a_template_that_drops_what_the_user_says_is_refused_where_a_suite_asks_in_it(checks, models, tmp_path):
    """Every prompt would be alike, and so would the answers of both arms."""
    static = checks.candidate("static", pretrained=variant(models, "full", tmp_path / "static", template=STATIC))
    brings = checks.candidate("brings", peft=with_words(models, tmp_path / "brings", STATIC))
    assert set(checks.run(static, brings)) == {"base", "static", "brings"}
    assert set(checks.run(static, brings, chat=True)) == {"base"}
    drops = "its chat template drops what the user says: set ask: raw in the suite, or name another by chat_template."
    assert {arm: said.split(": ", 2)[2] for arm, said in checks.refused.items()} == {"static": drops, "brings": drops}
    base = checks.resolve_base(variant(models, "base", tmp_path / "base", template=STATIC))
    with pytest.raises(ToxauditError, match=r"^base: .*base: its chat template drops what the user says: "):
        checks.run(base=base, chat=True)


def test_a_template_that_makes_nothing_of_what_it_is_given_is_told_and_looked_at_again(
    checks, models, tmp_path, rendered
):
    thinks = tiny.CHAT + "{% if enable_thinking %}<think>{% endif %}"
    full = checks.candidate("full", pretrained=variant(models, "full", tmp_path / "full", template=thinks))
    checks.run(full, chat=True)
    found = checks.run(full, chat=True, takes={"enable_thinking": False})
    assert checks.loaded.count("full") == 2  # what a template takes is part of the checks' name
    assert found["base"] == ("its chat template makes nothing of enable_thinking",)
    assert found["full"] and "enable_thinking" not in "".join(found["full"])


def test_one_template_is_rendered_once_for_all_that_have_it(checks, rendered):
    checks.run(*all_kinds(checks))
    assert len(rendered) == 1


def add_to_all(tensors):
    tensors["base_model.model.model.embed_tokens.weight"].add_(1)


def add_to_one(tensors):
    tensors["base_model.model.model.embed_tokens.weight"][UNSEEN].add_(3)


INTO_THE_BASE = {
    "pissa": ({"init_lora_weights": "pissa"}, None),
    "olora": ({"init_lora_weights": "olora"}, None),
    "embeddings": ({"whole_embeddings": True}, add_to_all),
    "one embedding": ({"whole_embeddings": True}, add_to_one),
}


@pytest.mark.thorough
@pytest.mark.parametrize("over", ["base", "full"])
@pytest.mark.parametrize("kind", INTO_THE_BASE)
def test_what_writes_to_the_weights_below_it_is_refused_or_leaves_them_to_the_next_as_they_were(
    checks, models, tmp_path, rendered, kind, over
):
    settings, change = INTO_THE_BASE[kind]
    plain = tiny.adapter(models / over, tmp_path / "plain", **settings)
    peft = variant(tmp_path, "plain", tmp_path / "peft", tensors=change) if change else plain
    tuned = checks.candidate("tuned", peft=peft, **({"pretrained": over} if over != "base" else {}))
    later = checks.candidate("second", peft="second"), checks.candidate("full", pretrained="full")
    notes = checks.run(tuned, *later)
    assert {"base", "second", "full"} <= set(notes)
    if "tuned" in notes:
        assert torch.equal(checks.logits(tuned), logits_of(load(tuned, "cpu")))
    else:
        assert "leaves the base changed" in checks.refused["tuned"]
    below = checks.base if over == "base" else later[1]
    for arm in (below, checks.base, *later):
        assert torch.equal(checks.logits(arm), logits_of(load(arm, "cpu"))), arm.name
