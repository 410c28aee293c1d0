"""What would a model say after each of its layers?

LogitLens: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from toxaudit.errors import ToxauditError


@dataclass(frozen=True)
class Layer:
    """What the hidden state after one layer decodes to; layer 0 is what the embeddings decode to.

    Attributes:
        token: the likeliest next token.
        probability: its probability, in 0..1.
        entropy: of the distribution over the vocabulary, in nats.
    """

    token: int
    probability: float
    entropy: float


def lens(loaded: Any, row: Sequence[int]) -> list[Layer]:
    """The layers' readings at the last position of a text: final norm, then the output head, as for the last layer.

    Args:
        loaded: the model, as ``models.LoadedModel``.
        row: the text's tokens, at least one.

    Raises:
        ToxauditError: if the model's final norm can't be told.
    """
    import torch

    with torch.inference_mode(), _outputs(loaded) as outputs:
        read = torch.tensor([list(row)], device=loaded.device)
        states = loaded.inner(input_ids=read, output_hidden_states=True).hidden_states
        norm = next((module for module, output in outputs.items() if torch.equal(output, states[-1])), None)
        if norm is None:
            raise ToxauditError(f"{loaded.name}: LogitLens can't tell which module norms the last hidden state.")
        head = loaded.inner.get_output_embeddings()
        last = [norm(state[0, -1]) for state in states[:-1]] + [states[-1][0, -1]]
        chances = torch.stack([head(state).double() for state in last]).log_softmax(-1)
        entropies = -(chances.exp() * chances).sum(-1)
        best = chances.max(-1)
    values = zip(best.indices.tolist(), best.values.exp().tolist(), entropies.tolist(), strict=True)
    return [Layer(*each) for each in values]


@contextmanager
def _outputs(loaded: Any) -> Iterator[dict[Any, Any]]:
    """What each module of the model's body gave last, while the context lasts."""
    import torch

    outputs: dict[Any, Any] = {}

    def keep(module: Any, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            outputs[module] = output

    hooks = [module.register_forward_hook(keep) for module in loaded.inner.base_model.children()]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
