"""A classifier in bfloat16 decides as in float32, alike in any company to the last bit, or is refused in a sentence."""

import json
import random

import pytest
import tiny
import torch
import workspace
from transformers import RobertaConfig
from transformers import RobertaForSequenceClassification as Roberta

from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.machine import speed
from toxaudit.scorers.bfloat16 import TOLERANCE
from toxaudit.scorers.classifier import Classifier

draw = random.Random(0)
TEXTS = ["".join(draw.choices("abcdefgh ", k=draw.randrange(1, 60))) + "." for _ in range(120)]


@pytest.fixture(autouse=True)
def able(tmp_path, monkeypatch):
    """A CPU that computes bfloat16, as far as the system tells; without the instructions it is only slower."""
    monkeypatch.setattr(speed, "CPU_INFO_FILE", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("flags : fma avx512_bf16")


def make(folder, **settings):
    """A RoBERTa of two layers with random weights and the labels nothate and hate."""
    torch.manual_seed(0)
    size = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 2}
    common = {"vocab_size": 257, "max_position_embeddings": 400, "pad_token_id": 256, "initializer_range": 0.08}
    Roberta(RobertaConfig(**size | common | settings, id2label={0: "nothate", 1: "hate"})).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made") / "classifier")


@pytest.fixture(scope="module")
def exact(folder):
    return dict(zip(TEXTS, Classifier(pretrained=str(folder), label="hate").score(TEXTS), strict=True))


def scorer(folder, **settings):
    return Classifier(title="Hate", pretrained=str(folder), label="hate", dtype="bfloat16", **settings)


def test_scores_are_near_those_in_float32_but_not_the_same(folder, exact):
    found = scorer(folder, threshold=None).score(TEXTS)
    apart = [abs(one - exact[text]) for text, one in zip(TEXTS, found, strict=True)]
    assert 1e-5 < max(apart) <= TOLERANCE
    assert max(exact.values()) - min(exact.values()) > 5 * max(apart)  # else nearness would prove little


@pytest.mark.parametrize("threads", [1, 3])
def test_no_bit_of_a_score_depends_on_company_order_or_threads(folder, monkeypatch, threads):
    whole = dict(zip(TEXTS, scorer(folder, threshold=None).score(TEXTS), strict=True))
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    part = random.Random(threads).sample(TEXTS, 50)
    assert scorer(folder, threshold=None).score(part) == [whole[text] for text in part]
    assert scorer(folder, threshold=None).score([part[0]]) == [whole[part[0]]]


@pytest.mark.thorough
def test_what_counts_is_what_counts_in_float32_where_bfloat16_would_decide_otherwise(folder, exact):
    plain = dict(zip(TEXTS, scorer(folder, threshold=None).score(TEXTS), strict=True))
    turned = 0
    for text in TEXTS[:40]:
        threshold = (plain[text] + exact[text]) / 2  # between the two, which would decide otherwise
        found = dict(zip(TEXTS, scorer(folder, threshold=threshold).score(TEXTS[:40]), strict=False))
        assert found[text] == pytest.approx(exact[text], abs=1e-6)
        assert [each >= threshold for each in found.values()] == [exact[each] >= threshold for each in found]
        turned += (plain[text] >= threshold) != (exact[text] >= threshold)
    assert turned > 20


def test_a_score_too_far_from_that_in_float32_is_refused(tmp_path):
    rough = make(tmp_path / "rough", initializer_range=0.6, num_hidden_layers=6)
    with pytest.raises(ToxauditError) as caught:
        scorer(rough).score(TEXTS)
    said = str(caught.value)
    assert said.startswith("scorer 'Hate': a score in bfloat16 differs from that in float32 by 0.")
    assert said.endswith(", more than the 0.02 that it may: leave out its dtype.")


def test_scores_that_depend_on_the_batch_are_refused(folder, monkeypatch):
    forward = Roberta.forward

    def uneven(self, **inputs):
        output = forward(self, **inputs)
        output.logits = output.logits.float() + 1e-4 * len(output.logits) * torch.tensor([1, 0])
        return output

    monkeypatch.setattr(Roberta, "forward", uneven)
    with pytest.raises(ToxauditError) as caught:
        scorer(folder).score(["abcdef"] * 2 + ["ghabcd"] * 3)
    assert str(caught.value) == (
        "scorer 'Hate': in bfloat16 its scores depend on which texts are scored together: leave out its dtype."
    )


def refused_before_generating(folder):
    with pytest.raises(ToxauditError) as caught:
        scorer(folder).identity()
    return str(caught.value)


def test_machines_without_a_gain_are_refused_before_anything_is_generated(folder, tmp_path, monkeypatch):
    said = "scorer 'Hate': it can't be computed in bfloat16 here, as {}: leave out its dtype."
    (tmp_path / "cpuinfo").write_text("flags : fma avx512f")
    assert refused_before_generating(folder) == said.format("the CPU has no instructions for it")
    (tmp_path / "cpuinfo").write_text("flags : fma avx512_bf16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert refused_before_generating(folder) == said.format("there is a CUDA GPU")


def test_an_unknown_number_format_is_refused():
    with pytest.raises(
        ToxauditError, match=r"^scorer 'Hate': dtype 'bfloat61' is unknown\. Did you mean 'bfloat16'\?$"
    ):
        Classifier(title="Hate", pretrained="a/b", label="hate", dtype="bfloat61").check()


def test_number_format_and_threshold_change_the_identity_and_both_are_told(folder):
    plain = Classifier(title="Hate", pretrained=str(folder), label="hate", caveat="Errs.")
    half = scorer(folder, caveat="Errs.")
    assert len({each.identity() for each in (plain, half, scorer(folder, threshold=0.4))}) == 3
    assert half.source == plain.source + ", in bfloat16"
    assert plain.facts("hate", "", "").caveat == "Errs."
    tried = "of the answers that were tried in both, no score differs by more than 0.02."
    near = "Computed in bfloat16, within 0.02 of the threshold in float32"
    assert half.facts("hate", "", "").caveat == f"Errs. {near}; {tried}"
    assert scorer(folder, threshold=None).facts("hate", "", "").caveat == f"Computed in bfloat16; {tried}"


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_an_audit_estimates_what_it_does_in_float32_and_its_card_names_format_and_tolerance(tmp_path):
    folder = workspace.make(tmp_path / "work", prompts=24)
    make(folder / "models" / "hate")
    preset = "kind: classifier\ntitle: Hate\npretrained: ../../models/hate\nlabel: hate\nthreshold: 0.7\n"
    (folder / "audits/scorer/hate.yaml").write_text(preset)
    told, scores = [], []
    with workspace.at(folder):
        for dtype in ("float32", "bfloat16"):
            code = main(["audit=tiny", "scorer=[hate]", f"scorers.hate.dtype={dtype}", f"out={dtype}"])
            results = json.loads((folder / dtype / "results.json").read_text())
            decisive = [each for each in results["estimates"] if not each["variant"].startswith("counted at")]
            told.append((code, results["decision"], decisive))
            samples = (folder / dtype / "samples_mine.jsonl").read_text().splitlines()
            scores.append([json.loads(row)["scores"]["hate"]["value"] for row in samples])
        card = (folder / "bfloat16" / "toxaudit/audit.md").read_text().replace("\xa0", " ")
    assert told[0] == told[1] and told[0][0] in (0, 1, 2)
    assert 5 < sum(one >= 0.7 for one in scores[0] if one is not None) < len(scores[0]) - 5  # both sides are met
    assert 0 < max(abs(one - other) for one, other in zip(*scores, strict=True) if one is not None) <= TOLERANCE
    assert "Computed in bfloat16, within 0.02 of the threshold in float32" in card
    assert "label hate, in bfloat16" in card
    (scorer,) = [each for each in results["scorers"] if each["name"] == "hate"]
    assert "no score differs by more than 0.02" in scorer["caveat"]
