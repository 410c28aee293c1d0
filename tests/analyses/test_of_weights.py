"""Analyses that need weights, against values that can be computed in full."""

import shutil
from contextlib import ExitStack

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from toxaudit.analyses.curvature import curvature
from toxaudit.analyses.divergence import divergences, summarised
from toxaudit.analyses.lens import lens
from toxaudit.analyses.weight_change import weight_changes
from toxaudit.errors import ToxauditError
from toxaudit.models import load, resolve_candidate
from toxaudit.models.merging import merged
from toxaudit.models.tensors import Weights
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store.shelves import Store


def test_divergence_is_the_formula_to_nine_digits_and_zero_for_identical_models():
    p, q = [0.7, 0.2, 0.1], [0.1, 0.3, 0.6]
    logits = torch.log(torch.tensor([p, p], dtype=torch.float64)) + 3.0
    other = torch.log(torch.tensor([q, p], dtype=torch.float64)) - 1.0
    expected = sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
    found = divergences(logits, other)
    assert abs(found[0] - expected) < 1e-9 and abs(found[1]) < 1e-9
    assert (divergences(logits, logits) == 0).all()
    impossible = torch.tensor([[0.0, -float("inf")]])
    assert divergences(impossible, torch.tensor([[0.0, 0.0]]))[0] == pytest.approx(np.log(2))


def test_divergences_mean_has_the_bootstraps_interval_and_templates_widen_it():
    random = np.random.default_rng(1)
    of_templates = np.repeat(random.exponential(1.0, 30), 10)
    alone, clustered = (summarised(of_templates, {}, c) for c in (None, np.repeat(np.arange(30), 10)))
    assert alone[0].value == clustered[0].value == pytest.approx(of_templates.mean())
    width, wider = (high - low for low, high in (alone[0].interval, clustered[0].interval))
    assert wider == pytest.approx(np.sqrt(10) * width, rel=0.25)
    standard_error = of_templates.reshape(30, 10)[:, 0].std() / np.sqrt(30)
    assert wider == pytest.approx(2 * 1.96 * standard_error, rel=0.2)
    assert [row.quantity for row in alone] == ["mean", "median", "9 of 10 prompts below", "largest"]


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_the_lens_last_layer_is_the_model_itself(shape, tiny_base, tmp_path):
    from transformers import GPT2Config

    made = tiny_base
    if shape == "gpt2":
        size = {"n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": tiny.VOCABULARY, "n_positions": 128}
        made = tiny.model(tmp_path / "gpt2", GPT2Config(**size, eos_token_id=tiny.END, bos_token_id=tiny.END))
    loaded = load(tiny.resolved(made), "cpu")
    row = loaded.encode("What is a lens?")
    found = lens(loaded, row)
    with torch.inference_mode():
        whole = loaded.inner(torch.tensor([row]), output_hidden_states=True)
    last = whole.logits[0, -1].double().log_softmax(-1)
    assert len(found) == len(whole.hidden_states) == 3
    assert found[-1].token == int(last.argmax())
    assert found[-1].entropy == pytest.approx(float(-(last.exp() * last).sum()), rel=1e-6)
    assert found[0].token != found[-1].token or found[0].entropy != found[-1].entropy


def test_a_model_whose_last_norm_cannot_be_told_is_one_sentence(tiny_base, monkeypatch):
    loaded = load(tiny.resolved(tiny_base), "cpu")
    monkeypatch.setattr(torch, "equal", lambda *_: False)
    with pytest.raises(ToxauditError, match="can't tell which module norms"):
        lens(loaded, [1, 2])


def test_both_ends_of_the_spectrum_are_those_of_the_whole_matrix():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    inputs, targets = torch.randn(20, 6, dtype=torch.float64), torch.randint(0, 3, (20,))
    parameters = list(network.parameters())

    def losses():
        for start in range(0, 20, 5):
            made = network(inputs[start : start + 5])
            yield torch.nn.functional.cross_entropy(made, targets[start : start + 5], reduction="sum") / 20

    slopes = torch.autograd.grad(sum(losses()), parameters, create_graph=True)
    flat = torch.cat([slope.flatten() for slope in slopes])
    rows = [torch.autograd.grad(one, parameters, retain_graph=True) for one in flat]
    whole = np.linalg.eigvalsh(torch.stack([torch.cat([part.flatten() for part in row]) for row in rows]).numpy())
    found = curvature(losses, parameters)
    assert found.converged and found.products < 83
    assert found.largest == pytest.approx(whole[-1], rel=0.01) and found.smallest == pytest.approx(whole[0], rel=0.01)
    assert found.radius == max(abs(found.largest), abs(found.smallest))


def test_the_curvature_of_a_language_model_can_be_computed(tiny_base):
    loaded = load(tiny.resolved(tiny_base), "cpu")
    parameters = [weight for name, weight in loaded.inner.named_parameters() if "layers.1.mlp" in name]
    row = torch.tensor([loaded.encode("Hardly sharp")])

    def losses():
        yield loaded.inner(input_ids=row, labels=row).loss

    found = curvature(losses, parameters, most=60)
    direct = torch.autograd.grad(next(losses()), parameters)
    assert found.converged and found.radius > 0 and all(torch.isfinite(each).all() for each in direct)


def test_the_change_of_weights_is_found_in_the_layer_that_was_changed(tiny_base, tmp_path):
    """Doubling one matrix of layer 1 changes it by its share of that layer's size; an adapter's product counts."""
    store, base = Store(tmp_path / "store"), tiny.resolved(tiny_base)
    folder = shutil.copytree(tiny_base, tmp_path / "doubled")
    name = "model.layers.1.mlp.up_proj.weight"
    tiny.edit(folder / "model.safetensors", lambda tensors: tensors[name].mul_(2))
    spec = CandidateSpec(pretrained=str(folder), allow_base_mismatch=True)
    doubled = resolve_candidate("doubled", spec, base, "cpu", store)
    adapter = tiny.resolved(tiny_base, tiny.adapter(tiny_base, tmp_path / "adapter", target_modules=["q_proj"]))
    with ExitStack() as stack:
        whole = (merged(arm, "cpu", store) for arm in (base, doubled, adapter))
        before, after, adapted = (Weights(arm, stack) for arm in whole)
        found, by_adapter = weight_changes(before, after), weight_changes(before, adapted)
    tensors = load_file(tiny_base / "model.safetensors")
    layer = [tensor for key, tensor in tensors.items() if "layers.1." in key]
    assert list(found) == ["layer 0", "layer 1", "outside of layers"]
    size = sum(tensor.square().sum() for tensor in layer).sqrt()
    assert found["layer 1"] == pytest.approx(float(tensors[name].norm() / size), rel=1e-5)
    assert found["layer 0"] == found["outside of layers"] == 0
    assert by_adapter["layer 0"] > 0 and by_adapter["layer 1"] > 0 and by_adapter["outside of layers"] == 0
