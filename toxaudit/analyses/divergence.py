"""How far do two models' beliefs about the next token differ?"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toxaudit.estimators.outcomes import Floats
from toxaudit.estimators.posterior import hdi
from toxaudit.findings import AnalysisRow

DRAWS = 4_000
QUANTILES = (0.5, 0.9, 1.0)
"""Of the prompts' divergences, beside their mean."""


def divergences(base: Any, candidate: Any) -> Floats:
    """KL(base || candidate) = sum over tokens of p_base (log p_base - log p_candidate), in nats, of each position.

    Args:
        base: the base's logits, shape (positions, vocabulary), of any float type.
        candidate: the candidate's at the same positions, of the same shape.

    Returns:
        Shape (positions,): exactly 0 where the logits are equal; computed in float64.
    """
    p, q = (logits.double().log_softmax(-1) for logits in (base, candidate))
    terms = (p.exp() * (p - q)).masked_fill(p == -float("inf"), 0.0)
    found: Floats = terms.sum(-1).clamp(min=0).numpy()
    return found


def summarised(found: Floats, about: dict[str, str], clusters: ArrayLike | None = None) -> list[AnalysisRow]:
    """The mean over prompts with its interval, and the distribution.

    The interval is of the mean over prompts like these, by the Bayesian bootstrap (Rubin 1981) over prompts, or over
    their templates where they vary some.

    Args:
        found: shape (n,), one divergence a prompt.
        about: for the rows.
        clusters: shape (n,), the number of each prompt's template.
    """
    groups = np.arange(len(found)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    sums, sizes = np.bincount(groups, found), np.bincount(groups)
    weights = np.random.default_rng(0).dirichlet(np.ones(len(sums)), DRAWS)
    interval = hdi(weights @ sums / (weights @ sizes)) if len(sums) > 1 else None
    mean = AnalysisRow(about, "mean", float(found.mean()), interval)
    names = {0.5: "median", 0.9: "9 of 10 prompts below", 1.0: "largest"}
    rest = [AnalysisRow(about, names[q], float(np.quantile(found, q)), None) for q in QUANTILES]
    return [mean, *rest]
