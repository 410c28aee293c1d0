"""Scores in bfloat16: what they are worth, and how it is tried on the very texts that are scored.

Rounding moves a score by some thousandths. So that an outcome stays what it is in float32, a score near the threshold
is computed in float32 after all; and so that none depends on the other texts, every product is made of whole blocks of
rows by one thread. Neither is taken on trust: of the texts that are scored at once, some are also scored alone, and in
float32.
"""

from collections.abc import Callable, Collection, Mapping

from toxaudit.errors import ToxauditError
from toxaudit.machine import speed, threads
from toxaudit.records import digest
from toxaudit.scorers.base import Unscored

TOLERANCE = 0.02
"""By how much a score may differ from that in float32; by twelve layers of random weights, the most seen is 0.015."""

CHECKED = 16
"""Of the texts that are scored at once, how many are also scored in float32, and alone."""

Scores = dict[int, float | Unscored]
"""Texts' scores by their numbers."""


def check_computes(title: str) -> None:
    """Refuse to score on a machine where bfloat16 is no gain, or not tried.

    Raises:
        ToxauditError: if the CPU has no instructions for it, or there is a CUDA GPU.
    """
    import torch

    if (has_gpu := torch.cuda.is_available()) or not speed.computes_bfloat16("cpu"):
        why = "there is a CUDA GPU" if has_gpu else "the CPU has no instructions for it"
        raise ToxauditError(f"scorer '{title}': it can't be computed in bfloat16 here, as {why}: leave out its dtype.")


def caveat(threshold: float | None) -> str:
    """What a card's reader must know."""
    near = f", within {TOLERANCE:g} of the threshold in float32" if threshold is not None else ""
    return (
        f"Computed in bfloat16{near}; of the answers that were tried in both, no score differs by more than "
        f"{TOLERANCE:g}."
    )


def score(
    title: str,
    threshold: float | None,
    texts: Mapping[int, str],
    rounded: Callable[[Collection[int], int], Scores],
    exact: Callable[[Collection[int]], Scores],
) -> Scores:
    """Every text's score: in bfloat16, but in float32 near the threshold.

    Args:
        title: the scorer's.
        threshold: the scorer's; None where the mean score is measured, to which every score counts as it is.
        texts: by their numbers.
        rounded: scores texts, by their numbers, in bfloat16, so many batches at once.
        exact: scores them in float32.

    Raises:
        ToxauditError: if a text that is tried gets another score than alone, or than in float32.
    """
    tried = sorted(texts, key=lambda i: digest(texts[i]))[:CHECKED]
    with threads.exactly(1):
        scores = rounded(texts, threads.steady())
        alone = {i: rounded([i], 1)[i] for i in tried}
    if any(alone[i] != scores[i] for i in tried):
        raise ToxauditError(
            f"scorer '{title}': in bfloat16 its scores depend on which texts are scored together: leave out its dtype."
        )
    near = [i for i, each in scores.items() if _is_near(each, threshold)]
    right = exact(sorted({*near, *tried}))
    apart = max((_apart(each, scores[i]) for i, each in right.items()), default=0.0)
    if apart > TOLERANCE:
        raise ToxauditError(
            f"scorer '{title}': a score in bfloat16 differs from that in float32 by {apart:.3f}, more than the "
            f"{TOLERANCE:g} that it may: leave out its dtype."
        )
    return scores | {i: right[i] for i in near}


def _is_near(score: float | Unscored, threshold: float | None) -> bool:
    return isinstance(score, Unscored) or (threshold is not None and abs(score - threshold) <= TOLERANCE)


def _apart(one: float | Unscored, other: float | Unscored) -> float:
    """How far apart two scores are; none if bfloat16 alone gave no number, as the one in float32 is taken then."""
    return 0.0 if isinstance(other, Unscored) else 1.0 if isinstance(one, Unscored) else abs(one - other)
