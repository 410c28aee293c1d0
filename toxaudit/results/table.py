"""The samples of a large suite as a table (Parquet), which is read by columns, and in a fraction of the time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toxaudit.machine.folders import replacing

TOGETHER = 10_000
"""Rows that are in memory, and then written."""

_TEXTS = ("model", "suite", "prompt_id", "prompt", "text", "finish", "missing", "cluster")
_NUMBERS = ("sample", "tokens", "target")


class Table:
    """Rows, each with the columns ``score_NAME`` and ``missing_NAME`` of every scorer that the first has."""

    def __init__(self, file: Path) -> None:
        """Take the file, which is written once there are rows."""
        self._file, self._rows = file, list[Mapping[str, Any]]()
        self._writer: Any = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one row as the files of samples hold it."""
        self._rows.append(row)
        if len(self._rows) == TOGETHER:
            self._write()

    def close(self) -> None:
        """Write what is left."""
        self._write()
        self._writer.close()

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            self._scorers = list(self._rows[0]["scores"]) if self._rows else []
            self._schema = pa.schema(
                [(name, pa.string()) for name in _TEXTS]
                + [(name, pa.int64()) for name in _NUMBERS]
                + [("slices", pa.map_(pa.string(), pa.string()))]
                + [("choices", pa.list_(pa.string())), ("loglikelihoods", pa.list_(pa.float64()))]
                + [(f"score_{name}", pa.float64()) for name in self._scorers]
                + [(f"missing_{name}", pa.string()) for name in self._scorers]
            )
            self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        columns: dict[str, list[Any]] = {name: [row.get(name) for row in self._rows] for name in _TEXTS + _NUMBERS}
        columns["slices"] = [list(row["slices"].items()) for row in self._rows]
        columns |= {name: [row.get(name) for row in self._rows] for name in ("choices", "loglikelihoods")}
        for name in self._scorers:
            for kind, column in (("value", f"score_{name}"), ("missing", f"missing_{name}")):
                columns[column] = [row["scores"].get(name, {}).get(kind) for row in self._rows]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self._rows = []


@contextmanager
def written(file: Path) -> Iterator[Table]:
    """A table to be filled, whole or not at all.

    Raises:
        ToxauditError: if it can't be written.
    """
    with replacing(file) as part:
        table = Table(part)
        yield table
        table.close()
