"""A classifier scores what transformers computes, alike in any company, and refuses what it can't vouch for."""

import os
import random
import shutil

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tokenizers import normalizers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    RobertaConfig,
)
from transformers import RobertaForSequenceClassification as Roberta

from toxaudit.errors import ToxauditError
from toxaudit.scorers import classifier
from toxaudit.scorers.base import Unscored
from toxaudit.scorers.classifier import Classifier

TEXTS = ["Hello.", "You fool!", "né 😀", "word " * 60, "a", "Hello there, how are you?", "No", "x" * 300]


def make(folder, **settings):
    """A RoBERTa of two layers with random weights and the labels nothate and hate."""
    torch.manual_seed(0)
    common = {
        "vocab_size": 257,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 800,
        "pad_token_id": 256,
        "initializer_range": 0.3,
        "id2label": {0: "nothate", 1: "hate"},
    }
    Roberta(RobertaConfig(**common | settings)).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made") / "classifier")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "classifier")


def score(folder, texts=TEXTS, label="hate", **settings):
    return Classifier(pretrained=str(folder), label=label, **settings).score(texts)


def refusal(folder, **settings):
    with pytest.raises(ToxauditError) as caught:
        score(folder, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def logits(folder, text):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(**AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")).logits[0]


def test_scores_are_the_softmax_of_the_model_itself(folder):
    expected = [logits(folder, text).softmax(-1) for text in TEXTS]
    assert score(folder) == pytest.approx([chances[1].item() for chances in expected], abs=1e-5)
    assert score(folder, label="nothate") == pytest.approx([chances[0].item() for chances in expected], abs=1e-5)
    assert max(score(folder)) - min(score(folder)) > 0.1  # else the comparison would prove little


@pytest.mark.parametrize("settings", [{"problem_type": "multi_label_classification"}, {"id2label": {0: "hate"}}])
def test_labels_that_are_no_alternatives_are_scored_by_the_sigmoid(tmp_path, settings):
    folder = make(tmp_path / "several", **settings)
    place = len(settings.get("id2label", "two")) // 2
    expected = [logits(folder, text)[place].sigmoid().item() for text in TEXTS]
    assert score(folder) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_the_same_in_any_company_and_order(folder, seed):
    alone = {text: score(folder, [text])[0] for text in TEXTS}
    shuffled = random.Random(seed).choices(TEXTS, k=100)
    assert score(folder, shuffled) == pytest.approx([alone[text] for text in shuffled], abs=1e-5)


def watched(monkeypatch):
    """The shapes of what models read from now on: rows, tokens."""
    read, forward = [], Roberta.forward

    def watch(self, **inputs):
        assert inputs["attention_mask"].all()
        read.append(tuple(inputs["input_ids"].shape))
        return forward(self, **inputs)

    monkeypatch.setattr(Roberta, "forward", watch)
    return read


def test_texts_of_one_length_are_read_together_and_no_token_is_padding(folder, monkeypatch):
    read = watched(monkeypatch)
    texts = [letter * length for length in (3, 7, 3, 200, 7, 3) for letter in "abc"]
    score(folder, texts)
    assert sorted(read) == [(3, 200), (6, 7), (9, 3)]


def test_no_more_tokens_are_read_at_once_than_the_device_reads_well(folder, monkeypatch):
    read = watched(monkeypatch)
    monkeypatch.setitem(classifier.TOKENS, "cpu", 20)
    score(folder, ["abcdefg"] * 5 + ["x" * 50] * 2)
    assert sorted(read) == [(1, 7), (1, 50), (1, 50), (2, 7), (2, 7)]


def test_a_model_that_knows_no_padding_reads_one_text_at_a_time(tmp_path):
    """GPT-2's classifier, as many others, refuses several texts where it has no token for padding."""
    torch.manual_seed(0)
    size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 257, "initializer_range": 0.3}
    config = GPT2Config(**size, bos_token_id=256, eos_token_id=256, id2label={0: "nothate", 1: "hate"})
    made = GPT2ForSequenceClassification(config)
    assert made.config.pad_token_id is None
    made.save_pretrained(tmp_path / "gpt2")
    tokenizer = tiny.tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path / "gpt2")
    expected = [logits(tmp_path / "gpt2", text).softmax(-1)[1].item() for text in ["ab", "cd", "e"]]
    assert score(tmp_path / "gpt2", ["ab", "cd", "e"]) == pytest.approx(expected, abs=1e-5)


def test_weights_of_half_precision_are_computed_in_float32(folder, tmp_path):
    half = Roberta.from_pretrained(folder).half()
    half.save_pretrained(tmp_path / "half")
    tiny.tokenizer().save_pretrained(tmp_path / "half")
    with torch.inference_mode():
        ids = [torch.tensor([tiny.tokenizer()(text)["input_ids"]]) for text in TEXTS]
        expected = [half.float()(input_ids=row).logits.softmax(-1)[0, 1].item() for row in ids]
    assert score(tmp_path / "half") == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [32, 64])
def test_packed_layers_give_the_same_scores(tmp_path, size):
    folder = make(tmp_path / "classifier", hidden_size=size, intermediate_size=128)

    def bias(tensors):
        for name, tensor in tensors.items():
            if name.endswith(".bias"):
                tensor.normal_(0, 0.3)

    tiny.edit(folder / "model.safetensors", bias)
    expected = [logits(folder, text).softmax(-1)[1].item() for text in TEXTS]
    assert score(folder) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_missing(copy, bad):
    tiny.edit(copy / "model.safetensors", lambda tensors: tensors["classifier.out_proj.bias"].fill_(bad))
    assert score(copy, ["Hello.", " "]) == [
        Unscored("the classifier gave no number"),
        Unscored("empty completion"),
    ]


def test_empty_text_is_unscored_never_zero(folder):
    empty = Unscored("empty completion")
    found = score(folder, ["", "Hello.", " \n\u2003"])
    assert (found[0], found[2]) == (empty, empty) and isinstance(found[1], float)
    assert score(folder, []) == []


def test_text_without_a_token_is_unscored(copy):
    tokenizer = tiny.tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("~", "")
    tokenizer.save_pretrained(copy)
    found = score(copy, ["Hello.", "~~", "Hel~lo."])
    assert found[1] == Unscored("empty completion") and found[0] == pytest.approx(found[2])


def test_no_more_of_a_text_is_read_than_asked(folder):
    start, whole = score(folder, ["a" * 8, "a" * 8 + "b"], max_length=8)
    assert start == pytest.approx(whole, abs=1e-6)
    assert score(folder, ["a" * 8])[0] != pytest.approx(score(folder, ["a" * 8 + "b"])[0], abs=1e-6)


def test_no_more_of_a_text_is_read_than_the_model_can(tmp_path):
    folder = make(tmp_path / "short", max_position_embeddings=257 + 16)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = 16
    tokenizer.save_pretrained(folder)
    whole, start = score(folder, ["a" * 300, "a" * 16])
    assert whole == pytest.approx(start, abs=1e-6)


def test_no_more_of_a_text_is_read_than_there_are_positions(tmp_path):
    """RoBERTa's positions begin after the padding token's number; GPT-2's at 0; neither tokenizer says how many."""
    folder = make(tmp_path / "roberta", max_position_embeddings=257 + 16)
    whole, start = score(folder, ["a" * 300, "a" * 16])
    assert whole == pytest.approx(start, abs=1e-6)
    torch.manual_seed(0)
    size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 257, "initializer_range": 0.3, "n_positions": 16}
    config = GPT2Config(**size, bos_token_id=256, eos_token_id=256, id2label={0: "nothate", 1: "hate"})
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path / "gpt2")
    tiny.tokenizer().save_pretrained(tmp_path / "gpt2")
    whole, start, shorter = score(tmp_path / "gpt2", ["abcdefgh" * 9, "abcdefgh" * 2, "abcdefg" * 2])
    assert whole == pytest.approx(start, abs=1e-6) != pytest.approx(shorter, abs=1e-6)


@pytest.mark.parametrize("length", [0, -1])
def test_a_length_of_no_token_is_refused(length):
    with pytest.raises(ToxauditError, match=rf"^scorer 'Hate': max_length is {length}; it must be at least 1\.$"):
        Classifier(title="Hate", pretrained="a/b", label="hate", max_length=length).check()


def before_generating(folder, label="hate"):
    with pytest.raises(ToxauditError) as caught:
        Classifier(pretrained=str(folder), label=label).identity()
    return str(caught.value)


def test_a_label_that_the_configuration_lacks_is_refused_before_anything_is_generated(copy):
    (copy / "model.safetensors").write_bytes(b"")  # the weights are not looked at
    assert before_generating(copy, "hat").endswith("/classifier has no label 'hat'. Did you mean 'hate'?")
    (copy / "config.json").write_text('{"model_type": "roberta"}')
    assert before_generating(copy).endswith(" has no label 'hate'. Choose from: LABEL_0, LABEL_1.")
    (copy / "config.json").write_text('{"model_type": "roberta", "num_labels": 3}')
    assert before_generating(copy).endswith(" has no label 'hate'. Choose from: LABEL_0, LABEL_1, LABEL_2.")
    Classifier(pretrained=str(copy), label="LABEL_2").identity()


def test_a_configuration_with_labels_without_end_is_refused_before_they_are_made(copy):
    (copy / "config.json").write_text('{"model_type": "roberta", "num_labels": 100000000}')
    assert before_generating(copy).endswith("config.json describes 100,000,000 labels, more than any model has.")


@pytest.mark.parametrize("config", [None, "{", "[]", "[" * 100_000, b"\xff", '{"id2label": 3}'])
def test_a_configuration_that_is_none_is_refused_before_anything_is_generated(copy, config):
    (copy / "config.json").unlink()
    if config is not None:
        (copy / "config.json").write_bytes(config if isinstance(config, bytes) else config.encode())
    assert before_generating(copy) == f"The classifier {copy.parent.name}/classifier has no config.json of use."


def test_an_unknown_label_is_refused_with_the_nearest(folder):
    assert refusal(folder, label="hat").endswith("/classifier has no label 'hat'. Did you mean 'hate'?")
    assert refusal(folder, label="LABEL_0").endswith(" has no label 'LABEL_0'. Choose from: hate, nothate.")


def damage(folder, name):
    """Apply a damage to a classifier's folder, by its name."""
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    if name == "lacks a tensor":
        del tensors["classifier.out_proj.weight"]
    elif name == "has a tensor of another shape":
        tensors["classifier.out_proj.weight"] = torch.zeros(3, 32)
    save_file(tensors, weights, metadata={"format": "pt"})
    if name == "is cut off":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif name == "has no weights":
        weights.unlink()
    elif name == "has no configuration":
        (folder / "config.json").unlink()


@pytest.mark.parametrize("name", ["lacks a tensor", "has a tensor of another shape"])
def test_a_classifier_with_weights_left_to_chance_is_refused(copy, name):
    damage(copy, name)
    assert (
        refusal(copy)
        == f"The classifier {copy.parent.name}/classifier leaves weights unset, e.g. classifier.out_proj.weight."
    )


@pytest.mark.parametrize("name", ["is cut off", "has no weights", "has no configuration"])
def test_a_classifier_that_cannot_be_loaded_is_refused_in_a_sentence(copy, name):
    damage(copy, name)
    assert refusal(copy).startswith(f"The classifier {copy.parent.name}/classifier can't be loaded: ")


def test_a_classifier_without_a_vocabulary_is_refused_rather_than_blind(copy):
    for file in copy.glob("tokenizer*"):
        file.unlink()
    said = refusal(copy)
    assert said == f"The classifier {copy.parent.name}/classifier has no vocabulary: it would read no word."


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("harmless", [True, False])
def test_weights_in_a_pickle_are_never_loaded(copy, tmp_path, harmless):
    content = load_file(copy / "model.safetensors") if harmless else Evil(tmp_path / "trace")
    damage(copy, "has no weights")
    torch.save(content, copy / "pytorch_model.bin")
    assert refusal(copy).startswith(f"The classifier {copy.parent.name}/classifier can't be loaded: ")
    assert not (tmp_path / "trace").exists()


def test_code_beside_the_weights_is_never_run(copy, tmp_path):
    (copy / "modeling.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'trace')!r})\n")
    config = (copy / "config.json").read_text()
    auto = '{"auto_map": {"AutoModelForSequenceClassification": "modeling.Model", "AutoConfig": "modeling.Config"},'
    (copy / "config.json").write_text(config.replace("{", auto, 1))
    assert score(copy) == pytest.approx(score(copy))
    assert not (tmp_path / "trace").exists()


def test_weights_label_and_length_change_the_identity(folder, tmp_path):
    other = make(tmp_path / "other", initializer_range=0.1)
    ask = {"pretrained": str(folder), "label": "hate"}
    changes = [{}, {"label": "nothate"}, {"max_length": 8}, {"pretrained": str(other)}]
    assert len({Classifier(**ask | change).identity() for change in changes}) == 4
    assert Classifier(**ask).source.endswith("/classifier, label hate")
