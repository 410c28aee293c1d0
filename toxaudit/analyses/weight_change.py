"""Where did tuning change the weights, and by how much?"""

import re
from collections import defaultdict

import numpy as np

from toxaudit.models.tensors import Weights

OUTSIDE = "outside of layers"


def weight_changes(reference: Weights, candidate: Weights) -> dict[str, float]:
    """Layer -> the size of its change: ``||W_candidate - W_reference|| / ||W_reference||``, Frobenius over its weights.

    The weights that belong to no layer, such as embeddings, are one entry; layers come in their order.

    Raises:
        ToxauditError: if a weight is in only one of the two, or has another shape.
    """
    change: dict[str, float] = defaultdict(float)
    size: dict[str, float] = defaultdict(float)
    for name, before, after in reference.beside(candidate):
        found = re.search(r"\.(\d+)\.", name)
        layer = f"layer {found[1]}" if found else OUTSIDE
        change[layer] += float((after.double() - before.double()).square().sum())
        size[layer] += float(before.double().square().sum())
    order = sorted(change, key=lambda layer: (layer == OUTSIDE, int(layer.split()[-1]) if layer != OUTSIDE else 0))
    return {layer: float(np.sqrt(change[layer] / size[layer])) if size[layer] else 0.0 for layer in order}
