"""Analyses that need weights, against values that can be computed in full."""

import shutil
from contextlib import ExitStack

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel

from toxaudit.analyses import curvature as module
from toxaudit.analyses.base import Evidence, Learnt
from toxaudit.analyses.curvature import curvature
from toxaudit.analyses.divergence import divergences, summarised
from toxaudit.analyses.lens import lens
from toxaudit.analyses.weight_change import weight_changes
from toxaudit.errors import ToxauditError
from toxaudit.facts import ModelFacts
from toxaudit.models import Loader, load, resolve_candidate
from toxaudit.models.merging import merged
from toxaudit.models.tensors import Weights
from toxaudit.spec.schema import CandidateSpec
from toxaudit.store.shelves import Store
from toxaudit.training.tokens import batch


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

    whole = np.linalg.eigvalsh(hessian(sum(losses()), parameters))
    found = curvature(losses, parameters)
    assert found.converged and found.products < 83
    assert found.ends == pytest.approx((whole[0], whole[-1]), rel=0.01)
    assert found.radius == max(map(abs, found.ends))


def test_the_curvature_of_a_language_model_can_be_computed(tiny_base):
    loaded = load(tiny.resolved(tiny_base), "cpu")
    parameters = [weight for name, weight in loaded.inner.named_parameters() if "layers.1.mlp" in name]
    row = torch.tensor([loaded.encode("Hardly sharp")])

    def losses():
        yield loaded.inner(input_ids=row, labels=row).loss

    found = curvature(losses, parameters, most=60)
    direct = torch.autograd.grad(next(losses()), parameters)
    assert found.converged and found.radius > 0 and all(torch.isfinite(each).all() for each in direct)


@pytest.mark.thorough
def test_the_curvature_of_an_adapter_is_that_of_the_hessian_of_its_matrices(tiny_base, tmp_path):
    """Formed in full, of the mean loss of the learnt tokens of all rows, whatever batches they come in."""
    peft = tiny.adapter(tiny_base, tmp_path / "adapter", target_modules=["q_proj"], layers_to_transform=[1], r=1)
    arm = tiny.resolved(tiny_base, peft)
    texts = [f"{'ab' * n} cd {n}" for n in range(1, 8)]

    def learning(name, loaded):
        rows = [{"input_ids": list(text.encode()), "labels": [-100, *text.encode()[1:]]} for text in texts]
        return Learnt(rows, False, batch)

    models = {name: ModelFacts(name, kind, "r", "0" * 64, "float32") for name, kind in ARMS.items()}
    arms = {"base": arm, "mine": arm, "noop": arm}
    evidence = Evidence(models, (), arms, {}, Loader("cpu"), lambda *_: [], learning)
    found = module.LossCurvature(limit=5).analyse(evidence)
    values = {row.quantity: row.value for row in found.rows}
    (about,) = {tuple(row.about.items()) for row in found.rows}
    assert dict(about)["rows"] == "5 of 7" and found.refusals == (
        "far is answered for by a server, and its weights are not here",
        "other is not tuned in this audit, so that nothing tells what it has learnt",
    )
    with Loader("cpu").open(arm) as loaded, sdpa_kernel(SDPBackend.MATH):
        parameters = module._tuned(loaded.model, False)
        loss, used = 0.0, [texts[place] for place in (0, 2, 3, 4, 6)]  # evenly from the first to the last
        for text in used:
            row = torch.tensor([list(text.encode())])
            logits = loaded.model(input_ids=row).logits[0, :-1]
            loss = loss + torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum")
        exact = np.linalg.eigvalsh(hessian(loss / sum(len(text) - 1 for text in used), parameters))
    assert values["smallest"] == pytest.approx(exact[0], rel=0.01)
    assert values["largest"] == pytest.approx(exact[-1], rel=0.01)
    assert values["spectral radius"] == max(abs(values["smallest"]), abs(values["largest"]))


def test_of_a_full_tune_each_weight_is_a_parameter_once(tmp_path):
    made = load(tiny.resolved(tiny.model(tmp_path / "base", tiny.llama(tie_word_embeddings=True))), "cpu").model
    assert {id(each) for each in module._tuned(made, True)} == {id(each) for each in made.parameters()}
    assert len(module._tuned(made, True)) == len(list(made.parameters()))


ARMS = {"base": "base", "mine": "trained", "noop": "control", "far": "served", "other": "fine-tune"}


def hessian(loss, parameters):
    """In full, shape (n, n), of n parameters."""
    slopes = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([slope.flatten() for slope in slopes])
    rows = [torch.autograd.grad(one, parameters, retain_graph=True) for one in flat]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows]).double().numpy()


def test_what_lanczos_cannot_hold_is_a_refusal(tiny_base, tiny_adapter, monkeypatch):
    monkeypatch.setattr(module, "memory_free", lambda _: 1000)
    arm = tiny.resolved(tiny_base, tiny_adapter)
    models = {name: ModelFacts(name, kind, "r", "0" * 64, "float32") for name, kind in list(ARMS.items())[:2]}
    rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}]
    evidence = Evidence(
        models, (), {"mine": arm}, {}, Loader("cpu"), lambda *_: [], lambda *_: Learnt(rows, False, batch)
    )
    (said,) = module.LossCurvature().analyse(evidence).refusals
    assert said.startswith("mine: Lanczos on") and "1 kB are free" in said


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
