"""The exponential moving average of the weights that a stage tunes: average <- decay * average + (1 - decay) * weights.

It begins with the weights before the stage and takes in those after each optimiser step. Of a LoRA adapter the two
matrices are averaged each for itself, which is not the average of their products.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = "ema.safetensors"


class Ema:
    """The average."""

    def __init__(self, weights: Sequence[Any], decay: float) -> None:
        """Begin with the weights as they are."""
        from torch.nn import ParameterList
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

        self._weights = ParameterList(weights)
        self._average = AveragedModel(self._weights, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.take_in()  # the first update copies

    def take_in(self) -> None:
        """Take in the weights as they are now."""
        self._average.update_parameters(self._weights)

    def put_in(self) -> None:
        """Put the average in the weights' place."""
        import torch

        with torch.no_grad():
            for weight, average in zip(self._weights, self._average.module, strict=True):
                weight.copy_(average)

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint."""
        from safetensors.torch import save_file

        save_file({str(place): each.detach() for place, each in enumerate(self._average.module)}, folder / FILE)

    def load(self, folder: Path) -> None:
        """Read it from a checkpoint."""
        import torch
        from safetensors.torch import load_file

        saved = load_file(folder / FILE)
        with torch.no_grad():
            for place, average in enumerate(self._average.module):
                average.copy_(saved[str(place)])
