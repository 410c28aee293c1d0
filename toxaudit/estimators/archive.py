"""Posterior draws on disk, so that every number of a card can be computed again without sampling again."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from toxaudit.estimators.outcomes import PairedOutcomes, Posterior
from toxaudit.records import Diagnostics, digest

NAMES = ("candidate", "suite", "measure", "slice", "estimator", "variant")
"""What tells one posterior from another: columns of the file of draws beside ``base_rate`` and ``candidate_rate``."""


def outcomes_digest(outcomes: PairedOutcomes) -> str:
    """SHA-256 over all that an estimator is given."""
    parts = [outcomes.suite, outcomes.measure, str(outcomes.strata), str(sorted((outcomes.weights or {}).items()))]
    parts.append("" if outcomes.shares is None else str(sorted(outcomes.shares.items())))
    parts.append(json.dumps(asdict(outcomes.calibration), sort_keys=True) if outcomes.calibration else "")
    for name, slicing in sorted(outcomes.slices.items()):
        parts += [name, str(len(slicing.values)), *slicing.values, _sha256(slicing.codes)]
    parts.append("" if outcomes.clusters is None else _sha256(outcomes.clusters))
    for arms in ({"base": outcomes.base}, outcomes.candidates, outcomes.scores or {}):
        parts.append(str(len(arms)))
        for name, values in sorted(arms.items()):
            parts += [name, str(values.shape), _sha256(values)]
    return digest(*parts)


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def save(posteriors: Sequence[Posterior], folder: Path) -> None:
    """Write ``posteriors.json`` (all but the draws) and ``draws.parquet``."""
    described = [
        {key: value for key, value in vars(each).items() if key not in ("draws", "diagnostics")}
        | {"diagnostics": asdict(each.diagnostics), "draws": len(each.draws["base"])}
        for each in posteriors
    ]
    (folder / "posteriors.json").write_text(json.dumps(described), encoding="utf-8")
    write_draws(posteriors, folder / "draws.parquet")


def write_draws(posteriors: Sequence[Posterior], file: Path) -> Path:
    """Write a Parquet file with one row per posterior draw, whole or not at all.

    Columns: candidate, suite, measure, slice, estimator and variant name the posterior; base_rate and candidate_rate
    are one draw of both arms' rates, in 0..1. The change is their difference.

    Returns:
        The file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    lengths = [len(each.draws["base"]) for each in posteriors]
    number = np.repeat(np.arange(len(posteriors), dtype=np.int32), lengths)
    columns = {}
    for name in NAMES:
        values = list(dict.fromkeys(getattr(each, name) for each in posteriors))
        codes = np.array([values.index(getattr(each, name)) for each in posteriors], dtype=np.int32)
        columns[name] = pa.DictionaryArray.from_arrays(codes[number], pa.array(values, pa.string()))
    for arm in ("base", "candidate"):
        draws = [each.draws[arm] for each in posteriors]
        columns[f"{arm}_rate"] = pa.array(np.concatenate(draws) if draws else np.empty(0))
    part = file.with_name(f".{file.name}.{os.getpid()}")
    pq.write_table(pa.table(columns), part, compression="zstd")
    return part.replace(file)


def read(folder: Path) -> list[Posterior]:
    """What ``save`` wrote."""
    import pyarrow.parquet as pq

    described = json.loads((folder / "posteriors.json").read_text(encoding="utf-8"))
    table = pq.read_table(folder / "draws.parquet", columns=["base_rate", "candidate_rate"])
    base, candidate = (table[name].to_numpy() for name in table.column_names)
    ends = np.cumsum([fields["draws"] for fields in described], dtype=np.intp)[:-1]
    posteriors = []
    for fields, b, c in zip(described, np.split(base, ends), np.split(candidate, ends), strict=False):
        found = fields.pop("diagnostics")
        diagnostics = Diagnostics(found["values"], tuple(found["failures"]), tuple(found["warnings"]))
        posteriors.append(Posterior(**fields | {"draws": {"base": b, "candidate": c}, "diagnostics": diagnostics}))
    return posteriors
