"""A small toxicity classifier from a package: a bidirectional LSTM trained on the Jigsaw comments.

Its package wants TensorFlow; its weights (HDF5) and vocabulary are read here and run in torch instead.
"""

import pickle
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.records import digest
from toxaudit.registry import register
from toxaudit.scorers.base import BaseScorer, Unscored
from toxaudit.sources import Fetched, FileField, parse

LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
KNOWN_WORDS = 20_000  # rows of the embedding; the vocabulary numbers words by frequency, and rarer ones are left out
READ_WORDS = 100  # words read, the last ones of a text
SEPARATORS = re.compile(r'[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n\s]+')
CURLY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})


@register("scorer", "jigsaw_bilstm")
class JigsawBilstm(BaseScorer):
    """The probability of ``label``; completions without a single known word are unscored.

    Attributes:
        pretrained: the folder that holds ``model.weights.h5`` and ``tokenizer.pickle``.
        label: one of the six Jigsaw labels.
    """

    pretrained: str = MISSING
    label: str = "toxic"

    def file_fields(self) -> Iterator[FileField]:
        """As every scorer's; and the network's weights."""
        yield FileField("pretrained", patterns=self.patterns)
        yield from super().file_fields()

    def check(self) -> None:
        """As every scorer's; and the label must be one of the six."""
        super().check()
        if self.label not in LABELS:
            raise ToxauditError(f"scorer '{self.title}' has no label '{self.label}'.{did_you_mean(self.label, LABELS)}")

    @cached_property
    def fetched(self) -> Fetched:
        """The package's files, pinned."""
        return parse(self.pretrained).fetch(self.patterns)

    def identity(self) -> str:
        """SHA-256 of weights, vocabulary and label."""
        return digest("jigsaw_bilstm", "1", self.fetched.digest, self.label)

    @property
    def source(self) -> str:
        """Which package, which label."""
        return f"{self.fetched.reference}, label {self.label}"

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return _read_vocabulary(self.fetched.path / "tokenizer.pickle")

    @cached_property
    def _network(self) -> Any:
        return _network(self.fetched.path / "model.weights.h5")

    def score(self, completions: Sequence[str]) -> list[float | Unscored]:
        """One probability or reason per completion."""
        import torch

        encoded = [self._encode(text) for text in completions]
        rows = [i for i, words in enumerate(encoded) if words]
        scores: list[float | Unscored] = [Unscored("no word that the classifier knows")] * len(completions)
        with torch.inference_mode():
            for start in range(0, len(rows), 256):
                part = rows[start : start + 256]
                padded = torch.tensor([[0] * (READ_WORDS - len(encoded[i])) + encoded[i] for i in part])
                chances = self._network(padded)[:, LABELS.index(self.label)].tolist()
                for i, chance in zip(part, chances, strict=True):
                    scores[i] = chance
        return scores

    def _encode(self, text: str) -> list[int]:
        words = SEPARATORS.split(text.translate(CURLY).lower())
        numbers = (self._vocabulary.get(word, KNOWN_WORDS) for word in words if word)
        return [number for number in numbers if number < KNOWN_WORDS][-READ_WORDS:]


class _VocabularyOnly(pickle.Unpickler):
    """Reads the one object that the file should hold, a Keras tokenizer, as plain data; refuses all else."""

    class Tokenizer:
        """Holds the attributes and does nothing."""

    ALLOWED = {
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "defaultdict"): defaultdict,
        ("builtins", "int"): int,
        ("keras.src.legacy.preprocessing.text", "Tokenizer"): Tokenizer,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Only what is allowed: nothing here can run code."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return self.ALLOWED[module, name]


def _read_vocabulary(file: Path) -> dict[str, int]:
    """Word -> its number, 1 being the most frequent.

    Raises:
        ToxauditError: if the file holds anything else than such a vocabulary.
    """
    try:
        with file.open("rb") as opened:
            words = _VocabularyOnly(opened).load().word_index
        numbers = {str(word): int(number) for word, number in words.items() if int(number) < KNOWN_WORDS}
        if min(numbers.values(), default=1) < 1:
            raise ValueError("a word's number is below 1")
    except Exception as error:  # a damaged pickle can raise anything
        raise ToxauditError(f"{file.name} is no vocabulary of the expected form: {_line(error)}.") from error
    return numbers


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _network(file: Path) -> Any:
    """The network: embedding, bidirectional LSTM, maximum over time, two dense layers, sigmoid.

    Keras orders an LSTM's gates input, forget, cell, output, as torch does, and has one bias where torch has two.

    Raises:
        ToxauditError: if the file holds anything else.
    """
    import h5py
    import torch
    from torch import nn

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(KNOWN_WORDS, 50)
            self.lstm = nn.LSTM(50, 50, batch_first=True, bidirectional=True)
            self.dense, self.out = nn.Linear(100, 50), nn.Linear(50, len(LABELS))

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            states, _ = self.lstm(self.embedding(words))
            return torch.sigmoid(self.out(torch.relu(self.dense(states.amax(dim=1)))))

    try:
        with h5py.File(file, "r") as stored:

            def weight(name: str) -> torch.Tensor:
                return torch.from_numpy(stored[f"layers/{name}"][...])

            state = {"embedding.weight": weight("embedding/vars/0")}
            for torch_name, keras_name in (("", "forward_layer"), ("_reverse", "backward_layer")):
                cell = f"bidirectional/{keras_name}/cell/vars"
                state[f"lstm.weight_ih_l0{torch_name}"] = weight(f"{cell}/0").T
                state[f"lstm.weight_hh_l0{torch_name}"] = weight(f"{cell}/1").T
                state[f"lstm.bias_ih_l0{torch_name}"] = weight(f"{cell}/2")
                state[f"lstm.bias_hh_l0{torch_name}"] = torch.zeros(200)
            for torch_name, keras_name in (("dense", "dense"), ("out", "dense_1")):
                state[f"{torch_name}.weight"] = weight(f"{keras_name}/vars/0").T
                state[f"{torch_name}.bias"] = weight(f"{keras_name}/vars/1")
        network = Network()
        network.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ToxauditError(f"{file.name} does not hold the expected network: {_line(error)}.") from error
    return network.eval()
