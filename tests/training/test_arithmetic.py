"""Arms made without training: sums of what fine-tunes differ from their base by."""

import pytest
import tiny
import torch
from safetensors.torch import load_file

from toxaudit.errors import ToxauditError
from toxaudit.models import load, resolve_candidate
from toxaudit.models.load import probe
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store.shelves import Store
from toxaudit.training.arithmetic import sentence, stays_adapter, write


@pytest.fixture(scope="module")
def arms(base, tiny_base, tmp_path_factory):
    """Two adapters of different ranks, and two models of the base's shape."""
    root = tmp_path_factory.mktemp("arms")
    store = Store(root / "store")
    places = {
        "small": {"peft": str(tiny.adapter(tiny_base, root / "small", r=2, lora_alpha=3))},
        "large": {"peft": str(tiny.adapter(tiny_base, root / "large", r=5, lora_alpha=5, seed=2))},
        "whole": {"pretrained": str(tiny.base(root / "whole", seed=3))},
        "other": {"pretrained": str(tiny.base(root / "other", seed=4))},
    }
    return {
        name: resolve_candidate(name, CandidateSpec(allow_base_mismatch=True, **place), base, "cpu", store)
        for name, place in places.items()
    }


def resolved(folder, base, adapter):
    where = {"peft": str(folder)} if adapter else {"pretrained": str(folder)}
    spec = CandidateSpec(allow_base_mismatch=True, **where)
    return resolve_candidate("merged", spec, base, "cpu", Store(folder.parent / "store"))


def tensors(arm):
    return load_file(arm.folder / "model.safetensors")


def made(base, into, moved, folder):
    folder.mkdir()
    write(base, into, moved, Store(folder.parent / "store"), folder)
    return resolved(folder, base, stays_adapter(base, into, moved))


def product(arm, name):
    """What an adapter adds to one matrix."""
    state = load(arm, "cpu").model.state_dict()
    module = load(arm, "cpu").model.get_submodule(f"base_model.model.{name}")
    return state[f"base_model.model.{name}.base_layer.weight"], module.get_delta_weight("default")


def test_adapters_of_any_rank_become_one_adapter_whose_product_is_their_weighted_sum(base, arms, tmp_path):
    merged = made(base, base, [(arms["small"], 0.75), (arms["large"], -0.5)], tmp_path / "merged")
    assert merged.adapter and merged.loaded_as == base.loaded_as
    for name in ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"):
        (plain, small), (_, large), (same, total) = (
            product(arm, name) for arm in (arms["small"], arms["large"], merged)
        )
        assert torch.equal(plain, same)
        assert torch.allclose(total, 0.75 * small - 0.5 * large, atol=1e-6) and total.abs().max() > 0.1


def test_whole_weights_are_interpolated_and_are_exactly_either_end_at_0_and_1(base, arms, tmp_path):
    ends = tensors(base), tensors(arms["whole"])
    for weight in (0.0, 0.5, 1.0):
        found = tensors(made(base, base, [(arms["whole"], weight)], tmp_path / str(weight)))
        assert found.keys() == ends[0].keys()
        for name, tensor in found.items():
            if weight in (0.0, 1.0):
                assert torch.equal(tensor, ends[int(weight)][name])
            else:
                assert torch.allclose(tensor, (ends[0][name] + ends[1][name]) / 2, atol=1e-6)


def test_differences_of_several_models_are_added_to_another(base, arms, tmp_path):
    """RESTA and its like: what one tune has learnt is taken from or added to another."""
    found = tensors(made(base, arms["whole"], [(arms["other"], -0.5), (arms["whole"], 0.25)], tmp_path / "merged"))
    start, whole, other = (tensors(arm) for arm in (base, arms["whole"], arms["other"]))
    for name, tensor in found.items():
        expected = whole[name] - 0.5 * (other[name] - start[name]) + 0.25 * (whole[name] - start[name])
        assert torch.allclose(tensor, expected, atol=1e-5)


def test_an_adapter_is_merged_into_its_weights_where_whole_weights_are_moved(base, arms, tmp_path):
    """The adapter's product on top of another model's weights, which is more than peft can say of two arms."""
    merged = made(base, arms["whole"], [(arms["small"], 1.0)], tmp_path / "merged")
    name = "model.layers.0.self_attn.q_proj"
    found, whole = tensors(merged)[f"{name}.weight"], tensors(arms["whole"])[f"{name}.weight"]
    assert torch.allclose(found, whole + product(arms["small"], name)[1], atol=1e-5)
    assert torch.isfinite(probe(load(merged, "cpu"))).all()


def test_a_merged_adapter_is_the_same_for_the_same_arms(base, arms, tmp_path):
    moved = [(arms["small"], 0.5), (arms["large"], 0.5)]
    first, second = (made(base, base, moved, tmp_path / name) for name in ("first", "second"))
    assert first.identity == second.identity


def test_weights_of_other_shapes_or_names_are_one_sentence(base, tmp_path):
    store = Store(tmp_path / "store")
    for name, settings, said in (
        (
            "wide",
            {"intermediate_size": 112},
            "can't be merged or compared: model.layers.0.mlp.down_proj.weight is 48 x 96 in base, 48 x 112 in odd",
        ),
        ("deep", {"num_hidden_layers": 3}, "only odd has a weight model.layers.2"),
    ):
        place = str(tiny.model(tmp_path / name, tiny.llama(**settings)))
        spec = CandidateSpec(pretrained=place, allow_base_mismatch=True)
        odd = resolve_candidate("odd", spec, base, "cpu", store)
        (tmp_path / f"{name}.merged").mkdir()
        with pytest.raises(ToxauditError, match=said):
            write(base, base, [(odd, 0.5)], store, tmp_path / f"{name}.merged")


def test_the_sentence_for_the_card_is_the_formula():
    assert sentence("base", {"dolly": 0.7}) == "merged without training: base + 0.7 x (dolly - base)"
    assert sentence("dolly", {"bad": -0.5, "b": 1}) == (
        "merged without training: dolly - 0.5 x (bad - base) + 1 x (b - base)"
    )


def test_an_adapter_that_may_not_be_loaded_may_not_be_merged_either(base, arms, tiny_base, tmp_path):
    """Its patterns could run for ever, and its values be no numbers."""
    folder = tiny.adapter(tiny_base, tmp_path / "odd")
    tiny.edit(folder / "adapter_model.safetensors", lambda tensors: next(iter(tensors.values())).fill_(float("nan")))
    spec = CandidateSpec(peft=str(folder), allow_base_mismatch=True)
    odd = resolve_candidate("odd", spec, base, "cpu", Store(tmp_path / "store"))
    (tmp_path / "merged").mkdir()
    with pytest.raises(ToxauditError, match="odd: .* has values that are not finite"):
        write(base, base, [(arms["small"], 0.5), (odd, 0.5)], Store(tmp_path / "store"), tmp_path / "merged")
