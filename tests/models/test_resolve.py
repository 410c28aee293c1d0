"""An arm's identity changes with all that changes its completions, and with nothing else."""

import json
import shutil
from dataclasses import replace

import pytest
import tiny

from toxaudit.errors import ToxauditError
from toxaudit.models import resolve_base, resolve_candidate, tuned
from toxaudit.records import digest
from toxaudit.sources import parse, pinned
from toxaudit.sources.base import WEIGHTS
from toxaudit.spec.schema import CandidateSpec, ModelSpec
from toxaudit.store.shelves import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def base(tiny_base, store):
    return resolve_base(ModelSpec(pretrained=str(tiny_base)), "cpu", store)


@pytest.fixture
def candidate(base, store):
    def resolve(name="other", **spec):
        return resolve_candidate(name, CandidateSpec(**spec), base, "cpu", store)

    return resolve


def test_the_kinds_of_arm_are_told_apart(base, candidate, tiny_base, tiny_adapter):
    made = replace(base, adapter=pinned("tuned in this audit (mine)", None, tiny_adapter, WEIGHTS))
    trained = tuned("mine", CandidateSpec(expect="NO-GO"), made, "as people do")
    arms = [
        base,
        candidate(peft=str(tiny_adapter)),
        candidate(pretrained=str(tiny_base)),
        candidate(control=True, batch_size=3, expect="GO"),
        trained,
    ]
    assert [arm.kind for arm in arms] == ["base", "adapter", "fine-tune", "control", "trained"]
    assert [arm.facts().reference.split("/")[-1] for arm in arms] == [
        "base",
        "adapter",
        "base",
        "the base itself, generated again",
        "tuned in this audit (mine)",
    ]
    assert [arm.facts().expect for arm in arms] == [None, None, None, "GO", "NO-GO"]
    assert [arm.facts().batch_size for arm in arms] == [None, None, None, 3, None]
    assert trained.facts().training == "as people do" and trained.name == "mine"
    assert all(arm.facts().digest == arm.identity and arm.facts().revision is None for arm in arms)


def test_identity_differs_where_weights_adapter_dtype_or_control_differ(
    base, candidate, tiny_base, tiny_adapter, tmp_path
):
    arms = [
        base,
        replace(base, dtype="bfloat16"),
        candidate(pretrained=str(tiny.base(tmp_path / "other", seed=5))),
        candidate(peft=str(tiny_adapter)),
        candidate(peft=str(tiny.adapter(tiny_base, tmp_path / "adapter", seed=6))),
        candidate(control=True, batch_size=3),
        candidate(control=True, batch_size=4),
    ]
    assert len({arm.identity for arm in arms}) == len(arms)


def test_only_an_adapter_whose_start_is_drawn_has_an_identity_of_its_own(candidate, tiny_adapter, tmp_path):
    """What was generated before its draws were seeded is of no other use."""
    names = []
    for start in ("pissa", "pissa_niter_4"):
        folder = shutil.copytree(tiny_adapter, tmp_path / start)
        tiny.edit_json(folder / "adapter_config.json", init_lora_weights=start)
        arm = candidate(peft=str(folder))
        names.append(arm.identity == digest(arm.loaded_as, arm.adapter.identity, "", ""))
    assert names == [True, False]


def test_identity_is_blind_to_names_places_and_expectations(base, candidate, tiny_base, tiny_adapter, tmp_path):
    moved = shutil.copytree(tiny_base, tmp_path / "moved")
    (moved / "README.md").write_text("No part of the model.")
    (moved / "pytorch_model.bin").write_bytes(b"Never read.")
    assert candidate(pretrained=str(moved), expect="GO").identity == base.identity
    elsewhere = shutil.copytree(tiny_adapter, tmp_path / "elsewhere")
    one, two = candidate("one", peft=str(tiny_adapter)), candidate("two", peft=str(elsewhere), expect="NO-GO")
    made = replace(base, adapter=pinned("tuned in this audit (three)", None, elsewhere, WEIGHTS))
    assert one.identity == two.identity == tuned("three", CandidateSpec(), made, "a sentence").identity


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"])
def test_one_byte_more_in_any_file_of_the_model_changes_its_identity(base, candidate, tiny_base, tmp_path, file):
    copy = shutil.copytree(tiny_base, tmp_path / "copy")
    (copy / file).write_bytes((copy / file).read_bytes() + b" ")
    assert candidate(pretrained=str(copy)).identity != base.identity


def test_an_adapter_takes_the_weights_and_dtype_of_the_base(base, candidate, tiny_adapter):
    found = candidate(peft=str(tiny_adapter))
    assert (found.weights, found.folder, found.dtype) == (base.weights, base.folder, base.dtype)
    assert found.adapter.digest == parse(str(tiny_adapter)).fetch(WEIGHTS).digest


def test_a_control_is_generated_one_prompt_at_a_time_where_no_batch_size_is_given(candidate):
    assert candidate(control=True).batch_size == 1


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_dtype_auto_is_the_base_s_own(tiny_base, store, device):
    assert resolve_base(ModelSpec(pretrained=str(tiny_base)), device, store).dtype == "float32"


def test_a_misspelt_dtype_is_one_sentence_with_a_suggestion(tiny_base, store):
    with pytest.raises(ToxauditError, match=r"base.dtype 'bfloat' is unknown. Did you mean 'bfloat16'\?"):
        resolve_base(ModelSpec(pretrained=str(tiny_base), dtype="bfloat"), "cpu", store)


def test_weights_in_pickles_are_refused_unread(tiny_base, store, tmp_path):
    copy = shutil.copytree(tiny_base, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ToxauditError, match=r"holds no \*.safetensors: weights in pickles"):
        resolve_base(ModelSpec(pretrained=str(copy)), "cpu", store)


def test_a_folder_without_a_configuration_is_refused(tiny_base, store, tmp_path):
    copy = shutil.copytree(tiny_base, tmp_path / "copy")
    (copy / "config.json").unlink()
    with pytest.raises(ToxauditError, match="holds no config.json"):
        resolve_base(ModelSpec(pretrained=str(copy)), "cpu", store)


def test_a_single_file_that_is_no_gguf_is_refused(tiny_base, store):
    with pytest.raises(ToxauditError, match="single file but no .gguf"):
        resolve_base(ModelSpec(pretrained=str(tiny_base / "model.safetensors")), "cpu", store)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_folder_that_lacks_a_file_is_refused_by_its_name(candidate, tiny_adapter, tmp_path, file):
    copy = shutil.copytree(tiny_adapter, tmp_path / "copy")
    (copy / file).unlink()
    with pytest.raises(ToxauditError, match=f"candidates.mine: .*copy holds no {file}"):
        candidate("mine", peft=str(copy))


def test_the_folder_below_that_holds_an_adapter_is_told_and_can_be_named(candidate, tiny_adapter, tmp_path):
    runs = tmp_path / "runs"
    for name in ("checkpoint-500", "checkpoint-1000"):
        shutil.copytree(tiny_adapter, runs / "deep" / name)
    with pytest.raises(ToxauditError) as caught:
        candidate("mine", peft=str(runs))
    assert str(caught.value).endswith(
        "/runs holds no adapter_config.json, but its folder deep/checkpoint-1000 does (and 1 more): set subfolder: "
        "deep/checkpoint-1000."
    )
    inside, alone = candidate(peft=str(runs), subfolder="deep/checkpoint-500"), candidate(peft=str(tiny_adapter))
    assert inside.identity == alone.identity
    assert inside.facts().reference == "deep/checkpoint-500"


def test_the_folder_below_that_holds_a_model_is_told_and_can_be_named(candidate, base, store, tiny_base, tmp_path):
    shutil.copytree(tiny_base, tmp_path / "runs" / "final")
    with pytest.raises(
        ToxauditError, match=r"holds no \*\.safetensors, but its folder final does: set subfolder: final\."
    ):
        candidate(pretrained=str(tmp_path / "runs"))
    inside = ModelSpec(pretrained=str(tmp_path / "runs"), subfolder="final")
    assert resolve_base(inside, "cpu", store).identity == base.identity


@pytest.mark.parametrize("subfolder", ["", "..", "a/../b", "/a", "a//b", "a/", "a\\b", "a\0b", " "])
def test_what_is_no_folder_below_is_refused(candidate, tiny_adapter, subfolder):
    with pytest.raises(ToxauditError, match="is no folder within another"):
        candidate(peft=str(tiny_adapter), subfolder=subfolder)


def test_a_revision_of_a_folder_is_refused(candidate, tiny_adapter):
    with pytest.raises(ToxauditError, match="only a Hub id has revisions"):
        candidate(peft=str(tiny_adapter), peft_revision="main")


def test_the_kind_is_told_from_the_files_and_a_card_that_says_otherwise_is_reported(candidate, tiny_base, tmp_path):
    def of(card, **files):
        folder = shutil.copytree(tiny_base, tmp_path / str(len(list(tmp_path.iterdir()))))
        (folder / "README.md").write_text(f"---\n{card}\n---\n# Words\n")
        for name, text in files.items():
            (folder / f"{name}.yml").write_text(text)
        found = candidate(pretrained=str(folder))
        return found.kind, found.notes

    assert of("base_model: org/base") == ("fine-tune", ())
    assert of("base_model: [org/base, org/other]") == ("merge", ())
    assert of("base_model: org/base", mergekit_config="models: []") == ("merge", ())
    said = ("its card calls it a quantized model, its files are those of a fine-tune",)
    assert of("base_model: org/base\nbase_model_relation: quantized") == ("fine-tune", said)
    assert of("base_model: base\nlibrary_name: peft")[1] == (
        "its card calls it an adapter, its files are those of a fine-tune",
    )
    assert of("license: mit") == ("fine-tune", ("it declares no base",))


def test_a_candidate_that_declares_another_base_is_refused_unless_the_spec_allows_it(candidate, tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "copy")
    (folder / "README.md").write_text("---\nbase_model: org/another\n---\n")
    with pytest.raises(ToxauditError, match="copy declares the base org/another, not .*/base: name its own base"):
        candidate(pretrained=str(folder))
    found = candidate(pretrained=str(folder), allow_base_mismatch=True)
    assert found.notes[0].startswith("it declares the base org/another, and was audited against ")


def test_a_whole_model_may_declare_the_arm_that_it_is_compared_with(base, tiny_base, tiny_adapter, store, tmp_path):
    """The step of a chain before it; an adapter goes over the base's weights, and may not."""
    other = replace(base.weights, files={"x": "1" * 64}, reference="org/instruct", revision="c1")
    instruct = replace(base, name="instruct", weights=other)
    folder = shutil.copytree(tiny_base, tmp_path / "dolly")
    (folder / "README.md").write_text("---\nbase_model: org/instruct\n---\n")
    spec = CandidateSpec(pretrained=str(folder))
    with pytest.raises(ToxauditError, match="dolly declares the base org/instruct, not "):
        resolve_candidate("dolly", spec, base, "cpu", store)
    assert not resolve_candidate("dolly", spec, base, "cpu", store, reference=instruct).notes
    adapter = shutil.copytree(tiny_adapter, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": "org/instruct"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ToxauditError, match="declares the base org/instruct, not "):
        resolve_candidate("tuned", CandidateSpec(peft=str(adapter)), base, "cpu", store, reference=instruct)


@pytest.mark.parametrize(
    "reference", ["models/base", "pkg:pypi/smol@1.0#smol/model.Q8_0.gguf", "models/model.Q8_0.gguf", "org/base"]
)
def test_an_adapter_that_was_tuned_within_an_audit_may_be_named_over_the_same_base(
    tiny_base, tiny_adapter, base, store, tmp_path, reference
):
    folder = shutil.copytree(tiny_adapter, tmp_path / "copied")
    base = replace(base, weights=replace(base.weights, reference=reference))
    tiny.edit_json(folder / "adapter_config.json", base_model_name_or_path=reference)  # as it is stored
    assert not resolve_candidate("mine", CandidateSpec(peft=str(folder)), base, "cpu", store).notes


def test_names_that_look_alike_are_shown_as_they_differ(candidate, tiny_adapter, tmp_path, base):
    folder = shutil.copytree(tiny_adapter, tmp_path / "copied")
    tiny.edit_json(folder / "adapter_config.json", base_model_name_or_path=base.weights.reference + "\u200d")
    with pytest.raises(ToxauditError, match=r"declares the base '.*base\\u200d', not .*/base: name its own"):
        candidate(peft=str(folder))


def test_an_adapter_that_is_given_as_a_whole_model_is_taken_for_what_it_is(candidate, base, tiny_adapter):
    found = candidate(pretrained=str(tiny_adapter))
    assert (found.kind, found.identity) == ("adapter", candidate(peft=str(tiny_adapter)).identity)


def test_an_adapter_may_go_over_another_model_than_the_base(candidate, base, tmp_path):
    other = tiny.base(tmp_path / "other", seed=7)
    peft = tiny.adapter(other, tmp_path / "over-other")
    found = candidate(pretrained=str(other), peft=str(peft))
    assert (found.kind, found.weights.reference[-5:], found.adapter.reference[-10:]) == (
        "adapter",
        "other",
        "over-other",
    )
    assert found.loaded_as != base.loaded_as and found.notes == ("it declares no base",)
    with pytest.raises(ToxauditError, match="over-other is an adapter: name it by 'peft'"):
        candidate(pretrained=str(peft), peft=str(peft))


def test_weights_beside_an_adapters_configuration_are_refused_since_other_weights_would_be_loaded(
    candidate, tiny_base, store, tmp_path
):
    copy = shutil.copytree(tiny_base, tmp_path / "both")
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "org/other", "peft_type": "LORA"}')
    for resolve in (
        lambda: candidate(pretrained=str(copy)),
        lambda: resolve_base(ModelSpec(pretrained=str(copy)), "cpu", store),
    ):
        with pytest.raises(ToxauditError, match="holds an adapter_config.json beside the weights"):
            resolve()


def test_a_tokenizer_named_apart_is_part_of_the_identity(candidate, base, tiny_base, tiny_adapter, tmp_path):
    words = tiny.tokenizer()
    words.chat_template = "{{ messages[0].content }}"
    words.save_pretrained(tmp_path / "words")
    plain, other = (
        candidate(peft=str(tiny_adapter)),
        candidate(peft=str(tiny_adapter), tokenizer=str(tmp_path / "words")),
    )
    assert plain.identity != other.identity and plain.loaded_as == other.loaded_as
    assert other.tokenizer.reference.endswith("/words")


def test_quantising_while_loading_needs_a_gpu_and_says_so(tiny_base):
    from toxaudit.models import load

    four, eight = (tiny.resolved(tiny_base, **{key: True}) for key in ("load_in_4bit", "load_in_8bit"))
    assert len({four.identity, eight.identity, tiny.resolved(tiny_base).identity}) == 3
    assert four.facts().dtype == "float32, weights in 4 bits"
    with pytest.raises(ToxauditError, match="base: load_in_4bit needs a CUDA GPU, and this audit runs on the cpu"):
        load(four, "cpu")
