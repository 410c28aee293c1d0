"""Posterior draws on disk, so that every number of a card can be computed again without sampling again."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toxaudit.estimators.outcomes import PairedOutcomes, Posterior
from toxaudit.records import Diagnostics, digest


def outcomes_digest(outcomes: Sequence[PairedOutcomes]) -> str:
    """SHA-256 over all that an estimator is given."""
    parts: list[str] = []
    for outcome in outcomes:
        parts += [outcome.candidate, outcome.suite, outcome.measure, str(outcome.strata)]
        parts += [outcome.base.tobytes().hex(), outcome.other.tobytes().hex()]
        for name, values in sorted(outcome.slices.items()):
            parts += [name, *map(str, values)]
    return digest(*parts)


def save(posteriors: Sequence[Posterior], folder: Path) -> None:
    """Write ``posteriors.json`` (all but the draws) and ``draws.npz`` (arrays named ``number/quantity``)."""
    described = []
    draws: dict[str, NDArray[np.float64]] = {}
    for number, posterior in enumerate(posteriors):
        fields = {key: value for key, value in vars(posterior).items() if key not in ("draws", "diagnostics")}
        described.append(fields | {"diagnostics": asdict(posterior.diagnostics)})
        draws |= {f"{number}/{quantity}": values for quantity, values in posterior.draws.items()}
    (folder / "posteriors.json").write_text(json.dumps(described), encoding="utf-8")
    np.savez_compressed(folder / "draws.npz", allow_pickle=False, **draws)


def read(folder: Path) -> list[Posterior]:
    """What ``save`` wrote."""
    described = json.loads((folder / "posteriors.json").read_text(encoding="utf-8"))
    posteriors = []
    with np.load(folder / "draws.npz", allow_pickle=False) as draws:
        for number, fields in enumerate(described):
            found = fields.pop("diagnostics")
            prefix = f"{number}/"
            posteriors.append(
                Posterior(
                    **fields,
                    draws={name.removeprefix(prefix): draws[name] for name in draws.files if name.startswith(prefix)},
                    diagnostics=Diagnostics(found["values"], tuple(found["failures"])),
                )
            )
    return posteriors
