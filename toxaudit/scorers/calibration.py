"""A scorer's calibration file: how often it was right on completions that people labelled."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import Calibration, Confusion
from toxaudit.spec import strict_yaml

KEYS = {"source", "scorer", "operator", "threshold", "by", "counts"}
CELLS = ("true_positive", "false_negative", "false_positive", "true_negative")
CERTAINTY = 0.95
"""How sure the labels must make it that the scorer is better than chance: else its errors can't be taken out."""

COMPLEMENTS = {">=": "<", "<": ">=", ">": "<=", "<=": ">"}
"""Operator -> the one that counts exactly the completions which it does not."""


@dataclass(frozen=True)
class KnownErrors:
    """What a calibration file says.

    Attributes:
        file: its path.
        errors: of the outcome that the asking scorer counts.
        scorer: the identity of the scorer that was compared with the labels; None where the file doesn't tell.
    """

    file: str
    errors: Calibration
    scorer: str | None

    def of(self, identity: str) -> Calibration:
        """The errors, which must be those of the scorer of this identity.

        Raises:
            ToxauditError: if they are another scorer's.
        """
        if self.scorer not in (None, identity):
            raise ToxauditError(
                f"{self.file} is of scorer {str(self.scorer)[:12]}, but this one is {identity[:12]}: its weights or "
                "settings are others, so run `toxaudit calibrate` for it."
            )
        return self.errors


def read(file: str, operator: str, threshold: float | None) -> KnownErrors:
    """Read a calibration file.

    Args:
        file: a YAML mapping: ``source``, ``threshold``, ``counts`` and, where these stand for each value of a slice,
            its name in ``by``; ``operator`` where it is not >=; ``scorer``, the identity of the scorer.
        operator: the scorer's own, which must be the file's or count exactly what that does not: for such a scorer
            positives and negatives change places, and the source says so.
        threshold: the scorer's own, which must be the file's.

    Raises:
        ToxauditError: if the file can't be read, is not of this form, is of another operator or threshold, or does
            not show that the scorer is better than chance.
    """
    content = strict_yaml.read(Path(file).expanduser(), number_keys=True)
    if unknown := sorted(map(str, set(content) - KEYS)):
        raise ToxauditError(f"{file} has an unknown key '{unknown[0]}'.{did_you_mean(unknown[0], KEYS)}")
    if lacking := sorted({"source", "threshold", "counts"} - set(content)):
        raise ToxauditError(f"{file} has no key '{lacking[0]}'.")
    mirrored = _mirrored(file, content, operator, threshold)
    by, counts = content.get("by"), content["counts"]
    if not isinstance(counts, dict) or not counts:
        raise ToxauditError(f"{file}: 'counts' must be a mapping.")
    groups = {str(value): each for value, each in counts.items()} if by else {"": counts}
    if by and len(groups) < len(counts):
        raise ToxauditError(f"{file}: two values of '{by}' are spelt alike.")
    if by and "" in groups:
        raise ToxauditError(f"{file}: a value of '{by}' is empty, which no prompt has.")
    found = {value: _confusion(file, value, each) for value, each in groups.items()}
    for value, confusion in found.items():
        _require_power(f"{file}, {by} '{value}'" if by else file, confusion)
    source = str(content["source"])
    if mirrored:
        found = {value: _mirror(each) for value, each in found.items()}
        source = f"{source.rstrip('.')} (counted here: completions without that label)"
    scorer = content.get("scorer")
    errors = Calibration(source, str(by) if by else None, found)
    return KnownErrors(file, errors, None if scorer is None else str(scorer))


def as_yaml(errors: Calibration, identity: str, operator: str, threshold: float) -> str:
    """The text of a calibration file.

    Args:
        errors: what it says.
        identity: the scorer's.
        operator: the scorer's.
        threshold: the scorer's.
    """
    counts: dict[str, Any] = {value: asdict(each) for value, each in errors.counts.items()}
    content = {"source": errors.source, "scorer": identity, "operator": operator, "threshold": threshold}
    content |= {"by": errors.by, "counts": counts} if errors.by else {"counts": counts[""]}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10**6))


def _mirrored(file: str, content: dict[str, Any], operator: str, threshold: float | None) -> bool:
    """Whether what the file calls positive is what the scorer does not count."""
    if threshold is None:
        raise ToxauditError(f"{file} calibrates yes-or-no outcomes, but the scorer has no threshold: set one.")
    if content["threshold"] != threshold:
        raise ToxauditError(f"{file} is of threshold {content['threshold']}, but the scorer's is {threshold:g}.")
    counted = str(content.get("operator", ">="))
    if counted not in COMPLEMENTS:
        raise ToxauditError(f"{file}: operator is '{counted}'; it must be one of {', '.join(COMPLEMENTS)}.")
    if operator not in (counted, COMPLEMENTS[counted]):
        raise ToxauditError(
            f"{file} counts score {counted} {threshold:g}, but the scorer counts score {operator} {threshold:g}."
        )
    return operator != counted


def _mirror(counts: Confusion) -> Confusion:
    return Confusion(
        true_positive=counts.true_negative,
        false_negative=counts.false_positive,
        false_positive=counts.false_negative,
        true_negative=counts.true_positive,
    )


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
