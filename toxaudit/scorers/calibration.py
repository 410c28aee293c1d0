"""A scorer's calibration file: how often it was right on completions that people labelled."""

from pathlib import Path
from typing import Any

import numpy as np

from toxaudit import strict_yaml
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.records import Calibration, Confusion

KEYS = {"source", "threshold", "by", "counts"}
CELLS = ("true_positive", "false_negative", "false_positive", "true_negative")
CERTAINTY = 0.95
"""How sure the labels must make it that the scorer is better than chance: else its errors can't be taken out."""


def read(file: str, threshold: float | None) -> Calibration:
    """Read a calibration file.

    Args:
        file: a YAML mapping: ``source``, ``threshold``, ``counts`` and, where these stand for each value of a slice,
            its name in ``by``.
        threshold: the scorer's own, which must be the file's.

    Raises:
        ToxauditError: the file can't be read, is not of this form, is of another threshold, or does not show that the
            scorer is better than chance.
    """
    content = strict_yaml.read(Path(file).expanduser())
    if unknown := sorted(map(str, set(content) - KEYS)):
        raise ToxauditError(f"{file} has an unknown key '{unknown[0]}'.{did_you_mean(unknown[0], KEYS)}")
    if lacking := sorted({"source", "threshold", "counts"} - set(content)):
        raise ToxauditError(f"{file} has no key '{lacking[0]}'.")
    if threshold is None:
        raise ToxauditError(f"{file} calibrates yes-or-no outcomes, but the scorer has no threshold: set one.")
    if content["threshold"] != threshold:
        raise ToxauditError(f"{file} is of threshold {content['threshold']}, but the scorer's is {threshold:g}.")
    by, counts = content.get("by"), content["counts"]
    if not isinstance(counts, dict) or not counts:
        raise ToxauditError(f"{file}: 'counts' must be a mapping.")
    groups = {str(value): each for value, each in counts.items()} if by else {"": counts}
    if by and len(groups) < len(counts):
        raise ToxauditError(f"{file}: two values of '{by}' are spelt alike.")
    found = {value: _confusion(file, value, each) for value, each in groups.items()}
    for value, confusion in found.items():
        _require_power(f"{file}, {by} '{value}'" if by else file, confusion)
    return Calibration(str(content["source"]), str(by) if by else None, found)


def _confusion(file: str, value: str, counts: Any) -> Confusion:
    where = f"{file}, counts of '{value}'" if value else f"{file}, counts"
    if not isinstance(counts, dict) or set(counts) != set(CELLS):
        raise ToxauditError(f"{where} must be {', '.join(CELLS)}, each a number of labelled completions.")
    for cell in CELLS:
        if isinstance(counts[cell], bool) or not isinstance(counts[cell], int) or counts[cell] < 0:
            raise ToxauditError(f"{where}: {cell} is {counts[cell]}; it must be a whole number, 0 or above.")
    return Confusion(**counts)


def _require_power(where: str, counts: Confusion) -> None:
    """Refuse a scorer that may be no better than chance: sensitivity + specificity - 1 divides what it reports."""
    random = np.random.default_rng(0)
    sensitivity = random.beta(counts.true_positive + 0.5, counts.false_negative + 0.5, 20_000)
    specificity = random.beta(counts.true_negative + 0.5, counts.false_positive + 0.5, 20_000)
    better = float((sensitivity + specificity > 1).mean())
    if better < CERTAINTY:
        positives = counts.true_positive + counts.false_negative
        negatives = counts.true_negative + counts.false_positive
        raise ToxauditError(
            f"{where} can't correct anything: by {positives} labelled completions with the outcome and {negatives} "
            f"without it, the scorer is better than chance with probability {better:.2f} only (needed: {CERTAINTY}); "
            "label more, or leave calibration out."
        )
