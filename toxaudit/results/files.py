"""What the files of a run are called, and which candidate's card lies where."""

from pathlib import Path

from toxaudit.findings import AuditResult

FORMAT = "toxaudit.results/1"
"""What ``results.json`` says it is; ``docs/results.schema.json`` describes it."""

RESULTS, SPEC, DRAWS = "results.json", "spec.yaml", "draws.parquet"


def samples_file(suite: str) -> str:
    """The name of the file that holds a suite's samples."""
    return f"samples_{suite}.jsonl"


def table_file(suite: str) -> str:
    """The name of the table that holds a large suite's samples once more."""
    return f"samples_{suite}.parquet"


def card_folder(run: Path, result: AuditResult, candidate: str) -> Path:
    """Where a candidate's own card lies: the run's folder, or one in it where several have cards of their own."""
    return run / "candidates" / candidate if result.several else run
