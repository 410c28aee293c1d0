"""Posterior draws on disk, so that every number of a card can be computed again without sampling again."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from toxaudit.errors import ToxauditError
from toxaudit.estimators.outcomes import Floats, PairedOutcomes
from toxaudit.estimators.posterior import Posterior
from toxaudit.facts import BASE_ARM
from toxaudit.machine.folders import replacing
from toxaudit.records import OBSERVED, Diagnostics, Estimate, digest

NAMES = ("candidate", "suite", "measure", "slice", "estimator", "variant")
"""What tells one posterior from another: columns of the file of draws beside ``base_rate`` and ``candidate_rate``."""

RATES = ("base_rate", "candidate_rate", "cautious_change")
"""The columns that hold draws."""

FOREIGN = "belongs to another run than results.json, or one of the two was changed"
"""What is said of a file whose draws are not those of the results beside it."""

Name = tuple[str, str, str, str, str, str]
"""One posterior's values of ``NAMES``."""

Draws = tuple[Floats, Floats, Floats | None]
"""Draws of the base's rate, of the candidate's, and of the change by which a GO is decided, where one can be."""


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
    for name, labels in sorted(outcomes.labels.items()):
        parts += [
            "labels",
            name,
            _sha256(labels.base),
            _sha256(labels.candidate),
            str(labels.skipped),
            str(labels.copies),
        ]
        parts.append("" if labels.same is None else _sha256(labels.same))
    if outcomes.reference != BASE_ARM:  # which diagnostics name
        parts += ["reference", outcomes.reference]
    return digest(*parts)


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def packed(posteriors: Sequence[Posterior]) -> bytes:
    """Posteriors as bytes: a line of JSON with all but the draws, then these as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    described = [
        {key: value for key, value in vars(each).items() if key not in ("draws", "cautious", "diagnostics")}
        | {"diagnostics": asdict(each.diagnostics), "draws": len(each.draws["base"])}
        for each in posteriors
    ]
    parquet = pa.BufferOutputStream()
    # A dictionary of draws, of which hardly two are the same, takes as long as all else.
    pq.write_table(pa.table(_rates(posteriors)), parquet, compression="zstd", use_dictionary=False)
    return b"\n".join([json.dumps(described).encode(), parquet.getvalue().to_pybytes()])


def write_draws(posteriors: Sequence[Posterior], file: Path) -> Path:
    """Write a Parquet file with one row per posterior draw, whole or not at all.

    It is written by its absolute path, since pyarrow takes ``a:b`` for an address; so it is read.

    Columns: candidate, suite, measure, slice, estimator and variant name the posterior; base_rate and candidate_rate
    are one draw of both arms' rates, in 0..1. The change is their difference; cautious_change is that under the prior
    by which a GO is decided, and not a number where the estimator never decides one.

    Returns:
        The file.
    """
    import pyarrow.parquet as pq

    with replacing(file) as part:
        pq.write_table(_table(posteriors), part.absolute(), compression="zstd")
    return file


def _table(posteriors: Sequence[Posterior]) -> Any:
    """One row per draw, as ``write_draws`` says."""
    import pyarrow as pa

    number = np.repeat(np.arange(len(posteriors)), [len(each.draws["base"]) for each in posteriors])
    columns = {}
    for name in NAMES:
        values = list(dict.fromkeys(getattr(each, name) for each in posteriors))
        codes = np.array([values.index(getattr(each, name)) for each in posteriors], dtype=np.int32)[number]
        kind, texts = pa.dictionary(pa.int32(), pa.string()), _texts(values)
        columns[name] = pa.DictionaryArray.from_buffers(kind, len(codes), [None, pa.py_buffer(codes)], texts)
    return pa.table(columns | _rates(posteriors))


def _rates(posteriors: Sequence[Posterior]) -> dict[str, Any]:
    """The columns that hold draws, of one posterior after the other."""
    base, candidate = ([each.draws[arm] for each in posteriors] for arm in ("base", "candidate"))
    cautious = [
        np.full(len(b), np.nan) if p.cautious is None else p.cautious for p, b in zip(posteriors, base, strict=True)
    ]
    columns = (np.concatenate(draws, dtype=float) if draws else np.empty(0) for draws in (base, candidate, cautious))
    return dict(zip(RATES, map(_column, columns), strict=True))


def _column(numbers: Floats) -> Any:
    """Numbers as a column that shares their memory: pyarrow's own way from NumPy or lists imports pandas."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.float64(), len(numbers), [None, pa.py_buffer(numbers)])


def _texts(values: Sequence[str]) -> Any:
    """Texts as a column."""
    import pyarrow as pa

    written = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, written)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(values), [None, *map(pa.py_buffer, (ends, b"".join(written)))])


def read_changes(file: Path, totals: Mapping[tuple[str, str, str], Estimate]) -> dict[tuple[str, str, str], Floats]:
    """Draws of the change of some totals, from a file that ``write_draws`` wrote.

    Args:
        file: the file, of which no more is kept in memory than is asked for.
        totals: (candidate, suite, measure) -> the estimate whose draws are wanted.

    Returns:
        By the same names, candidate minus base, shape (draws,) each.

    Raises:
        ToxauditError: if the file is not there, holds no draws, or none of one of these totals.
    """
    if not totals:
        return {}
    found = read_rates(file, totals.values())
    return {key: found[name_of(each)][1] - found[name_of(each)][0] for key, each in totals.items()}


def name_of(each: Estimate | Posterior) -> Name:
    """What tells an estimate's draws from others'."""
    return each.candidate, each.suite, each.measure, each.slice, each.estimator, each.variant


def read_rates(file: Path, estimates: Iterable[Estimate], all_of_it: bool = False) -> dict[Name, Draws]:
    """Draws of some estimates, from a file that ``write_draws`` wrote.

    Args:
        file: the file.
        estimates: those whose draws are wanted.
        all_of_it: whether draws of anything else show that the file belongs to another run.

    Returns:
        By what names an estimate, its draws, shape (draws,) each.

    Raises:
        ToxauditError: if the file is not there, holds no draws, none of one of these estimates, or some of others.
    """
    import pyarrow as pa

    wanted = [name_of(each) for each in estimates]
    try:
        by_name = _stored(file, None if all_of_it else frozenset(wanted))
    except FileNotFoundError as error:
        raise ToxauditError(f"There is no {file}: run the audit again; finished work is kept.") from error
    except (OSError, ValueError, TypeError, LookupError, BufferError, pa.ArrowException) as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ToxauditError(f"{file} holds no posterior draws ({problem}): run the audit again.") from error
    odd = [(name, "no draws of") for name in wanted if name not in by_name]
    if all_of_it:
        odd += [(name, "draws of something else,") for name in by_name if name not in set(wanted)]
    for name, what in odd:
        raise ToxauditError(f"{file} holds {what} {in_words(name)}: it {FOREIGN}.")
    return by_name


def _stored(file: Path, wanted: Collection[Name] | None) -> dict[Name, Draws]:
    """The draws of what is wanted in a file, of everything where that is None.

    Pyarrow's own filters, and its reading of a file in one call, import pandas, which takes longer than reading all.
    """
    import pyarrow.parquet as pq

    found: dict[Name, list[list[Floats]]] = {}
    with pq.ParquetFile(file.absolute()) as stored:
        for group in range(stored.num_row_groups):
            for name, columns in _parted(stored.read_row_group(group, columns=[*NAMES, *RATES])):
                if wanted is None or name in wanted:
                    found.setdefault(name, []).append(columns)
    return {name: _draws(*map(np.concatenate, zip(*parts, strict=True))) for name, parts in found.items()}


def _parted(table: Any) -> Iterator[tuple[Name, list[Floats]]]:
    """The columns of draws of each posterior in a table, in the order of its rows.

    Arrays are handed over as they are: pyarrow's own way to NumPy imports pandas.
    """
    names = [_encoded(table[name].combine_chunks()) for name in NAMES]
    rates = [_numbers(table[rate]) for rate in RATES]
    changes = np.zeros(max(len(table) - 1, 0), dtype=np.bool_)
    for _, codes in names:
        changes |= np.diff(codes) != 0
    starts = [0, *(np.flatnonzero(changes) + 1)] if len(table) else []
    parts: dict[Name, list[slice]] = {}
    for start, end in zip(starts, [*starts[1:], len(table)], strict=False):
        name = cast(Name, tuple(values[codes[start]] for values, codes in names))
        parts.setdefault(name, []).append(slice(start, end))
    for name, places in parts.items():
        yield name, [np.concatenate([rate[place] for place in places], dtype=float) for rate in rates]


def _numbers(column: Any) -> Floats:
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks] or [np.empty(0)])


def _encoded(column: Any) -> tuple[list[str], NDArray[np.int32]]:
    """A column of names: each different one, and which of them stands in each row."""
    encoded = column if hasattr(column, "indices") else column.dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(np.from_dlpack(encoded.indices), dtype=np.int32)


def _draws(base: Floats, candidate: Floats, cautious: Floats) -> Draws:
    return base, candidate, None if np.isnan(cautious).all() else cautious


def in_words(name: Name) -> str:
    """The name of an estimate, without what most estimates have in common."""
    return ", ".join(map(str, name[:3] if name[3:] == ("all", "paired_exact", OBSERVED) else name))


def unpacked(data: bytes) -> list[Posterior]:
    """What ``packed`` made."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    told, _, parquet = data.partition(b"\n")
    described = json.loads(told)
    table = pq.ParquetFile(pa.BufferReader(parquet)).read(columns=list(RATES))
    columns = (_numbers(table[name]) for name in RATES)
    ends = np.cumsum([fields["draws"] for fields in described], dtype=np.intp)[:-1]
    posteriors = []
    for fields, *found in zip(described, *(np.split(column, ends) for column in columns), strict=False):
        base, candidate, cautious = _draws(*found)
        of = fields.pop("diagnostics")
        diagnostics = Diagnostics(of["values"], tuple(of["failures"]), tuple(of["warnings"]))
        draws = {"base": base, "candidate": candidate}
        posteriors.append(Posterior(**fields | {"draws": draws, "cautious": cautious, "diagnostics": diagnostics}))
    return posteriors
