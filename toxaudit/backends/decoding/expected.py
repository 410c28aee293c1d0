"""What transformers itself makes of the probes, and whether another way of decoding agrees with it.

Weights, and every adapter that is not ordinary, decode the probes by ``generate``. An ordinary adapter has read both
already, as one text, when it was put on. What decodes by caches and positions as ``generate`` does with the weights
alone must then only add each arm's own matrices at every token, and that is seen where it is told to write that text:
at each token, its logits must be those with which the text was read.
"""

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
    """What transformers makes of an arm's probes: new tokens, and the logits from which each was chosen.

    Attributes:
        rows: the tokens of each probe.
        told: of each probe, the tokens that are written after it whatever is likeliest; None where these are chosen.
        stops: the tokens that end a row.
    """

    def __init__(self, loaded: LoadedModel, read: bool = False) -> None:
        """Let the arm decode each probe alone; where ``read``, take what it read when its adapter was put on.

        A text that is too short to be told to write is not taken.
        """
        import torch

        self.rows = [loaded.encode(text) for text in PROBES]
        self.stops = loaded.stops
        if read := read and len(self.rows[1]) >= PROBE_TOKENS:
            text = [token for row in self.rows for token in row]
            ends = len(self.rows[0]), len(text) - PROBE_TOKENS
            self.rows, seen = [text[:end] for end in ends], loaded.probed.float().to(loaded.device)
            told = [padded.until_stop(text[end:][:PROBE_TOKENS], self.stops) for end in ends]
            self._alone = [(new, [*seen[end - 1 :][: len(new)]]) for new, end in zip(told, ends, strict=True)]
        else:
            self._alone = [padded.alone(loaded, row, PROBE_TOKENS) for row in self.rows]
        self.told = [tokens if read else None for tokens, _ in self._alone]
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


def watched(decode: Callable[[Noise], list[list[int]]], told: Sequence[list[int] | None]) -> list[Watched] | None:
    """Each row's tokens, and the logits from which they were chosen; None where decoding fails.

    Args:
        decode: by what it is given, it makes scores of logits.
        told: of each row, the tokens that it is to begin with whatever its logits are; None for none.
    """
    import torch

    seen: list[list[Any]] = [[] for _ in told]

    def noise(logits: Any, numbers: list[int]) -> Any:
        for number, of_row in zip(numbers, logits, strict=True):
            seen[number].append(of_row.to(torch.float32, copy=True))  # a CUDA graph writes the next ones over them
        scores = logits.clone()
        for number, of_row in zip(numbers, scores, strict=True):
            if following := (told[number] or [])[len(seen[number]) - 1 :]:
                of_row[following[0]] = float("inf")
        return scores

    try:
        return list(zip(decode(noise), seen, strict=True))
    except Exception as error:  # an architecture may make anything of a cache or mask that it has not met
        if is_short(error):
            raise
        return None
