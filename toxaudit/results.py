"""Machine-readable results: ``results.json`` and ``samples.jsonl``."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from toxaudit.records import AuditResult, to_json
from toxaudit.store import write_atomically


def write_results(folder: Path, result: AuditResult, samples: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Write both files, each whole or not at all.

    Returns:
        The files.
    """
    results, rows = folder / "results.json", folder / "samples.jsonl"
    content = to_json(result) | {"decision": result.decision, "failed_controls": list(result.failed_controls)}
    write_atomically(results, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write_atomically(rows, "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples))
    return [results, rows]
