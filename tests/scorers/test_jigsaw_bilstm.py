"""The embedded classifier computes what Keras would, reads its vocabulary as data only, and tells rude from kind."""

import os
import pickle
import sys
from collections import OrderedDict
from types import ModuleType

import h5py
import numpy as np
import pytest

from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.scorers.base import Unscored
from toxaudit.scorers.jigsaw_bilstm import LABELS, JigsawBilstm

VOCABULARY = {"you": 1, "fool": 2, "hello": 3, "don't": 4, "café": 5, "rare": 19_999, "rarest": 20_000}
UNKNOWN = Unscored("no word that the classifier knows")
KERAS = "keras.src.legacy.preprocessing.text"


@pytest.fixture(scope="module")
def weights():
    """Random weights under the names that Keras gives them."""
    draw = np.random.default_rng(0).normal
    shapes = {"embedding/vars/0": (20_000, 50)}
    for direction in ("forward", "backward"):
        cell = f"bidirectional/{direction}_layer/cell/vars"
        shapes |= {f"{cell}/0": (50, 200), f"{cell}/1": (50, 200), f"{cell}/2": (200,)}
    shapes |= {"dense/vars/0": (100, 50), "dense/vars/1": (50,), "dense_1/vars/0": (50, 6), "dense_1/vars/1": (6,)}
    return {name: draw(0, 0.3, shape).astype("float32") for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, weights):
    """A package's folder made by hand: the weights, and the pickle of a Keras tokenizer."""
    made = tmp_path_factory.mktemp("model")
    with h5py.File(made / "model.weights.h5", "w") as file:
        for name, value in weights.items():
            file[f"layers/{name}"] = value
    (made / "tokenizer.pickle").write_bytes(pickled(word_index=VOCABULARY, word_counts=OrderedDict(you=1), filters="!"))
    return made


def pickled(**attributes):
    """A Keras tokenizer with these attributes, as bytes."""
    module = ModuleType(KERAS)
    module.Tokenizer = type("Tokenizer", (), {"__module__": KERAS})
    made = module.Tokenizer()
    made.__dict__ |= attributes
    with pytest.MonkeyPatch.context() as patch:
        for end in range(1, len(KERAS.split(".")) + 1):
            patch.setitem(sys.modules, ".".join(KERAS.split(".")[:end]), module)
        return pickle.dumps(made)


def score(folder, *texts, **options):
    return JigsawBilstm(title="Toxicity", pretrained=str(folder), **options).score(texts)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras(weights, words):
    """The network by Keras's definition; an LSTM's gates are input, forget, cell, output."""

    def lstm(inputs, layer):
        kernel, recurrent, bias = (weights[f"bidirectional/{layer}_layer/cell/vars/{i}"] for i in range(3))
        h, c, states = np.zeros(50), np.zeros(50), []
        for x in inputs:
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            states.append(h)
        return np.array(states)

    inputs = weights["embedding/vars/0"][[0] * (100 - len(words)) + words].astype(float)
    states = np.concatenate([lstm(inputs, "forward"), lstm(inputs[::-1], "backward")[::-1]], axis=1)
    dense = np.maximum(states.max(axis=0) @ weights["dense/vars/0"] + weights["dense/vars/1"], 0)
    return sigmoid(dense @ weights["dense_1/vars/0"] + weights["dense_1/vars/1"])


@pytest.mark.parametrize("label", LABELS)
def test_scores_are_those_of_the_network_by_its_definition(folder, weights, label):
    texts = {"You fool": [1, 2], "hello": [3], "hello you rare fool": [3, 1, 19_999, 2]}
    expected = [keras(weights, words)[LABELS.index(label)] for words in texts.values()]
    assert score(folder, *texts, label=label) == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01  # else the comparison would prove little


@pytest.mark.parametrize(
    "text, same",
    [
        ("YOU, fool!!!", "you fool"),
        ("you\nfool\u2003", "you fool"),
        ("Don\u2019t", "don't"),
        ("you nonsense fool", "you fool"),
        ("you rarest fool", "you fool"),
        ("CAFÉ", "café"),
        ("hello " * 50 + "you " * 100, "you " * 100),
    ],
)
def test_only_known_words_count_and_the_last_hundred_of_them(folder, text, same):
    one, other = score(folder, text, same)
    assert one == other


@pytest.mark.parametrize("text", ["", " \n", "!!!", "nonsense", "rarest", "😀"])
def test_text_without_a_known_word_is_unscored_never_zero(folder, text):
    found = score(folder, "you", text, "fool")
    assert found[1] == UNKNOWN and [found[0], found[2]] == pytest.approx(score(folder, "you", "fool"))


def test_an_unknown_label_is_refused_with_the_nearest(folder):
    with pytest.raises(ToxauditError, match=r"no label 'toxics'\. Did you mean 'toxic'\?"):
        JigsawBilstm(title="Toxicity", pretrained=str(folder), label="toxics").check()


def test_the_identity_is_that_of_files_and_label(folder):
    identities = {JigsawBilstm(pretrained=str(folder), label=label).identity() for label in LABELS}
    assert len(identities) == len(LABELS)
    assert JigsawBilstm(pretrained=str(folder), title="Another").identity() in identities


class Evil:
    """What makes a folder when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"mkdir '{self.trace}'",)


def test_code_in_the_vocabulary_is_refused_and_never_run(tmp_path):
    file, trace = tmp_path / "tokenizer.pickle", tmp_path / "trace"
    for content in (Evil(trace), {"word_index": Evil(trace)}):
        file.write_bytes(pickle.dumps(content))
        with pytest.raises(ToxauditError, match=r"^tokenizer\.pickle is no vocabulary .*\.system is not allowed\.$"):
            score(tmp_path, "you fool")
        assert not trace.exists()
    pickle.loads(file.read_bytes())  # the same file does run code where code may run
    assert trace.exists()


NO_VOCABULARIES = {
    "nothing": b"",
    "text": b"no pickle",
    "code": b"cbuiltins\neval\n(S'1'\ntR.",
    "a dict": pickle.dumps(VOCABULARY),
    "no words": pickled(words=VOCABULARY),
    "a list of words": pickled(word_index=["you"]),
    "a number in letters": pickled(word_index={"you": "first"}),
    "no number": pickled(word_index={"you": None}),
    "a number below 1": pickled(word_index={"you": -1}),
}


@pytest.mark.parametrize("content", NO_VOCABULARIES.values(), ids=NO_VOCABULARIES)
def test_what_is_no_vocabulary_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "tokenizer.pickle").write_bytes(content)
    with pytest.raises(ToxauditError, match=r"^tokenizer\.pickle is no vocabulary of the expected form: .*\.$"):
        score(tmp_path, "you fool")


def test_a_vocabulary_cut_at_any_byte_is_refused_in_a_sentence(tmp_path):
    whole = pickled(word_index={"you": 1})
    for cut in range(len(whole)):
        (tmp_path / "tokenizer.pickle").write_bytes(whole[:cut])
        with pytest.raises(ToxauditError, match=r"^tokenizer\.pickle is no vocabulary"):
            score(tmp_path, "you fool")


@pytest.mark.parametrize("damage", ["missing", "garbage", "lacks a layer", "another shape"])
def test_weights_that_are_not_the_networks_are_refused_in_a_sentence(folder, weights, tmp_path, damage):
    (tmp_path / "tokenizer.pickle").write_bytes((folder / "tokenizer.pickle").read_bytes())
    file = tmp_path / "model.weights.h5"
    if damage == "garbage":
        file.write_bytes(b"garbage")
    elif damage != "missing":
        with h5py.File(file, "w") as stored:
            for name, value in weights.items():
                stored[f"layers/{name}"] = value
            del stored["layers/dense/vars/1"]
            if damage == "another shape":
                stored["layers/dense/vars/1"] = np.zeros(7, "float32")
    with pytest.raises(ToxauditError) as caught:
        score(tmp_path, "you fool")
    assert str(caught.value).startswith("model.weights.h5 does not hold the expected network: ")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_shipped_classifier_tells_rude_from_friendly():
    scorer = compose(["audit=quickstart"]).scorers["toxicity_bilstm"]
    rude = ["You are a stupid idiot.", "Shut up, you fucking moron!", "You're such a pathetic piece of shit"]
    friendly = ["Thank you for your help, it was kind of you.", "The weather is lovely today.", "I like this article."]
    assert all(map(scorer.outcome, scorer.score(rude)))
    assert not any(map(scorer.outcome, scorer.score(friendly)))
