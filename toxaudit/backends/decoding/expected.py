"""What transformers' ``generate`` makes of the probes, and whether another way of decoding agrees with it."""

from collections.abc import Callable, Sequence
from typing import Any

from toxaudit.backends.decoding import padded
from toxaudit.backends.decoding.padded import Noise
from toxaudit.machine.memory import is_short
from toxaudit.models import LoadedModel
from toxaudit.models.tokenizer import PROBES

PROBE_TOKENS = 8

Watched = tuple[list[int], list[Any]]
"""A row's tokens, and the logits from which they were chosen, in float32."""

CLOSE_UNITS = {"float32": 512, "bfloat16": 16, "float16": 16}
"""By how many units of the number format's precision, as a share of the greatest logit, two ways of adding up may
part: rounding differences pile up over layers. Tokens whose logits are as close as that are as good as equal."""


class Expected:
    """What ``generate`` makes of an arm's probes: the new tokens, and the logits from which each was chosen."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Let the arm decode each probe alone."""
        import torch

        self.rows = [loaded.encode(text) for text in PROBES]
        self.stops = loaded.stops
        self._alone = [padded.alone(loaded, row, PROBE_TOKENS) for row in self.rows]
        dtype = loaded.inner.dtype
        self._close = CLOSE_UNITS.get(str(dtype).removeprefix("torch."), 1) * torch.finfo(dtype).eps

    def agrees(self, decoded: Sequence[Sequence[int]], seen: Sequence[Sequence[Any]]) -> bool:
        """Whether the probes get the same tokens and, but for rounding, the same logits.

        Once two tokens tie and another one is chosen, all that follows may differ.

        Args:
            decoded: the tokens of each probe.
            seen: the logits from which each was chosen.
        """
        for (tokens, logits), others, scores in zip(self._alone, decoded, seen, strict=True):
            for token, other, own, its in zip(tokens, others, logits, scores, strict=False):
                if not float((own - its).abs().max()) <= self._close * float(own.abs().max()):
                    return False
                if token != other:
                    break
            else:
                if len(tokens) != len(others):
                    return False
        return True


def watched(decode: Callable[[Noise], list[list[int]]], rows: int) -> list[Watched] | None:
    """Each row's tokens, and the logits from which they were chosen; None where decoding fails."""
    import torch

    seen: list[list[Any]] = [[] for _ in range(rows)]

    def noise(logits: Any, numbers: list[int]) -> Any:
        for number, of_row in zip(numbers, logits, strict=True):
            seen[number].append(of_row.to(torch.float32, copy=True))  # a CUDA graph writes the next ones over them
        return logits

    try:
        return list(zip(decode(noise), seen, strict=True))
    except Exception as error:  # an architecture may make anything of a cache or mask that it has not met
        if is_short(error):
            raise
        return None
